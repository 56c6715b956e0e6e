// What a merge decided, in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeNotes } from "../../../crates/cartograph/src/demo/page/assets/notes.js";
import { History, add, remove, set } from "./histories.mjs";

const MUG = "6E92ZMYYFZ";
/** @param {History} h */
const notes = (h) => mergeNotes(h.ops, "c", (op, region) => h.delivery(op, region)?.t ?? null, (region) => region.toUpperCase()).map((note) => note.text);

test("nothing is said of writes that had seen each other, or have not met yet", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add(MUG)), 50);
  h.write(1000, "eu", add(MUG));
  assert.deepEqual(notes(h), []);
  h.write(1000, "us", add(MUG));
  assert.deepEqual(notes(h), []);
  h.heal();
  assert.deepEqual(notes(h), ["Mug: EU added 1 and US 1, unseen by each other. Adds sum up."]);
});

test("a removal, a set and a fold are told with what they had not seen", () => {
  const h = new History();
  h.arrives(h.write(0, "us", add(MUG, 2)), 50);
  h.write(1000, "us", remove(MUG));
  h.write(1000, "eu", add(MUG, 1));
  h.write(1001, "eu", add(MUG, 2));
  h.heal();
  assert.deepEqual(notes(h), ["Mug: US removed what it had seen; the 3 added in EU it had not, so that stays."]);
  const sets = new History();
  sets.write(0, "us", set(MUG, 5));
  sets.write(500, "eu", set(MUG, 2));
  sets.heal();
  assert.deepEqual(notes(sets), ["Mug: set in US and in EU, unseen by each other. The later one stands: 2 from EU."]);
  const folds = new History();
  folds.write(0, "us", { do: "fold", from: "anon" });
  folds.write(5, "eu", { do: "fold", from: "anon" });
  folds.heal();
  assert.deepEqual(notes(folds), ["The same cart was folded in by US and by EU. It counts once."]);
});
