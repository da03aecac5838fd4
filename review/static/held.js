// What each tab of a person holds, so that none gives back, or shows too, what another works on.

import { newKey } from "./api.js";

const PREFIX = `held by ${document.querySelector('meta[name="person"]').content} · `;
const MINE = PREFIX + newKey();
const LEASE_MS = 600_000; // a tab that has said nothing for longer holds nothing
const KEPT_MAX = 150; // well within what the desk takes in one request

export function hold(items) {
  localStorage.setItem(MINE, JSON.stringify({ at: Date.now(), items: items.map((each) => each.item) }));
}

export function elsewhere() {
  const names = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
  const items = [];
  for (const name of names.filter((each) => each.startsWith(PREFIX) && each !== MINE)) {
    const held = JSON.parse(localStorage.getItem(name) ?? "null");
    if (held && Date.now() - held.at < LEASE_MS) items.push(...held.items);
    else localStorage.removeItem(name);
  }
  return items.slice(0, KEPT_MAX);
}

addEventListener("pagehide", () => localStorage.removeItem(MINE));
