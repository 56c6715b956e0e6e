//! The page: one self-contained file with everything that a run was.
//!
//! The plots are drawn here, as SVG, so that the page shows them without a script; the script only adds a line under the
//! pointer with the numbers of that moment. Nothing is fetched from anywhere, and the page's own policy forbids it.

mod plot;
mod series;

use std::fmt::Write as _;

use super::check::CHECKS;
use super::fault::Band;
use super::verdict::Judged;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Violations that the page lists.
const SHOWN_MAX: usize = 200;

/// The whole page.
pub(crate) fn page(judged: &Judged<'_>) -> String {
    let series = series::of(judged.history, judged.run.load_ended);
    let mut body = String::new();
    head(&mut body, judged);
    for (number, region) in judged.history.regions.iter().enumerate() {
        let Some(of_region) = series.regions.get(number) else {
            continue;
        };
        let bands: Vec<&Band> = judged
            .run
            .bands
            .iter()
            .filter(|band| band.region == number || band.other == Some(number))
            .collect();
        let _ = write!(
            body,
            "<section><h2>{}</h2>{}</section>",
            escape(region),
            plot::region(number, &series, of_region, &bands)
        );
    }
    legend(&mut body);
    violations(&mut body, judged);
    faults(&mut body, judged);
    let data = serde_json::to_string(&series)
        .unwrap_or_default()
        .replace('<', "\\u003c");
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Cartograph chaos: {}</title><style>{STYLE}</style></head><body><main>{body}</main>\
         <script type=\"application/json\" id=\"series\">{data}</script><script>{SCRIPT}</script></body></html>\n",
        word(judged)
    )
}

fn word(judged: &Judged<'_>) -> &'static str {
    if judged.is_valid() { "valid" } else { "INVALID" }
}

fn head(body: &mut String, judged: &Judged<'_>) {
    let (run, total) = (judged.run, judged.total);
    let agreed = match run.agreed {
        Some(took) => format!("regions agreed {:.1} s after the heal", took.as_secs_f64()),
        None => "regions did not agree".to_owned(),
    };
    let _ = write!(
        body,
        "<header><h1>Cartograph chaos</h1><p id=\"verdict\" class=\"{}\">{}</p>\
         <p>{} operations: {} ok, {} failed, {} unknown. {} faults, {} violations; {agreed}.</p>\
         <p>Store {}, {} s of load, seed {}. Again: <code>{}</code></p></header>",
        word(judged).to_lowercase(),
        word(judged),
        total.ok + total.failed + total.unknown,
        total.ok,
        total.failed,
        total.unknown,
        run.bands.len(),
        judged.violations.len(),
        escape(run.store),
        run.load.as_secs(),
        run.seed,
        escape(&judged.again)
    );
    for skip in &run.skipped {
        let _ = write!(
            body,
            "<p class=\"skipped\">Skipped: {}, {}</p>",
            escape(skip.nemesis.word()),
            escape(&skip.why)
        );
    }
}

fn legend(body: &mut String) {
    body.push_str(
        "<p class=\"legend\"><span class=\"ok\">ok</span> <span class=\"failed\">failed</span> \
         <span class=\"unknown\">unknown</span> operations a second; \
         <span class=\"p50\">median</span> and <span class=\"p99\">99th percentile</span> latency of acknowledged \
         operations, <span class=\"lag\">replication lag</span>, both on a logarithmic scale. Shaded: faults.</p>",
    );
}

fn violations(body: &mut String, judged: &Judged<'_>) {
    body.push_str("<section><h2>Checks</h2><table id=\"checks\"><tr><th>check</th><th>violations</th></tr>");
    for check in CHECKS {
        let count = judged
            .violations
            .iter()
            .filter(|violation| violation.check == check)
            .count();
        let _ = write!(body, "<tr><td>{check}</td><td>{count}</td></tr>");
    }
    body.push_str("</table><ol>");
    for violation in judged.violations.iter().take(SHOWN_MAX) {
        let _ = write!(
            body,
            "<li><b>{}</b> {}</li>",
            violation.check,
            escape(&violation.what)
        );
    }
    body.push_str("</ol></section>");
}

fn faults(body: &mut String, judged: &Judged<'_>) {
    body.push_str("<section><h2>Faults</h2><table id=\"faults\"><tr><th>from</th><th>to</th><th>what</th><th></th></tr>");
    let seconds = |micros: u64| format!("{}.{:01}", micros / 1_000_000, micros / 100_000 % 10);
    let mut bands: Vec<&Band> = judged.run.bands.iter().collect();
    bands.sort_by_key(|band| band.start);
    for band in bands {
        let missed = band.missed.as_ref().map(|why| format!("missed: {}", escape(why)));
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            seconds(band.start),
            seconds(band.end),
            escape(&band.what),
            missed.unwrap_or_default()
        );
    }
    body.push_str("</table></section>");
}

/// Text for use in the page.
pub(super) fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                '"' => out.push_str("&quot;"),
                c => out.push(c),
            }
            out
        })
}
