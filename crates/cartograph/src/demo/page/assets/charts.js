// Small charts of the last minutes, drawn on canvases from the states that the demo sent, with faults shaded behind.

import { byId, h, keyed, put, say } from "./dom.js";
import * as api from "./api.js";
import { count, placeOf, span } from "./words.js";
import { mark } from "./storefronts.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./types").State} State
 * @typedef {{name: string, region: number, dash: boolean, points: [number, number | null][]}} Series
 * @typedef {{id: string, title: string, unit: string, show: (value: number) => string, series: (charts: Charts) => Series[]}} Chart
 */

/** The stretch of time that is shown. */
const SHOWN_MS = 180_000;
/** Time between two drawings: the data come no faster. */
const EVERY_MS = 500;

/** @param {Charts} charts @param {(region: import("./types").RegionState) => number | null} pick @param {boolean} [dash] @returns {Series[]} */
function perRegion(charts, pick, dash = false) {
  return charts.model.regions.map((region, i) => ({
    name: placeOf(region),
    region: i % 7,
    dash,
    points: charts.states.map((state) => {
      const then = state.regions[i];
      return [state.t, then ? pick(then) : null];
    }),
  }));
}

/** Of each region, the worst of the links that leave it. @param {Charts} charts @param {(link: import("./types").LinkState) => number | null} pick @returns {Series[]} */
function worstLink(charts, pick) {
  return charts.model.regions.map((region, i) => ({
    name: `from ${placeOf(region)}`,
    region: i % 7,
    dash: false,
    points: charts.states.map((state) => {
      const values = state.links.flatMap((link) => (link.from === region.name ? [pick(link)] : []));
      const known = values.filter((value) => value !== null);
      return [state.t, known.length > 0 ? Math.max(.../** @type {number[]} */ (known)) : null];
    }),
  }));
}

/** @type {readonly Chart[]} */
const CHARTS = [
  { id: "writes", title: "Writes per second", unit: "/s", show: count, series: (charts) => perRegion(charts, (region) => region.writes_per_s) },
  { id: "reads", title: "Reads per second", unit: "/s", show: count, series: (charts) => perRegion(charts, (region) => region.reads_per_s) },
  { id: "latency", title: "Local write latency, p50 and p99 (dashed)", unit: "", show: span, series: (charts) => [...perRegion(charts, (region) => region.p50_ms), ...perRegion(charts, (region) => region.p99_ms, true)] },
  { id: "lag", title: "Replication lag, worst link", unit: "", show: span, series: (charts) => worstLink(charts, (link) => link.lag_ms) },
  { id: "waiting", title: "Entries waiting, worst link", unit: "", show: count, series: (charts) => worstLink(charts, (link) => link.waiting) },
  { id: "disagree", title: "Carts that disagree", unit: "", show: count, series: (charts) => [{ name: "carts", region: -1, dash: false, points: charts.model.verdicts.map((verdict) => [verdict.t, verdict.carts.length]) }] },
];

export class Charts {
  /**
   * @param {Model} model
   * @param {(doing: string, work: Promise<unknown>) => void} attempt
   */
  constructor(model, attempt) {
    this.model = model;
    this.attempt = attempt;
    /** @type {State[]} */
    this.states = [];
    this.drawn = 0;
    /** @type {ReturnType<Model["brokenSpans"]>} */
    this.broken = [];
    /** @type {string[]} */
    this.colours = [];
    this.grid = byId("charts");
    /** @type {Map<string, HTMLCanvasElement>} */
    this.canvases = new Map();
    for (const chart of CHARTS) {
      const canvas = h("canvas", { role: "img", "aria-label": chart.title });
      this.canvases.set(chart.id, canvas);
      this.grid.append(h("figure", { class: "card chart", "data-chart": chart.id }, h("figcaption", {}, h("b", {}, chart.title), h("span", { class: "now" })), canvas));
    }
    this.visible = false;
    new IntersectionObserver((entries) => (this.visible = entries.some((entry) => entry.isIntersecting)), { rootMargin: "100px" }).observe(this.grid);
  }

  recolour() {
    this.colours = [];
    this.drawn = 0;
  }

  update() {
    this.updateSliders();
    const now = performance.now();
    if (!this.visible || now - this.drawn < EVERY_MS) return;
    this.drawn = now;
    const until = this.model.at ?? this.model.now();
    this.states = this.model.states.filter((state) => state.t > until - SHOWN_MS && state.t <= until);
    const style = getComputedStyle(document.documentElement);
    if (this.colours.length === 0) this.colours = [0, 1, 2, 3, 4, 5, 6].map((i) => style.getPropertyValue(`--region-${i}`).trim());
    const ink = { text: style.getPropertyValue("--muted").trim(), line: style.getPropertyValue("--line").trim(), fault: style.getPropertyValue("--fault-shade").trim(), bad: style.getPropertyValue("--bad").trim(), rem: parseFloat(style.fontSize) };
    this.broken = this.model.brokenSpans(until);
    for (const chart of CHARTS) this.draw(chart, until, ink);
  }

