// The counterfactual: the recorded writes, replayed on a store that keeps each cart as one value, last writer wins.
//
// It is what an application gets that was written for one Redis and pointed at a plain replicated one: a write reads the
// whole cart where it is made, changes it, and stores it whole; of two values the one written later stays. Each value
// travels when the real write travelled: a write was applied elsewhere when its recorded delivery says. The replay knows no
// rule and no result of the real store; it gets the writes, their places and times, and nothing else.

/**
 * @typedef {import("./types").Op} Op
 * @typedef {import("./types").Basket} Basket
 * @typedef {{basket: Basket, at: number, region: string}} Value
 */

/** Whether `a` is the later value; equal times are decided by name, the same way everywhere. @param {Value} a @param {Value | undefined} b */
function isLater(a, b) {
  return !b || a.at > b.at || (a.at === b.at && a.region > b.region);
}

/**
 * Does one write to a copy of the cart.
 *
 * @param {Basket} cart
 * @param {Op} op
 * @param {Basket} from  the other cart of a fold
 */
function change(cart, op, from) {
  const lines = new Map(cart);
  const sku = op.sku ?? "";
  const put = (/** @type {string} */ name, /** @type {number} */ quantity) => {
    if (quantity > 0) lines.set(name, quantity);
    else lines.delete(name);
  };
  switch (op.do) {
    case "add":
      put(sku, (lines.get(sku) ?? 0) + (op.quantity ?? 0));
      break;
    case "set":
      put(sku, op.quantity ?? 0);
      break;
    case "remove":
      lines.delete(sku);
      break;
    case "clear":
      lines.clear();
      break;
    case "fold":
      for (const [name, quantity] of from) put(name, (lines.get(name) ?? 0) + quantity);
      break;
  }
  return lines;
}

/**
 * Replays acknowledged writes.
 *
 * @param {readonly Op[]} ops
 * @param {(op: Op, region: string) => number | null} arrival  when a write was there; null: not yet
 * @param {readonly string[]} regions
 * @param {number} [until]  the moment to stop at
 * @returns {Map<string, Map<string, Basket>>}  by cart and region
 */
export function replay(ops, arrival, regions, until = Infinity) {
  /** @type {Map<string, Value>} */
  const store = new Map();
  const place = (/** @type {string} */ region, /** @type {string} */ cart) => `${region}\n${cart}`;
  /** @type {Map<number, [string, Value][]>} */
  const written = new Map();
  /** @type {{at: number, order: number, op: Op, region: string | null}[]} */
  const steps = [];
  for (const op of ops) {
    if (op.outcome !== "acknowledged") continue;
    steps.push({ at: op.at, order: 1, op, region: null });
    for (const region of regions) {
      if (region === op.region) continue;
      const at = arrival(op, region);
      if (at !== null) steps.push({ at: Math.max(at, op.at), order: 0, op, region });
    }
  }
  // What arrives in the same millisecond as a write is there before it, unless it is that write's own.
  steps.sort((a, b) => a.at - b.at || a.order - b.order || a.op.n - b.op.n);
  /** @type {typeof steps} */
  const early = [];
  const run = (/** @type {(typeof steps)[number]} */ step) => {
    const { op } = step;
    if (step.region === null) {
      const read = (/** @type {string} */ cart) => store.get(place(op.region, cart))?.basket ?? new Map();
      const from = op.from ? read(op.from) : new Map();
      /** @type {[string, Value][]} */
      const values = [[op.cart, { basket: change(read(op.cart), op, from), at: op.at, region: op.region }]];
      if (op.do === "fold" && op.from) values.push([op.from, { basket: new Map(), at: op.at, region: op.region }]);
      for (const [cart, value] of values) store.set(place(op.region, cart), value);
      written.set(op.n, values);
      return true;
    }
    const values = written.get(op.n);
    if (!values) return false;
    for (const [cart, value] of values) {
      const key = place(step.region, cart);
      if (isLater(value, store.get(key))) store.set(key, value);
    }
    return true;
  };
  for (const step of steps) {
    if (step.at > until) break;
    if (!run(step)) early.push(step);
  }
  for (const step of early) run(step);
  /** @type {Map<string, Map<string, Basket>>} */
  const carts = new Map();
  for (const [key, value] of store) {
    const [region, cart] = key.split("\n");
    const known = carts.get(cart) ?? new Map();
    known.set(region, value.basket);
    carts.set(cart, known);
  }
  return carts;
}

/**
 * What a cart lacks, and has too much, against what it should hold; in units.
 *
 * @param {Basket} should
 * @param {Basket} is
 */
export function compare(should, is) {
  let [total, lost, revived] = [0, 0, 0];
  for (const quantity of should.values()) total += quantity;
  for (const sku of new Set([...should.keys(), ...is.keys()])) {
    const difference = (should.get(sku) ?? 0) - (is.get(sku) ?? 0);
    if (difference > 0) lost += difference;
    else revived -= difference;
  }
  return { total, lost, revived };
}
