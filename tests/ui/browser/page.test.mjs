// The page by hand: what people press, with mouse and keyboard, and what it must show then.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Demo, WAIT, closeBrowser, open, picture, row, text, verdict } from "./demo.mjs";

/** @type {Demo} */
let demo;
before(async () => {
  demo = await Demo.start();
});
after(async () => {
  await closeBrowser();
  await demo?.stop();
});

const [US, EU] = ["us-central1", "europe-west1"];
const MUG = "6E92ZMYYFZ";
/** @param {string} region @param {string} sku */
const tile = (region, sku) => `#storefronts [data-key="${region}"] .tile[data-sku="${sku}"]`;
/** @param {string} from @param {string} to */
const pill = (from, to) => `.map-buttons [data-key="l ${from}>${to}"]`;
/** @param {string} region */
const plate = (region) => `.map-buttons [data-key="r ${region}"]`;
/** Waits for a pill's or plate's state. @param {import("playwright-core").Page} page @param {string} selector */
const shown = (page, selector) => page.waitForSelector(selector, WAIT);

test("the newcomer's path: cut, diverge, heal and agree in under 30 seconds", async () => {
  const { page, trouble, close } = await open(demo.url);
  await verdict(page, "agreed");
  const began = performance.now();
  await page.click(tile(US, MUG));
  await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
  await page.click(plate(EU));
  await page.click('#controls [data-do="isolate"]');
  await shown(page, `${plate(EU)}[data-state="cut off"]`);
  await page.keyboard.press("Escape");
  await page.click(tile(US, MUG));
  await page.click(tile(EU, "1YMWWN1N4O"));
  await shown(page, '#lines td[data-kind="differs"]');
  await verdict(page, "diverged");
  await picture(page, "newcomer-diverged");
  await page.click("#heal");
  await verdict(page, "agreed");
  await page.waitForFunction(() => document.querySelectorAll('#lines td[data-kind="differs"]').length === 0, undefined, WAIT);
  const took = (performance.now() - began) / 1000;
  assert.ok(took < 30, `took ${took} s`);
  console.log(`newcomer's path: ${took.toFixed(1)} s`);
  assert.deepEqual((await row(page, MUG)).slice(0, 3), ["2", "2", "2"]);
  assert.match(await text(page, "#verdict-why"), /after the repair/);
  assert.match(await text(page, "#counterfactual"), /lost 1 of 3/);
  assert.match(await text(page, `#storefronts [data-key="${EU}"] .stamp`), /accepted in europe-west1 in [\d.]+ m?s/);
  assert.deepEqual(trouble, []);
  await close();
});

test("a link is cut one way and both ways, slowed down and made lossy, and says what that models", async () => {
  const { page, trouble, close } = await open(demo.url);
  await page.click(pill(US, EU));
  await page.click('#controls [data-do="one"]');
  await shown(page, `${pill(US, EU)}[data-health="cut"]`);
  assert.notEqual(await page.getAttribute(pill(EU, US), "data-health"), "cut", "one way only");
  assert.match(await text(page, "#controls .models"), /cable breaks/);
  await page.click('#controls [data-do="both"]');
  await page.waitForFunction(() => document.querySelectorAll('.pill[data-health="cut"]').length !== 1, undefined, WAIT);
  await page.click('#controls [data-do="usual"]');
  await page.click("#heal");
  await shown(page, `${pill(US, EU)}[data-health="well"]`);
  await page.click(pill(US, EU));
  await page.locator("#controls input").nth(0).fill("400");
  await shown(page, `${pill(US, EU)}[data-health="slow"]`);
  assert.equal((await demo.api(`/api/links/${US}/${EU}`)).latency_ms, 400);
  await page.locator("#controls input").nth(1).fill("20");
  await shown(page, `${pill(US, EU)}[data-health="lossy"]`);
  assert.match(await text(page, "#controls .models"), /sent again/);
  // The round trip is measured, not set: 400 ms there and 50 ms back, at least.
  await page.click("#heal");
  await page.locator("#controls input").nth(0).fill("400");
  await page.waitForFunction((selector) => Number.parseInt(document.querySelector(`${selector} b`)?.textContent ?? "0", 10) >= 440, pill(US, EU), WAIT);
  await picture(page, "link-controls");
  await page.click("#heal");
  await verdict(page, "agreed");
  assert.deepEqual(trouble, []);
  await close();
});

