// Elements in few words, and lists that keep their elements.

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, any>} Props
 */

/**
 * @param {Element} element
 * @param {Props} props
 * @param {Child[]} children
 */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * An HTML element; properties that begin with `on` are listeners, all others attributes.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, props, children);
  return element;
}

/**
 * An SVG element.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function s(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, props, children);
  return element;
}

/**
 * The element with this id, which the page has.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Changes text only where it differs, so that selections and screen readers are left alone.
 *
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets an attribute only where it differs; `null` takes it away.
 *
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null} value
 */
export function put(element, name, value) {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * Makes the children of `parent` those of `items`, in order; an item that was there keeps its element (and its focus).
 *
 * @template I
 * @template {Element} E
 * @param {Element} parent
 * @param {readonly I[]} items
 * @param {(item: I) => string} key
 * @param {(item: I) => E} create
 * @param {(element: E, item: I) => void} [update]
 */
export function keyed(parent, items, key, create, update) {
  /** @type {Map<string, E>} */
  const had = new Map();
  for (const child of [...parent.children]) {
    const name = child.getAttribute("data-key");
    if (name !== null) had.set(name, /** @type {E} */ (child));
  }
  /** @type {Element | null} */
  let before = null;
  for (const item of items) {
    const name = key(item);
    let element = had.get(name);
    had.delete(name);
    if (!element) {
      element = create(item);
      element.setAttribute("data-key", name);
    }
    if (update) update(element, item);
    /** @type {Element | null} */
    const wanted = before ? before.nextElementSibling : parent.firstElementChild;
    if (wanted !== element) parent.insertBefore(element, wanted);
    before = element;
  }
  for (const element of had.values()) element.remove();
}

/** Whether people asked for less motion. */
export const stillness = matchMedia("(prefers-reduced-motion: reduce)");
