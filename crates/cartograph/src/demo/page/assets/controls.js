// What opens when a link or a region of the map is pressed: what can be done to it, and what that models.

import * as api from "./api.js";
import { byId, h, put, say } from "./dom.js";
import { healthOf } from "./map.js";
import { placeOf, span } from "./words.js";

/** @typedef {import("./model.js").Model} Model */

/** What each fault stands for, in words. */
const MODELS = {
  well: "As it should be: entries leave at once and travel as far as the cable is long.",
  cut: "Nothing passes this way. Connections go silent and are then reset, as when a route is withdrawn or a cable breaks. The other direction may still work.",
  lossy: "Some packets are lost and sent again, as on a congested or damaged path. TCP keeps the order, so everything behind a lost piece waits: stalls of 200 ms that double.",
  slow: "Every byte takes longer, as on a detour around a broken cable. Shoppers do not notice: only regions wait for each other, never they.",
  ended: "The way is open, and nobody is at its other end: a region is down or stands still.",
  lost: "The way is open; the connection is being made again.",
};

export class Controls {
  /**
   * @param {Model} model
   * @param {(doing: string, work: Promise<unknown>) => void} attempt  shows what goes wrong
   */
  constructor(model, attempt) {
    this.model = model;
    this.attempt = attempt;
    this.panel = byId("controls");
    /** @type {(() => void) | null} */
    this.refresh = null;
    /** @type {HTMLElement | null} */
    this.opener = null;
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.panel.hidden) {
        event.stopPropagation();
        this.close();
      }
    });
    document.addEventListener("pointerdown", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (!this.panel.hidden && !this.panel.contains(target) && !target.closest(".pill, .plate, .arc, .top")) this.close();
    });
  }

  update() {
    if (!this.panel.hidden) this.refresh?.();
  }

  close() {
    this.panel.hidden = true;
    this.refresh = null;
    const { opener } = this;
    this.opener = null;
    if (opener?.isConnected) opener.focus();
  }

  /** @param {HTMLElement} opener @param {string} title @param {string} sub @param {HTMLElement[]} content */
  show(opener, title, sub, content) {
    this.opener = opener;
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close", onclick: () => this.close() }, "✕");
    this.panel.replaceChildren(h("header", {}, h("div", {}, h("h2", { id: "controls-title" }, title), h("p", {}, sub)), close), ...content);
    this.panel.hidden = false;
    this.refresh?.();
    const [box, map, spot] = [this.panel, byId("map").getBoundingClientRect(), opener.getBoundingClientRect()];
    const { offsetWidth: w, offsetHeight: t } = box;
    const right = spot.right + 12 + w < innerWidth;
    const x = right ? spot.right + 12 : Math.max(8, spot.left - w - 12);
    const y = Math.min(Math.max(8, spot.top - 40), Math.max(map.top, innerHeight - t - 12));
    box.style.left = `${x + scrollX}px`;
    box.style.top = `${y + scrollY}px`;
    const first = box.querySelector("button:not(.icon-button)");
    if (first instanceof HTMLElement) first.focus();
  }

  /** @param {string} from @param {string} to @param {HTMLElement} opener */
  link(from, to, opener) {
    const { model } = this;
    const say_ = (/** @type {string} */ name) => placeOf(model.region(name) ?? { name, place: null });
    const set = (/** @type {string} */ doing, /** @type {object} */ patch, both = false) => {
      const ways = [api.setLink(from, to, patch), ...(both ? [api.setLink(to, from, patch)] : [])];
      this.attempt(doing, Promise.all(ways));
    };
    const one = h("button", { type: "button", "data-do": "one" });
    const both = h("button", { type: "button", "data-do": "both" });
    one.onclick = () => set("the link could not be changed", { up: !model.link(from, to)?.up });
    both.onclick = () => set("the links could not be changed", { up: !(model.link(from, to)?.up || model.link(to, from)?.up) }, true);
    const live = h("dl", { class: "facts" });
    const words = h("p", { class: "models", role: "status" });
    const latency = this.slider("One-way latency", 0, 2000, 10, "ms", (value) => set("the latency could not be set", { latency_ms: value }));
    const loss = this.slider("Loss", 0, 60, 1, "%", (value) => set("the loss could not be set", { loss: value / 100 }));
    const usual = h("button", { type: "button", class: "quiet", "data-do": "usual", onclick: () => set("the link could not be mended", { up: true, loss: 0, jitter_ms: 0, latency_ms: model.link(from, to)?.usual_ms ?? 50 }) }, "As it was");
    this.refresh = () => {
      const [way, back] = [model.link(from, to), model.link(to, from)];
      if (!way || !back) return;
      say(one, way.up ? "Cut this way" : "Mend this way");
      say(both, way.up || back.up ? "Cut both ways" : "Mend both ways");
      put(one, "data-cut", way.up);
      put(both, "data-cut", way.up || back.up);
      facts(live, [
        ["Round trip", way.rtt_ms === null ? "no answer" : span(way.rtt_ms)],
        ["Lag", way.lag_ms === null ? "unknown" : way.lag_ms === 0 ? "none" : span(way.lag_ms)],
        ["Waiting", `${way.waiting ?? 0} entries`],
      ]);
      latency.take(way.latency_ms);
      loss.take(Math.round(way.loss * 100));
      say(words, MODELS[healthOf(way, model.regions)]);
    };
    this.show(opener, `${say_(from)} → ${say_(to)}`, "One direction of a link", [live, h("div", { class: "row" }, one, both), latency.element, loss.element, h("div", { class: "row" }, usual), words]);
  }

  /**
   * @param {string} name
   * @param {number} least
   * @param {number} most
   * @param {number} step
   * @param {string} unit
   * @param {(value: number) => void} change
   */
  slider(name, least, most, step, unit, change) {
    const output = h("output", {});
    const input = h("input", { type: "range", min: least, max: most, step, "aria-label": name });
    let touched = 0;
    input.oninput = () => {
      touched = performance.now();
      say(output, `${input.value} ${unit}`);
    };
    input.onchange = () => change(Number(input.value));
    const take = (/** @type {number} */ value) => {
      if (performance.now() - touched < 1200) return;
      if (Number(input.value) !== value) input.value = String(value);
      say(output, `${value} ${unit}`);
    };
    return { element: h("label", { class: "slider" }, h("span", {}, name), input, output), take };
  }

  /** @param {string} name @param {HTMLElement} opener */
  region(name, opener) {
    const { model } = this;
    const region = model.region(name);
    if (!region) return;
    const act = (/** @type {string} */ id, /** @type {string} */ label, /** @type {string} */ means, /** @type {() => Promise<unknown>} */ work) => {
      const button = h("button", { type: "button", "data-do": id }, label);
      button.onclick = () => {
        button.disabled = true;
        this.attempt(`${label.toLowerCase()}: not done`, work().finally(() => (button.disabled = false)));
      };
      return h("li", {}, button, h("span", {}, means));
    };
    const isolated = () => model.links.filter((link) => link.from === name || link.to === name).every((link) => !link.up);
    const isolate = act("isolate", "", "", () => isolation(model, name, isolated()));
    const pause = act("pause", "", "", () => api.actOnNode(name, model.region(name)?.state === "paused" ? "resume" : "pause"));
    const kill = act("kill", "", "", () => (isDown(model.region(name)?.state) ? api.actOnNode(name, "start") : api.actOnNode(name, "kill")));
    const wipe = act("wipe", "Lose the disk", "The region dies with its data and starts empty. It takes writes again once a neighbour has answered, and fetches everything back.", () => wipeAndStart(name));
    const live = h("dl", { class: "facts" });
    const set = (/** @type {HTMLLIElement} */ item, /** @type {string} */ label, /** @type {string} */ means) => {
      say(item.children[0], label);
      say(item.children[1], means);
    };
    this.refresh = () => {
      const now = model.region(name);
      if (!now) return;
      const off = isolated();
      set(isolate, off ? "Reconnect" : "Cut off", off ? "All its links, both ways." : "All its links, both ways: its shoppers go on, alone.");
      const paused = now.state === "paused";
      set(pause, paused ? "Resume" : "Pause", paused ? "It goes on where it stood." : "The process stands still (SIGSTOP), as in a long pause of its machine.");
      const down = isDown(now.state);
      set(kill, down ? "Start" : "Kill", down ? "A new process over the same store." : "SIGKILL, no goodbye. Its store keeps what it acknowledged.");
      facts(live, [
        ["Node", now.state],
        ["Store", `${now.store.kind}, ${now.store.state}`],
        ["HTTP", `127.0.0.1:${now.ports.http}`],
        ["gRPC", `127.0.0.1:${now.ports.grpc}`],
        ["Redis", now.ports.redis === null ? "inside the node" : `127.0.0.1:${now.ports.redis}`],
      ]);
    };
    this.show(opener, placeOf(region), `${name}${region.place ? ` · ${region.place}` : ""}`, [live, h("ul", { class: "actions" }, isolate, pause, kill, wipe)]);
  }
}

/** @param {string | undefined} state */
const isDown = (state) => state !== "running" && state !== "paused";

/**
 * Cuts or mends every link of a region, both ways.
 *
 * @param {Model} model
 * @param {string} name
 * @param {boolean} up
 */
export function isolation(model, name, up) {
  const own = model.links.filter((link) => link.from === name || link.to === name);
  return Promise.all(own.map((link) => api.setLink(link.from, link.to, { up })));
}

/** A region that dies with its disk and comes back with an empty one. @param {string} name */
export async function wipeAndStart(name) {
  await api.actOnNode(name, "kill");
  await api.actOnStore(name, "wipe");
  await api.actOnNode(name, "start");
}

/** @param {HTMLElement} list @param {[string, string][]} pairs */
function facts(list, pairs) {
  pairs.forEach(([name, value], i) => {
    let row = list.children[i];
    if (!row) {
      row = h("div", {}, h("dt", {}, name), h("dd", {}));
      list.append(row);
    }
    say(row.children[1], value);
  });
}
