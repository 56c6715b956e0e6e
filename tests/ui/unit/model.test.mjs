// The page's memory: rebuilt from the record, and bounded however long it is left open.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Model } from "../../../crates/cartograph/src/demo/page/assets/model.js";

/** @param {number} n @param {object} fields @returns {any} */
const event = (n, fields) => ({ n, t: 1000 + n, ...fields });

test("a cart is what a region showed last, and can be looked at as it was", () => {
  const model = new Model();
  model.take(event(1, { kind: "cart", cart: "c", region: "us", lines: [{ sku: "A", quantity: 1 }] }));
  model.take(event(2, { kind: "op", do: "add", sku: "A", quantity: 1, cart: "c", region: "us", at: 1001, took_us: 500, outcome: "acknowledged", lines: [{ sku: "A", quantity: 2 }], error: null }));
  assert.deepEqual([...model.basket("c", "us")], [["A", 2]]);
  model.lookAt(1001);
  assert.deepEqual([...model.basket("c", "us")], [["A", 1]]);
  model.lookAt(1000);
  assert.deepEqual([...model.basket("c", "us")], []);
  assert.equal(model.acknowledged, 1);
});

test("an event that was seen before changes nothing", () => {
  const model = new Model();
  const once = event(1, { kind: "fault", what: "heal", subject: {} });
  model.take(once);
  model.take(once);
  assert.equal(model.events.length, 1);
});

test("a day of events and states leaves no more than an hour did", () => {
  const model = new Model();
  const sizes = () => [model.events, model.states, model.verdicts, model.faults, [...(model.carts.get("c")?.get("us") ?? [])], [...model.ops]].map((kept) => kept.length);
  const run = (/** @type {number} */ from, /** @type {number} */ to) => {
    for (let n = from; n < to; n++) {
      const kinds = [
        { kind: "cart", cart: "c", region: "us", lines: [{ sku: "A", quantity: n }] },
        { kind: "fault", what: "heal", subject: {} },
        { kind: "op", do: "clear", cart: `c${n}`, region: "us", at: 1000 + n, took_us: 1, outcome: "acknowledged", lines: [], error: null },
        { kind: "delivery", op: n - 1, cart: "c", to: "eu", lines: [], took_ms: 1, not_before: 0 },
      ];
      model.take(event(n, kinds[n % 4]));
      model.takeState({ t: n, regions: [], links: [], load: /** @type {any} */ ({}) });
      model.takeVerdict({ t: n, converged: true, took: 1, since: "", carts: [], regions: [], behind: false, truncated: false });
    }
  };
  run(1, 20_000);
  const early = sizes();
  const carts = model.carts.size;
  run(20_000, 60_000);
  assert.deepEqual(sizes().map((size, i) => size <= early[i] + 2), early.map(() => true), `${early} then ${sizes()}`);
  assert.ok(model.carts.size <= carts + 2 && model.deliveries.size <= 6000, `${carts} then ${model.carts.size} carts`);
});
