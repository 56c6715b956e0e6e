// What a merge decided, in plain words: for writes to one line that had not seen each other and have met since.

import { nameOf } from "./products.js";

/**
 * @typedef {import("./types").Op} Op
 * @typedef {{op: Op, other: Op}} Pair
 * @typedef {{key: string, t: number, text: string}} Note
 */

/** Notes that are shown of one cart. */
const NOTES_MAX = 5;

/**
 * @param {readonly Op[]} recorded  the cart's writes
 * @param {string} cart
 * @param {(op: number, region: string) => number | null} arrival
 * @param {(region: string) => string} place
 * @returns {Note[]}  newest first
 */
export function mergeNotes(recorded, cart, arrival, place) {
  const ops = recorded.filter((op) => op.cart === cart && op.outcome === "acknowledged");
  const sawOf = (/** @type {Op} */ later, /** @type {Op} */ earlier) => (arrival(earlier.n, later.region) ?? Infinity) <= later.at;
  const met = (/** @type {Op} */ a, /** @type {Op} */ b) => arrival(a.n, b.region) !== null && arrival(b.n, a.region) !== null;
  /** @type {Map<string, {sku: string, kind: string, a: Set<Op>, b: Set<Op>, t: number}>} */
  const groups = new Map();
  for (const a of ops) {
    for (const b of ops) {
      const sku = a.sku ?? b.sku ?? "";
      if (a.region === b.region || (a.sku && b.sku && a.sku !== b.sku) || sawOf(a, b) || sawOf(b, a) || !met(a, b)) continue;
      const kind = kindOf(a, b);
      if (!kind) continue;
      const key = `${sku} ${kind} ${a.region} ${b.region}`;
      const group = groups.get(key) ?? { sku, kind, a: new Set(), b: new Set(), t: 0 };
      groups.set(key, group);
      group.a.add(a);
      group.b.add(b);
      group.t = Math.max(group.t, arrival(a.n, b.region) ?? 0, arrival(b.n, a.region) ?? 0);
    }
  }
  const notes = [...groups].map(([key, group]) => ({ key, t: group.t, text: textOf(group.kind, group.sku, [...group.a], [...group.b], place) }));
  return notes.sort((a, b) => b.t - a.t).slice(0, NOTES_MAX);
}

/** What two writes that had not seen each other come to; empty where there is nothing to say, or the other order says it. @param {Op} a @param {Op} b */
function kindOf(a, b) {
  const both = `${a.do} ${b.do}`;
  if (both === "add add" || both === "set set" || both === "fold fold") {
    if (both === "fold fold" && a.from !== b.from) return "";
    return a.n < b.n ? both : "";
  }
  return ["remove add", "clear add", "remove set", "clear set", "set add"].includes(both) ? both : "";
}

/** @param {Op[]} ops */
const units = (ops) => ops.reduce((sum, op) => sum + (op.quantity ?? 0), 0);

/** @param {Op[]} ops */
const newest = (ops) => ops.reduce((best, op) => (op.at > best.at ? op : best));

/**
 * @param {string} kind
 * @param {string} sku
 * @param {Op[]} as
 * @param {Op[]} bs
 * @param {(region: string) => string} place
 */
function textOf(kind, sku, as, bs, place) {
  const [a, b] = [place(as[0].region), place(bs[0].region)];
  const name = nameOf(sku);
  switch (kind) {
    case "add add":
      return `${name}: ${a} added ${units(as)} and ${b} ${units(bs)}, unseen by each other. Adds sum up.`;
    case "set set": {
      const wins = newest([...as, ...bs]);
      return `${name}: set in ${a} and in ${b}, unseen by each other. The later one stands: ${wins.quantity} from ${place(wins.region)}.`;
    }
    case "fold fold":
      return `The same cart was folded in by ${a} and by ${b}. It counts once.`;
    case "set add":
      return `${name}: ${a} set it to ${newest(as).quantity}; the ${units(bs)} added in ${b} it had not seen, so they count on top.`;
    case "remove set":
    case "clear set":
      return `${name}: ${a} removed what it had seen; the set in ${b} it had not, so that stays.`;
    default:
      return `${name}: ${a} removed what it had seen; the ${units(bs)} added in ${b} it had not, so that stays.`;
  }
}
