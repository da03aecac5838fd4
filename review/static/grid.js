// Look-alikes: one key gives all that are selected one label; what was taken out is left for later.

import { ask, newKey } from "./api.js";
import { elsewhere, hold } from "./held.js";
import { Outbox } from "./outbox.js";
import {
  $, KEYS, announce, banner, listen, percent, readFilters, showOutbox, showWaiting, toast,
} from "./page.js";
import { Search, chip } from "./search.js";
import { load, sharesOf, taxonomyOf } from "./taxonomy.js";

const TILES = 24;
const RENEW_EVERY_MS = 120_000;
const LOOK_AGAIN_MS = 15_000;

const { filter, order } = readFilters();
let group = [];
// What one key gives all of the group; no label: none of it is in the taxonomy.
let offered = { label: null, name: "" };
let out = new Set();
let shownAt = 0;
let busy = false;
let keys = new Map(); // key -> the label that it gives the group
const correct = (label) => decide("correct", label);
const search = new Search({ choose: correct });
const outbox = new Outbox({ onRefused: (detail) => toast(`Not saved: ${detail}`), onState: showOutbox });

function tileOf(item) {
  const entry = document.createElement("li");
  const tile = document.createElement("button");
  tile.className = "tile";
  tile.dataset.item = item.item;
  tile.setAttribute("aria-pressed", "true");
  const picture = new Image();
  picture.src = item.thumbnail_url;
  picture.alt = "";
  picture.width = picture.height = 128;
  const caption = document.createElement("span");
  caption.textContent = percent(item.confidence);
  tile.setAttribute("aria-label", `${item.product_id}, ${item.label_name} ${percent(item.confidence)}`);
  tile.title = item.product_id;
  tile.append(picture, caption);
  tile.addEventListener("click", () => toggle(tile));
  entry.append(tile);
  return entry;
}

function toggle(tile) {
  const item = Number(tile.dataset.item);
  if (!out.delete(item)) out.add(item);
  tile.setAttribute("aria-pressed", !out.has(item));
  showCount();
}

function showCount() {
  const count = group.length - out.size;
  $("accept-text").textContent = `Accept ${count} as ${offered.name}`;
}

// Photos that look alike may be called by several names: the commonest is offered, and for strangers
// that they are none of it.
function offer() {
  const strangers = group.filter((item) => item.reasons.includes("out_of_taxonomy")).length;
  if (2 * strangers > group.length) return { label: null, name: "not in the taxonomy" };
  const counts = new Map();
  for (const item of group) counts.set(item.label, (counts.get(item.label) ?? 0) + 1);
  const [label] = [...counts].reduce((best, each) => (each[1] > best[1] ? each : best));
  return { label, name: group.find((item) => item.label === label).label_name };
}

function show() {
  hold(group);
  const had = group.length > 0;
  $("desk").hidden = !had;
  $("empty").hidden = had;
  if (!had) return;
  out = new Set();
  offered = offer();
  $("group-title").textContent =
    group.length === 1 ? `One ${offered.name}` : `${group.length} that look alike: ${offered.name}`;
  $("tiles").replaceChildren(...group.map(tileOf));
  showCount();
  showLabels();
  shownAt = performance.now();
  announce($("group-title").textContent);
}

// The best of the group are those that the machine held likely for all of it together.
function showLabels() {
  const taxonomy = taxonomyOf(group[0]);
  const shares = new Map();
  for (const item of group) {
    for (const [label, share] of sharesOf(item)) {
      shares.set(label, (shares.get(label) ?? 0) + share / group.length);
    }
  }
  const choices = [...taxonomy.best(shares), ...taxonomy.near(shares)];
  $("chips").replaceChildren(...choices.map((each) => chip(taxonomy, each, correct)));
  keys = new Map(choices.map(({ id, key }) => [key, id]));
  search.about(taxonomy, shares);
}

async function claim() {
  try {
    const found = await ask("POST", "/api/v1/claims", { filter, order, limit: TILES, alike: true, keep: elsewhere() });
    await load(found.items);
    group = found.items;
    showWaiting(found.waiting);
    show();
    if (!outbox.size) banner(null);
  } catch (problem) {
    if (problem.signedOut) showOutbox("signed-out", outbox.size);
    else banner(problem.message);
    setTimeout(claim, (problem.retryAfterS ?? 5) * 1000);
  }
}

async function decide(action, label) {
  if (busy || !group.length) return;
  busy = true;
  if (action === "accept") {
    action = offered.label === null ? "not_in_taxonomy" : "correct";
    label = offered.label;
  }
  const said = (item) => {
    if (action === "skip" || out.has(item.item)) return { action: "skip" };
    if (action === "correct" && label === item.label) return { action: "accept" };
    return action === "correct" ? { action, label } : { action };
  };
  const seconds = Math.min(86_400, Math.round(performance.now() - shownAt) / 1000);
  const decisions = group.map((item) => ({ item: item.item, etag: item.etag, ...said(item) }));
  const items = group.map((item) => item.item);
  group = [];
  await outbox.push({
    path: "/api/v1/decisions/bulk", items, headers: {}, body: { decisions, key: newKey(), seconds, channel: "grid" },
  });
  await claim();
  busy = false;
}

async function undo() {
  if (busy) return;
  await outbox.flush();
  try {
    const { items: back } = await ask("POST", "/api/v1/undo", { key: newKey() });
    await load(back);
    group = back.reverse();
    show();
    announce(`Taken back: ${back.length}.`);
  } catch (problem) {
    if (problem.signedOut) showOutbox("signed-out", 0);
    else toast(problem.message);
  }
}

function move(key) {
  const tiles = [...document.querySelectorAll(".tile")];
  const at = tiles.indexOf(document.activeElement);
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  tiles[at < 0 ? 0 : Math.min(tiles.length - 1, Math.max(0, at + step))]?.focus();
}

listen((key, event) => {
  if (event.repeat && !key.startsWith("Arrow")) return false;
  if (group.length && search.picking) return search.pick(key);
  const many = group.length > 0 && !taxonomyOf(group[0]).few;
  if (key === "u") undo();
  else if (KEYS[key]) decide(KEYS[key]);
  else if (keys.has(key)) correct(keys.get(key));
  else if (key === "/" && many) search.open();
  else if (key === "0" && many) search.toggleOthers();
  else if (key.startsWith("Arrow")) move(key);
  else return false;
  return true;
});

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => decide(button.dataset.action));
}
$("undo").addEventListener("click", undo);
$("undo-empty").addEventListener("click", undo);
addEventListener("pagehide", () => {
  const keep = [...outbox.entries.flatMap((each) => each.items), ...elsewhere()];
  ask("POST", "/api/v1/leases/release", { items: keep }).catch(() => {});
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
setInterval(() => {
  if (group.length) {
    hold(group);
    ask("POST", "/api/v1/leases/renew", { items: group.map((each) => each.item) }).catch(() => {});
  }
}, RENEW_EVERY_MS);
setInterval(() => group.length || busy || claim(), LOOK_AGAIN_MS);
outbox.flush().then(claim);
