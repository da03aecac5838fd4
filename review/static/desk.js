// One item at a time: what comes next is claimed, loaded and decoded before it is needed.

import { ask, newKey } from "./api.js";
import { elsewhere, hold } from "./held.js";
import { Outbox } from "./outbox.js";
import {
  $, KEYS, announce, banner, listen, percent, readFilters, showOutbox, showWaiting, toast,
} from "./page.js";
import { Search, chip, keyOf } from "./search.js";
import { load, sharesOf, taxonomyOf } from "./taxonomy.js";

const HELD = 10;
const REFILL_BELOW = 6;
const AHEAD = 4; // pictures decoded in advance
const RENEW_EVERY_MS = 120_000;
const LOOK_AGAIN_MS = 15_000;

const { filter, order } = readFilters();
const items = []; // what is held, the one on the screen first
const slides = new Map(); // item -> its loaded pictures
let heatOn = false;
let heatLabel = null; // the label whose heat is shown; null: the machine's
let keys = new Map(); // key -> the label that it gives the item on the screen
let shownAt = 0;
let decided = 0;
let secondsInAll = 0;
let waiting = 0;
let activeAt = Date.now();
let refilling = null;

const outbox = new Outbox({ onRefused: (detail) => toast(`Not saved: ${detail}`), onState: showOutbox });
const correct = (label, startedAt) => decide("correct", label, startedAt);
const search = new Search({ choose: correct, look: lookAt });

function slideOf(item) {
  let slide = slides.get(item.item);
  if (!slide) {
    slide = document.createElement("figure");
    slide.className = "slide";
    const photo = new Image();
    photo.className = "photo";
    photo.alt = `Photo of product ${item.product_id}`;
    photo.decoding = "sync";
    photo.src = item.photo_url;
    slide.append(photo);
    slide.ready = photo.decode().catch(() => useThumbnail(item, slide, photo));
    slides.set(item.item, slide);
  }
  return slide;
}

// Without the photo that was tagged, the machine's own thumbnail is better than nothing. A photo
// that has changed is shown as it is now, with the thumbnail of what the machine saw beside it.
async function useThumbnail(item, slide, photo) {
  const problem = await ask("GET", item.photo_url).then(() => null, (found) => found);
  const thumbnail = new Image();
  thumbnail.className = "photo";
  thumbnail.src = item.thumbnail_url;
  thumbnail.alt = `Thumbnail of product ${item.product_id}`;
  const hasThumbnail = await thumbnail.decode().then(() => true, () => false);
  slide.note = `The photo cannot be shown${problem ? `: ${problem.message}` : "."}`;
  if (problem?.status === 409 && (await showChanged(item, photo))) {
    slide.note = problem.message;
    thumbnail.className = "tagged";
    if (hasThumbnail) slide.append(thumbnail);
    if (hasThumbnail) slide.note += " The small picture is what the machine saw.";
  } else if (hasThumbnail) {
    photo.replaceWith(thumbnail);
  } else {
    photo.remove();
    slide.note += " There is no thumbnail either.";
  }
  if (items[0]?.item === item.item) showNote(slide);
}

async function showChanged(item, photo) {
  photo.src = `${item.photo_url}?changed=shown`;
  photo.alt = `Photo of product ${item.product_id} as it is now`;
  return photo.decode().then(() => true, () => false);
}

function showNote(slide) {
  $("photo-note").hidden = !slide.note;
  $("photo-note").textContent = slide.note ?? "";
}

function loadAhead() {
  hold(items);
  for (const item of items.slice(0, AHEAD)) slideOf(item);
  if (heatOn) for (const item of items.slice(1, 3)) heatOf(item, item.label);
  const wanted = new Set(items.map((item) => item.item));
  for (const key of slides.keys()) if (!wanted.has(key)) slides.delete(key);
}

function heatOf(item, label) {
  const slide = slideOf(item);
  slide.heats ??= new Map();
  if (!slide.heats.has(label)) {
    const layer = new Image();
    layer.className = "heat";
    layer.alt = "";
    layer.src = item.heat_url + encodeURIComponent(label);
    slide.heats.set(label, layer);
  }
  return slide.heats.get(label);
}

function showHeat() {
  const item = items[0];
  if (!item) return;
  const slide = slideOf(item);
  slide.querySelector(".heat")?.remove();
  const label = heatLabel ?? item.label;
  if (heatOn && !slide.note) slide.append(heatOf(item, label));
  $("heat").setAttribute("aria-pressed", heatOn);
  $("heat-label").textContent = heatOn ? ` · ${taxonomyOf(item).nameOf(label)}` : "";
  for (const row of $("labels").children) {
    row.querySelector(".eye").setAttribute("aria-pressed", heatOn && row.dataset.id === label);
  }
}

