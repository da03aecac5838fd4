// Decisions on their way. They leave in order, survive a reload, a lost connection and a sign-out,
// and are sent again with the same key, so that none is lost and none counts twice.
//
// Each lies under a key of its own in this browser's storage, shared by all tabs of a person: a tab
// that adds or removes one never writes over another tab's. Any tab sends what any tab has left.

import { ask } from "./api.js";

const STORE = `outbox of ${document.querySelector('meta[name="person"]').content}`;
const PREFIX = `${STORE} · `;
const WAITS_S = [1, 2, 4, 8, 15];

let last = 0;

// Names sort as the decisions were made, within a tab and (by the clock) between tabs.
function newName() {
  last = Math.max(last + 1, Date.now() * 1000);
  const random = Math.floor(Math.random() * 36 ** 6).toString(36).padStart(6, "0");
  return `${PREFIX}${String(last).padStart(17, "0")}-${random}`;
}

export class Outbox {
  constructor({ onRefused, onState }) {
    this.onRefused = onRefused;
    this.onState = onState;
    this.running = null;
    this.unkept = new Map(); // what a full or forbidden storage did not take
    this.#adoptOlder();
  }

  get names() {
    const kept = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
    return [...kept.filter((name) => name.startsWith(PREFIX)), ...this.unkept.keys()].sort();
  }

  get entries() {
    return this.names.map((name) => this.#read(name)).filter(Boolean);
  }

  get size() {
    return this.names.length;
  }

  has(item) {
    return this.entries.some((entry) => entry.items.includes(item));
  }

  push(entry) {
    this.#keep(entry);
    return this.flush();
  }

  // Resolves when everything has been answered; waits as long as the desk is away.
  flush() {
    this.running ??= this.#run().finally(() => (this.running = null));
    return this.running;
  }

  async #run() {
    let tries = 0;
    while (this.size) {
      const problem = await alone(() => this.#sendFirst());
      if (!problem) {
        tries = 0;
      } else if (problem.signedOut) {
        this.onState("signed-out", this.size);
        return new Promise(() => {});
      } else {
        this.onState("behind", this.size, problem.message);
        const waitS = problem.retryAfterS ?? WAITS_S[Math.min(tries++, WAITS_S.length - 1)];
        await new Promise((resume) => setTimeout(resume, Math.min(waitS, 15) * 1000));
      }
    }
    this.onState("saved", 0);
  }

  // Returns what keeps the oldest decision from being answered, if anything does.
  async #sendFirst() {
    const [name] = this.names;
    const entry = name && this.#read(name);
    if (!entry) return null; // another tab has sent it
    try {
      const answer = await ask("POST", entry.path, entry.body, entry.headers);
      this.#forget(name);
      for (const each of answer.results ?? []) {
        if (each.status !== 200) this.onRefused(each.detail, entry);
      }
    } catch (problem) {
      if (problem.signedOut || problem.passing) return problem;
      this.#forget(name);
      this.onRefused(problem.message, entry);
    }
    return null;
  }

  #read(name) {
    const text = this.unkept.get(name) ?? localStorage.getItem(name);
    return text ? JSON.parse(text) : null;
  }

  #keep(entry) {
    const name = newName();
    const text = JSON.stringify(entry);
    try {
      localStorage.setItem(name, text);
    } catch {
      this.unkept.set(name, text);
    }
  }

  #forget(name) {
    this.unkept.delete(name);
    localStorage.removeItem(name);
  }

  // Until 0.1.0 all decisions lay under one key.
  #adoptOlder() {
    const older = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    for (const entry of older) this.#keep(entry);
    localStorage.removeItem(STORE);
  }
}

// One tab sends at a time, where the browser can see to that (it cannot without TLS, off loopback);
// two that send the same decision do no harm, as its key is the same.
function alone(send) {
  return navigator.locks ? navigator.locks.request(STORE, send) : send();
}
