// A demo of one's own and a real browser before it. Nothing is shared with other tests, and all of it ends with them.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** @typedef {import("playwright-core").Page} Page */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
/** Where pictures are kept. */
export const ARTEFACTS = join(ROOT, "artifacts/ui");
/** How long a demo may take to be ready. */
const READY_MS = 90_000;
/** Two cores that compile something else are slow: what is waited for is waited for long. */
export const WAIT = { timeout: 60_000 };

function binary() {
  const path = process.env.CARTOGRAPH_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/cartograph");
  assert.ok(existsSync(path), `no binary at ${path}: cargo build, or name one in CARTOGRAPH_BIN`);
  return path;
}

function browserPath() {
  const named = process.env.CARTOGRAPH_CHROMIUM;
  if (named) return named;
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      // The next one, then.
    }
  }
  throw new Error("no Chromium on PATH: install one, or name one in CARTOGRAPH_CHROMIUM");
}

/** A running demo. */
export class Demo {
  /** @param {import("node:child_process").ChildProcess} child @param {number} base @param {string[]} args */
  constructor(child, base, args) {
    this.child = child;
    this.base = base;
    this.args = args;
    this.url = `http://localhost:${base}/`;
  }

  /** Starts one on ports that are free. @param {string[]} [args] @param {number} [wanted] */
  static async start(args = [], wanted) {
    for (let attempt = 0; attempt < 12; attempt++) {
      const base = wanted ?? 10_200 + Math.floor(Math.random() * 40) * 500;
      const child = spawn(binary(), ["demo", "--no-open", "--base-port", String(base), ...args], { stdio: ["ignore", "pipe", "pipe"] });
      let said = "";
      const ready = await new Promise((resolve) => {
        const late = setTimeout(() => resolve(false), READY_MS);
        const read = (/** @type {Buffer} */ text) => {
          said += text;
          if (/^ready$/m.test(said)) {
            clearTimeout(late);
            resolve(true);
          }
        };
        child.stdout.on("data", read);
        child.stderr.on("data", read);
        child.on("exit", () => {
          clearTimeout(late);
          resolve(false);
        });
      });
      if (ready) return new Demo(child, base, args);
      child.kill("SIGTERM");
      if (!/in use/.test(said)) throw new Error(`the demo did not start:\n${said}`);
    }
    throw new Error("no free ports for a demo");
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.on("exit", resolve));
    this.child.kill("SIGTERM");
    await ended;
  }

  /** @param {string} path @param {string} [method] @param {unknown} [body] @returns {Promise<any>} */
  async api(path, method = "GET", body) {
    const answer = await fetch(`http://127.0.0.1:${this.base}${path}`, { method, headers: { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
    const value = await answer.json();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${JSON.stringify(value)}`);
    return value;
  }
}

/** @type {Promise<import("playwright-core").Browser> | undefined} */
let browser;

/** The browser, started once. */
export function openBrowser() {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  browser ??= chromium.launch({ executablePath: browserPath(), args });
  return browser;
}

export async function closeBrowser() {
  await (await browser)?.close();
}

/**
 * A page that remembers everything that went wrong in it.
 *
 * @param {string} url
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function open(url, options = {}) {
  const context = await (await openBrowser()).newContext({ viewport: { width: 1280, height: 720 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  /** @type {string[]} */
  const trouble = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") trouble.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => trouble.push(`uncaught: ${error.stack}`));
  page.on("request", (request) => {
    if (new URL(request.url()).hostname !== "localhost" && !request.url().startsWith("blob:") && !request.url().startsWith("data:")) trouble.push(`foreign request: ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("body[data-ready]", WAIT);
  return { page, trouble, close: () => context.close() };
}

/** @param {Page} page @param {"agreed" | "diverged"} kind */
export const verdict = (page, kind) => page.waitForSelector(`#verdict[data-kind="${kind}"]`, WAIT);

/** Lets the animations of a moment end, and keeps a picture. @param {Page} page @param {string} name @param {boolean} [whole] */
export async function picture(page, name, whole = false) {
  mkdirSync(ARTEFACTS, { recursive: true });
  await page.waitForTimeout(250);
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`), fullPage: whole });
}

/** The text of an element. @param {Page} page @param {string} selector */
export const text = async (page, selector) => (await page.textContent(selector, WAIT))?.trim() ?? "";

/** A cart line's numbers by region, then last writer wins. @param {Page} page @param {string} sku */
export const row = (page, sku) => page.locator(`#lines tr[data-key="${sku}"] td`).allTextContents();
