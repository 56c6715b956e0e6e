// What a story can do: the same requests that buttons make, and waiting for what they bring about. Every wait is bounded.

import * as api from "./api.js";
import { isolation } from "./controls.js";
import { nameOf, shelfOrder } from "./products.js";
import { list, placeOf, span } from "./words.js";

/**
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./stories.js").Stage} Stage
 */

/** How long a story waits for anything. */
const WAIT_MAX_MS = 40_000;

/**
 * @param {object} parts
 * @param {Model} parts.model
 * @param {import("./storefronts.js").Storefronts} parts.storefronts
 * @param {import("./compare.js").Comparison} parts.comparison
 * @param {(prefix?: string) => string} parts.newShopper  changes whose cart is shown
 * @param {() => string} parts.shopper
 * @param {(carts: string[]) => void} parts.watch  watches these besides the shopper's
 * @param {import("./verdict.js").Judge} parts.judge
 * @returns {Stage}
 */
export function stage({ model, storefronts, comparison, newShopper, shopper, watch, judge }) {
  let anonymous = "";
  const region = (/** @type {number} */ index) => {
    const found = model.regions[index];
    if (!found) throw new Error(`this scene needs ${index + 1} regions; the demo has ${model.regions.length}`);
    return found;
  };
  const until = async (/** @type {string} */ what, /** @type {() => boolean} */ holds) => {
    const end = performance.now() + WAIT_MAX_MS;
    while (!holds()) {
      if (performance.now() > end) throw new Error(`waited ${WAIT_MAX_MS / 1000} s in vain: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  };
  const lines = () => {
    const basket = model.basket(shopper(), model.regions[0]?.name ?? "");
    return [...basket].sort(([a], [b]) => shelfOrder(a) - shelfOrder(b));
  };
  const agreed = async () => {
    const asked = model.now();
    judge.soon();
    await until("the regions do not agree", () => model.verdict?.converged === true && model.verdict.t > asked);
    // What the regions show is looked at five times a second.
    await until("the carts are not shown yet", () => !comparison.differs(shopper()));
  };
  return {
    async clean() {
      for (const { name } of model.regions) await api.setLoad(name, 0);
      await api.heal();
      for (const { name, state } of model.regions) if (state !== "running" && state !== "paused") await api.actOnNode(name, "start");
      storefronts.forgetOthers();
      newShopper("ada");
      await until("the links do not come up", () => model.links.every((link) => link.connected !== false));
    },
    place: (index) => placeOf(region(index)),
    async write(index, write) {
      const op = await storefronts.write(region(index).name, write);
      if (op?.outcome !== "acknowledged") throw new Error(op?.error ?? "a write was not accepted");
    },
    async isolate(index) {
      await isolation(model, region(index).name, false);
    },
    async cut(from, to) {
      await Promise.all([api.setLink(region(from).name, region(to).name, { up: false }), api.setLink(region(to).name, region(from).name, { up: false })]);
    },
    async heal() {
      await api.heal();
    },
    async killAndWipe(index) {
      const { name } = region(index);
      await api.actOnNode(name, "kill");
      await api.actOnStore(name, "wipe");
    },
    async start(index) {
      await api.actOnNode(region(index).name, "start");
    },
    async load(perSecond) {
      for (const { name } of model.regions) await api.setLoad(name, perSecond);
    },
    async same() {
      await until("the cart is not the same everywhere", () => lines().length > 0 && !comparison.differs(shopper()));
    },
    agreed,
    async shows(index, sku) {
      const { name } = region(index);
      await until(`${name} does not show it`, () => model.basket(storefronts.cartIn(name), name).has(sku));
    },
    tookWords() {
      const took = model.verdict?.took ?? null;
      if (took === null) return "";
      return `${span(took)} after ${model.verdict?.since === "heal" ? "the repair" : "the last write"}`;
    },
    lostWords: () => comparison.cached?.value.sentence ?? "",
    cartWords() {
      const words = lines().map(([sku, quantity]) => `${quantity} × ${nameOf(sku)}`);
      return words.length === 0 ? "an empty cart" : list(words);
    },
    async anonymous(index) {
      anonymous ||= `guest-${Math.random().toString(36).slice(2, 8)}`;
      storefronts.other.set(region(index).name, anonymous);
      watch([anonymous]);
      model.tell("stamp");
    },
    async logIn(index) {
      const { name } = region(index);
      storefronts.other.delete(name);
      const op = await storefronts.write(name, { do: "fold", from: anonymous });
      if (op?.outcome !== "acknowledged") throw new Error(op?.error ?? "the cart was not folded in");
    },
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
}
