// The cart line by region, the verdict, the counterfactual beside it, and the proof below.

import { byId, h, keyed, put, say } from "./dom.js";
import { compare, replay } from "./lww.js";
import { mergeNotes } from "./notes.js";
import { basketOf, expected, judge } from "./proof.js";
import { nameOf, pictureOf, shelfOrder } from "./products.js";
import { list, placeOf, some, span } from "./words.js";
import { mark, picture } from "./storefronts.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./types").Basket} Basket
 * @typedef {{lost: number, resurrected: number, unjudged: number, ops: number}} Checked
 */

/** Writes of one cart that are replayed and checked; a longer story is told by its end. */
const OPS_MAX = 100;
/** How long the regions must have agreed before carts are compared with the record: a look at them may be on its way. */
const SETTLED_MS = 700;

export class Comparison {
  /**
   * @param {Model} model
   * @param {() => string} shopper
   * @param {(sku: string | null, opener: HTMLElement) => void} explain
   */
  constructor(model, shopper, explain) {
    this.model = model;
    this.shopper = shopper;
    this.explain = explain;
    this.table = byId("lines");
    this.agreedSince = 0;
    /** @type {Map<string, Checked>} */
    this.checks = new Map();
    /** @type {{key: string, value: {lww: Basket | null, should: Basket, sentence: string, pending: number, notes: import("./notes.js").Note[]}} | null} */
    this.cached = null;
    /** A cart that may be written through other doors: the record does not know all of its writes. */
    this.foreign = "";
    byId("explain-all").addEventListener("click", (event) => explain(null, /** @type {HTMLElement} */ (event.currentTarget)));
    model.listen((what) => {
      if (what === "verdict") {
        if (!model.verdict?.converged) this.agreedSince = 0;
        else if (this.agreedSince === 0) this.agreedSince = model.now();
      }
      if (what === "event") this.agreedSince = model.verdict?.converged ? model.now() : 0;
      if (what === "connection") this.checks.clear();
    });
  }

  /** Whether two regions show another cart. @param {string} cart */
  differs(cart) {
    const texts = this.model.regions.map((region) => JSON.stringify([...this.model.basket(cart, region.name)].sort()));
    return new Set(texts).size > 1;
  }

  update() {
    this.updateVerdict();
    const cart = this.shopper();
    const { regions } = this.model;
    const baskets = regions.map((region) => this.model.basket(cart, region.name));
    const { lww, should, sentence, pending } = this.counterfactual(cart, baskets);
    this.updateTable(baskets, lww);
    const box = byId("counterfactual");
    say(box, sentence);
    put(box, "data-kind", lww && compare(should, lww).lost + compare(should, lww).revived > 0 ? "bad" : pending ? "pending" : null);
    this.updateProof(cart, baskets);
  }

  updateVerdict() {
    const { model } = this;
    const { verdict } = model;
    const box = byId("verdict");
    const kind = !model.connected || !verdict ? "unknown" : verdict.converged ? "agreed" : "diverged";
    put(box, "data-kind", kind);
    say(byId("verdict-word"), { unknown: "No verdict", agreed: "In agreement", diverged: "Diverged" }[kind]);
    /** @type {string} */
    let why;
    if (!model.connected) why = "the demo does not answer";
    else if (!verdict) why = "asking every region";
    else if (verdict.converged) {
      why = "all regions hold the same state";
      if (verdict.took !== null) why += ` · ${span(verdict.took)} after ${{ heal: "the repair", write: "the last write", fault: "the change" }[verdict.since] ?? "that"}`;
    } else {
      const words = [];
      if (verdict.regions.length > 0) words.push(`${list([...new Set(verdict.regions)].map((name) => placeOf(model.region(name) ?? { name, place: null })))} ${verdict.regions.length === 1 ? "does" : "do"} not answer`);
      if (verdict.carts.length > 0) words.push(`${verdict.carts.length}${verdict.truncated ? " or more" : ""} ${verdict.carts.length === 1 ? "cart differs" : "carts differ"}`);
      if (words.length === 0 && verdict.behind) words.push("writes are still on their way");
      why = words.join(" · ");
    }
    say(byId("verdict-why"), why);
    byId("verdict").setAttribute("title", "from GET /api/converged: equal version vectors and equal digests of the whole state of every region");
  }

