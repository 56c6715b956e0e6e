// The world map: regions at their places, an arc for each direction between them, and entries on their way.
//
// Three layers: SVG for land and arcs, a canvas for what moves, and buttons on top for everything that can be pressed, so
// that keyboards and screen readers have them too. Coordinates are pixels of the map's box, computed anew when it is resized.

import { RINGS } from "./land.js";
import { byId, h, keyed, put, s, say, stillness } from "./dom.js";
import { MARKS, count, placeOf, span } from "./words.js";
import { Traffic } from "./traffic.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./types").LinkState} LinkState
 * @typedef {import("./types").RegionState} RegionState
 * @typedef {{x: number, y: number}} Point
 * @typedef {{from: Point, bend: Point, to: Point}} Curve
 */

/** Equal Earth, a projection that keeps areas (Savric, Patterson and Jenny 2018). @param {number} lon @param {number} lat */
function project(lon, lat) {
  const [a1, a2, a3, a4] = [1.340264, -0.081106, 0.000893, 0.003796];
  const m = Math.sqrt(3) / 2;
  const t = Math.asin(m * Math.sin((lat * Math.PI) / 180));
  const t2 = t * t;
  const t6 = t2 * t2 * t2;
  const x = (((lon - CENTRE) * Math.PI) / 180) * Math.cos(t) / (m * (a1 + 3 * a2 * t2 + t6 * (7 * a3 + 9 * a4 * t2)));
  return { x, y: -t * (a1 + a2 * t2 + t6 * (a3 + a4 * t2)) };
}

/** The meridian in the middle: the edge then runs through the Pacific, where nobody is. */
const CENTRE = 11;

/** @returns {Point[][]} */
function land() {
  return RINGS.map((text) => {
    const numbers = text.split(" ").map(Number);
    let [x, y] = [0, 0];
    /** @type {Point[]} */
    const ring = [];
    for (let i = 0; i < numbers.length; i += 2) {
      x += numbers[i];
      y += numbers[i + 1];
      ring.push(project(x / 10, y / 10));
    }
    return ring;
  });
}

/** @param {Curve} curve @param {number} t @returns {Point} */
export function along({ from, bend, to }, t) {
  const u = 1 - t;
  return {
    x: u * u * from.x + 2 * u * t * bend.x + t * t * to.x,
    y: u * u * from.y + 2 * u * t * bend.y + t * t * to.y,
  };
}

/** How a link is, in one word, worst first. @param {LinkState} link @param {readonly RegionState[]} [regions] */
export function healthOf(link, regions = []) {
  const ends = regions.filter((region) => region.name === link.from || region.name === link.to);
  if (link.up && ends.some((region) => region.state !== "running")) return "ended";
  if (!link.up) return "cut";
  if (link.loss > 0) return "lossy";
  if (link.latency_ms !== link.usual_ms || link.jitter_ms > 0) return "slow";
  return link.connected === false ? "lost" : "well";
}

export class WorldMap {
  /**
   * @param {Model} model
   * @param {{link: (from: string, to: string, opener: HTMLElement) => void, region: (name: string, opener: HTMLElement) => void}} open
   */
  constructor(model, open) {
    this.model = model;
    this.open = open;
    this.box = byId("map");
    this.svg = s("svg", { "aria-hidden": "true", focusable: "false" });
    this.ground = s("path", { class: "land" });
    this.lines = s("g");
    // Land in a layer of its own: what flows on the arcs must not have it painted anew.
    this.globe = s("svg", { "aria-hidden": "true", focusable: "false", class: "globe" }, this.ground);
    this.svg.append(this.lines);
    const canvas = h("canvas", { "aria-hidden": "true" });
    this.buttons = h("div", { class: "map-buttons" });
    this.box.append(this.globe, this.svg, canvas, this.buttons);
    this.rings = land();
    /** @type {Map<string, Curve>} */
    this.curves = new Map();
    /** @type {Map<string, Point>} */
    this.places = new Map();
    /** @type {Map<string, Point>} */
    this.labels = new Map();
    this.shape = "";
    this.traffic = new Traffic(model, canvas, this.curves);
    new ResizeObserver(() => this.layOut(true)).observe(this.box);
    stillness.addEventListener("change", () => this.update());
  }

