// Every scene, end to end, on real regions.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Demo, WAIT, closeBrowser, open, picture, row, text, verdict } from "./demo.mjs";

const [SUNGLASSES, TANK_TOP, WATCH, LOAFERS, CANDLE, MUG] = ["OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O", "L9ECAV7KIM", "0PUK6V6EV0", "6E92ZMYYFZ"];

/** @type {Demo} */
let demo;
before(async () => {
  demo = await Demo.start();
});
after(async () => {
  await closeBrowser();
  await demo?.stop();
});

/**
 * Plays a scene by its URL to the end, with a picture of each step, and checks what holds after every scene.
 *
 * @param {string} id
 * @param {(page: import("playwright-core").Page) => Promise<void>} [meanwhile]  beside the scene
 */
async function play(id, meanwhile) {
  const { page, trouble, close } = await open(`${demo.url}?speed=4#scene=${id}`, { viewport: { width: 1280, height: 1500 } });
  const beside = meanwhile?.(page);
  await page.waitForSelector("body[data-scene=done]", { timeout: 120_000 });
  await beside;
  await verdict(page, "agreed");
  // The checker compares once the regions have agreed for a moment.
  await page.waitForFunction(() => /counted from|too close|unknown/.test(document.getElementById("proof-note")?.textContent ?? ""), undefined, WAIT);
  assert.equal(await text(page, "#proof-lost"), "0");
  assert.equal(await text(page, "#proof-resurrected"), "0");
  assert.ok(Number((await text(page, "#proof-acknowledged")).replaceAll(",", "")) > 0);
  assert.equal(await page.locator('td[data-kind="differs"]').count(), 0, "no cell differs once all agree");
  assert.deepEqual(trouble, []);
  await picture(page, `scene-${id}`, true);
  return { page, close };
}

/** @param {import("playwright-core").Page} page */
const seesMarks = async (page) => {
  await page.waitForSelector('#lines td[data-kind="differs"]', { timeout: 120_000 });
  await verdict(page, "diverged");
};

test("hello: three regions write at once and agree", async () => {
  const { page, close } = await play("hello");
  for (const [sku, quantity] of [[WATCH, "1"], [SUNGLASSES, "2"], [MUG, "1"]]) {
    assert.deepEqual((await row(page, sku)).slice(0, 3), [quantity, quantity, quantity]);
  }
  await close();
});

test("black Friday: both sides of a cut sell, nothing is lost, and last writer wins would have lost", async () => {
  const { page, close } = await play("black-friday", seesMarks);
  assert.deepEqual((await row(page, SUNGLASSES)).slice(0, 3), ["2", "2", "2"]);
  for (const sku of [WATCH, LOAFERS, CANDLE, MUG]) assert.deepEqual((await row(page, sku)).slice(0, 3), ["1", "1", "1"]);
  assert.match(await text(page, "#counterfactual"), /Last writer wins lost 2 of 6 items/);
  assert.match((await row(page, WATCH))[3], /^– \(−1\)/);
  const load = await demo.api("/api/load");
  assert.ok(load.acknowledged > 0, "the load was real");
  assert.deepEqual([load.checked.lost, load.checked.resurrected], [0, 0]);
  await close();
});

test("two cities: adds of one line sum, of two sets the later stands", async () => {
  const { page, close } = await play("two-cities", seesMarks);
  assert.deepEqual((await row(page, MUG)).slice(0, 3), ["3", "3", "3"]);
  assert.deepEqual((await row(page, LOAFERS)).slice(0, 3), ["1", "1", "1"]);
  assert.match(await text(page, "#counterfactual"), /lost 2 of 4/);
  await page.click(`#lines tr[data-key="${LOAFERS}"] .why`);
  await page.waitForSelector("#explain[open] .explained", WAIT);
  const words = await text(page, "#explain-body");
  assert.match(words, /set to 1/);
  assert.match(words, /neither had seen the other/);
  assert.match(words, /later one wins/);
  await picture(page, "explain");
  await close();
});

test("remove against add: the removal takes what it had seen, and nothing comes back", async () => {
  const { page, close } = await play("remove-against-add", seesMarks);
  assert.deepEqual((await row(page, TANK_TOP)).slice(0, 3), ["1", "1", "1"]);
  assert.match((await row(page, TANK_TOP))[3], /^3/);
  assert.deepEqual((await row(page, CANDLE)).slice(0, 3), ["–", "–", "–"]);
  assert.match(await text(page, "#counterfactual"), /brought back 3 removed items/);
  assert.match(await text(page, "#notes"), /removed what it had seen; the 1 added in Belgium it had not, so that stays/);
  await close();
});

test("two devices: an anonymous cart folded in twice counts once", async () => {
  const { page, close } = await play("two-devices", seesMarks);
  assert.deepEqual((await row(page, TANK_TOP)).slice(0, 3), ["2", "2", "2"]);
  for (const sku of [WATCH, LOAFERS, CANDLE]) assert.deepEqual((await row(page, sku)).slice(0, 3), ["1", "1", "1"]);
  await close();
});

test("a region dies: it comes back empty and fetches everything", async () => {
  const { page, close } = await play("region-dies", async (page) => {
    await page.waitForSelector('.plate[data-state="stopped"]', WAIT);
    await verdict(page, "diverged");
  });
  for (const [sku, quantity] of [[LOAFERS, "1"], [SUNGLASSES, "2"], [WATCH, "1"], [MUG, "1"]]) {
    assert.deepEqual((await row(page, sku)).slice(0, 3), [quantity, quantity, quantity]);
  }
  await close();
});

test("one link down: the third region relays", async () => {
  const { page, close } = await play("relay", async (page) => {
    await page.waitForFunction(() => document.querySelectorAll('.pill[data-health="cut"]').length === 2, undefined, WAIT);
  });
  for (const sku of [WATCH, CANDLE]) assert.deepEqual((await row(page, sku)).slice(0, 3), ["1", "1", "1"]);
  await close();
});

test("a scene can be paused, stepped, replayed and stopped by keys", async () => {
  const { page, trouble, close } = await open(`${demo.url}?speed=2`);
  await page.keyboard.press("1");
  await page.waitForSelector("body[data-scene=playing]", WAIT);
  assert.match(page.url(), /#scene=hello$/);
  await page.keyboard.press("p");
  await page.waitForSelector("body[data-scene=paused]", WAIT);
  const paused = await text(page, "#caption-text");
  await page.waitForTimeout(2500);
  assert.equal(await text(page, "#caption-text"), paused, "a paused scene stands still");
  await page.keyboard.press("s");
  await page.waitForFunction((before) => document.getElementById("caption-text")?.textContent !== before, paused, WAIT);
  await page.waitForSelector("body[data-scene=paused]", WAIT);
  await page.keyboard.press("r");
  await page.waitForFunction(() => /One shopper/.test(document.getElementById("caption-text")?.textContent ?? ""), undefined, WAIT);
  await page.keyboard.press("x");
  await page.waitForFunction(() => !document.body.dataset.scene, undefined, WAIT);
  assert.doesNotMatch(page.url(), /scene/);
  assert.deepEqual(trouble, []);
  await close();
});
