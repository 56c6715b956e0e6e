// How regions, times and numbers are said.

/** Marks that tell regions apart without colour, on a 12 by 12 grid. */
export const MARKS = [
  "M6 1.200a4.800 4.800 0 1 1 0 9.600 4.800 4.800 0 0 1 0-9.600z",
  "M1.500 1.500h9v9h-9z",
  "M6 .8l5.500 10H.5z",
  "M6 .4L11.600 6 6 11.600.4 6z",
  "M4 .8h4v3.200h3.200v4H8v3.200H4V8H.8V4H4z",
  "M3.400.9h5.200L11.500 6 8.600 11.100H3.400L.5 6z",
  "M6 11.200L.5 1.200h11z",
];

/**
 * The place in one word: `Belgium` of `St. Ghislain, Belgium`; the region's name where the place is unknown.
 *
 * @param {{name: string, place: string | null}} region
 */
export function placeOf(region) {
  if (!region.place) return region.name;
  return region.place.split(", ").pop() ?? region.name;
}

/** @param {number} cents */
export const money = (cents) => `$${(cents / 100).toFixed(2)}`;

/** `0.84 ms`, `12 ms`, `3.4 s`. @param {number} ms */
export function span(ms) {
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** `12`, `1.2k`. @param {number} value */
export function count(value) {
  if (value < 1000) return value < 10 && value % 1 !== 0 ? value.toFixed(1) : String(Math.round(value));
  return value < 1e6 ? `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)}k` : `${(value / 1e6).toFixed(1)}M`;
}

/** `1 item`, `2 items`. @param {number} n @param {string} one @param {string} [many] */
export const some = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** `12:03:11.4` of unix milliseconds, in local time. @param {number} ms */
export function clockTime(ms) {
  const date = new Date(ms);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${Math.floor(date.getMilliseconds() / 100)}`;
}

/** `a, b and c`. @param {string[]} words */
export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}
