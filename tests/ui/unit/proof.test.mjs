// The checker against the tables of docs/semantics.md, and against stores that lose or revive.

import assert from "node:assert/strict";
import { test } from "node:test";
import { basketOf, expected, judge } from "../../../crates/cartograph/src/demo/page/assets/proof.js";
import { History, add, remove, set } from "./histories.mjs";

/** @param {History} history @param {string} [cart] */
const cartOf = (history, cart = "c") => Object.fromEntries(basketOf(expected(history.ops, history.delivery, cart)));

/** @param {History} history @param {string} sku @param {string} [cart] */
const allowed = (history, sku, cart = "c") => expected(history.ops, history.delivery, cart).find((line) => line.sku === sku)?.allowed;

test("adds in two regions sum", () => {
  const h = new History();
  h.write(0, "us", add("A", 2));
  h.write(0, "eu", add("A", 1));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 3 });
});

test("a removal takes what it had seen and no more", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 50);
  h.arrives(h.write(0, "us", add("B", 1)), 50);
  h.write(1000, "us", remove("A"));
  h.write(1000, "us", remove("B"));
  h.write(1000, "eu", add("A", 1));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 1 });
});

test("of two sets the later wins, and unseen adds count on top", () => {
  const h = new History();
  h.write(0, "us", set("A", 5));
  h.write(500, "eu", set("A", 3));
  h.write(600, "asia", add("A", 2));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 5 });
});

test("a set cancels the adds that it had seen, for good", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 9)), 50);
  h.write(1000, "eu", set("A", 1));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 1 });
});

test("a clear leaves what was added elsewhere unseen", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A")), 50);
  h.write(1000, "us", { do: "clear" });
  h.write(1000, "eu", add("B"));
  h.heal();
  assert.deepEqual(cartOf(h), { B: 1 });
});

test("what is removed is gone in every region that heard of it by a third", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A")), 50, ["eu"]);
  const gone = h.write(1000, "eu", remove("A"));
  h.arrives(gone, 1100, ["asia"]);
  // Asia heard of the removal, and so of what it had seen, though the add's own arrival there was recorded late.
  h.write(2000, "asia", add("A", 4));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 4 });
});

test("subtracting all that is visible removes the line", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 50);
  h.write(1000, "us", { ...add("A", -2), lines: [] });
  h.write(1000, "eu", add("A", 1));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 1 });
});

test("a cart that is folded in twice counts once, and is empty then", () => {
  const h = new History();
  h.arrives(h.write(0, "us", { ...add("A", 2), cart: "anon" }), 50);
  h.write(1000, "us", { do: "fold", from: "anon" });
  h.write(1000, "eu", { do: "fold", from: "anon" });
  h.write(1010, "eu", add("B"));
  h.heal();
  assert.deepEqual(cartOf(h), { A: 2, B: 1 });
  assert.deepEqual(cartOf(h, "anon"), {});
});

test("what is put into the anonymous cart unseen by the fold stays there", () => {
  const h = new History();
  h.arrives(h.write(0, "us", { ...add("A", 2), cart: "anon" }), 50);
  h.write(1000, "us", { do: "fold", from: "anon" });
  h.write(1000, "eu", { ...add("A", 1), cart: "anon" });
  h.heal();
  assert.deepEqual(cartOf(h), { A: 2 });
  assert.deepEqual(cartOf(h, "anon"), { A: 1 });
});

test("an arrival too close to a removal allows both", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 101);
  h.write(100, "eu", remove("A"));
  h.heal();
  assert.deepEqual(allowed(h, "A"), new Set([0, 2]));
});

test("an unknown outcome allows both, and a refused write counts for nothing", () => {
  const h = new History();
  h.write(0, "us", { ...add("A", 1), outcome: "unknown", followed: false });
  h.write(50, "us", { ...add("A", 7), outcome: "refused" });
  h.write(100, "us", add("A", 1));
  h.heal();
  assert.deepEqual(allowed(h, "A"), new Set([1, 2]));
});

test("a write whose arrivals are not recorded may have been seen or not", () => {
  const h = new History();
  h.write(0, "us", { ...add("A", 2), followed: false });
  h.write(1000, "eu", remove("A"));
  assert.deepEqual(allowed(h, "A"), new Set([0, 2]));
});

test("too many doubts, or two sets in the same moment, are not judged", () => {
  const h = new History();
  for (let i = 0; i < 9; i++) h.write(i * 10, "us", { ...add("A", 1), outcome: "unknown" });
  h.write(0, "us", set("B", 1));
  h.write(5, "eu", set("B", 2));
  h.heal();
  assert.equal(allowed(h, "A"), null);
  assert.equal(allowed(h, "B"), null);
});

test("a store that loses or revives is found out", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 50);
  h.write(1000, "eu", add("B", 3));
  h.write(2000, "us", remove("A"));
  h.heal();
  const lines = expected(h.ops, h.delivery, "c");
  const shows = (/** @type {[string, number][]} */ ...pairs) => judge(lines, [new Map(pairs)]);
  assert.deepEqual(shows(["B", 3]), { lost: 0, resurrected: 0, unjudged: 0 });
  assert.deepEqual(shows(["B", 1]), { lost: 2, resurrected: 0, unjudged: 0 });
  assert.deepEqual(shows(["A", 2], ["B", 3]), { lost: 0, resurrected: 2, unjudged: 0 });
  assert.deepEqual(shows(["B", 3], ["never-written", 1]), { lost: 0, resurrected: 1, unjudged: 0 });
});
