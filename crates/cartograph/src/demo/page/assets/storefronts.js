// One shop per region, side by side, with the same shopper in all of them.

import * as api from "./api.js";
import { byId, h, keyed, put, s, say } from "./dom.js";
import { PRODUCTS, centsOf, nameOf, pictureOf, shelfOrder } from "./products.js";
import { MARKS, money, placeOf, some, span } from "./words.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./types").RegionState} RegionState
 * @typedef {import("./types").Op} Op
 */

/** @param {string} path */
export const picture = (path) => s("svg", { viewBox: "0 0 24 24", class: "picture", "aria-hidden": "true" }, s("path", { d: path }));

/** @param {number} index */
export const mark = (index) => s("svg", { viewBox: "0 0 12 12", class: "mark", "aria-hidden": "true" }, s("path", { d: MARKS[index % MARKS.length] }));

export class Storefronts {
  /**
   * @param {Model} model
   * @param {() => string} shopper  whose cart is shown
   */
  constructor(model, shopper) {
    this.model = model;
    this.shopper = shopper;
    this.grid = byId("storefronts");
    /** Regions where another cart is shown, such as an anonymous one. @type {Map<string, string>} */
    this.other = new Map();
    /** @type {Map<string, {text: string, kind: string}>} */
    this.stamps = new Map();
  }

  /** Shows the shopper's own cart everywhere. */
  forgetOthers() {
    this.other.clear();
    this.stamps.clear();
  }

  /** @param {string} region */
  cartIn(region) {
    return this.other.get(region) ?? this.shopper();
  }

  update() {
    keyed(this.grid, this.model.regions, (region) => region.name, (region) => this.create(region), (card, region) => this.updateCard(card, region));
  }

  /** @param {RegionState} region */
  create(region) {
    const index = this.model.indexOf(region.name);
    const tiles = PRODUCTS.map((product) =>
      h(
        "button",
        { type: "button", class: "tile", "data-sku": product.sku, title: `${product.name}, ${money(product.cents)}`, onclick: () => this.write(region.name, { do: "add", sku: product.sku, quantity: 1 }) },
        picture(product.path),
        h("span", { class: "visually-hidden" }, "Add "),
        h("span", {}, h("b", {}, product.name), h("small", {}, money(product.cents))),
        h("span", { class: "visually-hidden" }, ` in ${placeOf(region)}`),
      ),
    );
    return h(
      "article",
      { class: "shop card", "data-region": index % 7, "aria-label": `Shop in ${placeOf(region)}` },
      h("header", {}, mark(index), h("div", {}, h("h3", {}, placeOf(region)), h("small", {}, region.name)), h("span", { class: "badge" }), h("span", { class: "speed" })),
      h("div", { class: "shelf", role: "group", "aria-label": "Products" }, ...tiles),
      h("ul", { class: "basket", "aria-label": "Cart" }),
      h("p", { class: "empty" }, "The cart is empty."),
      h("footer", {}, h("b", { class: "total" }), h("button", { type: "button", class: "quiet clear", onclick: () => this.write(region.name, { do: "clear" }) }, "Clear")),
      h("p", { class: "stamp", role: "status", "aria-live": "polite" }),
    );
  }

  /** @param {Element} card @param {RegionState} region */
  updateCard(card, region) {
    const { model } = this;
    const cart = this.cartIn(region.name);
    const basket = model.basket(cart, region.name);
    const down = region.state !== "running";
    put(card, "data-down", down);
    const badge = card.querySelector(".badge");
    if (badge) {
      const anonymous = this.other.has(region.name);
      say(badge, down ? region.state : anonymous ? "not logged in" : "");
      put(badge, "data-kind", down ? "down" : anonymous ? "anonymous" : null);
    }
    const speed = card.querySelector(".speed");
    if (speed) say(speed, region.p50_ms === null || down ? "" : `p50 ${span(region.p50_ms)}`);
    const lines = [...basket].sort(([a], [b]) => shelfOrder(a) - shelfOrder(b) || a.localeCompare(b));
    const list = card.querySelector(".basket");
    if (list) {
      keyed(list, lines, ([sku]) => sku, ([sku]) => this.createLine(region, sku), (row, [, quantity]) => {
        const output = row.querySelector("output");
        if (output) say(output, String(quantity));
        const minus = row.querySelector(".minus");
        if (minus) put(minus, "disabled", quantity < 2);
      });
    }
    put(card, "data-empty", lines.length === 0);
    const cents = lines.reduce((sum, [sku, quantity]) => sum + centsOf(sku) * quantity, 0);
    const total = card.querySelector(".total");
    const units = lines.reduce((sum, [, quantity]) => sum + quantity, 0);
    if (total) say(total, lines.length === 0 ? "" : `${some(units, "item")} · ${money(cents)}`);
    for (const button of card.querySelectorAll("button")) {
      if (button.matches(".tile, .clear")) button.disabled = model.at !== null || (button.matches(".clear") && lines.length === 0);
    }
    const stamp = card.querySelector(".stamp");
    const said = this.stamps.get(region.name);
    if (stamp) {
      say(stamp, said?.text ?? "");
      put(stamp, "data-kind", said?.kind ?? null);
    }
  }

  /** @param {RegionState} region @param {string} sku */
  createLine(region, sku) {
    const name = nameOf(sku);
    const add = (/** @type {number} */ quantity) => this.write(region.name, { do: "add", sku, quantity });
    return h(
      "li",
      {},
      picture(pictureOf(sku)),
      h("span", { class: "name" }, name),
      h("button", { type: "button", class: "step minus", "aria-label": `One ${name} less in ${placeOf(region)}`, onclick: () => add(-1) }, "−"),
      h("output", {}),
      h("button", { type: "button", class: "step", "aria-label": `One ${name} more in ${placeOf(region)}`, onclick: () => add(1) }, "+"),
      h("button", { type: "button", class: "step remove", "aria-label": `Remove ${name} in ${placeOf(region)}`, onclick: () => this.write(region.name, { do: "remove", sku }) }, "✕"),
    );
  }

  /**
   * Makes a write in a region, and stamps the shop with where and how fast it was accepted.
   *
   * @param {string} region
   * @param {import("./types").Write} write
   * @returns {Promise<Op | null>}
   */
  async write(region, write) {
    if (this.model.at !== null) return null;
    /** @type {Op | null} */
    let op = null;
    try {
      op = await api.write(region, this.cartIn(region), write);
      const name = write.do === "clear" ? "the cart" : write.do === "fold" ? "the anonymous cart" : nameOf(write.sku);
      const done = { add: "added", set: "set", remove: "removed", clear: "cleared", fold: "folded in" }[write.do];
      const word = write.do === "add" && write.quantity < 0 ? "took one" : done;
      if (op.outcome === "acknowledged") {
        this.stamps.set(region, { text: `${name} ${word} · accepted in ${region} in ${span(op.took_us / 1000)}`, kind: "ok" });
      } else {
        const what = op.outcome === "refused" ? "Not accepted" : "No answer: it may have been accepted";
        this.stamps.set(region, { text: `${what}. ${op.error ?? ""}`, kind: op.outcome });
      }
    } catch (error) {
      this.stamps.set(region, { text: `Not sent. ${error instanceof Error ? error.message : error}`, kind: "refused" });
    }
    this.model.tell("stamp");
    return op;
  }
}
