// What the desk and the grid share: keys, filters, messages, the end of the queue.

export const $ = (id) => document.getElementById(id);

const SINGLE_KEYS = "single keys";

export function percent(share) {
  return `${share < 1 ? Math.min(99, Math.round(100 * share)) : 100} %`;
}

export function announce(text) {
  $("announce").textContent = text;
}

export function toast(text) {
  const note = document.createElement("p");
  note.textContent = text;
  $("toasts").append(note);
  setTimeout(() => note.remove(), 9000);
}

export function banner(text, href) {
  const box = $("banner");
  box.hidden = !text;
  box.replaceChildren(text ?? "");
  if (href) {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = "Sign in";
    box.append(" ", link);
  }
}

export function showOutbox(state, size, why) {
  const kept = `${size} ${size === 1 ? "decision is" : "decisions are"} kept in this browser`;
  if (state === "saved") banner(null);
  if (state === "behind") banner(`Not saved yet: ${why} ${kept} and sent again by itself.`);
  if (state === "signed-out") banner(`You are signed out. ${kept}.`, "/login?ended=1");
}

// One letter at a time, and never while somebody types or a dialog is open.
export function listen(act) {
  const help = $("help");
  const single = $("single-keys");
  single.checked = localStorage.getItem(SINGLE_KEYS) !== "off";
  single.addEventListener("change", () =>
    localStorage.setItem(SINGLE_KEYS, single.checked ? "on" : "off"),
  );
  $("open-help").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, select, textarea, summary")) return;
    if (help.open) {
      if (event.key === "?") help.close();
      return;
    }
    if (event.key === "?") {
      event.preventDefault();
      help.showModal();
      return;
    }
    if (!single.checked) return;
    const onControl = event.target.closest("button, a");
    if (onControl && (event.key === "Enter" || event.key === " ")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (act(key, event)) event.preventDefault();
  });
}

export const KEYS = { a: "accept", Enter: "accept", n: "not_in_taxonomy", b: "bad_image", s: "skip" };

// The filter stands in the address, so that it can be kept, shared and gone back from.
export function readFilters() {
  const form = $("filters");
  const given = new URLSearchParams(location.search);
  const filter = {};
  const shown = [];
  let order = "least_confident";
  for (const [name, value] of given) {
    const field = form.elements[name];
    if (!field || !value) continue;
    field.value = value;
    if (name === "order") order = field.value || order;
    else if (name.startsWith("confidence")) filter[name] = Number(value);
    else if (name.startsWith("tagged")) filter[name] = `${value}T00:00:00Z`;
    else filter[name] = value;
    const text = field.selectedOptions?.[0]?.text ?? value;
    if (name !== "order") shown.push(text.replaceAll("_", " "));
  }
  $("filter-summary").textContent = shown.length ? `· ${shown.join(" · ")}` : "";
  $("clear-filters").href = location.pathname;
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (!field.value) field.disabled = true;
  });
  return { filter, order };
}

export function showWaiting(count) {
  $("waiting").textContent = count.toLocaleString("en");
}
