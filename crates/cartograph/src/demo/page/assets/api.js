// Requests to the demo.

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
async function send(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: method === "GET" ? {} : { "content-type": "application/json" },
    body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
  });
  const text = await answer.text();
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (!answer.ok) throw new Error(value?.error?.message ?? `${path} answered ${answer.status}`);
  return value;
}

/** @param {string} name */
const part = (name) => encodeURIComponent(name);

/** @returns {Promise<import("./types").Converged>} */
export const converged = () => send("GET", "/api/converged");

/**
 * @param {string} region
 * @param {string} cart
 * @param {import("./types").Write} write
 * @returns {Promise<import("./types").Op>}
 */
export const write = (region, cart, write) => send("POST", `/api/shop/${part(region)}/carts/${part(cart)}`, write);

/**
 * @param {string} region
 * @param {string} cart
 */
export const explain = (region, cart) => send("GET", `/api/shop/${part(region)}/carts/${part(cart)}/explain`);

/**
 * @param {string} from
 * @param {string} to
 * @param {{up?: boolean, latency_ms?: number, jitter_ms?: number, loss?: number}} patch
 */
export const setLink = (from, to, patch) => send("PUT", `/api/links/${part(from)}/${part(to)}`, patch);

export const heal = () => send("POST", "/api/heal");

/**
 * @param {string} region
 * @param {"kill" | "start" | "pause" | "resume"} action
 */
export const actOnNode = (region, action) => send("POST", `/api/regions/${part(region)}/${action}`);

/**
 * @param {string} region
 * @param {"kill" | "start" | "wipe" | "snapshot" | "rollback"} action
 */
export const actOnStore = (region, action) => send("POST", `/api/regions/${part(region)}/store/${action}`);

/**
 * @param {string} region
 * @param {number} perSecond
 */
export const setLoad = (region, perSecond) => send("POST", "/api/load", { region, per_second: perSecond });

export const record = () => send("GET", "/api/record");
