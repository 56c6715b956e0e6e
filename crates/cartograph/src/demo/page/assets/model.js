// What the page knows, rebuilt from the record and the states that the demo sends. Parts of the page read it and are told
// when it changed; nothing else is remembered anywhere.

/**
 * @typedef {import("./types").Op} Op
 * @typedef {import("./types").Delivery} Delivery
 * @typedef {import("./types").Fault} Fault
 * @typedef {import("./types").Line} Line
 * @typedef {import("./types").State} State
 * @typedef {import("./types").Recording} Recording
 * @typedef {{t: number, lines: Line[]}} Seen  a cart as a region showed it from `t` on
 * @typedef {{t: number, converged: boolean, took: number | null, since: string, carts: string[], regions: string[], behind: boolean, truncated: boolean}} Verdict
 */

/** Events that the page keeps, as the demo does. */
const EVENTS_MAX = 6000;
/** States that are kept for the charts: five minutes at two and a half a second. */
const STATES_MAX = 750;
const VERDICTS_MAX = 1000;
/** Carts that are kept; every scene begins a new one. */
const CARTS_MAX = 200;

export class Model {
  constructor() {
    /** @type {Set<(what: string, event?: any) => void>} */
    this.listeners = new Set();
    this.connected = false;
    this.live = false;
    this.version = "";
    this.storeKind = "";
    this.base = 0;
    this.skew = 0;
    this.started = "";
    this.last = 0;
    this.dropped = 0;
    this.acknowledged = 0;
    this.unknown = 0;
    /** @type {Recording[]} */
    this.events = [];
    /** @type {Map<number, Op>} */
    this.ops = new Map();
    /** @type {Map<number, Map<string, Delivery>>} */
    this.deliveries = new Map();
    /** @type {Fault[]} */
    this.faults = [];
    /** @type {Map<string, Map<string, Seen[]>>} */
    this.carts = new Map();
    /** @type {State | null} */
    this.state = null;
    /** @type {State[]} */
    this.states = [];
    /** @type {Verdict | null} */
    this.verdict = null;
    /** @type {Verdict[]} */
    this.verdicts = [];
    /** The moment that is looked at; null is now. @type {number | null} */
    this.at = null;
  }

  /** Forgets all: the demo is another one now. @param {string} started */
  reset(started) {
    Object.assign(this, { ...new Model(), listeners: this.listeners, started });
  }

  /** @param {(what: string, event?: any) => void} listener */
  listen(listener) {
    this.listeners.add(listener);
  }

  /** @param {string} what @param {any} [event] */
  tell(what, event) {
    for (const listener of this.listeners) listener(what, event);
  }

  /** The demo's clock. */
  now() {
    return Date.now() + this.skew;
  }

  /** The regions, in the order of their ids. */
  get regions() {
    return this.state?.regions ?? [];
  }

  get links() {
    return this.state?.links ?? [];
  }

  /** @param {string} from @param {string} to */
  link(from, to) {
    return this.links.find((link) => link.from === from && link.to === to);
  }

  /** @param {string} name */
  region(name) {
    return this.regions.find((region) => region.name === name);
  }

  /** A region's place in the order, which decides its colour and mark. @param {string} name */
  indexOf(name) {
    return Math.max(0, this.regions.findIndex((region) => region.name === name));
  }

  /** @param {Recording} event */
  take(event) {
    if (event.n <= this.last) return;
    this.last = event.n;
    this.events.push(event);
    switch (event.kind) {
      case "op":
        this.ops.set(event.n, event);
        if (event.outcome === "acknowledged") this.acknowledged++;
        if (event.outcome === "unknown") this.unknown++;
        if (event.lines) this.see(event.cart, event.region, event.t, event.lines);
        break;
      case "delivery": {
        const known = this.deliveries.get(event.op) ?? new Map();
        known.set(event.to, event);
        this.deliveries.set(event.op, known);
        break;
      }
      case "cart":
        this.see(event.cart, event.region, event.t, event.lines ?? []);
        break;
      case "fault":
        this.faults.push(event);
        break;
    }
    while (this.events.length > EVENTS_MAX) this.forget();
    this.tell("event", event);
  }

  /** Drops the oldest event. */
  forget() {
    const event = this.events.shift();
    if (!event) return;
    this.dropped++;
    if (event.kind === "op") {
      this.ops.delete(event.n);
      this.deliveries.delete(event.n);
    }
    if (event.kind === "delivery" && !this.ops.has(event.op)) this.deliveries.delete(event.op);
    if (event.kind === "fault") this.faults.shift();
    for (const regions of this.carts.values()) {
      // The last that was seen before what is left stays: a cart does not vanish because nobody changed it.
      for (const seen of regions.values()) while (seen.length > 1 && seen[1].t < event.t) seen.shift();
    }
  }