test("a region is paused, killed and started", async () => {
  const { page, trouble, close } = await open(demo.url);
  const act = async (/** @type {string} */ what) => {
    await page.click(`#controls [data-do="${what}"]`);
  };
  await page.click(tile(EU, MUG));
  await page.waitForSelector(`[data-key="${US}"] .basket [data-key="${MUG}"]`, WAIT);
  await page.click(plate(EU));
  await act("pause");
  await shown(page, `${plate(EU)}[data-state="paused"]`);
  await picture(page, "region-controls");
  await page.keyboard.press("Escape");
  await page.click(tile(EU, MUG));
  await page.waitForSelector(`[data-key="${EU}"] .stamp[data-kind="refused"]`, WAIT);
  await page.click(plate(EU));
  await act("pause");
  await shown(page, `${plate(EU)}[data-state="well"]`);
  await act("kill");
  await shown(page, `${plate(EU)}[data-state="stopped"]`);
  await act("kill");
  await shown(page, `${plate(EU)}[data-state="well"]`);
  await verdict(page, "agreed");
  assert.equal(await page.textContent(`[data-key="${EU}"] .basket [data-key="${MUG}"] output`), "1");
  assert.deepEqual(trouble, []);
  await close();
});

test("lines are changed, removed and cleared in every shop", async () => {
  const { page, trouble, close } = await open(demo.url);
  const line = (/** @type {string} */ region) => `[data-key="${region}"] .basket [data-key="${MUG}"]`;
  const shows = (/** @type {string} */ region, /** @type {string} */ quantity) => page.waitForFunction(([selector, wanted]) => document.querySelector(`#storefronts ${selector} output`)?.textContent === wanted, [line(region), quantity], WAIT);
  await page.click(tile(US, MUG));
  await shows(EU, "1");
  await page.click(`${line(EU)} [aria-label^="One Mug more"]`);
  await shows(US, "2");
  await page.click(`${line(US)} [aria-label^="One Mug less"]`);
  await shows(EU, "1");
  await page.click(tile(EU, "1YMWWN1N4O"));
  await page.click(`${line(US)} .remove`);
  await page.waitForSelector(line(EU), { ...WAIT, state: "detached" });
  await page.click(`[data-key="${EU}"] .clear`);
  await page.waitForFunction(() => document.querySelectorAll("#storefronts .basket li").length === 0, undefined, WAIT);
  await verdict(page, "agreed");
  assert.deepEqual(trouble, []);
  await close();
});

test("the timeline takes the page back, and the record can be saved", async () => {
  const { page, trouble, close } = await open(demo.url);
  const empty = Date.now();
  await page.waitForTimeout(400);
  await page.click(tile(US, MUG));
  await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
  await page.click(`[data-key="${US}"] .basket [data-key="${MUG}"] .step:not(.minus):not(.remove)`);
  await page.waitForFunction((region) => document.querySelector(`#storefronts [data-key="${region}"] output`)?.textContent === "2", EU, WAIT);
  const scrub = page.locator("#scrub");
  await scrub.focus();
  // Back, step by step, until the cart was still empty.
  for (let i = 0; i < 200 && (await page.locator("#storefronts .basket li").count()) > 0; i++) await page.keyboard.press("PageDown");
  assert.equal(await page.locator("#storefronts .basket li").count(), 0, "the cart as it was before the first write");
  assert.match(await text(page, "#past-words"), /Looking back/);
  assert.ok(await page.isDisabled(tile(US, MUG)), "the past is not written");
  await picture(page, "looking-back", true);
  await page.click("#back-to-live");
  await page.waitForFunction(() => document.querySelectorAll("#storefronts .basket li").length === 3, undefined, WAIT);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  const saved = JSON.parse(readFileSync(await download.path(), "utf8"));
  const ops = saved.events.filter((/** @type {any} */ event) => event.kind === "op" && event.at >= empty);
  assert.equal(ops.length, 2);
  assert.ok(saved.events.some((/** @type {any} */ event) => event.kind === "delivery" && event.op === ops[0].n));
  assert.ok(saved.verdicts.length > 0);
  assert.deepEqual(trouble, []);
  await close();
});

test("the sliders drive real load, and the charts show it", async () => {
  const { page, trouble, close } = await open(demo.url, { viewport: { width: 1280, height: 1900 } });
  await page.locator('#load input').first().fill("16");
  await page.waitForFunction(() => /writes acknowledged/.test(document.getElementById("load-note")?.textContent ?? ""), undefined, WAIT);
  await page.waitForFunction(() => /[1-9]/.test(document.querySelector('[data-chart="writes"] .now i')?.textContent ?? ""), undefined, WAIT);
  await page.waitForTimeout(3000);
  await picture(page, "load", true);
  await page.locator('#load input').first().fill("0");
  await verdict(page, "agreed");
  await page.waitForFunction(() => !/not compared/.test(document.getElementById("proof-note")?.textContent ?? "not compared"), undefined, WAIT);
  const load = await demo.api("/api/load");
  assert.ok(load.acknowledged > 10 && load.checked !== null);
  assert.deepEqual([load.checked.lost, load.checked.resurrected], [0, 0]);
  assert.deepEqual(trouble, []);
  await close();
});

