//! The steps of a run, each timed, none hiding another.
//!
//! A step that fails does not stop the ones after it: one CI run then shows all that is wrong. What could not be done
//! (a tool that will not install, a database that cannot be fetched) is *skipped*, and the report at the end says so in
//! capitals; a skip is for things that no commit can mend, never for a missing test tool.
//!
//! Order: what fails fast first. Profiles and features are the same everywhere, so that nothing is built twice: clippy
//! and doc share check artifacts; nextest, doctests and the binary under test share test artifacts. All features are on,
//! or a test that asks for one (`testkit`) would be left out in silence; `product` then checks that what is shipped
//! compiles without them.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::{demo_page, deploy, terraform, tidy, tools};

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(anyhow::Error),
    Skipped(String),
}

/// One finished step.
#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match &self.outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed(error) => ("FAILED", format!("  {error:#}")),
            Outcome::Skipped(reason) => ("SKIPPED", format!("  {reason}")),
        };
        write!(
            out,
            "{:<12} {word:<8} {:>6.1}s{why}",
            self.name,
            self.took.as_secs_f64()
        )
    }
}

/// What a step that ran to its end says: done, or why it could not be done here.
enum Done {
    Yes,
    Skipped(String),
}

/// A run of steps and what became of them.
pub(crate) struct Run<'a> {
    sh: &'a Shell,
    root: &'a Path,
    steps: Vec<Step>,
}

impl<'a> Run<'a> {
    /// A run in the workspace at `root`.
    pub(crate) fn new(sh: &'a Shell, root: &'a Path) -> Self {
        Self {
            sh,
            root,
            steps: Vec::new(),
        }
    }

    /// Format, tidy, deny, clippy, docs, and the product by itself.
    pub(crate) fn checks(&mut self) {
        self.step("fmt", |sh, _| run(&cmd!(sh, "cargo fmt --all --check")));
        self.step("tidy", check_tidy);
        self.step("deny", |sh, _| deny(sh));
        self.step("advisories", |sh, _| advisories(sh));
        self.step("clippy", |sh, _| {
            run(&cmd!(
                sh,
                "cargo clippy --locked --workspace --all-features --all-targets -- -D warnings"
            ))
        });
        self.step("product", |sh, _| {
            run(&cmd!(sh, "cargo check --locked --package cartograph"))
        });
        self.step("doc", |sh, _| {
            run(
                &cmd!(sh, "cargo doc --locked --workspace --all-features --no-deps")
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        });
    }

    /// Every test and doctest, with the binary that they drive.
    pub(crate) fn tests(&mut self) {
        self.step("tools", |sh, _| {
            tools::ensure_redis(sh)?;
            tools::ensure_clients(sh)?;
            tools::ensure_nextest(sh)?;
            Ok(Done::Yes)
        });
        self.step("binary", |sh, _| {
            run(&cmd!(
                sh,
                "cargo build --locked --workspace --all-features --profile test --bin cartograph"
            ))
        });
        self.step("nextest", |sh, root| {
            let binary = target_dir(root).join("debug").join("cartograph");
            run(&cmd!(
                sh,
                "cargo nextest run --locked --workspace --all-features --profile ci"
            )
            .env("CARTOGRAPH_BIN", binary))
        });
        self.step("doctests", |sh, _| {
            run(&cmd!(sh, "cargo test --locked --workspace --all-features --doc"))
        });
        self.step("page", |sh, root| demo_page::check(sh, root).map(done));
        self.step("browser", |sh, root| {
            demo_page::browse(sh, root, &target_dir(root).join("debug").join("cartograph")).map(done)
        });
    }

    /// Terraform's modules, as far as a machine without Google Cloud can check them.
    pub(crate) fn terraform(&mut self) {
        self.step("terraform", |sh, root| {
            Ok(terraform::check(sh, root)?.map_or(Done::Yes, Done::Skipped))
        });
    }

    /// Alert rules, dashboards, Kubernetes manifests, compose file, unit, and misconfigurations of all of them.
    pub(crate) fn deploy(&mut self) {
        type Check = fn(&Shell, &Path) -> Result<deploy::Skipped>;
        let checks: [(&'static str, Check); 5] = [
            ("alerts", deploy::alerts),
            ("manifests", deploy::manifests),
            ("compose", deploy::compose),
            ("unit", deploy::unit),
            ("checkov", deploy::checkov),
        ];
        for (name, check) in checks {
            self.step(name, |sh, root| {
                Ok(check(sh, root)?.map_or(Done::Yes, Done::Skipped))
            });
        }
    }

    fn step(&mut self, name: &'static str, body: impl FnOnce(&Shell, &Path) -> Result<Done>) {
        println!("\n== {name}");
        #[expect(
            clippy::disallowed_methods,
            reason = "how long a step took is the one clock that xtask reads"
        )]
        let start = Instant::now();
        let outcome = match body(self.sh, self.root) {
            Ok(Done::Yes) => Outcome::Passed,
            Ok(Done::Skipped(reason)) => Outcome::Skipped(reason),
            Err(error) => Outcome::Failed(error),
        };
        let step = Step {
            name,
            outcome,
            took: start.elapsed(),
        };
        println!("== {step}");
        self.steps.push(step);
    }