  /** @param {Basket[]} baskets @param {Basket | null} lww */
  updateTable(baskets, lww) {
    const { regions } = this.model;
    const head = byId("lines-head");
    const names = [...regions.map((region) => region.name), "lww"];
    keyed(
      head,
      ["", ...names],
      (name) => name || "line",
      (name) => {
        if (name === "") return h("th", { scope: "col" }, h("span", {}, "Line"));
        if (name === "lww") return h("th", { scope: "col", class: "lww", title: "What a plain replicated store would hold, each cart one value, last writer wins: computed by replaying these very writes" }, h("span", {}, "If the last", h("br"), "writer won"));
        const region = this.model.region(name);
        return h("th", { scope: "col", "data-region": this.model.indexOf(name) % 7 }, h("span", {}, mark(this.model.indexOf(name)), region ? placeOf(region) : name));
      },
    );
    const skus = new Set([...baskets.flatMap((basket) => [...basket.keys()]), ...(lww?.keys() ?? [])]);
    const rows = [...skus].sort((a, b) => shelfOrder(a) - shelfOrder(b) || a.localeCompare(b));
    keyed(this.table, rows, (sku) => sku, (sku) => this.createRow(sku), (row, sku) => {
      // Of a region that is down nothing is known now.
      const silent = regions.map((region) => this.model.at === null && region.state !== "running");
      const values = baskets.flatMap((basket, i) => (silent[i] ? [] : [basket.get(sku) ?? 0]));
      const differ = new Set(values).size > 1;
      put(row, "data-differs", differ);
      const cells = [...regions.map((region, i) => ({ key: region.name, value: silent[i] ? null : (baskets[i].get(sku) ?? 0), kind: silent[i] ? "silent" : differ ? "differs" : "" })), { key: "lww", value: lww ? (lww.get(sku) ?? 0) : null, kind: "lww" }];
      keyed(row, [{ key: "line", value: null, kind: "" }, ...cells], (cell) => cell.key, () => h("td", {}), (cell, { key, value, kind }) => {
        if (key === "line") return;
        const wrong = kind === "lww" && value !== null && !differ && value !== values[0];
        const off = wrong ? (value ?? 0) - values[0] : 0;
        say(cell, `${value === null ? (kind === "silent" ? "?" : "·") : value === 0 ? "–" : value}${off < 0 ? ` (−${-off})` : off > 0 ? ` (+${off})` : ""}`);
        put(cell, "data-kind", wrong ? "wrong" : kind || null);
        put(cell, "title", kind === "silent" ? "does not answer" : off < 0 ? `lost ${-off}` : off > 0 ? `${off} too many` : null);
      });
    });
    keyed(byId("notes"), this.cached?.value.notes ?? [], (note) => note.key, (note) => h("li", {}, note.text), (item, note) => say(item, note.text));
    const empty = byId("lines-empty");
    empty.hidden = rows.length > 0;
  }

  /** @param {string} sku */
  createRow(sku) {
    const why = h("button", { type: "button", class: "why", onclick: (/** @type {MouseEvent} */ event) => this.explain(sku, /** @type {HTMLElement} */ (event.currentTarget)) }, "why?", h("span", { class: "visually-hidden" }, ` The line ${nameOf(sku)}`));
    return h("tr", {}, h("th", { scope: "row", "data-key": "line" }, h("span", {}, picture(pictureOf(sku)), h("span", { class: "name" }, nameOf(sku)), why)));
  }

