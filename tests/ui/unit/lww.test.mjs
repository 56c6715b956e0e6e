// The counterfactual: a replay that knows no answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, replay } from "../../../crates/cartograph/src/demo/page/assets/lww.js";
import { History, REGIONS, add, remove } from "./histories.mjs";

/** @param {History} history @param {string} [cart] @param {number} [until] */
function cartOf(history, cart = "c", until = Infinity) {
  const regions = replay(history.ops, history.arrival, REGIONS, until).get(cart);
  return REGIONS.map((region) => Object.fromEntries(regions?.get(region) ?? []));
}

test("without concurrency nothing is lost", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 100);
  h.arrives(h.write(500, "eu", add("B", 1)), 600);
  assert.deepEqual(cartOf(h), [{ A: 2, B: 1 }, { A: 2, B: 1 }, { A: 2, B: 1 }]);
});

test("of two carts that were changed at once only the later is left, everywhere", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 1)), 100);
  h.write(500, "us", add("B", 1));
  h.write(600, "eu", add("C", 3));
  h.heal();
  const [us, eu, asia] = cartOf(h);
  assert.deepEqual(us, { A: 1, C: 3 });
  assert.deepEqual([eu, asia], [us, us]);
});

test("a removal is undone by a later write that had not seen it", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 2)), 100);
  h.write(500, "us", remove("A"));
  h.write(600, "eu", add("A", 1));
  h.heal();
  assert.deepEqual(cartOf(h)[0], { A: 3 });
});

test("the order of arrival does not decide, the time of writing does", () => {
  const h = new History();
  const late = h.write(0, "us", add("A", 1));
  const soon = h.write(10, "eu", add("B", 1));
  h.arrives(soon, 50);
  h.arrives(late, 9000);
  assert.deepEqual(cartOf(h), [{ B: 1 }, { B: 1 }, { B: 1 }]);
});

test("it can be looked at as it was, and refused writes never were", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add("A", 1)), 100);
  h.write(50, "us", { ...add("Z", 1), outcome: "refused" });
  assert.deepEqual(cartOf(h, "c", 60), [{ A: 1 }, {}, {}]);
  assert.deepEqual(cartOf(h, "c", 100), [{ A: 1 }, { A: 1 }, { A: 1 }]);
});

test("a fold reads one cart and writes two", () => {
  const h = new History();
  h.arrives(h.write(0, "us", { ...add("A", 2), cart: "anon" }), 50);
  h.arrives(h.write(100, "us", { do: "fold", from: "anon" }), 200);
  assert.deepEqual(cartOf(h), [{ A: 2 }, { A: 2 }, { A: 2 }]);
  assert.deepEqual(cartOf(h, "anon"), [{}, {}, {}]);
});

test("what is lost and what came back are counted in units", () => {
  const should = new Map([["A", 2], ["B", 3]]);
  assert.deepEqual(compare(should, new Map([["A", 2], ["B", 3]])), { total: 5, lost: 0, revived: 0 });
  assert.deepEqual(compare(should, new Map([["B", 1], ["C", 2]])), { total: 5, lost: 4, revived: 2 });
});
