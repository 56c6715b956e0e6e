// Makes crates/cartograph/src/demo/page/assets/land.js from Natural Earth's land polygons (public domain).
//
// Natural Earth is fetched in the form in which npm's `world-atlas` repackages it (version 4.1.0, 1:50m land, TopoJSON):
//
//     npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
//     node tests/ui/coastlines.mjs package/land-50m.json > crates/cartograph/src/demo/page/assets/land.js
//
// Rings are simplified (Douglas-Peucker), small islands and what the map does not show dropped, and the points written as
// differences in tenths of a degree.

import { readFileSync } from "node:fs";

const TOLERANCE = 0.2; // degrees
const AREA_MIN = 0.9; // square degrees
const SOUTH = -57;

/** @typedef {[number, number]} Point */

const topology = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { scale, translate } = topology.transform;
/** @type {Point[][]} */
const arcs = topology.arcs.map((/** @type {Point[]} */ arc) => {
  let [x, y] = [0, 0];
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
});

/** @param {number[]} indices @returns {Point[]} */
function ring(indices) {
  /** @type {Point[]} */
  const points = [];
  for (const index of indices) {
    const arc = index < 0 ? [...arcs[~index]].reverse() : arcs[index];
    points.push(...(points.length === 0 ? arc : arc.slice(1)));
  }
  return unroll(points);
}

/**
 * A ring that crosses the 180th meridian goes on past it instead of around the world, and what lies east of Bering Strait's
 * middle from there is drawn at the right edge of the map.
 *
 * @param {Point[]} points @returns {Point[]}
 */
function unroll(points) {
  let turn = 0;
  /** @type {Point[]} */
  const out = [];
  points.forEach(([x, y], i) => {
    const before = i > 0 ? points[i - 1][0] : x;
    if (x - before > 180) turn -= 360;
    if (before - x > 180) turn += 360;
    out.push([x + turn, y]);
  });
  const east = Math.max(...out.map((point) => point[0]));
  return east < -168 ? out.map(([x, y]) => [x + 360, y]) : out;
}

/** @param {Point[]} points */
function area(points) {
  let sum = 0;
  for (let i = 0; i < points.length; i++) {
    const [a, b] = points[i];
    const [c, d] = points[(i + 1) % points.length];
    sum += a * d - b * c;
  }
  return Math.abs(sum) / 2;
}

/** @param {Point} p @param {Point} a @param {Point} b */
function distance([x, y], [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const length = Math.hypot(dx, dy);
  if (length === 0) return Math.hypot(x - x1, y - y1);
  return Math.abs(dy * x - dx * y + x2 * y1 - y2 * x1) / length;
}

/** @param {Point[]} points @returns {Point[]} */
function simplify(points) {
  if (points.length < 3) return points;
  let [worst, at] = [0, 0];
  for (let i = 1; i < points.length - 1; i++) {
    const far = distance(points[i], points[0], points[points.length - 1]);
    if (far > worst) [worst, at] = [far, i];
  }
  if (worst <= TOLERANCE) return [points[0], points[points.length - 1]];
  return [...simplify(points.slice(0, at + 1)).slice(0, -1), ...simplify(points.slice(at))];
}

const rings = [];
for (const geometry of topology.objects.land.geometries) {
  const polygons = geometry.type === "Polygon" ? [geometry.arcs] : geometry.arcs;
  for (const polygon of polygons) {
    for (const indices of polygon) {
      const points = ring(indices);
      const north = Math.max(...points.map((point) => point[1]));
      if (north < SOUTH || area(points) < AREA_MIN) continue;
      // Cut in two, so that a closed ring has two ends to simplify between.
      const half = Math.floor(points.length / 2);
      const simple = [...simplify(points.slice(0, half + 1)).slice(0, -1), ...simplify(points.slice(half))];
      let [px, py] = [0, 0];
      const written = [];
      for (const [lon, lat] of simple.slice(0, -1)) {
        const [x, y] = [Math.round(lon * 10), Math.round(lat * 10)];
        if (written.length > 0 && x === px && y === py) continue;
        written.push(x - px, y - py);
        [px, py] = [x, y];
      }
      if (written.length >= 6) rings.push(written.join(" "));
    }
  }
}

process.stdout.write(`// Coastlines: Natural Earth 4.1.0, 1:50m land (https://www.naturalearthdata.com), which is in the public domain.
// Made by tests/ui/coastlines.mjs, which says how. Each string is one ring: longitude and latitude in tenths of a degree,
// the first point from zero and each next from the one before.

/** @type {readonly string[]} */
export const RINGS = [
${rings.map((text) => `  "${text}",`).join("\n")}
];
`);
