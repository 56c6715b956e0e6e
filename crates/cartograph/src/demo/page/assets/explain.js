// "Why is this cart what it is?": what a region answers, in plain words.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { nameOf, pictureOf } from "./products.js";
import { clockTime, placeOf } from "./words.js";
import { mark, picture } from "./storefronts.js";

/** @typedef {import("./model.js").Model} Model */

/** What became of a write, in words. @type {Record<string, string>} */
const DECIDED = {
  counted: "counts",
  winner: "won",
  loser: "lost to a later set that had not seen it; kept until somebody who has seen it decides otherwise",
  reset: "taken away by somebody who had seen it",
};

/** The rules by which a cart is decided, shown below every explanation. */
const RULES = [
  ["Add", "Adds made at the same time sum up. None is lost."],
  ["Remove", "A removal takes what it had seen. An add that it had not seen stays."],
  ["Set", "Of two sets that had not seen each other, the later one wins; adds unseen by it count on top."],
  ["Fold", "An anonymous cart that is folded in twice counts once."],
];

export class Explainer {
  /**
   * @param {Model} model
   * @param {() => string} shopper
   */
  constructor(model, shopper) {
    this.model = model;
    this.shopper = shopper;
    this.dialog = /** @type {HTMLDialogElement} */ (byId("explain"));
    this.body = byId("explain-body");
    byId("explain-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    /** @type {string | null} */
    this.region = null;
  }

  /** @param {string | null} sku */
  async open(sku) {
    const { model } = this;
    if (!this.dialog.open) this.dialog.showModal();
    const running = model.regions.filter((region) => region.state === "running" && region.answers);
    const region = running.find((candidate) => candidate.name === this.region) ?? running[0];
    if (!region) {
      this.body.replaceChildren(h("p", {}, "No region answers."));
      return;
    }
    const cart = this.shopper();
    const tabs = h("div", { class: "tabs", role: "group", "aria-label": "As seen by" }, ...running.map((other) => h("button", { type: "button", "aria-pressed": String(other === region), "data-region": model.indexOf(other.name) % 7, onclick: () => { this.region = other.name; void this.open(sku); } }, mark(model.indexOf(other.name)), placeOf(other))));
    try {
      const document = await api.explain(region.name, cart);
      this.body.replaceChildren(tabs, ...this.content(document, sku, cart));
    } catch (error) {
      this.body.replaceChildren(tabs, h("p", { class: "error" }, String(error instanceof Error ? error.message : error)));
    }
  }

  /** @param {any} document @param {string | null} sku @param {string} cart @returns {HTMLElement[]} */
  content(document, sku, cart) {
    const lines = document.lines.filter((/** @type {any} */ line) => sku === null || line.sku === sku);
    const parts = lines.map((/** @type {any} */ line) => this.line(line, document.conflicts.filter((/** @type {any} */ conflict) => conflict.field === line.sku), cart));
    if (parts.length === 0) parts.push(h("p", {}, "The region keeps nothing about this: it was removed by somebody who had seen all of it, or never written."));
    if (sku !== null) parts.push(h("p", {}, h("button", { type: "button", class: "quiet", onclick: () => void this.open(null) }, "Show every line")));
    const rules = h("dl", { class: "rules" }, ...RULES.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
    return [...parts, h("h3", {}, "The rules"), rules];
  }

  /** @param {any} line @param {any[]} conflicts @param {string} cart */
  line(line, conflicts, cart) {
    const { model } = this;
    const quantity = line.quantity ?? 0;
    const writes = [...line.writes, ...line.removed];
    const rows = writes.map((/** @type {any} */ write) => {
      const index = model.indexOf(write.region ?? "");
      const region = model.region(write.region ?? "");
      const ops = this.matching(write, line.sku, cart);
      const when = write.at_ms ? clockTime(Number(write.at_ms)) : ops.length > 0 ? ops.map((op) => clockTime(op.at)).slice(-3).join(", ") : "–";
      const what = { set: `set to ${write.value}`, add: ops.length > 1 ? `${ops.length} adds, +${write.value} in all` : `added ${Number(write.value) < 0 ? write.value : `+${write.value}`}`, import: `brought ${write.value} from ${String(write.source ?? "another cart").replace(/^cart:/, "")}`, remove: "removed what it had seen" }[/** @type {string} */ (write.kind)] ?? write.kind;
      return h("tr", {}, h("td", { "data-region": index % 7 }, h("span", { class: "who" }, mark(index), region ? placeOf(region) : (write.region ?? write.replica))), h("td", {}, what), h("td", {}, when), h("td", {}, DECIDED[write.decided] ?? write.decided ?? ""));
    });
    const atOnce = this.concurrent(line.sku, cart);
    return h(
      "section",
      { class: "explained" },
      h("h3", {}, picture(pictureOf(line.sku)), nameOf(line.sku), h("b", {}, quantity > 0 ? `${quantity} in the cart` : "not in the cart")),
      h("table", {}, h("thead", {}, h("tr", {}, ...["Who", "Wrote", "When", "Outcome"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, ...rows)),
      atOnce && h("p", {}, h("b", {}, "At the same time: "), atOnce),
      line.rule && h("p", {}, h("b", {}, "Rule: "), line.rule),
      ...conflicts.filter((conflict) => conflict.winner && conflict.loser).map((conflict) => h("p", {}, h("b", {}, "Decided: "), `${conflict.winner.value} from ${this.place(conflict.winner.region)} stands, ${conflict.loser.value} from ${this.place(conflict.loser.region)} does not: ${conflict.rule}.`)),
    );
  }

  /** @param {string} name */
  place(name) {
    const region = this.model.region(name);
    return region ? placeOf(region) : name;
  }

  /** The recorded writes of this page that a stored write sums up. @param {any} write @param {string} sku @param {string} cart */
  matching(write, sku, cart) {
    if (write.kind !== "add") return [];
    return this.model.opsOf(cart).filter((op) => op.cart === cart && op.region === write.region && op.sku === sku && op.do === "add" && op.outcome === "acknowledged").slice(-12);
  }

  /** Which recorded writes on a line had not seen each other. @param {string} sku @param {string} cart */
  concurrent(sku, cart) {
    const { model } = this;
    const ops = model.opsOf(cart).filter((op) => op.cart === cart && op.outcome === "acknowledged" && (op.sku === sku || op.do === "clear"));
    for (const a of ops) {
      for (const b of ops) {
        if (a.n >= b.n || a.region === b.region) continue;
        const seen = model.deliveries.get(a.n)?.get(b.region);
        if (seen && seen.t <= b.at) continue;
        const say = (/** @type {import("./types").Op} */ op) => `${this.place(op.region)} ${{ add: `added ${op.quantity}`, set: `set ${op.quantity}`, remove: "removed the line", clear: "cleared the cart", fold: "folded a cart in" }[op.do]}`;
        return `${say(a)} and ${say(b)}; neither had seen the other.`;
      }
    }
    return "";
  }
}