  /** Where everything stands, once the regions are known or the box has changed. @param {boolean} [force] */
  layOut(force) {
    const { regions } = this.model;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    const shape = regions.map((region) => region.name).join() + width + "x" + height;
    if ((!force && shape === this.shape) || width === 0) return;
    this.shape = shape;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    for (const layer of [this.globe, this.svg]) put(layer, "viewBox", `0 0 ${width} ${height}`);
    const spots = regions.map((region, i) =>
      region.latitude === null || region.longitude === null ? project(-30, -45 + 9 * i) : project(region.longitude, region.latitude),
    );
    const view = frame(spots, width, height, { x: 6 * rem, y: 3.4 * rem });
    const at = (/** @type {Point} */ p) => ({ x: (p.x - view.x) * view.scale, y: (p.y - view.y) * view.scale });
    const text = this.rings.map((ring) => {
      const points = ring.map(at);
      return `M${points.map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("L")}Z`;
    });
    this.ground.setAttribute("d", text.join(""));
    this.places.clear();
    regions.forEach((region, i) => this.places.set(region.name, at(spots[i])));
    spread([...this.places.values()], 6 * rem);
    this.curves.clear();
    for (const a of regions) for (const b of regions) if (a !== b) this.curves.set(`${a.name}>${b.name}`, this.curve(a.name, b.name));
    this.traffic.resize(width, height, rem);
    this.placeLabels(rem);
  }

  /** Where on its arc each label stands: as far as can be from the regions' plates and from the labels before it. @param {number} rem */
  placeLabels(rem) {
    const taken = [...this.places.values()].map(({ x, y }) => ({ x: x + rem, y, wide: 8.5 * rem, tall: 3.2 * rem }));
    this.labels.clear();
    for (const [name, curve] of this.curves) {
      let [best, room] = [along(curve, 0.5), -Infinity];
      for (const t of [0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68]) {
        const spot = along(curve, t);
        const apart = taken.map((other) => Math.max(Math.abs(spot.x - other.x) - (other.wide + 8 * rem) / 2, Math.abs(spot.y - other.y) - (other.tall + 2.4 * rem) / 2));
        const here = Math.min(0, ...apart) - Math.abs(t - 0.5) * rem * 3;
        if (here > room) [best, room] = [spot, here];
      }
      this.labels.set(name, best);
      taken.push({ ...best, wide: 8 * rem, tall: 2.4 * rem });
    }
  }

  /** Each direction bows to its own left, so that the two of a pair lie apart. @param {string} a @param {string} b @returns {Curve} */
  curve(a, b) {
    const from = this.places.get(a) ?? { x: 0, y: 0 };
    const to = this.places.get(b) ?? { x: 0, y: 0 };
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const bow = Math.min(0.2, 0.045 + 42 / Math.max(1, Math.hypot(dx, dy)));
    return { from, to, bend: { x: (from.x + to.x) / 2 + dy * bow * 1.35, y: (from.y + to.y) / 2 - dx * bow * 1.35 } };
  }

  update() {
    this.layOut();
    const { model } = this;
    keyed(this.lines, model.links, key, () => this.createLine(), (g, link) => this.updateLine(g, link));
    /** @type {({link: LinkState} | {region: RegionState})[]} */
    const things = [...model.links.map((link) => ({ link })), ...model.regions.map((region) => ({ region }))];
    keyed(
      this.buttons,
      things,
      (thing) => ("link" in thing ? `l ${key(thing.link)}` : `r ${thing.region.name}`),
      (thing) => ("link" in thing ? this.createPill(thing.link) : this.createPlate(thing.region)),
      (element, thing) => ("link" in thing ? this.updatePill(element, thing.link) : this.updatePlate(element, thing.region)),
    );
    put(this.box, "data-many", model.regions.length > 3);
    this.traffic.update();
  }

