// The checker: from the recorded writes alone, what each cart must hold. It knows nothing of replicas, dots or versions.
//
// It is the cart's promise written down as a specification over "had seen":
//
// - a removal, a clear and a set take away exactly what their writer had seen; an add that it had not seen stays;
// - adds that stay sum up, on top of the latest set that stays;
// - folding a cart in counts each of its adds once, however often it is folded.
//
// Whether a write had seen another is known from the record: the other was made before in the same region, or its delivery
// there was recorded before (and what had been seen by what one has seen, one has seen). Where times are too close to tell, or
// an outcome is unknown, both ways are tried and either result is allowed; a line with too many such doubts is not judged,
// and counted.

/**
 * @typedef {import("./types").Op} Op
 * @typedef {import("./types").Delivery} Delivery
 * @typedef {import("./types").Basket} Basket
 * @typedef {{sku: string, allowed: Set<number> | null}} Expected  null: not judged
 */

/** Doubts of a line that are tried both ways; one more and the line is not judged. */
const DOUBTS_MAX = 8;
/** Milliseconds within which two clock readings of the demo do not tell an order. */
const BLUR_MS = 2;

/** Milliseconds within which the order of two regions' clocks is not known from outside. */
const RACE_MS = 25;
/** How long a write's arrivals are recorded, less some. */
const FOLLOWED_MS = 14 * 60_000;
/** How long after an arrival it may be recorded. */
const NOTICE_MS = 250;

/** When a write was answered. @param {Op} op */
const ended = (op) => op.at + Math.ceil(op.took_us / 1000);

/**
 * Whether `later` had seen `earlier`: yes, no, or (null) it cannot be told.
 *
 * @param {Op} later
 * @param {Op} earlier
 * @param {(op: number, region: string) => Delivery | undefined} delivery
 * @returns {boolean | null}
 */
export function directlySaw(later, earlier, delivery) {
  if (later.region === earlier.region) {
    if (ended(earlier) <= later.at && earlier.n < later.n) return true;
    return earlier.at > ended(later) ? false : null;
  }
  if (earlier.at > ended(later)) return false;
  const seen = delivery(earlier.n, later.region);
  if (!seen) {
    // Without a recorded arrival it had not arrived, if its arrivals are recorded at all.
    return earlier.followed && later.at - earlier.at < FOLLOWED_MS ? false : null;
  }
  if (seen.t + BLUR_MS <= later.at) return true;
  if (seen.not_before >= ended(later)) return false;
  // The wait for it was still open when the later write was answered, and ended when it says: that is when it arrived.
  if (seen.t > ended(later) + NOTICE_MS) return false;
  return null;
}

/**
 * All that the checker has to decide about one line.
 *
 * @param {Op[]} ops
 * @param {(a: number, b: number) => boolean} saw  by place in `ops`
 * @param {(op: Op) => boolean} happened
 * @param {string} cart
 * @param {string} sku
 */
function valueOf(ops, saw, happened, cart, sku) {
  const here = (/** @type {Op} */ op) => op.cart === cart && happened(op);
  const takes = (/** @type {Op} */ op) =>
    op.do === "clear" || (op.sku === sku && (op.do === "remove" || op.do === "set" || isWhole(op)));
  /** @type {number[]} */
  const takers = [];
  ops.forEach((op, i) => {
    if (here(op) && takes(op)) takers.push(i);
  });
  const taken = (/** @type {number} */ i) => takers.some((taker) => taker !== i && saw(taker, i));
  let sum = 0;
  let shown = false;
  /** @type {Op | null} */
  let base = null;
  ops.forEach((op, i) => {
    if (here(op) && op.sku === sku && !taken(i)) {
      if (op.do === "add" && !isWhole(op)) {
        sum += op.quantity ?? 0;
        shown = true;
      }
      if (op.do === "set" && (!base || op.at > base.at)) base = op;
    }
    // Of the cart that was folded in: each add once, unless a removal here had seen a fold that brought it.
    if (happened(op) && op.sku === sku && op.do === "add" && !isWhole(op)) {
      const brought = ops.flatMap((fold, f) =>
        fold.do === "fold" && here(fold) && fold.from === op.cart && saw(f, i) ? [f] : [],
      );
      const goneThere = ops.some(
        (other, o) =>
          other.cart === op.cart &&
          happened(other) &&
          (other.do === "clear" || (other.sku === sku && other.do !== "add")) &&
          saw(o, i) &&
          brought.every((f) => saw(f, o)),
      );
      if (brought.length > 0 && !goneThere && !takers.some((taker) => brought.some((f) => saw(taker, f)))) {
        sum += op.quantity ?? 0;
        shown = true;
      }
    }
  });
  const folded = ops.reduce((gone, fold, f) => {
    if (fold.do !== "fold" || !happened(fold) || fold.from !== cart) return gone;
    return gone.concat([f]);
  }, /** @type {number[]} */ ([]));
  if (folded.length > 0) {
    ops.forEach((op, i) => {
      const counts = here(op) && op.sku === sku && op.do === "add" && !isWhole(op) && !taken(i);
      if (counts && folded.some((f) => saw(f, i))) sum -= op.quantity ?? 0;
    });
  }
  const set = /** @type {Op | null} */ (base);
  const value = (set?.quantity ?? 0) + sum;
  return shown || set ? Math.max(0, value) : 0;
}

