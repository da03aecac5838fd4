// An item's taxonomy in the page: which keys give which category, and finding the others.

import { ask } from "./api.js";

const PERSON = document.querySelector('meta[name="person"]').content;
export const COMMANDS = "anbsuh"; // letters that mean something else
const DIGITS = "1234567890";
const NEAR = "qwert"; // for those used lately, and the next best where nothing was
const LETTERS = "1234567890abcdefghijklmnopqrstuvwxyz";
const FEW = DIGITS.length;
const BEST = 9;
const RECENT_KEPT = 12;
const FOUND_SHOWN = 8;

// What may be given to a model's items; another title says that the taxonomy was changed since.
const known = new Map();
const keyOf = (item) => `${item.taxonomy} · ${item.model_version}`;

export class Taxonomy {
  constructor({ name, title, categories }) {
    this.title = title;
    this.few = categories.length <= FEW;
    this.categories = categories;
    this.byId = new Map(categories.map((each) => [each.id, each]));
    this.store = `used lately by ${PERSON} · ${name}`;
    this.words = new Map(categories.map((each) => [each.id, wordsOf(each)]));
  }

  nameOf(label) {
    return this.byId.get(label)?.name ?? label.replaceAll("_", " ");
  }

  // [{ id, key }] in the order they are shown: all of a few, else the best nine.
  best(shares) {
    if (!this.few) {
      return this.#ranked(shares).slice(0, BEST).map((id, index) => ({ id, key: DIGITS[index] }));
    }
    const hints = new Map(this.categories.filter(hasKey).map((each) => [each.key, each.id]));
    const free = [...DIGITS].filter((key) => !hints.has(key));
    return this.categories.map((each) => ({ id: each.id, key: hasKey(each) ? each.key : free.shift() }));
  }

  // Those used lately that are not among the best, then the next best; a key each.
  near(shares) {
    if (this.few) return [];
    const best = new Set(this.best(shares).map((each) => each.id));
    const rest = [...this.recent(), ...this.#ranked(shares)].filter((id) => this.byId.has(id) && !best.has(id));
    return [...new Set(rest)].slice(0, NEAR.length).map((id, index) => ({ id, key: NEAR[index] }));
  }

  // All the others in the taxonomy's order; the likeliest have a key.
  others(shares) {
    if (this.few) return [];
    const shown = new Set([...this.best(shares), ...this.near(shares)].map((each) => each.id));
    const keyed = new Set(this.#ranked(shares).filter((id) => !shown.has(id)).slice(0, LETTERS.length));
    const keys = [...LETTERS];
    return this.categories
      .filter((each) => !shown.has(each.id))
      .map(({ id }) => ({ id, key: keyed.has(id) ? keys.shift() : "" }));
  }

  recent() {
    return JSON.parse(localStorage.getItem(this.store) ?? "[]");
  }

  remember(label) {
    const before = this.recent().filter((id) => id !== label);
    localStorage.setItem(this.store, JSON.stringify([label, ...before].slice(0, RECENT_KEPT)));
  }

  // Every word typed must begin one of the words of a category or its parents: names, aliases and
  // translations. What begins with the text comes first, then what the machine holds likelier.
  find(text, shares) {
    const wanted = fold(text).split(" ").filter(Boolean);
    if (!wanted.length) return [];
    const hits = [];
    for (const { id } of this.categories) {
      const { own, all, terms } = this.words.get(id);
      if (!wanted.every((part) => all.some((word) => word.startsWith(part)))) continue;
      const whole = wanted.join(" ");
      const exact = terms.includes(whole) ? 0 : 1;
      const begins = terms.some((term) => term.startsWith(whole)) ? 0 : 1;
      const named = wanted.every((part) => own.some((word) => word.startsWith(part))) ? 0 : 1;
      hits.push({ id, rank: [exact, begins, named, -(shares.get(id) ?? 0)] });
    }
    hits.sort((one, other) => compare(one.rank, other.rank));
    return hits.slice(0, FOUND_SHOWN).map((each) => each.id);
  }

  #ranked(shares) {
    const ids = this.categories.map((each) => each.id);
    return ids.sort((one, other) => (shares.get(other) ?? 0) - (shares.get(one) ?? 0));
  }
}

// The taxonomies of these items, asked for once.
export async function load(items) {
  for (const item of items) {
    if (known.has(keyOf(item))) continue;
    const query = new URLSearchParams({ model_version: item.model_version });
    known.set(keyOf(item), new Taxonomy(await ask("GET", `/api/v1/taxonomy?${query}`)));
  }
}

export const taxonomyOf = (item) => known.get(keyOf(item));

export const sharesOf = (item) => new Map(item.confidences.map((each) => [each.label, each.confidence]));

// As catalog/taxonomy/folding.py: case, accents, hyphens and spaces tell nothing apart.
export function fold(text) {
  const plain = text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").normalize("NFKC");
  return plain.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

const hasKey = (category) => Boolean(category.key) && !COMMANDS.includes(category.key);

function wordsOf(category) {
  const terms = category.terms.map(fold);
  const own = terms.flatMap((term) => term.split(" "));
  return { terms, own, all: [...own, ...category.parents.flatMap((name) => fold(name).split(" "))] };
}

function compare(one, other) {
  for (let index = 0; index < one.length; index += 1) {
    if (one[index] !== other[index]) return one[index] - other[index];
  }
  return 0;
}
