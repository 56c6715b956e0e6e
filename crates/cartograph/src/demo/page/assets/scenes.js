// Plays stories: steps with captions, which can be paused, stepped, replayed and opened by a URL.

import { byId, h, keyed, put, say } from "./dom.js";
import { STORIES } from "./stories.js";

/**
 * @typedef {import("./stories.js").Story} Story
 * @typedef {import("./stories.js").Stage} Stage
 * @typedef {import("./stories.js").Step} Step
 */

/** How long a caption stays at least, and for each of its characters. */
const READ_MS = 900;
const READ_CHARACTER_MS = 34;

export class Player {
  /**
   * @param {() => Stage} stage  a new stage for each run
   * @param {(error: unknown) => void} fail
   */
  constructor(stage, fail) {
    this.newStage = stage;
    this.fail = fail;
    /** @type {Story | null} */
    this.story = null;
    this.at = -1;
    this.caption = "";
    this.playing = false;
    this.busy = false;
    this.done = false;
    this.run = 0;
    /** How much faster than people read; tests are in a hurry. */
    this.speed = 1;
    /** @type {(() => void) | null} */
    this.wake = null;
    byId("scene-pause").addEventListener("click", () => this.toggle());
    byId("scene-step").addEventListener("click", () => this.step());
    byId("scene-replay").addEventListener("click", () => this.replay());
    byId("scene-stop").addEventListener("click", () => void this.stop());
    keyed(byId("scenes"), STORIES, (story) => story.id, (story) => {
      const number = STORIES.indexOf(story) + 1;
      return h("button", { type: "button", class: "scene", title: story.about, "aria-keyshortcuts": String(number), onclick: () => this.play(story.id) }, h("kbd", { "aria-hidden": "true" }, String(number)), h("span", {}, story.title));
    });
    this.show();
  }

  /** @param {string} id */
  play(id) {
    const story = STORIES.find((candidate) => candidate.id === id);
    if (!story) return;
    history.replaceState(null, "", `${location.search}#scene=${id}`);
    this.story = story;
    this.replay();
  }

  replay() {
    if (!this.story) return;
    this.run++;
    this.at = -1;
    this.done = false;
    this.playing = true;
    this.wake?.();
    void this.perform(this.run, this.story);
  }

  toggle() {
    if (!this.story) return;
    if (this.done) return this.replay();
    this.playing = !this.playing;
    this.wake?.();
    this.show();
  }

  /** One step, and pause after it. */
  step() {
    if (!this.story || this.done) return;
    this.playing = false;
    this.stepping = true;
    this.wake?.();
    this.show();
  }

  async stop() {
    if (!this.story) return;
    this.run++;
    this.story = null;
    this.playing = false;
    this.wake?.();
    history.replaceState(null, "", location.pathname + location.search);
    this.show();
    try {
      await this.newStage().clean();
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {number} run @param {Story} story */
  async perform(run, story) {
    const stage = this.newStage();
    const current = () => this.run === run;
    try {
      this.busy = true;
      this.caption = "Setting the stage.";
      this.show();
      await stage.clean();
      for (const [index, step] of story.steps.entries()) {
        if (index > 0) await this.rest(current);
        if (!current()) return;
        this.stepping = false;
        this.at = index;
        this.busy = true;
        this.caption = step.say(stage);
        this.show();
        await step.run?.(stage);
        if (!current()) return;
        if (step.then) {
          this.caption = step.then(stage);
        }
        this.busy = false;
        this.show();
      }
      this.done = true;
      this.playing = false;
    } catch (error) {
      if (!current()) return;
      this.playing = false;
      this.caption = `The scene stopped: ${error instanceof Error ? error.message : error}`;
      this.fail(error);
    } finally {
      if (current()) {
        this.busy = false;
        this.show();
      }
    }
  }

  /** Until the caption has been read, and as long as the scene is paused. @param {() => boolean} current */
  async rest(current) {
    const until = performance.now() + (READ_MS + READ_CHARACTER_MS * this.caption.length) / this.speed;
    while (current() && !this.stepping && (!this.playing || performance.now() < until)) {
      const wait = this.playing ? until - performance.now() : 60_000;
      await new Promise((resolve) => {
        this.wake = () => resolve(undefined);
        setTimeout(resolve, Math.max(0, wait));
      });
    }
    this.wake = null;
  }

  show() {
    const { story } = this;
    put(byId("caption"), "data-playing", story !== null);
    say(byId("caption-title"), story ? story.title : "Pick a scene, or break something yourself");
    say(byId("caption-text"), story ? this.caption : "Press a link on the map to cut it, a region to stop it; shop in any of the three shops. Then repair everything and watch the carts agree.");
    for (const button of byId("scenes").children) {
      put(button, "aria-pressed", String(button.getAttribute("data-key") === story?.id));
    }
    const steps = byId("caption-steps");
    keyed(steps, (story?.steps ?? []).map((step, index) => ({ step, index })), ({ index }) => `${story?.id} ${index}`, () => h("i", {}), (dot, { index }) => put(dot, "data-state", index < this.at || this.done ? "past" : index === this.at ? "now" : null));
    put(steps, "aria-label", story ? `Step ${this.at + 1} of ${story.steps.length}` : null);
    const pause = byId("scene-pause");
    say(pause, this.done || this.playing ? "Pause" : "Play");
    put(pause, "disabled", !story || this.done);
    put(byId("scene-step"), "disabled", !story || this.done);
    put(byId("scene-replay"), "disabled", !story);
    put(byId("scene-stop"), "disabled", !story);
    put(document.body, "data-scene", story ? (this.done ? "done" : this.busy ? "busy" : this.playing ? "playing" : "paused") : null);
  }
}