/** A subtraction of all that was visible is a removal of the line: its reply no longer shows it. @param {Op} op */
function isWhole(op) {
  return op.do === "add" && (op.quantity ?? 0) < 0 && op.lines !== null && !op.lines.some((line) => line.sku === op.sku);
}

/**
 * What each line of a cart must be, once everybody has seen everything.
 *
 * @param {readonly Op[]} recorded  the writes on the cart, and on those that were folded into it
 * @param {(op: number, region: string) => Delivery | undefined} delivery
 * @param {string} cart
 * @returns {Expected[]}
 */
export function expected(recorded, delivery, cart) {
  const ops = recorded.filter((op) => op.outcome !== "refused");
  const relation = seenBy(ops, delivery);
  const skus = new Set(ops.flatMap((op) => (op.sku ? [op.sku] : [])));
  return [...skus].map((sku) => ({ sku, allowed: allowedOf(ops, relation, cart, sku) }));
}

/**
 * For each pair of writes: had `a` seen `b`? 1 yes, 0 no, 2 in doubt; what follows from others is filled in.
 *
 * @param {Op[]} ops
 * @param {(op: number, region: string) => Delivery | undefined} delivery
 */
function seenBy(ops, delivery) {
  const size = ops.length;
  const table = ops.map((a, i) =>
    ops.map((b, j) => {
      if (i === j) return 0;
      const saw = directlySaw(a, b, delivery);
      return saw === null ? 2 : saw ? 1 : 0;
    }),
  );
  for (let k = 0; k < size; k++) {
    for (let i = 0; i < size; i++) {
      if (table[i][k] !== 1) continue;
      for (let j = 0; j < size; j++) if (table[k][j] === 1 && i !== j) table[i][j] = 1;
    }
  }
  return table;
}

/**
 * @param {Op[]} ops
 * @param {number[][]} relation
 * @param {string} cart
 * @param {string} sku
 * @returns {Set<number> | null}
 */
function allowedOf(ops, relation, cart, sku) {
  const touches = (/** @type {Op} */ op) => op.sku === sku || op.do === "clear" || op.do === "fold";
  const matters = ops.map(touches);
  /** @type {([number, number] | number)[]} */
  const doubts = [];
  relation.forEach((row, i) =>
    row.forEach((saw, j) => {
      if (saw !== 2 || !matters[i] || !matters[j]) return;
      const a = ops[i];
      // Whether an add had seen another write decides nothing.
      if (a.do !== "add" || isWhole(a)) doubts.push([i, j]);
    }),
  );
  ops.forEach((op, i) => {
    if (op.outcome === "unknown" && matters[i]) doubts.push(i);
  });
  if (doubts.length > DOUBTS_MAX) return null;
  if (racingSets(ops, relation, sku)) return null;
  const allowed = new Set();
  for (let bits = 0; bits < 1 << doubts.length; bits++) {
    const yes = new Set();
    const absent = new Set();
    doubts.forEach((doubt, d) => {
      const on = (bits >> d) & 1;
      if (typeof doubt === "number") {
        if (!on) absent.add(ops[doubt]);
      } else if (on) yes.add(doubt[0] * ops.length + doubt[1]);
    });
    const saw = (/** @type {number} */ a, /** @type {number} */ b) =>
      relation[a][b] === 1 || yes.has(a * ops.length + b);
    allowed.add(valueOf(ops, saw, (op) => !absent.has(op), cart, sku));
  }
  return allowed;
}

/**
 * Whether two sets of one line that had not seen each other were so close that their clocks' order cannot be told.
 *
 * @param {Op[]} ops
 * @param {number[][]} relation
 * @param {string} sku
 */
function racingSets(ops, relation, sku) {
  return ops.some((a, i) =>
    ops.some((b, j) => {
      if (i <= j || a.do !== "set" || b.do !== "set" || a.sku !== sku || b.sku !== sku) return false;
      return relation[i][j] !== 1 && relation[j][i] !== 1 && Math.abs(a.at - b.at) <= RACE_MS;
    }),
  );
}

/**
 * Compares what the regions show with what must be there.
 *
 * @param {Expected[]} lines
 * @param {Basket[]} baskets  one a region, all equal where the regions agree
 */
export function judge(lines, baskets) {
  let [lost, resurrected, unjudged] = [0, 0, 0];
  const known = new Set(lines.map((line) => line.sku));
  for (const { sku, allowed } of lines) {
    if (!allowed) {
      unjudged++;
      continue;
    }
    const [least, most] = [Math.min(...allowed), Math.max(...allowed)];
    const shown = baskets.map((basket) => basket.get(sku) ?? 0);
    lost += Math.max(0, least - Math.min(...shown));
    resurrected += Math.max(0, Math.max(...shown) - most);
  }
  for (const basket of baskets) {
    for (const [sku, quantity] of basket) if (!known.has(sku)) resurrected += quantity;
  }
  return { lost, resurrected, unjudged };
}

/**
 * What the checker says a cart holds: the one allowed value of each line, or the largest where there are several.
 *
 * @param {Expected[]} lines
 * @returns {Basket}
 */
export function basketOf(lines) {
  const sure = lines.flatMap(({ sku, allowed }) => (allowed ? [/** @type {[string, number]} */ ([sku, Math.max(...allowed)])] : []));
  return new Map(sure.filter(([, quantity]) => quantity > 0));
}
