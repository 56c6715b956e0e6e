//! One region's plot, as SVG: faults shaded, operations stacked, latency and lag as lines on a logarithmic scale.

use std::fmt::Write as _;

use super::super::fault::Band;
use super::escape;
use super::series::{Region, Series};

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 56.0;
/// Where the fault labels are, and how far apart.
const LABELS_TOP: f64 = 12.0;
const LABEL_STEP: f64 = 12.0;
const LABEL_ROWS: usize = 3;
/// The two parts of the plot: top and height.
const COUNTS: (f64, f64) = (54.0, 110.0);
const TIMES: (f64, f64) = (182.0, 110.0);
const HEIGHT: f64 = 316.0;
/// The logarithmic scale, in microseconds: 100 µs to 100 s.
const SCALE_US: (f64, f64) = (1e2, 1e8);

/// Where an instant is, from left to right.
fn x(series: &Series, at_ms: f64) -> f64 {
    let whole = as_f64(series.bucket_ms) * usize_f64(series.buckets);
    LEFT + (WIDTH - LEFT) * (at_ms / whole).clamp(0.0, 1.0)
}

/// Where a time in microseconds is on the logarithmic scale.
fn y_time(us: u64) -> f64 {
    let (low, high) = (SCALE_US.0.log10(), SCALE_US.1.log10());
    let part = (as_f64(us.max(1)).log10() - low) / (high - low);
    TIMES.0 + TIMES.1 * (1.0 - part.clamp(0.0, 1.0))
}

#[expect(clippy::cast_precision_loss, reason = "pixels need no more than 52 bits")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

fn usize_f64(n: usize) -> f64 {
    as_f64(u64::try_from(n).unwrap_or(u64::MAX))
}

/// The plot of region `number`.
pub(super) fn region(number: usize, series: &Series, region: &Region, bands: &[&Band]) -> String {
    let mut svg = format!(
        "<svg class=\"plot\" data-region=\"{number}\" data-left=\"{LEFT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">"
    );
    shade(&mut svg, series, bands);
    axes(&mut svg, series);
    bars(&mut svg, series, region);
    let lag_us: Vec<Option<u64>> = region.lag_ms.iter().map(|lag| lag.map(|ms| ms * 1_000)).collect();
    for (class, values) in [("lag", &lag_us), ("p99", &region.p99_us), ("p50", &region.p50_us)] {
        line(&mut svg, series, class, values);
    }
    let bottom = TIMES.0 + TIMES.1;
    let _ = write!(
        svg,
        "<line class=\"cursor\" x1=\"0\" x2=\"0\" y1=\"{LABELS_TOP}\" y2=\"{bottom}\"/></svg><p class=\"readout\"></p>"
    );
    svg
}

fn shade(svg: &mut String, series: &Series, bands: &[&Band]) {
    let bottom = TIMES.0 + TIMES.1;
    for (number, band) in bands.iter().enumerate() {
        let (from, to) = (
            x(series, as_f64(band.start) / 1e3),
            x(series, as_f64(band.end) / 1e3),
        );
        let width = (to - from).max(1.5);
        let height = bottom - COUNTS.0;
        let label = LABELS_TOP + LABEL_STEP * usize_f64(number % LABEL_ROWS);
        let class = if band.missed.is_some() {
            "band missed"
        } else {
            "band"
        };
        let what = escape(&band.what);
        let _ = write!(
            svg,
            "<g class=\"{class} {}\"><title>{what}</title><rect x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\"/>\
             <text x=\"{from:.1}\" y=\"{label:.0}\">{}</text></g>",
            band.nemesis.word(),
            COUNTS.0,
            band.nemesis.word()
        );
    }
}

fn axes(svg: &mut String, series: &Series) {
    let per_second = f64::from(series.operations_max) * 1e3 / as_f64(series.bucket_ms);
    let (top, bottom) = (COUNTS.0, COUNTS.0 + COUNTS.1);
    let _ = write!(
        svg,
        "<g class=\"axis\"><text x=\"0\" y=\"{:.0}\">{per_second:.0}/s</text><text x=\"0\" y=\"{bottom:.0}\">0</text>\
         <line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{bottom}\" y2=\"{bottom}\"/>",
        top + 8.0
    );
    for (us, label) in [
        (1_000, "1 ms"),
        (10_000, "10 ms"),
        (100_000, "100 ms"),
        (1_000_000, "1 s"),
        (10_000_000, "10 s"),
    ] {
        let y = y_time(us);
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{:.0}\">{label}</text><line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            y + 4.0
        );
    }
    let seconds = usize_f64(series.buckets) * as_f64(series.bucket_ms) / 1e3;
    for tenth in 0..=10_u8 {
        let at = seconds * f64::from(tenth) / 10.0;
        let _ = write!(
            svg,
            "<text class=\"time\" x=\"{:.1}\" y=\"{:.0}\">{at:.0} s</text>",
            x(series, at * 1e3),
            HEIGHT - 8.0
        );
    }
    svg.push_str("</g>");
}

fn bars(svg: &mut String, series: &Series, region: &Region) {
    let bottom = COUNTS.0 + COUNTS.1;
    let width = ((WIDTH - LEFT) / usize_f64(series.buckets.max(1)) * 0.9).max(0.5);
    let mut below = vec![0_u32; series.buckets];
    for (class, counts) in [
        ("ok", &region.ok),
        ("failed", &region.failed),
        ("unknown", &region.unknown),
    ] {
        let mut path = String::new();
        for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let Some(below) = below.get_mut(bucket) else {
                continue;
            };
            let scale = COUNTS.1 / f64::from(series.operations_max);
            let left = x(series, usize_f64(bucket) * as_f64(series.bucket_ms));
            let y = bottom - f64::from(*below) * scale;
            let _ = write!(
                path,
                "M{left:.1} {y:.1}h{width:.1}v{:.1}h-{width:.1}z",
                -f64::from(*count) * scale
            );
            *below += count;
        }
        let _ = write!(svg, "<path class=\"bar {class}\" d=\"{path}\"/>");
    }
}

fn line(svg: &mut String, series: &Series, class: &str, values: &[Option<u64>]) {
    let mut path = String::new();
    let mut drawing = false;
    for (bucket, value) in values.iter().enumerate() {
        // A moment without a value is a gap: a line across it would say what nobody measured.
        let Some(us) = value else {
            drawing = false;
            continue;
        };
        let at = x(series, (usize_f64(bucket) + 0.5) * as_f64(series.bucket_ms));
        let command = if drawing { 'L' } else { 'M' };
        // A single point is drawn as a dash.
        let _ = write!(path, "{command}{at:.1} {:.1}h0.5", y_time(*us));
        drawing = true;
    }
    let _ = write!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
}
