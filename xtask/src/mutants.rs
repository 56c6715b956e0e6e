//! Does the simulator notice when the product is broken?
//!
//! `mutants.toml` names ways to break it. All of them are put into one temporary copy of the sources, each behind a
//! question whether it is switched on, and built once; then the simulator plays seeds with one mutant at a time until
//! it finds a violation, and once with none, which must find nothing. The product's own sources hold no trace of this.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use xshell::{Shell, cmd};

/// Options of `cargo xtask mutants`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only mutants whose name holds this.
    #[arg(long)]
    name: Option<String>,
    /// A mutant must be noticed within so many seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only see that each still finds its place in the sources.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Deserialize)]
struct File {
    mutant: Vec<Mutant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    what: String,
    file: String,
    find: String,
    replace: String,
}

/// The question that a mutated place asks, put into the copy of `crdt`, which all others build on.
const SWITCH: &str = r#"
/// Is this mutant switched on?
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("CARTOGRAPH_MUTANT").ok()).as_deref() == Some(name)
}
"#;

/// Builds the copy and plays seeds with each mutant. False when one was not noticed.
///
/// # Errors
/// When a mutant no longer finds its place, or the copy does not build.
#[expect(clippy::print_stdout, reason = "a command-line tool answers on stdout")]
pub(crate) fn run(sh: &Shell, root: &Path, options: &Options) -> Result<bool> {
    let text = sh.read_file(root.join("xtask/mutants.toml"))?;
    let file: File = toml::from_str(&text).context("xtask/mutants.toml")?;
    for mutant in &file.mutant {
        place(&sh.read_file(root.join(&mutant.file))?, mutant)?;
    }
    if options.check {
        println!("{} mutants find their places", file.mutant.len());
        return Ok(true);
    }
    let copy = root.join("target").join("mutants");
    write_copy(sh, root, &copy, &file.mutant)?;
    let binary = build(sh, root, &copy)?;
    let mut all = true;
    println!("| mutant | what is broken | seeds needed |\n|---|---|---|");
    let asked = |m: &&Mutant| options.name.as_ref().is_none_or(|n| m.name.contains(n));
    for mutant in file.mutant.iter().filter(asked) {
        let found = seeds_needed(sh, &binary, &mutant.name, options.seeds)?;
        all &= found.is_some();
        let needed = found.map_or("NOT NOTICED".to_owned(), |n| n.to_string());
        println!("| {} | {} | {needed} |", mutant.name, mutant.what);
    }
    if options.name.is_none() {
        let none = seeds_needed(sh, &binary, "none", 300)?;
        ensure!(none.is_none(), "with no mutant seed {none:?} fails");
        println!("| none | nothing | none of 300 fails |");
    }
    Ok(all)
}

/// The text with the mutant in it.
fn place(text: &str, mutant: &Mutant) -> Result<String> {
    let find = mutant.find.trim_matches('\n');
    let count = text.matches(find).count();
    ensure!(
        count == 1,
        "mutant {}: its text stands {count} times in {}, expected once: bring xtask/mutants.toml up to date",
        mutant.name,
        mutant.file
    );
    let path = if mutant.file.starts_with("crates/crdt/") {
        "crate"
    } else {
        "cartograph_crdt"
    };
    let question = format!("{path}::mutant({:?})", mutant.name);
    let replace = mutant.replace.trim_matches('\n');
    let words: Vec<&str> = replace.split("ON").collect();
    Ok(text.replacen(find, &words.join(&question), 1))
}

/// Copies the sources that the simulator is built from, mutated; files that are as they were keep their times.
fn write_copy(sh: &Shell, root: &Path, copy: &Path, mutants: &[Mutant]) -> Result<()> {
    let _quiet = sh.push_dir(root);
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard")
        .quiet()
        .read()?;
    for file in files.lines() {
        let wanted = file.starts_with("crates/")
            || file.starts_with("proto/")
            || file.starts_with("xtask/")
            || file.starts_with("tests/")
            || ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "README.md"].contains(&file);
        if !wanted || !root.join(file).is_file() {
            continue;
        }
        let mut bytes = sh.read_binary_file(root.join(file))?;
        let here: Vec<_> = mutants.iter().filter(|m| m.file == file).collect();
        if !here.is_empty() || file == "crates/crdt/src/lib.rs" {
            let mut text = String::from_utf8(bytes)?;
            // The longest first: one may stand inside another's place.
            let mut here = here;
            here.sort_by_key(|m| m.find.len());
            for mutant in here {
                text = place(&text, mutant)?;
            }
            if file == "crates/crdt/src/lib.rs" {
                text.push_str(SWITCH);
            }
            bytes = text.into_bytes();
        }
        let to = copy.join(file);
        if sh.read_binary_file(&to).ok().as_deref() != Some(&bytes) {
            sh.write_file(&to, &bytes)?;
        }
    }
    Ok(())
}

fn build(sh: &Shell, root: &Path, copy: &Path) -> Result<std::path::PathBuf> {
    let target = root.join("target").join("sim");
    let manifest = copy.join("Cargo.toml");
    cmd!(
        sh,
        "cargo build --locked --release --manifest-path {manifest} --package cartograph-sim --bin cartograph-sim"
    )
    .env("CARGO_TARGET_DIR", &target)
    .run()?;
    let built = target.join("release").join("cartograph-sim");
    let kept = copy.join("cartograph-sim");
    sh.copy_file(built, &kept)?;
    Ok(kept)
}

/// Plays seeds from 0 with a mutant; how many were needed, or `None` when all of them went well.
fn seeds_needed(sh: &Shell, binary: &Path, name: &str, seeds: u64) -> Result<Option<u64>> {
    let seeds = seeds.to_string();
    let output = cmd!(sh, "{binary} --quiet --runs {seeds}")
        .env("CARTOGRAPH_MUTANT", name)
        .quiet()
        .ignore_status()
        .output()?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("VIOLATION of seed ")?.split(':').next());
    match seed.and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => Ok(Some(seed + 1)),
        // It died of a debug assertion: that is noticing, too, at a seed that is not told.
        None if !output.stderr.is_empty() => Ok(Some(0)),
        None => bail!("the simulator ended with {} and said nothing", output.status),
    }
}