  /** @param {string} cart @param {string} region @param {number} t @param {Line[]} lines */
  see(cart, region, t, lines) {
    const regions = this.carts.get(cart) ?? new Map();
    this.carts.set(cart, regions);
    if (this.carts.size > CARTS_MAX) this.carts.delete(this.carts.keys().next().value ?? "");
    const seen = regions.get(region) ?? [];
    regions.set(region, seen);
    seen.push({ t, lines });
  }

  /** @param {State} state */
  takeState(state) {
    const skew = state.t - Date.now();
    this.skew = this.state ? Math.max(this.skew - 5, Math.min(this.skew + 5, skew)) : skew;
    this.state = state;
    this.states.push(state);
    if (this.states.length > STATES_MAX) this.states.shift();
    this.tell("state");
  }

  /** @param {Verdict} verdict */
  takeVerdict(verdict) {
    const before = this.verdict;
    this.verdict = verdict;
    this.verdicts.push(verdict);
    if (this.verdicts.length > VERDICTS_MAX) this.verdicts.shift();
    this.tell("verdict", before);
  }

  /** Looks back to a moment, or (null) at now again. @param {number | null} t */
  lookAt(t) {
    this.at = t;
    this.tell("at");
  }

  /**
   * A cart in a region as it was at the moment that is looked at.
   *
   * @param {string} cart
   * @param {string} region
   * @returns {import("./types").Basket}
   */
  basket(cart, region) {
    const seen = this.carts.get(cart)?.get(region) ?? [];
    const moment = this.at;
    let last = null;
    for (let i = seen.length - 1; i >= 0; i--) {
      if (moment === null || seen[i].t <= moment) {
        last = seen[i];
        break;
      }
    }
    return new Map((last?.lines ?? []).map((line) => [line.sku, line.quantity]));
  }

  /**
   * Since when what was broken, from the record: for each stretch the share of each region's links that were cut (1 where the
   * region itself was down).
   *
   * @param {number} until
   * @returns {{from: number, to: number, cut: Map<string, number>, any: boolean}[]}
   */
  brokenSpans(until) {
    const names = this.regions.map((region) => region.name);
    const others = Math.max(1, 2 * (names.length - 1));
    /** @type {Map<string, boolean>} */
    const links = new Map();
    /** @type {Set<string>} */
    const down = new Set();
    const odd = new Set();
    /** @type {{from: number, to: number, cut: Map<string, number>, any: boolean}[]} */
    const spans = [];
    const look = () => {
      const cut = new Map();
      for (const name of names) {
        let count = 0;
        for (const [key, isCut] of links) if (isCut && key.split(">").includes(name)) count++;
        cut.set(name, down.has(name) ? 1 : count / others);
      }
      return cut;
    };
    this.faults.forEach((fault, i) => {
      const { what, subject } = fault;
      if (what === "link") {
        const key = `${subject.from}>${subject.to}`;
        links.set(key, !subject.up);
        const usual = this.link(subject.from, subject.to)?.usual_ms;
        if (subject.loss > 0 || subject.jitter_ms > 0 || subject.latency_ms !== usual) odd.add(key);
        else odd.delete(key);
      } else if (what === "heal") {
        links.clear();
        odd.clear();
        for (const name of subject.resumed ?? []) down.delete(name);
      } else if (/^node (kill|pause)$|^store kill$/.test(what)) down.add(subject.region);
      else if (/^node (start|resume)$|^store start$/.test(what)) down.delete(subject.region);
      const to = Math.min(this.faults[i + 1]?.t ?? until, until);
      const cut = look();
      const any = odd.size > 0 || [...cut.values()].some((share) => share > 0);
      const last = spans[spans.length - 1];
      if (any && to > fault.t) {
        if (last && last.to === fault.t && JSON.stringify([...last.cut]) === JSON.stringify([...cut])) last.to = to;
        else spans.push({ from: fault.t, to, cut, any });
      }
    });
    return spans;
  }

  /** The recorded writes on a cart and on those folded into it, up to the moment that is looked at. @param {string} cart */
  opsOf(cart) {
    const wanted = new Set([cart]);
    for (const op of this.ops.values()) if (op.do === "fold" && op.cart === cart && op.from) wanted.add(op.from);
    const until = this.at ?? Infinity;
    return [...this.ops.values()].filter((op) => wanted.has(op.cart) && op.at <= until);
  }
}
