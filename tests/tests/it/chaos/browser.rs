//! The report in a real browser: drawn, complete, and with nothing fetched from anywhere.

use std::path::Path;
use std::process::{Command, Stdio};

use super::runs::{chaos, verdict};

/// Names that the browser goes by.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The page as the browser has it after its script ran.
fn dom(page: &Path) -> String {
    let browser = BROWSERS.iter().find(|name| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    });
    let browser = browser.expect("no browser: apt-get install chromium");
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1200,1600",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{browser}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_draws_a_plot_for_each_region_and_the_page_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("report.html");
    let arguments = [
        "--minutes",
        "0.3",
        "--rate",
        "20",
        "--clients",
        "4",
        "--nemesis",
        "partition-full,kill-node",
        "--seed",
        "1",
    ];
    let report = ["--report", page.to_str().unwrap()];
    let verdict = verdict(&chaos(dir.path(), &[&arguments[..], &report].concat()));
    let source = std::fs::read_to_string(&page).unwrap();
    assert!(
        !source.contains("http://") && !source.contains("https://"),
        "the page names other places"
    );
    let dom = dom(&page);
    // Set by the page's script, from boxes that the browser has laid out.
    assert!(
        dom.contains("data-plots-drawn=\"3\""),
        "{}",
        &dom[..dom.len().min(2_000)]
    );
    assert!(dom.contains("<p id=\"verdict\" class=\"valid\">valid</p>"));
    for region in ["us-central1", "europe-west1", "asia-southeast1"] {
        assert!(dom.contains(&format!("<h2>{region}</h2>")));
    }
    let faults = verdict["faults"].as_object().unwrap();
    for nemesis in faults.keys() {
        assert!(
            dom.contains(&format!("class=\"band {nemesis}\"")),
            "{nemesis} is not in the plots"
        );
    }
    assert_eq!(dom.matches("class=\"line p99\"").count(), 3);
}