  createLine() {
    const line = s("g", { class: "arc" });
    line.append(s("path", { class: "arc-hit" }), s("path", { class: "arc-line" }), s("path", { class: "arc-flow" }), s("path", { class: "arc-head" }), s("path", { class: "arc-cross" }));
    line.addEventListener("click", () => {
      const name = line.getAttribute("data-key") ?? "";
      /** @type {HTMLElement | null} */
      const pill = this.buttons.querySelector(`[data-key="l ${name}"]`);
      const [from, to] = name.split(">");
      if (pill) this.open.link(from, to, pill);
    });
    return line;
  }

  /** @param {Element} g @param {LinkState} link */
  updateLine(g, link) {
    const curve = this.curves.get(key(link));
    if (!curve) return;
    put(g, "data-health", healthOf(link, this.model.regions));
    put(g, "data-region", this.model.indexOf(link.from) % 7);
    const path = `M${curve.from.x} ${curve.from.y}Q${curve.bend.x} ${curve.bend.y} ${curve.to.x} ${curve.to.y}`;
    const [hit, line, flow, head, cross] = g.children;
    for (const element of [hit, line, flow]) put(element, "d", path);
    const rate = link.up && link.connected ? (link.applied_per_s ?? 0) : 0;
    put(flow, "data-rate", rate < 8 ? null : rate < 60 ? "low" : rate < 300 ? "mid" : "high");
    const [p, q] = [along(curve, 0.78), along(curve, 0.8)];
    put(head, "d", "M-5 -4L4 0L-5 4");
    put(head, "transform", `translate(${p.x} ${p.y}) rotate(${(Math.atan2(q.y - p.y, q.x - p.x) * 180) / Math.PI})`);
    const x = along(curve, 0.3);
    put(cross, "d", "M-5 -5L5 5M5 -5L-5 5");
    put(cross, "transform", `translate(${x.x} ${x.y})`);
  }

  /** @param {LinkState} link */
  createPill(link) {
    return h(
      "button",
      { class: "pill", type: "button", onclick: (/** @type {MouseEvent} */ event) => this.open.link(link.from, link.to, /** @type {HTMLElement} */ (event.currentTarget)) },
      h("span", { class: "visually-hidden" }),
      h("b"),
      h("small", {}, h("span", { class: "lag" }), h("span")),
    );
  }

  /** @param {Element} pill @param {LinkState} link */
  updatePill(pill, link) {
    const curve = this.curves.get(key(link));
    if (!curve || !(pill instanceof HTMLElement)) return;
    const middle = this.labels.get(key(link)) ?? along(curve, 0.5);
    pill.style.left = `${middle.x}px`;
    pill.style.top = `${middle.y}px`;
    const health = healthOf(link, this.model.regions);
    put(pill, "data-health", health);
    put(pill, "data-region", this.model.indexOf(link.from) % 7);
    const trip = link.rtt_ms === null ? "no answer" : span(link.rtt_ms);
    const head = { cut: "cut", lossy: `${Math.round(link.loss * 100)}% loss`, slow: trip, lost: "connecting", ended: "no answer", well: trip }[health];
    const waiting = link.waiting ?? 0;
    const gone = health === "ended" && link.lag_ms === null;
    const lag = gone ? "" : `lag ${link.lag_ms === null ? "?" : link.lag_ms < 1000 ? `${link.lag_ms} ms` : span(link.lag_ms)} · `;
    const [from, to] = [this.model.region(link.from), this.model.region(link.to)];
    say(pill.children[0], `Link ${from ? placeOf(from) : link.from} to ${to ? placeOf(to) : link.to}: `);
    say(pill.children[1], head);
    const small = pill.children[2];
    say(small.children[0], lag);
    say(small.children[1], gone ? "a region is down" : `${count(waiting)} waiting`);
    put(pill, "data-busy", waiting > 0 || (link.lag_ms ?? 0) > 0);
    put(pill, "title", `${link.from} → ${link.to}`);
  }