function lookAt(label) {
  heatOn = true;
  heatLabel = label;
  showHeat();
}

// Rows stay where they are from item to item, and so does the focus of who works without a mouse.
function rowAt(index) {
  const known = $("labels").children[index];
  if (known) return known;
  const row = document.createElement("li");
  row.innerHTML = `<button class="label"><kbd></kbd> <span class="name"></span>
    <span class="bar" aria-hidden="true"><span></span></span> <span class="percent"></span></button>
    <button class="eye"><span aria-hidden="true"></span></button>`;
  row.querySelector(".label").addEventListener("click", () => correct(row.dataset.id));
  row.querySelector(".eye").addEventListener("click", (event) => {
    const off = event.currentTarget.getAttribute("aria-pressed") === "true";
    lookAt(row.dataset.id);
    if (off) toggleHeat();
  });
  $("labels").append(row);
  return row;
}

function showLabels(item) {
  const taxonomy = taxonomyOf(item);
  const shares = sharesOf(item);
  const [best, near] = [taxonomy.best(shares), taxonomy.near(shares)];
  const top = item.confidences.slice(0, 3).map((each) => each.label);
  best.forEach(({ id, key }, index) => {
    const row = rowAt(index);
    const [button, eye] = row.children;
    const share = shares.get(id) ?? 0;
    row.dataset.id = id;
    button.dataset.label = id;
    button.style.setProperty("--share", share);
    button.classList.toggle("machine", id === item.label);
    button.classList.toggle("top", top.includes(id));
    button.title = taxonomy.byId.get(id).parents.concat(taxonomy.nameOf(id)).join(" › ");
    button.querySelector("kbd").replaceWith(keyOf(key));
    button.querySelector(".name").textContent = taxonomy.nameOf(id);
    button.querySelector(".percent").textContent = share < 0.005 ? "" : percent(share);
    eye.title = `Heat map of ${taxonomy.nameOf(id)}`;
    eye.setAttribute("aria-label", eye.title);
  });
  while ($("labels").children.length > best.length) $("labels").lastElementChild.remove();
  $("near").replaceChildren(...near.map((each) => chip(taxonomy, each, correct)));
  $("near").hidden = !near.length;
  keys = new Map([...best, ...near].map(({ id, key }) => [key, id]));
  search.about(taxonomy, shares);
}

function show(startedAt) {
  const item = items[0];
  $("desk").hidden = !item;
  $("empty").hidden = Boolean(item);
  if (!item) {
    hold(items);
    return;
  }
  heatLabel = null;
  const slide = slideOf(item);
  $("slides").replaceChildren(slide);
  showNote(slide);
  $("label").textContent = item.label_name;
  $("confidence").textContent = percent(item.confidence);
  $("why").textContent = item.why;
  $("product").textContent = item.product_id;
  $("declared").textContent = item.declared_label ?? "nothing";
  $("model").textContent = item.judged_by;
  showLabels(item);
  showSimilar(item);
  showHeat();
  showWaiting(waiting);
  shownAt = performance.now();
  announce(`${item.product_id}: ${item.label_name}, ${percent(item.confidence)}. ${item.why}`);
  if (startedAt !== undefined) measure(slide, startedAt);
  loadAhead();
}

function showSimilar(item) {
  const entries = item.similar.map((each) => {
    const entry = document.createElement("li");
    const picture = new Image();
    picture.src = each.thumbnail_url;
    picture.alt = "";
    picture.loading = "lazy";
    entry.append(picture, taxonomyOf(item).nameOf(each.label));
    return entry;
  });
  if (!entries.length) {
    const none = document.createElement("li");
    none.className = "none";
    none.textContent = "none yet";
    entries.push(none);
  }
  $("similar").replaceChildren(...entries);
}

// From the key going down to the next picture on the screen, for `tagger bench review`.
async function measure(slide, startedAt) {
  await slide.ready;
  requestAnimationFrame(() => {
    const afterPaint = new MessageChannel();
    afterPaint.port1.onmessage = () =>
      performance.measure("decision-to-next", { start: startedAt, end: performance.now() });
    afterPaint.port2.postMessage(null);
  });
}

function decide(action, label, startedAt = performance.now()) {
  const item = items.shift();
  if (!item) return;
  const seconds = Math.min(86_400, (performance.now() - shownAt) / 1000);
  if (action === "correct" && label === item.label) action = "accept";
  const body = { action, key: newKey(), seconds: Math.round(seconds * 100) / 100, channel: "page" };
  if (action === "correct") {
    body.label = label;
    taxonomyOf(item).remember(label);
  }
  if (action !== "skip") {
    waiting = Math.max(0, waiting - 1);
    decided += 1;
    secondsInAll += seconds;
  }
  show(startedAt);
  showStatus();
  outbox.push({
    path: `/api/v1/items/${item.item}/decision`, items: [item.item], body, headers: { "If-Match": item.etag },
  });
  if (items.length < REFILL_BELOW) refill();
}

