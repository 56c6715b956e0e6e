// What moves on the map: each write of the page as a dot that leaves where it was made and arrives where it was seen; load as
// a thin stream. With reduced motion nothing moves, and the numbers on the arcs say the same.

import { along } from "./map.js";
import { stillness } from "./dom.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./map.js").Curve} Curve
 * @typedef {{legs: string[], start: number, took: number, region: number, ends: "arrives" | "stops", load: boolean}} Dot
 */

/** Dots on the map at a time; more are not drawn. */
const DOTS_MAX = 240;
/** The shortest time that the eye follows. */
const LEAST_MS = 420;
/** A stream's dots a second and arc; above the arc itself flows. */
const STREAM_MAX = 8;
/** How long a dot that stopped at a cut is to be seen. */
const STOPPED_MS = 1600;

export class Traffic {
  /**
   * @param {Model} model
   * @param {HTMLCanvasElement} canvas
   * @param {Map<string, Curve>} curves
   */
  constructor(model, canvas, curves) {
    this.model = model;
    this.canvas = canvas;
    this.curves = curves;
    /** @type {Dot[]} */
    this.dots = [];
    this.rem = 16;
    this.running = false;
    this.lastFrame = 0;
    /** @type {string[]} */
    this.colours = [];
    /** @type {Map<string, number>} */
    this.owed = new Map();
    model.listen((what, event) => {
      if (what === "event" && model.live) this.take(event);
    });
  }

  /** @param {number} width @param {number} height @param {number} rem */
  resize(width, height, rem) {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.rem = rem;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.getContext("2d")?.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.colours = [];
  }

  /** Colours follow the theme. */
  recolour() {
    this.colours = [];
  }

  /** @param {import("./types").Recording} event */
  take(event) {
    if (event.kind === "op" && event.outcome === "acknowledged") {
      for (const region of this.model.regions) {
        if (region.name === event.region) continue;
        const link = this.model.link(event.region, region.name);
        if (!link) continue;
        const way = `${event.region}>${region.name}`;
        this.add({ legs: [way], start: performance.now(), took: Math.max(LEAST_MS, link.latency_ms * 3), region: this.model.indexOf(event.region), ends: link.up ? "arrives" : "stops", load: false });
      }
    }
    if (event.kind === "delivery") {
      const op = this.model.ops.get(event.op);
      const link = op && this.model.link(op.region, event.to);
      // It came although its own link is cut: somebody in between who has both links relayed it.
      if (!op || !link || link.up) return;
      const via = this.model.regions.find(
        (region) => region.name !== op.region && region.name !== event.to && this.model.link(op.region, region.name)?.up && this.model.link(region.name, event.to)?.up,
      );
      if (!via) return;
      const legs = [`${op.region}>${via.name}`, `${via.name}>${event.to}`];
      this.add({ legs, start: performance.now(), took: LEAST_MS * 3, region: this.model.indexOf(op.region), ends: "arrives", load: false });
    }
  }

  /** @param {Dot} dot */
  add(dot) {
    if (this.dots.length >= DOTS_MAX || document.hidden) return;
    this.dots.push(dot);
    this.run();
  }

  /** With load: dots at the rate at which entries arrive, as long as that can be seen. */
  update() {
    const load = Object.values(this.model.state?.load.per_second ?? {}).some((rate) => rate > 0);
    this.streaming = load && !stillness.matches;
    if (this.streaming) this.run();
  }

  run() {
    if (this.running) return;
    this.running = true;
    this.lastFrame = performance.now();
    requestAnimationFrame((time) => this.draw(time));
  }

  /** @param {number} seconds @param {number} now */
  emit(seconds, now) {
    for (const link of this.model.links) {
      const rate = link.up ? Math.min(STREAM_MAX, link.applied_per_s ?? 0) : 0;
      const way = `${link.from}>${link.to}`;
      let owed = (this.owed.get(way) ?? Math.random()) + rate * seconds;
      while (owed >= 1 && this.dots.length < DOTS_MAX) {
        owed -= 1;
        this.dots.push({ legs: [way], start: now - Math.random() * 100, took: Math.max(700, link.latency_ms * 4), region: this.model.indexOf(link.from), ends: "arrives", load: true });
      }
      this.owed.set(way, Math.min(owed, 1));
    }
  }

  /** @param {number} now */
  draw(now) {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    if (this.colours.length === 0) {
      const style = getComputedStyle(document.documentElement);
      this.colours = [0, 1, 2, 3, 4, 5, 6].map((i) => style.getPropertyValue(`--region-${i}`).trim());
      this.halo = style.getPropertyValue("--surface").trim();
    }
    if (this.streaming) this.emit(Math.min(0.1, (now - this.lastFrame) / 1000), now);
    this.lastFrame = now;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.dots = this.dots.filter((dot) => this.drawDot(context, dot, now));
    if (this.dots.length > 0 || this.streaming) {
      requestAnimationFrame((time) => this.draw(time));
    } else {
      this.running = false;
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {Dot} dot @param {number} now */
  drawDot(context, dot, now) {
    const age = now - dot.start;
    if (age > dot.took + (dot.ends === "stops" ? STOPPED_MS : 260)) return false;
    const share = Math.max(0, Math.min(1, age / dot.took));
    const where = (dot.ends === "stops" ? 0.3 : 1) * (stillness.matches ? 1 : ease(share)) * dot.legs.length;
    const leg = Math.min(dot.legs.length - 1, Math.floor(where));
    const curve = this.curves.get(dot.legs[leg]);
    if (!curve) return false;
    const { x, y } = along(curve, Math.min(1, where - leg));
    const radius = this.rem * (dot.load ? 0.16 : 0.36);
    const after = age - dot.took;
    context.globalAlpha = after <= 0 ? 1 : Math.max(0, 1 - after / (dot.ends === "stops" ? STOPPED_MS : 260));
    context.fillStyle = this.colours[dot.region % 7];
    context.beginPath();
    context.arc(x, y, after > 0 && dot.ends === "arrives" && !dot.load ? radius * (1 + after / 90) : radius, 0, 7);
    context.fill();
    if (!dot.load) {
      context.lineWidth = this.rem * 0.12;
      context.strokeStyle = this.halo ?? "#fff";
      context.stroke();
    }
    context.globalAlpha = 1;
    return true;
  }
}

/** @param {number} t */
const ease = (t) => (t < 0.5 ? 2 * t * t : 1 - (2 - 2 * t) ** 2 / 2);