  /** @param {RegionState} region */
  createPlate(region) {
    const index = this.model.indexOf(region.name);
    return h(
      "button",
      { class: "plate", type: "button", "data-region": index % 7, onclick: (/** @type {MouseEvent} */ event) => this.open.region(region.name, /** @type {HTMLElement} */ (event.currentTarget)) },
      s("svg", { viewBox: "0 0 12 12", class: "mark", "aria-hidden": "true" }, s("path", { d: MARKS[index % MARKS.length] })),
      h("span", { class: "visually-hidden" }, "Region "),
      h("span", {}, h("b", {}, placeOf(region)), h("small", {})),
    );
  }

  /** @param {Element} plate @param {RegionState} region */
  updatePlate(plate, region) {
    const place = this.places.get(region.name);
    if (!place || !(plate instanceof HTMLElement)) return;
    plate.style.left = `${place.x}px`;
    plate.style.top = `${place.y}px`;
    const cutOff = this.model.links.filter((link) => link.from === region.name || link.to === region.name).every((link) => !link.up) && this.model.links.length > 0;
    const state = region.state !== "running" ? region.state : !region.answers ? "silent" : region.store.state !== "running" ? "store down" : region.ready === false ? "catching up" : cutOff ? "cut off" : "well";
    put(plate, "data-state", state);
    const small = plate.querySelector("small");
    const rate = (region.writes_per_s ?? 0) + (region.reads_per_s ?? 0);
    const words = state === "well" ? (rate >= 20 ? `${count(rate)} req/s` : region.name) : state;
    if (small) say(small, words);
    put(plate, "title", `${region.name}, ${region.place ?? "place unknown"}`);
  }
}

/** @param {LinkState} link */
const key = (link) => `${link.from}>${link.to}`;

/**
 * Which part of the world to show: all regions, with room around them, in the box's own proportion.
 *
 * @param {Point[]} spots
 * @param {number} width
 * @param {number} height
 * @param {Point} margin  what a region's plate takes around its place
 */
function frame(spots, width, height, margin) {
  const xs = spots.map((spot) => spot.x);
  const ys = spots.map((spot) => spot.y);
  const [left, right] = spots.length ? [Math.min(...xs), Math.max(...xs)] : [-2.2, 2.2];
  const [top, bottom] = spots.length ? [Math.min(...ys), Math.max(...ys)] : [-1, 1];
  const aspect = width / height;
  const inside = { x: Math.max(0.3, 1 - (2 * margin.x) / width), y: Math.max(0.3, 1 - (2 * margin.y) / height) };
  const need = Math.max((right - left) / inside.x, ((bottom - top) / inside.y) * aspect);
  const w = Math.max(need, Math.min((right - left) * 1.3, 5.3), 1.2);
  const hgt = w / aspect;
  const x = Math.max(-2.68, Math.min(2.68 - w, (left + right) / 2 - w / 2));
  const y = Math.max(-1.42, Math.min(1.12 - hgt, (top + bottom) / 2 - hgt * 0.5));
  return { x, y: hgt > 2.42 ? -hgt / 2 - 0.1 : y, scale: width / w };
}

/** Moves places apart that are too close to be pressed. @param {Point[]} places @param {number} least */
function spread(places, least) {
  for (let round = 0; round < 40; round++) {
    for (const a of places) {
      for (const b of places) {
        const [dx, dy] = [b.x - a.x, b.y - a.y];
        const far = Math.hypot(dx, dy);
        if (a === b || far >= least) continue;
        const push = (least - far) / 4;
        const [ux, uy] = far > 0 ? [dx / far, dy / far] : [1, 0];
        a.x -= ux * push;
        a.y -= uy * push;
        b.x += ux * push;
        b.y += uy * push;
      }
    }
  }
}
