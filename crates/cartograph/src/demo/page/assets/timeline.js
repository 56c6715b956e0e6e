// One lane per region: writes where they were made, their deliveries as lines to the other lanes, cuts shaded, agreement
// marked. Scrubbing it takes the whole page back to how the carts were.

import * as api from "./api.js";
import { byId, h, put, say } from "./dom.js";
import { nameOf } from "./products.js";
import { clockTime, placeOf, span } from "./words.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./types").Op} Op
 * @typedef {{x: number, y: number, text: string}} Spot
 */

/** How much time the lanes show. */
const WINDOWS_MS = [15_000, 30_000, 60_000, 180_000];
const EVERY_MS = 80;

export class Timeline {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("lanes"));
    this.scrub = /** @type {HTMLInputElement} */ (byId("scrub"));
    this.window = 1;
    this.drawn = 0;
    /** @type {string[]} */
    this.colours = [];
    /** @type {Spot[]} */
    this.spots = [];
    /** @type {WeakMap<import("./types").Delivery, boolean>} */
    this.merges = new WeakMap();
    this.visible = false;
    new IntersectionObserver((entries) => (this.visible = entries.some((entry) => entry.isIntersecting))).observe(this.canvas);
    this.scrub.addEventListener("input", () => this.scrubTo(Number(this.scrub.value)));
    byId("to-live").addEventListener("click", () => model.lookAt(null));
    byId("back-to-live").addEventListener("click", () => model.lookAt(null));
    byId("zoom-in").addEventListener("click", () => this.zoom(-1));
    byId("zoom-out").addEventListener("click", () => this.zoom(1));
    byId("export").addEventListener("click", () => void exportRecord(model));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => (byId("lane-tip").hidden = true));
    this.canvas.addEventListener("click", (event) => {
      const share = event.offsetX / this.canvas.clientWidth;
      const [from, until] = this.stretch();
      const lead = this.lead();
      const t = from + ((share * this.canvas.clientWidth - lead) / (this.canvas.clientWidth - lead)) * (until - from);
      if (share * this.canvas.clientWidth > lead) model.lookAt(t >= model.now() - 300 ? null : Math.round(t));
    });
  }

  recolour() {
    this.colours = [];
    this.drawn = 0;
  }

  /** @param {number} by */
  zoom(by) {
    this.window = Math.max(0, Math.min(WINDOWS_MS.length - 1, this.window + by));
    this.drawn = 0;
    this.update();
  }

  /** The scrubber goes over all that is recorded, at most ten minutes, in thousandths. @returns {[number, number]} */
  reach() {
    const now = this.model.now();
    const first = this.model.events[0]?.t ?? now - 15_000;
    return [Math.max(Math.min(first - 1000, now - 15_000), now - 600_000), now];
  }

  /** @param {number} value */
  scrubTo(value) {
    const [from, until] = this.reach();
    this.model.lookAt(value >= 1000 ? null : Math.round(from + ((until - from) * value) / 1000));
  }

  /** What the lanes show. @returns {[number, number]} */
  stretch() {
    const until = this.model.at === null ? this.model.now() : Math.min(this.model.now(), this.model.at + WINDOWS_MS[this.window] * 0.25);
    return [until - WINDOWS_MS[this.window], until];
  }

  lead() {
    return this.rem() * 6.5;
  }

  rem() {
    return parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  update() {
    const { model } = this;
    const past = model.at !== null;
    const bar = byId("past");
    bar.hidden = !past;
    if (past) say(byId("past-words"), `Looking back at ${clockTime(model.at ?? 0)}, ${span(Math.max(0, model.now() - (model.at ?? 0)))} ago`);
    put(byId("to-live"), "disabled", !past);
    const [from, until] = this.reach();
    const value = model.at === null ? 1000 : Math.round(((model.at - from) / (until - from)) * 1000);
    if (document.activeElement !== this.scrub || model.at === null) this.scrub.value = String(value);
    put(this.scrub, "aria-valuetext", past ? clockTime(model.at ?? 0) : "live");
    say(byId("window-words"), `${WINDOWS_MS[this.window] / 1000} s`);
    const now = performance.now();
    if (!this.visible || now - this.drawn < EVERY_MS) return;
    this.drawn = now;
    this.draw();
  }

  draw() {
    const { canvas, model } = this;
    const context = canvas.getContext("2d");
    if (!context) return;
    const rem = this.rem();
    const lane = rem * 2.6;
    const height = lane * model.regions.length + rem * 1.6;
    canvas.style.height = `${height}px`;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    if (this.colours.length === 0) this.colours = [0, 1, 2, 3, 4, 5, 6].map((i) => style.getPropertyValue(`--region-${i}`).trim());
    const ink = { text: style.getPropertyValue("--text").trim(), muted: style.getPropertyValue("--muted").trim(), line: style.getPropertyValue("--line").trim(), fault: style.getPropertyValue("--fault-shade").trim(), bad: style.getPropertyValue("--bad").trim(), good: style.getPropertyValue("--good").trim(), surface: style.getPropertyValue("--surface").trim() };
    const [from, until] = this.stretch();
    const lead = this.lead();
    const x = (/** @type {number} */ t) => lead + ((t - from) / (until - from)) * (width - lead);
    const y = (/** @type {string} */ region) => lane * (model.indexOf(region) + 0.5);
    this.spots = [];
    context.save();
    context.beginPath();
    context.rect(lead, 0, width - lead, height);
    context.clip();
    this.drawFaults(context, x, y, lane, from, until, ink);
    this.drawLanes(context, width, lead, y, ink);
    this.drawWrites(context, x, y, rem, from, ink);
    this.drawVerdicts(context, x, lane * model.regions.length, rem, from, until, ink);
    if (model.at !== null) {
      context.fillStyle = ink.text;
      context.fillRect(Math.round(x(model.at)) - 1, 0, 2, height);
    }
    context.restore();
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.font = `600 ${rem * 0.82}px ${getComputedStyle(document.body).fontFamily}`;
    for (const region of model.regions) {
      context.fillStyle = this.colours[model.indexOf(region.name) % 7];
      context.fillText(placeOf(region), 2, y(region.name), lead - 8);
    }
    context.font = `${rem * 0.72}px ${getComputedStyle(document.body).fontFamily}`;
    context.fillStyle = ink.muted;
    context.fillText("agreement", 2, lane * model.regions.length + rem * 0.7, lead - 8);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} lead
   * @param {(region: string) => number} y
   * @param {{line: string}} ink
   */
  drawLanes(context, width, lead, y, ink) {
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    for (const region of this.model.regions) {
      context.beginPath();
      context.moveTo(lead, Math.round(y(region.name)) + 0.5);
      context.lineTo(width, Math.round(y(region.name)) + 0.5);
      context.stroke();
    }
  }

  /**
   * Shades the lanes of regions whose links were cut, and those that were down.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {(t: number) => number} x
   * @param {(region: string) => number} y
   * @param {number} lane
   * @param {number} from
   * @param {number} until
   * @param {{fault: string, bad: string}} ink
   */
  drawFaults(context, x, y, lane, from, until, ink) {
    const { model } = this;
    context.fillStyle = ink.fault;
    for (const broken of model.brokenSpans(until)) {
      if (broken.to < from) continue;
      for (const [region, share] of broken.cut) {
        if (share === 0) continue;
        context.globalAlpha = 0.45 + 0.55 * share;
        context.fillRect(x(Math.max(broken.from, from)), y(region) - lane * 0.42, x(broken.to) - x(Math.max(broken.from, from)), lane * 0.84);
      }
    }
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {(t: number) => number} x
   * @param {(region: string) => number} y
   * @param {number} rem
   * @param {number} from
   * @param {{text: string, surface: string}} ink
   */
  drawWrites(context, x, y, rem, from, ink) {
    const { model } = this;
    const until = model.at ?? Infinity;
    const ops = [...model.ops.values()].filter((op) => op.t > from - 120_000 && op.at <= until);
    context.lineWidth = Math.max(1.2, rem * 0.08);
    for (const op of ops) {
      context.strokeStyle = this.colours[model.indexOf(op.region) % 7];
      for (const delivery of model.deliveries.get(op.n)?.values() ?? []) {
        if (delivery.t < from || delivery.t > until) continue;
        context.globalAlpha = 0.6;
        context.beginPath();
        context.moveTo(x(op.at), y(op.region));
        context.lineTo(x(delivery.t), y(delivery.to));
        context.stroke();
        context.globalAlpha = 1;
        const [px, py, size] = [x(delivery.t), y(delivery.to), rem * (this.merged(op, delivery) ? 0.34 : 0.17)];
        context.fillStyle = this.merged(op, delivery) ? ink.text : context.strokeStyle;
        context.beginPath();
        if (this.merged(op, delivery)) {
          context.moveTo(px, py - size);
          context.lineTo(px + size, py);
          context.lineTo(px, py + size);
          context.lineTo(px - size, py);
        } else context.arc(px, py, size, 0, 7);
        context.fill();
        this.spots.push({ x: px, y: py, text: `${describe(op)} from ${this.place(op.region)} seen in ${this.place(delivery.to)} after ${span(delivery.took_ms)}${this.merged(op, delivery) ? ": merged with a write that had not seen it" : ""}` });
      }
    }
    for (const op of ops) {
      const [px, py] = [x(op.at), y(op.region)];
      context.fillStyle = op.outcome === "acknowledged" ? this.colours[model.indexOf(op.region) % 7] : ink.surface;
      context.strokeStyle = op.outcome === "acknowledged" ? ink.surface : this.colours[model.indexOf(op.region) % 7];
      context.beginPath();
      if (op.do === "remove" || op.do === "clear") context.rect(px - rem * 0.3, py - rem * 0.3, rem * 0.6, rem * 0.6);
      else context.arc(px, py, rem * 0.36, 0, 7);
      context.fill();
      context.stroke();
      this.spots.push({ x: px, y: py, text: `${clockTime(op.at)} ${this.place(op.region)}: ${describe(op)}, ${op.outcome} in ${span(op.took_us / 1000)}` });
    }
  }

  /** Whether a write met, where it arrived, one that had not seen it. @param {Op} op @param {import("./types").Delivery} delivery */
  merged(op, delivery) {
    const known = this.merges.get(delivery);
    if (known !== undefined) return known;
    const met = this.metUnseen(op, delivery);
    // What is not known yet will be, or never.
    if (this.model.now() - delivery.t > 5000) this.merges.set(delivery, met);
    return met;
  }

  /** @param {Op} op @param {import("./types").Delivery} delivery */
  metUnseen(op, delivery) {
    for (const other of this.model.ops.values()) {
      if (other.region !== delivery.to || other.cart !== op.cart || other.outcome !== "acknowledged") continue;
      if (other.at > delivery.t || other.at < op.at - 600_000) continue;
      const back = this.model.deliveries.get(other.n)?.get(op.region);
      if (!back || back.t > op.at) return true;
    }
    return false;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {(t: number) => number} x
   * @param {number} top
   * @param {number} rem
   * @param {number} from
   * @param {number} until
   * @param {{good: string, bad: string}} ink
   */
  drawVerdicts(context, x, top, rem, from, until, ink) {
    const verdicts = this.model.verdicts;
    verdicts.forEach((verdict, i) => {
      const end = verdicts[i + 1]?.t ?? Math.min(until, verdict.t + 3000);
      if (end < from || verdict.t > until) return;
      context.fillStyle = verdict.converged ? ink.good : ink.bad;
      const tall = verdict.converged ? rem * 0.28 : rem * 0.6;
      context.fillRect(x(verdict.t), top + rem * 0.7 - tall / 2, x(end) - x(verdict.t) + 0.6, tall);
    });
  }

  /** @param {string} name */
  place(name) {
    const region = this.model.region(name);
    return region ? placeOf(region) : name;
  }

  /** @param {PointerEvent} event */
  hover(event) {
    const tip = byId("lane-tip");
    const near = this.spots.map((spot) => ({ spot, far: Math.hypot(spot.x - event.offsetX, spot.y - event.offsetY) })).sort((a, b) => a.far - b.far)[0];
    tip.hidden = !near || near.far > this.rem();
    if (tip.hidden || !near) return;
    say(tip, near.spot.text);
    tip.style.left = `${Math.min(near.spot.x, this.canvas.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${near.spot.y - tip.offsetHeight - 10}px`;
  }
}

/** @param {Op} op */
function describe(op) {
  const name = op.sku ? nameOf(op.sku) : "";
  return { add: `${(op.quantity ?? 0) < 0 ? "" : "+"}${op.quantity} ${name}`, set: `${name} set to ${op.quantity}`, remove: `${name} removed`, clear: "cart cleared", fold: "anonymous cart folded in" }[op.do];
}

/** Saves the record, with the verdicts that this page saw. @param {Model} model */
async function exportRecord(model) {
  const record = await api.record();
  const text = JSON.stringify({ ...record, verdicts: model.verdicts, exported: new Date().toISOString() }, null, 1);
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "cartograph-record.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
