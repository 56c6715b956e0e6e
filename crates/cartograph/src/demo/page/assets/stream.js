// The connection to the demo: one stream of server-sent events, made again whenever it breaks.

/** @typedef {import("./model.js").Model} Model */

/** How long to wait before a stream that the browser gave up is made again. */
const AGAIN_MS = 1000;

export class Stream {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {string[]} */
    this.carts = [];
    /** @type {EventSource | null} */
    this.source = null;
    this.timer = 0;
  }

  /** Watches these carts from now on. @param {string[]} carts */
  watch(carts) {
    const same = carts.length === this.carts.length && carts.every((cart, i) => cart === this.carts[i]);
    if (same && this.source) return;
    this.carts = carts;
    this.open();
  }

  open() {
    const { model } = this;
    clearTimeout(this.timer);
    this.source?.close();
    const query = new URLSearchParams({ carts: this.carts.join(",") });
    if (model.started) query.set("after", `${model.started}-${model.last}`);
    const source = new EventSource(`/api/events?${query}`);
    this.source = source;
    source.addEventListener("hello", (event) => {
      const hello = JSON.parse(event.data);
      if (hello.started_ms !== model.started) {
        model.reset(hello.started_ms);
        model.live = false;
      }
      model.version = hello.version;
      model.storeKind = hello.store;
      model.base = hello.base;
      model.connected = true;
      model.tell("connection");
    });
    source.addEventListener("record", (event) => model.take(JSON.parse(event.data)));
    source.addEventListener("live", () => {
      model.live = true;
      model.tell("live");
    });
    source.addEventListener("state", (event) => model.takeState(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (this.source !== source) return;
      if (model.connected) {
        model.connected = false;
        model.tell("connection");
      }
      if (source.readyState === EventSource.CLOSED) this.timer = window.setTimeout(() => this.open(), AGAIN_MS);
    });
  }
}
