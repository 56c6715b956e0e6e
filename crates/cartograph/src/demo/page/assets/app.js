// Puts the page together, and draws it anew, at most once a frame, when what it knows has changed.

import * as api from "./api.js";
import { Charts } from "./charts.js";
import { Comparison } from "./compare.js";
import { Controls } from "./controls.js";
import { byId, h, put, say, stillness } from "./dom.js";
import { Explainer } from "./explain.js";
import { WorldMap, healthOf } from "./map.js";
import { Model } from "./model.js";
import { Player } from "./scenes.js";
import { stage } from "./stage.js";
import { Storefronts } from "./storefronts.js";
import { STORIES } from "./stories.js";
import { Stream } from "./stream.js";
import { Timeline } from "./timeline.js";
import { Judge } from "./verdict.js";
import { list, placeOf, some } from "./words.js";

const model = new Model();
const stream = new Stream(model);
const query = new URLSearchParams(location.search);

let shopper = cleanName(query.get("cart")) || sessionStorage.getItem("shopper") || nameFor("ada");
sessionStorage.setItem("shopper", shopper);
/** @type {string[]} */
let alsoWatched = [];

/** @param {string | null} text */
function cleanName(text) {
  return (text ?? "").replace(/[^\w.-]/g, "").slice(0, 64);
}

/** @param {string} name */
function nameFor(name) {
  return `${name}-${Math.random().toString(36).slice(2, 6)}`;
}

/** @param {string} doing @param {Promise<unknown>} work */
async function attempt(doing, work) {
  try {
    await work;
  } catch (error) {
    toast(`${doing}: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {string} text */
function toast(text) {
  const note = h("p", { class: "toast" }, text);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), 7000);
  while (byId("toasts").children.length > 3) byId("toasts").firstElementChild?.remove();
}

const judge = new Judge(model);
const controls = new Controls(model, attempt);
const map = new WorldMap(model, {
  link: (from, to, opener) => controls.link(from, to, opener),
  region: (name, opener) => controls.region(name, opener),
});
const storefronts = new Storefronts(model, () => shopper);
const explainer = new Explainer(model, () => shopper);
const comparison = new Comparison(model, () => shopper, (sku) => void explainer.open(sku));
const charts = new Charts(model, attempt);
const timeline = new Timeline(model);

/** @param {string} [name] */
function newShopper(name = "ada") {
  shopper = nameFor(name);
  sessionStorage.setItem("shopper", shopper);
  alsoWatched = [];
  comparison.cached = null;
  rewatch();
  return shopper;
}

function rewatch() {
  stream.watch([shopper, ...alsoWatched]);
  schedule();
}

const player = new Player(
  () => stage({ model, storefronts, comparison, newShopper, shopper: () => shopper, judge, watch: (carts) => { alsoWatched = carts; rewatch(); } }),
  (error) => toast(error instanceof Error ? error.message : String(error)),
);
player.speed = Math.max(0.25, Math.min(50, Number(query.get("speed")) || 1));

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  const draw = () => {
    scheduled = false;
    update();
  };
  // A hidden page is not drawn frame by frame, but stories go on in it.
  if (document.hidden) setTimeout(draw, 250);
  else requestAnimationFrame(draw);
}

function update() {
  put(document.body, "data-connected", model.connected);
  byId("offline").hidden = model.connected;
  if (model.state) {
    map.update();
    storefronts.update();
    comparison.update();
    charts.update();
    timeline.update();
    controls.update();
    updateHeal();
    put(document.body, "data-ready", true);
  }
  say(byId("shopper-name"), shopper);
  say(byId("about"), model.version ? `Cartograph ${model.version} · store: ${model.storeKind} · ${some(model.regions.length, "region")} · control API on port ${model.base}` : "");
}

/** "Repair everything" says how much there is to repair. */
function updateHeal() {
  const links = model.links.filter((link) => healthOf(link) !== "well" && healthOf(link) !== "lost");
  const regions = model.regions.filter((region) => region.state !== "running");
  const broken = links.length + regions.length;
  const button = byId("heal");
  put(button, "data-broken", broken > 0);
  const words = [];
  if (links.length > 0) words.push(some(links.length, "link"));
  if (regions.length > 0) words.push(list(regions.map(placeOf)));
  say(byId("heal-what"), words.join(", "));
}

async function healAll() {
  await api.heal();
  for (const { name, state } of model.regions) if (state !== "running" && state !== "paused") await api.actOnNode(name, "start");
}

byId("heal").addEventListener("click", () => void attempt("not everything could be repaired", healAll()));
byId("new-shopper").addEventListener("click", () => {
  storefronts.forgetOthers();
  newShopper();
});

const themes = ["auto", "light", "dark"];
function theme(/** @type {string} */ name) {
  put(document.documentElement, "data-theme", name === "auto" ? null : name);
  say(byId("theme-word"), { auto: "Auto", light: "Light", dark: "Dark" }[name] ?? "");
  localStorage.setItem("theme", name);
  map.traffic.recolour();
  charts.recolour();
  timeline.recolour();
  schedule();
}
byId("theme").addEventListener("click", () => theme(themes[(themes.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % themes.length]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(localStorage.getItem("theme") ?? "auto"));

const help = /** @type {HTMLDialogElement} */ (byId("help"));
byId("help-open").addEventListener("click", () => help.showModal());
byId("help-close").addEventListener("click", () => help.close());

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const story = STORIES[Number(event.key) - 1];
  /** @type {Record<string, () => void>} */
  const keys = {
    " ": () => player.toggle(),
    p: () => player.toggle(),
    s: () => player.step(),
    r: () => player.replay(),
    x: () => void player.stop(),
    h: () => byId("heal").click(),
    n: () => byId("new-shopper").click(),
    t: () => byId("theme").click(),
    "?": () => help.showModal(),
  };
  // A space on a button presses it.
  if (event.key === " " && target.matches("button, a, summary")) return;
  if (story) player.play(story.id);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

comparison.foreign = cleanName(query.get("cart"));
model.listen((what) => {
  if (what === "connection" && model.connected && sessionStorage.getItem("started") !== model.started) {
    // Another demo, perhaps with the carts of an earlier one: its record knows nothing of what they hold.
    sessionStorage.setItem("started", model.started);
    if (shopper !== comparison.foreign) newShopper();
  }
  if (what === "live") judge.start();
  schedule();
});
setInterval(schedule, 500);
// The lanes move with the time, not with the news.
setInterval(() => {
  if (timeline.visible && model.state && model.at === null && !document.hidden && !stillness.matches) timeline.update();
}, 100);
addEventListener("visibilitychange", schedule);

theme(localStorage.getItem("theme") ?? "auto");
rewatch();

/** A URL that names a scene plays it once the regions are there. */
function playFromUrl() {
  const id = new URLSearchParams(location.hash.slice(1)).get("scene");
  if (id && id !== player.story?.id && model.regions.length > 0) player.play(id);
}
addEventListener("hashchange", playFromUrl);
const waiting = setInterval(() => {
  if (model.regions.length === 0) return;
  clearInterval(waiting);
  playFromUrl();
}, 100);