    /// Prints all steps again and says whether none failed.
    pub(crate) fn report(&self) -> bool {
        println!("\n== summary");
        for step in &self.steps {
            println!("{step}");
        }
        let failed = self
            .steps
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Failed(_)))
            .count();
        let skipped = self
            .steps
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Skipped(_)))
            .count();
        println!("{} steps, {failed} failed, {skipped} skipped", self.steps.len());
        failed == 0
    }
}

/// Done, unless there is a reason why not.
fn done(skipped: Option<String>) -> Done {
    skipped.map_or(Done::Yes, Done::Skipped)
}

fn run(command: &xshell::Cmd<'_>) -> Result<Done> {
    command.run()?;
    Ok(Done::Yes)
}

/// Where cargo puts what it builds, as far as the environment decides it.
pub(crate) fn target_dir(root: &Path) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set))
}

fn check_tidy(sh: &Shell, root: &Path) -> Result<Done> {
    let problems = tidy::run(sh, root)?;
    for problem in &problems {
        println!("{problem}");
    }
    anyhow::ensure!(problems.is_empty(), "{}", tidy::verdict(&problems));
    Ok(Done::Yes)
}

/// Licences, sources, bans and duplicates need no network beyond the registry.
fn deny(sh: &Shell) -> Result<Done> {
    if let Err(error) = tools::ensure_deny(sh) {
        return Ok(Done::Skipped(format!(
            "LICENCES, SOURCES AND BANS NOT CHECKED: {error:#}"
        )));
    }
    run(&cmd!(
        sh,
        "cargo deny --locked --workspace check --deny unmatched-skip bans licenses sources"
    ))
}

/// Advisories need their database, a Git repository; without it the step is skipped, aloud.
fn advisories(sh: &Shell) -> Result<Done> {
    if tools::ensure_deny(sh).is_err() {
        return Ok(Done::Skipped(
            "ADVISORIES NOT CHECKED: cargo-deny is missing".to_owned(),
        ));
    }
    // Where the network neither answers nor refuses, Git gives up after half a minute.
    let fetch = cmd!(sh, "cargo deny fetch db")
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        .env("GIT_HTTP_LOW_SPEED_TIME", "30");
    if let Err(error) = fetch.run() {
        return Ok(Done::Skipped(format!(
            "ADVISORIES NOT CHECKED: their database could not be fetched ({error}); run this where GitHub can be reached"
        )));
    }
    cmd!(
        sh,
        "cargo deny --locked --workspace check --disable-fetch advisories"
    )
    .run()
    .context("cargo deny check advisories")?;
    Ok(Done::Yes)
}
