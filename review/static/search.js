// Categories beyond those with a key: by typing (`/`), or by one more key (`0`).

import { $, announce, percent } from "./page.js";

export class Search {
  // choose(label, startedAt) decides; look(label), where there is one, shows its heat.
  constructor({ choose, look }) {
    this.choose = choose;
    this.look = look;
    this.text = $("search-text");
    this.found = $("search-found");
    this.others = $("others");
    this.ids = [];
    this.at = 0;
    this.text.addEventListener("input", () => this.#seek());
    this.text.addEventListener("keydown", (event) => this.#onKey(event));
    this.text.addEventListener("focus", () => this.#seek());
    this.text.addEventListener("blur", () => this.#showFound([]));
    $("open-others").addEventListener("click", () => this.toggleOthers());
  }

  // What the next search is about.
  about(taxonomy, shares) {
    this.taxonomy = taxonomy;
    this.shares = shares;
    $("search").hidden = taxonomy.few;
    document.body.dataset.size = taxonomy.few ? "few" : "many";
    this.close();
  }

  get picking() {
    return !this.others.hidden;
  }

  open() {
    this.#showOthers(false);
    this.text.focus();
  }

  close() {
    this.text.value = "";
    if (document.activeElement === this.text) this.text.blur();
    this.#showFound([]);
    this.#showOthers(false);
  }

  toggleOthers() {
    this.#showOthers(!this.picking);
    if (this.picking) announce(`${this.others.children.length} more categories, a key each.`);
  }

  // A key while all the others are shown; whether it meant something.
  pick(key, startedAt) {
    const hit = this.taxonomy.others(this.shares).find((each) => each.key === key);
    if (hit) this.choose(hit.id, startedAt);
    else if (key === "Escape") this.#showOthers(false);
    else return false;
    return true;
  }

  #seek() {
    this.at = 0;
    this.#showFound(this.taxonomy.find(this.text.value, this.shares));
  }

  #onKey(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (this.ids.length) this.at = (this.at + step + this.ids.length) % this.ids.length;
      this.#showFound(this.ids);
    } else if (event.key === "Enter" && this.ids.length && !event.isComposing) {
      if (event.shiftKey && this.look) this.look(this.ids[this.at]);
      else this.choose(this.ids[this.at], event.timeStamp);
    } else if (event.key === "Escape") {
      this.close();
    } else {
      return;
    }
    event.preventDefault();
  }

  #showFound(ids) {
    this.ids = ids;
    const nothing = this.text.value.trim() && !ids.length && document.activeElement === this.text;
    $("search-none").hidden = !nothing;
    this.found.hidden = !ids.length;
    this.text.setAttribute("aria-expanded", Boolean(ids.length));
    if (ids.length) this.text.setAttribute("aria-activedescendant", `found-${this.at}`);
    else this.text.removeAttribute("aria-activedescendant");
    this.found.replaceChildren(...ids.map((id, index) => this.#option(id, index)));
    this.#makeRoom();
  }

  // What is found takes the place of the labels.
  #makeRoom() {
    document.body.toggleAttribute("data-choosing", !this.found.hidden || this.picking);
  }

  #option(id, index) {
    const option = document.createElement("li");
    option.id = `found-${index}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", index === this.at);
    const share = this.shares.get(id) ?? 0;
    const above = this.taxonomy.byId.get(id).parents.join(" › ");
    option.append(...[
      span("name", this.taxonomy.nameOf(id)), span("above", above), span("percent", share < 0.005 ? "" : percent(share)),
    ]);
    option.addEventListener("pointerdown", (event) => event.preventDefault()); // keep the focus
    option.addEventListener("click", () => this.choose(id));
    return option;
  }

  #showOthers(shown) {
    this.others.hidden = !shown;
    $("open-others").setAttribute("aria-expanded", shown);
    const others = shown ? this.taxonomy.others(this.shares) : [];
    this.#makeRoom();
    this.others.replaceChildren(...others.map((each) => chip(this.taxonomy, each, this.choose)));
  }
}

// A button with a key that gives a category.
export function chip(taxonomy, { id, key }, choose) {
  const entry = document.createElement("li");
  const button = document.createElement("button");
  button.dataset.label = id;
  button.title = [...taxonomy.byId.get(id).parents, taxonomy.nameOf(id)].join(" › ");
  if (key) button.append(keyOf(key), " ");
  button.append(taxonomy.nameOf(id));
  button.addEventListener("click", () => choose(id));
  entry.append(button);
  return entry;
}

export function keyOf(key) {
  const shown = document.createElement("kbd");
  shown.textContent = key.toUpperCase();
  return shown;
}

function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}
