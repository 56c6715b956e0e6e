// Asks `/api/converged`, the only judge of agreement, and says since when and after what it holds.

import { converged } from "./api.js";

/** @typedef {import("./model.js").Model} Model */

/** Soon after something happened, while regions differ, and otherwise. */
const SOON_MS = 120;
const DIFFERENT_MS = 450;
const CALM_MS = 1500;
/** How long something counts as having just happened. */
const RECENT_MS = 4000;

export class Judge {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** What the time to agreement is counted from. */
    this.cause = { t: 0, what: "" };
    this.asking = false;
    this.timer = 0;
    this.answered = 0;
    model.listen((what, event) => {
      if (what !== "event" || !model.live) return;
      if (event.kind === "op" && event.outcome === "acknowledged") {
        // While a link is cut nothing that is written can bring agreement about; the heal will be the cause.
        const cut = model.links.some((link) => !link.up);
        if (!cut || this.cause.what !== "heal") this.cause = { t: event.t, what: "write" };
      } else if (event.kind === "fault") {
        const mended = event.what === "heal" || event.what === "node start" || (event.what === "link" && event.subject.up);
        this.cause = { t: event.t, what: mended ? "heal" : "fault" };
      } else return;
      this.soon();
    });
  }

  start() {
    this.soon();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.ask(), 30);
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    const { model } = this;
    const before = model.verdict;
    try {
      const asked = model.now();
      const answer = await converged();
      const t = model.now();
      const carts = new Set();
      const regions = [];
      let behind = false;
      for (const { kind, key, values } of answer.diff) {
        if (kind === "value") carts.add(key);
        else if (kind === "region") regions.push(...Object.keys(values));
        else behind = true;
      }
      const again = answer.converged && before && !before.converged;
      const took = answer.converged ? (again ? Math.max(0, t - Math.max(this.cause.t, 0)) : (before?.took ?? null)) : null;
      // A write that came after the question began may not be in the answer: keep the former time.
      const since = again ? this.cause.what : (before?.since ?? "");
      model.takeVerdict({ t, converged: answer.converged, took: asked >= this.cause.t ? took : null, since, carts: [...carts], regions, behind, truncated: answer.truncated });
      this.answered = t;
    } catch {
      // The demo does not answer: the stream says so, and no verdict is better than an old one.
      if (model.verdict) {
        model.verdict = null;
        model.tell("verdict", before);
      }
    }
    this.asking = false;
    const recent = model.now() - this.cause.t < RECENT_MS;
    const pause = model.verdict?.converged === false ? (recent ? SOON_MS * 2 : DIFFERENT_MS) : recent ? SOON_MS : CALM_MS;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.ask(), document.hidden ? CALM_MS * 2 : pause);
  }
}