  /**
   * What last writer wins would have made of the same writes, and what must be there by the checker.
   *
   * @param {string} cart
   * @param {Basket[]} baskets
   */
  counterfactual(cart, baskets) {
    const { model } = this;
    const key = `${cart} ${model.last} ${model.at} ${model.verdict?.converged} ${model.regions.length}`;
    if (this.cached?.key === key) return this.cached.value;
    const ops = model.opsOf(cart).slice(-OPS_MAX);
    const regions = model.regions.map((region) => region.name);
    const arrival = (/** @type {import("./types").Op} */ op, /** @type {string} */ region) => model.deliveries.get(op.n)?.get(region)?.t ?? null;
    const carts = replay(ops, arrival, regions, model.at ?? Infinity).get(cart);
    const values = regions.map((region) => carts?.get(region) ?? new Map());
    const texts = new Set(values.map((value) => JSON.stringify([...value].sort())));
    const lines = expected(ops, (op, region) => model.deliveries.get(op)?.get(region), cart);
    const should = lines.some((line) => !line.allowed) ? (baskets[0] ?? new Map()) : basketOf(lines);
    const acknowledged = ops.filter((op) => op.outcome === "acknowledged");
    const open = acknowledged.filter((op) => regions.some((region) => region !== op.region && arrival(op, region) === null));
    const pending = texts.size > 1 || open.length > 0 ? Math.max(1, open.length) : 0;
    // While values are on their way the regions of that store differ too: what it comes to is the latest value.
    const everywhere = new Map(acknowledged.map((op) => [op.n, op]));
    const settled = replay([...everywhere.values()], (op, region) => arrival(op, region) ?? Number.MAX_SAFE_INTEGER, regions).get(cart);
    const lww = acknowledged.length === 0 ? null : (settled?.get(regions[0] ?? "") ?? new Map());
    let sentence = "";
    if (lww) {
      const { total, lost, revived } = compare(should, lww);
      const parts = [];
      if (lost > 0) parts.push(`lost ${lost} of ${some(total, "item")}`);
      if (revived > 0) parts.push(`brought back ${some(revived, "removed item")}`);
      const verb = pending ? " would have" : "";
      sentence = parts.length > 0 ? `Last writer wins${verb} ${parts.join(" and ")}.` : "Here last writer wins would hold the same.";
    }
    const place = (/** @type {string} */ name) => placeOf(model.region(name) ?? { name, place: null });
    const at = model.at ?? Infinity;
    const notes = mergeNotes(ops, cart, (op, region) => {
      const t = model.deliveries.get(op)?.get(region)?.t;
      return t === undefined || t > at ? null : t;
    }, place);
    const value = { lww, should, sentence, pending, notes };
    this.cached = { key, value };
    return value;
  }

  /** @param {string} cart @param {Basket[]} baskets */
  updateProof(cart, baskets) {
    const { model } = this;
    const settled = this.agreedSince > 0 && model.now() - this.agreedSince > SETTLED_MS && model.at === null && model.live;
    const ops = model.opsOf(cart);
    if (settled && cart !== this.foreign && ops.length > 0 && ops.length <= OPS_MAX && this.checks.get(cart)?.ops !== ops.length) {
      const lines = expected(ops, (op, region) => model.deliveries.get(op)?.get(region), cart);
      this.checks.set(cart, { ...judge(lines, baskets), ops: ops.length });
      if (this.checks.size > 200) this.checks.delete(this.checks.keys().next().value ?? "");
    }
    const load = model.state?.load;
    const sum = (/** @type {"lost" | "resurrected" | "unjudged"} */ field) => [...this.checks.values()].reduce((total, check) => total + check[field], 0);
    const lost = sum("lost") + (load?.checked?.lost ?? 0);
    const resurrected = sum("resurrected") + (load?.checked?.resurrected ?? 0);
    say(byId("proof-acknowledged"), (model.acknowledged + (load?.acknowledged ?? 0)).toLocaleString("en"));
    say(byId("proof-lost"), String(lost));
    say(byId("proof-resurrected"), String(resurrected));
    put(byId("proof"), "data-kind", lost + resurrected > 0 ? "bad" : "good");
    const notes = [];
    if (load?.unchecked) notes.push("load not compared yet");
    const unknown = model.unknown + (load?.unknown ?? 0);
    if (unknown > 0) notes.push(`${unknown} with unknown outcome`);
    if (sum("unjudged") > 0) notes.push(`${some(sum("unjudged"), "line")} too close to call`);
    const checked = this.checks.get(cart);
    if (cart === this.foreign) notes.push("this cart has other writers: not compared");
    else if (ops.length > OPS_MAX) notes.push("more writes to this cart than are compared");
    else if (!settled && ops.length > 0 && checked?.ops !== ops.length) notes.push("compared once the regions agree");
    say(byId("proof-note"), notes.join(" · ") || "counted from the recorded writes, not from the store");
  }
}