test("everything can be done by keyboard", async () => {
  const { page, trouble, close } = await open(demo.url);
  await verdict(page, "agreed");
  const focusOn = async (/** @type {string} */ wanted) => {
    for (let i = 0; i < 150; i++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((label) => (document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "").includes(label), wanted)) return;
    }
    assert.fail(`Tab does not reach ${wanted}`);
  };
  await focusOn("Region Belgium");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Cut off", "what opens has the focus");
  await page.keyboard.press("Enter");
  await shown(page, `${plate(EU)}[data-state="cut off"]`);
  await page.keyboard.press("Escape");
  assert.match((await page.evaluate(() => document.activeElement?.textContent)) ?? "", /^Region Belgium/, "the focus comes back");
  await focusOn("Add Mug");
  await page.keyboard.press("Enter");
  await shown(page, '#lines td[data-kind="differs"]');
  await page.keyboard.press("h");
  await verdict(page, "agreed");
  await page.keyboard.press("?");
  await page.waitForSelector("#help[open]");
  await page.keyboard.press("Escape");
  await page.keyboard.press("t");
  await page.waitForSelector("html[data-theme=light]");
  await page.keyboard.press("t");
  await page.waitForSelector("html[data-theme=dark]");
  assert.deepEqual(trouble, []);
  await close();
});

test("no serious accessibility finding, in light and dark, at rest and diverged", async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    const { page, trouble, close } = await open(demo.url, { colorScheme, reducedMotion: "reduce", bypassCSP: true });
    const check = async (/** @type {string} */ when) => {
      await page.evaluate(axe);
      const found = await page.evaluate(async () => (await /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] })).violations.map((/** @type {any} */ v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((/** @type {any} */ n) => `${n.html.slice(0, 140)} ${n.any.map((/** @type {any} */ a) => a.message).join("; ")}`) })));
      const serious = found.filter((/** @type {any} */ v) => v.impact === "serious" || v.impact === "critical");
      assert.deepEqual(serious, [], `${colorScheme}, ${when}`);
    };
    await verdict(page, "agreed");
    await page.click(tile(US, MUG));
    await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
    await check("at rest");
    await page.click(plate(EU));
    await page.click('#controls [data-do="isolate"]');
    await shown(page, `${plate(EU)}[data-state="cut off"]`);
    await check("with controls open");
    await page.keyboard.press("Escape");
    await page.click(tile(EU, "1YMWWN1N4O"));
    await shown(page, '#lines td[data-kind="differs"]');
    await check("diverged");
    await page.click(`#lines tr[data-key="${MUG}"] .why`);
    await page.waitForSelector("#explain[open] .explained", WAIT);
    await check("explained");
    await page.keyboard.press("Escape");
    await page.click("#heal");
    await verdict(page, "agreed");
    assert.deepEqual(trouble, []);
    await close();
  }
});

test("first paint is fast, and the page fits from 1024 to 3840 pixels without scrolling sideways", async () => {
  const paints = [];
  for (const [width, height] of [[1024, 768], [1280, 720], [1920, 1080], [3840, 2160]]) {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      const { page, trouble, close } = await open(demo.url, { viewport: { width, height }, colorScheme });
      await verdict(page, "agreed");
      paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${width}: ${over} px too wide`);
      await picture(page, `page-${width}-${colorScheme}`);
      assert.deepEqual(trouble, []);
      await close();
    }
  }
  console.log(`first paints: ${paints.map((ms) => Math.round(ms)).join(", ")} ms`);
  assert.ok(Math.min(...paints) < 1000, `first paints after ${paints.join(", ")} ms`);
});

test("with reduced motion nothing moves", async () => {
  const { page, trouble, close } = await open(demo.url, { reducedMotion: "reduce" });
  await page.locator('#load input').first().fill("16");
  await page.waitForTimeout(2500);
  const moving = await page.evaluate(() => document.getAnimations().filter((animation) => animation.playState === "running").length);
  assert.equal(moving, 0);
  await page.locator('#load input').first().fill("0");
  await verdict(page, "agreed");
  assert.deepEqual(trouble, []);
  await close();
});

test("a reload shows the same, and the page finds a restarted demo by itself", async () => {
  const { page, trouble, close } = await open(demo.url);
  await page.click(tile(US, MUG));
  await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
  const cart = await text(page, "#shopper-name");
  await page.reload();
  await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
  assert.equal(await text(page, "#shopper-name"), cart);
  assert.deepEqual(trouble, []);
  const { base } = demo;
  await demo.stop();
  await page.waitForSelector("#offline:not([hidden])", WAIT);
  demo = await Demo.start([], base);
  await page.waitForSelector("#offline", { ...WAIT, state: "hidden" });
  await verdict(page, "agreed");
  await page.click(tile(US, MUG));
  await page.waitForSelector(`[data-key="${EU}"] .basket [data-key="${MUG}"]`, WAIT);
  /** @type {string[]} */
  const other = trouble.filter((/** @type {string} */ line) => !/ERR_|Failed to load resource/.test(line));
  assert.deepEqual(other, [], "only what a demo that is away explains");
  await close();
});