  /** @param {Chart} chart @param {number} until @param {{text: string, line: string, fault: string, bad: string, rem: number}} ink */
  draw(chart, until, ink) {
    const canvas = this.canvases.get(chart.id);
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const series = chart.series(this);
    const from = until - SHOWN_MS;
    const inside = (/** @type {[number, number | null]} */ [t]) => t >= from && t <= until;
    const values = series.flatMap((one) => one.points.filter(inside).flatMap(([, value]) => (value === null ? [] : [value])));
    const top = nice(Math.max(...values, 0));
    const [left, right, base] = [0, width - 1, height - ink.rem * 1.3];
    const x = (/** @type {number} */ t) => left + ((t - from) / SHOWN_MS) * (right - left);
    const y = (/** @type {number} */ value) => base - (value / top) * (base - ink.rem * 1.1);
    context.fillStyle = ink.fault;
    for (const span of this.broken) {
      const [a, b] = [x(Math.max(from, span.from)), x(span.to)];
      if (span.to > from) context.fillRect(a, 0, Math.max(1, b - a), base);
    }
    context.font = `${ink.rem * 0.72}px ${getComputedStyle(document.body).fontFamily}`;
    context.fillStyle = ink.text;
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      context.beginPath();
      context.moveTo(left, Math.round(y(top * share)) + 0.5);
      context.lineTo(right, Math.round(y(top * share)) + 0.5);
      context.stroke();
    }
    context.textAlign = "left";
    context.fillText(chart.show(top) + chart.unit, left + 2, y(top) - 3);
    context.fillText("3 min ago", left + 2, height - 2);
    context.textAlign = "right";
    context.fillText(this.model.at === null ? "now" : "then", right, height - 2);
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    for (const one of series) this.drawSeries(context, one, x, y, ink);
    context.restore();
    this.caption(chart, canvas, series);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Series} series
   * @param {(t: number) => number} x
   * @param {(value: number) => number} y
   * @param {{bad: string, rem: number}} ink
   */
  drawSeries(context, series, x, y, ink) {
    context.strokeStyle = series.region < 0 ? ink.bad : this.colours[series.region];
    context.lineWidth = Math.max(1.5, ink.rem * 0.12);
    context.setLineDash(series.dash ? [4, 3] : []);
    context.globalAlpha = series.dash ? 0.75 : 1;
    context.beginPath();
    let open = false;
    for (const [t, value] of series.points) {
      if (value === null) {
        open = false;
        continue;
      }
      if (open) context.lineTo(x(t), y(value));
      else context.moveTo(x(t), y(value));
      open = true;
    }
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** The newest values in words, which also tell what the picture shows. @param {Chart} chart @param {HTMLCanvasElement} canvas @param {Series[]} series */
  caption(chart, canvas, series) {
    const newest = series.filter((one) => !one.dash).map((one) => ({ ...one, value: one.points[one.points.length - 1]?.[1] ?? null }));
    const now = canvas.parentElement?.querySelector(".now");
    if (!now) return;
    keyed(now, newest, (one) => one.name, (one) => h("span", { "data-region": one.region < 0 ? null : one.region }, one.region < 0 ? null : mark(one.region), h("i", {})), (element, one) => {
      const text = element.querySelector("i");
      if (text) say(text, one.value === null ? "–" : chart.show(one.value) + chart.unit);
      put(element, "title", one.name);
    });
    const words = newest.map((one) => `${one.name} ${one.value === null ? "nothing" : chart.show(one.value) + chart.unit}`);
    put(canvas, "aria-label", `${chart.title}: ${words.join(", ")}`);
  }

  updateSliders() {
    const load = this.model.state?.load;
    keyed(byId("load"), this.model.regions, (region) => region.name, (region) => {
      const output = h("output", {});
      const input = h("input", { type: "range", min: 0, max: 30, step: 1, value: 0, "aria-label": `Load in ${placeOf(region)}, requests per second` });
      let touched = 0;
      input.addEventListener("input", () => {
        touched = performance.now();
        say(output, `${rateOf(Number(input.value))}/s`);
      });
      input.addEventListener("change", () => this.attempt("the load could not be set", api.setLoad(region.name, rateOf(Number(input.value)))));
      const label = h("label", { class: "slider", "data-region": this.model.indexOf(region.name) % 7 }, h("span", {}, mark(this.model.indexOf(region.name)), placeOf(region)), input, output);
      label.addEventListener("take", (event) => {
        if (performance.now() - touched < 1500) return;
        const rate = /** @type {CustomEvent<number>} */ (event).detail;
        input.value = String(stepOf(rate));
        put(input, "aria-valuetext", `${rate} per second`);
        say(output, `${rate}/s`);
      });
      return label;
    }, (label, region) => label.dispatchEvent(new CustomEvent("take", { detail: load?.per_second[region.name] ?? 0 })));
    const shed = load && load.shed > 0 ? ` · ${count(load.shed)} shed for lack of room` : "";
    say(byId("load-note"), load && load.acknowledged > 0 ? `${load.acknowledged.toLocaleString("en")} writes acknowledged, ${load.reads.toLocaleString("en")} reads${shed}` : "Real requests through each region's HTTP door, up to 1,000 a second and region.");
  }
}

/** Requests a second of a slider's step: 0, then from 1 to 1,000 in equal ratios. @param {number} step */
function rateOf(step) {
  if (step === 0) return 0;
  const exact = 10 ** (step / 10);
  return step === 30 ? 1000 : Math.round(exact < 10 ? exact : exact / 5) * (exact < 10 ? 1 : 5);
}

/** @param {number} rate */
const stepOf = (rate) => (rate <= 0 ? 0 : Math.max(1, Math.min(30, Math.round(Math.log10(rate) * 10))));

/** A round number not below. @param {number} value */
function nice(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * unit >= value) ?? 10) * unit;
}
