// A line under the pointer with the numbers of that moment. The plots are complete without it.
"use strict";
const series = JSON.parse(document.getElementById("series").textContent);
const time = (us) => us === null ? "–" : us < 1e3 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toFixed(1)} ms` : `${(us / 1e6).toFixed(2)} s`;

let drawn = 0;
for (const svg of document.querySelectorAll("svg.plot")) {
  const region = series.regions[Number(svg.dataset.region)];
  const left = Number(svg.dataset.left);
  const width = svg.viewBox.baseVal.width;
  const cursor = svg.querySelector(".cursor");
  const readout = svg.nextElementSibling;
  svg.addEventListener("pointermove", (event) => {
    const at = svg.createSVGPoint();
    [at.x, at.y] = [event.clientX, event.clientY];
    const x = at.matrixTransform(svg.getScreenCTM().inverse()).x;
    const bucket = Math.floor((x - left) / (width - left) * series.buckets);
    if (bucket < 0 || bucket >= series.buckets) return;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
    const lag = region.lag_ms[bucket];
    readout.textContent = `${bucket * series.bucket_ms / 1e3} s: ${region.ok[bucket]} ok, ${region.failed[bucket]} failed, `
      + `${region.unknown[bucket]} unknown; median ${time(region.p50_us[bucket])}, 99 % ${time(region.p99_us[bucket])}, `
      + `lag ${lag === null ? "–" : `${lag} ms`}`;
  });
  svg.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; });
  // What a browser has really laid out: tests and people who save the page can tell an empty plot from a drawn one.
  const bars = svg.querySelector(".bar.ok").getBBox();
  if (svg.getBoundingClientRect().width > 0 && bars.width > 0 && bars.height > 0) drawn += 1;
}
document.documentElement.dataset.plotsDrawn = String(drawn);