function showStatus() {
  const each = decided ? ` · ${(secondsInAll / decided).toFixed(1)} s each` : "";
  $("status").textContent = decided > 0 ? `${decided} decided${each}` : "";
}

async function undo() {
  await outbox.flush();
  try {
    const { items: back } = await ask("POST", "/api/v1/undo", { key: newKey() });
    await load(back);
    const ids = new Set(back.map((item) => item.item));
    for (let index = items.length - 1; index >= 0; index -= 1) {
      if (ids.has(items[index].item)) items.splice(index, 1);
    }
    items.unshift(...back);
    decided = Math.max(0, decided - back.length);
    waiting += back.length;
    show();
    showStatus();
    announce(`Taken back. ${$("announce").textContent}`);
  } catch (problem) {
    if (problem.signedOut) showOutbox("signed-out", 0);
    else toast(problem.message);
  }
}

function refill() {
  refilling ??= claim().finally(() => (refilling = null));
  return refilling;
}

async function claim() {
  await outbox.flush();
  try {
    const found = await ask("POST", "/api/v1/claims", { filter, order, limit: HELD, keep: elsewhere() });
    await load(found.items);
    const known = new Set(items.map((item) => item.item));
    const fresh = found.items.filter((item) => !known.has(item.item) && !outbox.has(item.item));
    const wasEmpty = items.length === 0;
    items.push(...fresh);
    waiting = found.waiting - outbox.size;
    if (wasEmpty) show();
    else loadAhead();
    showWaiting(waiting);
    if (!outbox.size) banner(null);
  } catch (problem) {
    if (problem.signedOut) showOutbox("signed-out", outbox.size);
    else banner(problem.message);
    setTimeout(refill, (problem.retryAfterS ?? 5) * 1000);
  }
}

async function renew() {
  if (!items.length || Date.now() - activeAt > RENEW_EVERY_MS * 4) return;
  hold(items);
  const { held } = await ask("POST", "/api/v1/leases/renew", { items: items.map((each) => each.item) });
  const current = items[0]?.item;
  const kept = items.filter((item) => held.includes(item.item));
  if (kept.length === items.length) return;
  items.splice(0, items.length, ...kept);
  if (current !== items[0]?.item) {
    toast("Your lease had ended and the item went to somebody else. Here is the next one.");
    show();
  }
  refill();
}

// Through all categories: in the taxonomy's order, or, where they are many, the likeliest first.
function moveHeat(step) {
  const item = items[0];
  if (!item) return;
  const all = taxonomyOf(item).few ? taxonomyOf(item).categories.map((each) => each.id) : item.confidences.map((each) => each.label);
  const at = all.indexOf(heatLabel ?? item.label);
  lookAt(heatOn ? all[(at + step + all.length) % all.length] : all[at]);
}

function toggleHeat() {
  heatOn = !heatOn;
  heatLabel = null;
  showHeat();
}

listen((key, event) => {
  if (items.length && search.picking) return search.pick(key, event.timeStamp);
  if (key === "u") {
    undo();
    return true;
  }
  if (!items.length) return false;
  const many = !taxonomyOf(items[0]).few;
  if (KEYS[key] && !event.repeat) decide(KEYS[key], undefined, event.timeStamp);
  else if (keys.has(key) && !event.repeat) correct(keys.get(key), event.timeStamp);
  else if (key === "/" && many) search.open();
  else if (key === "0" && many) search.toggleOthers();
  else if (key === "h") toggleHeat();
  else if (key === "ArrowDown") moveHeat(1);
  else if (key === "ArrowUp") moveHeat(-1);
  else return false;
  return true;
});

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => decide(button.dataset.action));
}
$("heat").addEventListener("click", toggleHeat);
$("undo").addEventListener("click", undo);
$("undo-empty").addEventListener("click", undo);
for (const kind of ["keydown", "pointerdown"]) {
  addEventListener(kind, () => (activeAt = Date.now()), { passive: true });
}
addEventListener("pagehide", () => {
  const keep = [...outbox.entries.flatMap((entry) => entry.items), ...elsewhere()];
  ask("POST", "/api/v1/leases/release", { items: keep }).catch(() => {});
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
setInterval(() => renew().catch(() => {}), RENEW_EVERY_MS);
setInterval(() => items.length || refill(), LOOK_AGAIN_MS);
refill();
