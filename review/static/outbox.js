// Decisions on their way. They leave in order, survive a reload, a lost connection and a sign-out,
// and are sent again with the same key, so that none is lost and none counts twice.

import { ask } from "./api.js";

const STORE = `outbox of ${document.querySelector('meta[name="person"]').content}`;
const WAITS_S = [1, 2, 4, 8, 15];

export class Outbox {
  constructor({ onRefused, onState }) {
    this.entries = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    this.onRefused = onRefused;
    this.onState = onState;
    this.running = null;
  }

  get size() {
    return this.entries.length;
  }

  has(item) {
    return this.entries.some((entry) => entry.items.includes(item));
  }

  push(entry) {
    this.entries.push(entry);
    this.#keep();
    return this.flush();
  }

  // Resolves when everything has been answered; waits as long as the desk is away.
  flush() {
    this.running ??= this.#run().finally(() => (this.running = null));
    return this.running;
  }

  async #run() {
    let tries = 0;
    while (this.entries.length) {
      const entry = this.entries[0];
      try {
        const answer = await ask("POST", entry.path, entry.body, entry.headers);
        tries = 0;
        this.#done();
        for (const each of answer.results ?? []) {
          if (each.status !== 200) this.onRefused(each.detail, entry);
        }
      } catch (problem) {
        if (problem.signedOut) {
          this.onState("signed-out", this.size);
          return new Promise(() => {});
        }
        if (problem.passing) {
          this.onState("behind", this.size, problem.message);
          const waitS = problem.retryAfterS ?? WAITS_S[Math.min(tries++, WAITS_S.length - 1)];
          await new Promise((resume) => setTimeout(resume, Math.min(waitS, 15) * 1000));
        } else {
          this.#done();
          this.onRefused(problem.message, entry);
        }
      }
    }
    this.onState("saved", 0);
  }

  #done() {
    this.entries.shift();
    this.#keep();
  }

  #keep() {
    localStorage.setItem(STORE, JSON.stringify(this.entries));
  }
}
