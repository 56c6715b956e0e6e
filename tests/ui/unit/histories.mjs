// Recorded histories for the tests of the checker and the counterfactual, written down in few words.

/**
 * @typedef {import("../../../crates/cartograph/src/demo/page/assets/types.js").Op} Op
 * @typedef {import("../../../crates/cartograph/src/demo/page/assets/types.js").Delivery} Delivery
 */

export const REGIONS = ["us", "eu", "asia"];

/** A history: writes at times, and when each arrived where. */
export class History {
  constructor() {
    /** @type {Op[]} */
    this.ops = [];
    /** @type {Map<string, Delivery>} */
    this.deliveries = new Map();
  }

  /**
   * @param {number} at
   * @param {string} region
   * @param {Partial<Op> & {do: Op["do"]}} write
   * @returns {Op}
   */
  write(at, region, write) {
    const n = this.ops.length + 1;
    /** @type {Op} */
    const op = { kind: "op", n, t: at + 1, at, took_us: 1000, cart: "c", region, outcome: "acknowledged", lines: null, error: null, followed: true, ...write };
    this.ops.push(op);
    return op;
  }

  /** @param {Op} op @param {number} t @param {string[]} [regions] */
  arrives(op, t, regions = REGIONS) {
    for (const to of regions) {
      if (to === op.region) continue;
      this.deliveries.set(`${op.n} ${to}`, { kind: "delivery", n: 1000 + this.deliveries.size, t, op: op.n, cart: op.cart, to, lines: null, took_ms: t - op.at, not_before: 0 });
    }
  }

  /** Everything arrives everywhere, much later. @param {number} [t] */
  heal(t = 100_000) {
    for (const op of this.ops) {
      for (const to of REGIONS) if (!this.deliveries.has(`${op.n} ${to}`)) this.arrives(op, t, [to]);
    }
  }

  get delivery() {
    return (/** @type {number} */ op, /** @type {string} */ region) => this.deliveries.get(`${op} ${region}`);
  }

  get arrival() {
    return (/** @type {Op} */ op, /** @type {string} */ region) => this.delivery(op.n, region)?.t ?? null;
  }
}

/** @param {string} sku @param {number} [quantity] */
export const add = (sku, quantity = 1) => /** @type {const} */ ({ do: "add", sku, quantity });
/** @param {string} sku @param {number} quantity */
export const set = (sku, quantity) => /** @type {const} */ ({ do: "set", sku, quantity });
/** @param {string} sku */
export const remove = (sku) => /** @type {const} */ ({ do: "remove", sku });
