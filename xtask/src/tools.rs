//! The tools that a test run needs: found, else installed, else named loudly.
//!
//! A missing tool never makes a step pass. What can be installed without asking (a cargo tool; `redis-server` by
//! apt-get, as root) is; what cannot fails with the line to type.

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// Redis before this lacks commands that the conformance tests compare against.
const REDIS_MIN: (u32, u32) = (6, 2);

/// Makes sure that a `redis-server` (or `valkey-server`) new enough is on PATH.
///
/// # Errors
/// When none is and none can be installed.
pub(crate) fn ensure_redis(sh: &Shell) -> Result<()> {
    if let Some((server, version)) = installed_redis(sh) {
        if version >= REDIS_MIN {
            return Ok(());
        }
        bail!(
            "{server} {}.{} is too old: the tests need {}.{} or later on PATH",
            version.0,
            version.1,
            REDIS_MIN.0,
            REDIS_MIN.1
        );
    }
    let by_hand = "install redis-server 6.2 or later (Debian: `sudo apt-get install redis-server`, macOS: `brew install \
                   redis`) and run this again";
    let root = cmd!(sh, "id -u")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok_and(|id| id == "0");
    if !root
        || cmd!(sh, "apt-get --version")
            .quiet()
            .ignore_stderr()
            .read()
            .is_err()
    {
        bail!(
            "no redis-server on PATH, and it cannot be installed from here (needs root and apt-get): {by_hand}"
        );
    }
    eprintln!("xtask: no redis-server on PATH; installing it");
    // The package starts a server of its own on the default port where an init system runs: the tests never use it.
    cmd!(sh, "apt-get update")
        .run()
        .and_then(|()| {
            cmd!(sh, "apt-get install --yes --no-install-recommends redis-server")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run()
        })
        .with_context(|| format!("no redis-server on PATH, and apt-get could not install it: {by_hand}"))?;
    match installed_redis(sh) {
        Some((_, version)) if version >= REDIS_MIN => Ok(()),
        found => bail!("apt-get gave {found:?}, the tests need {REDIS_MIN:?} or later: {by_hand}"),
    }
}

/// The first server program on PATH that says its version.
fn installed_redis(sh: &Shell) -> Option<(&'static str, (u32, u32))> {
    ["redis-server", "valkey-server"].into_iter().find_map(|server| {
        let said = cmd!(sh, "{server} --version")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()?;
        Some((server, server_version(&said)?))
    })
}

/// Major and minor out of `Redis server v=7.0.15 sha=...`.
fn server_version(said: &str) -> Option<(u32, u32)> {
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Makes sure that `cargo nextest` runs.
///
/// # Errors
/// When it is missing and `cargo install` fails.
pub(crate) fn ensure_nextest(sh: &Shell) -> Result<()> {
    ensure_cargo_tool(sh, "nextest")
}

/// Makes sure that `cargo deny` runs.
///
/// # Errors
/// When it is missing and `cargo install` fails.
pub(crate) fn ensure_deny(sh: &Shell) -> Result<()> {
    ensure_cargo_tool(sh, "deny")
}

/// What the tests with foreign clients start, how to see that it is there, and its Debian package.
const CLIENTS: &[(&[&str], &str)] = &[
    (&["python3", "-c", "import venv, ensurepip"], "python3-venv"),
    (&["node", "--version"], "nodejs"),
    (&["npm", "--version"], "npm"),
    (&["ruby", "-e", "require 'redis'"], "ruby-redis"),
    (&["redis-cli", "--version"], "redis-tools"),
    (
        &["prometheus-redis-exporter", "--version"],
        "prometheus-redis-exporter",
    ),
];

/// Makes sure that the foreign clients of the tests can be run: their languages, `redis-cli` and the stock exporter.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn ensure_clients(sh: &Shell) -> Result<()> {
    let missing = || -> Vec<&str> {
        let absent = CLIENTS.iter().filter(|(words, _)| !runs(sh, words));
        absent.map(|(_, package)| *package).collect()
    };
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "install {0} (Debian: `sudo apt-get install {0}`) and run this again",
        packages.join(" ")
    );
    if !runs(sh, &["apt-get", "--version"]) || cmd!(sh, "id -u").quiet().read().ok().as_deref() != Some("0") {
        bail!("the tests with foreign clients lack programs, which cannot be installed from here: {by_hand}");
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    cmd!(sh, "apt-get update")
        .run()
        .and_then(|()| {
            cmd!(sh, "apt-get install --yes --no-install-recommends {packages...}")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run()
        })
        .with_context(|| format!("apt-get could not install what the tests need: {by_hand}"))?;
    let still = missing();
    if still.is_empty() {
        Ok(())
    } else {
        bail!("apt-get installed {still:?}, and they do not run: {by_hand}")
    }
}

/// Does this command line end well?
fn runs(sh: &Shell, words: &[&str]) -> bool {
    let Some((program, arguments)) = words.split_first() else {
        return false;
    };
    cmd!(sh, "{program} {arguments...}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_ok()
}

fn ensure_cargo_tool(sh: &Shell, tool: &str) -> Result<()> {
    if cmd!(sh, "cargo {tool} --version")
        .quiet()
        .ignore_stderr()
        .ignore_stdout()
        .run()
        .is_ok()
    {
        return Ok(());
    }
    let package = format!("cargo-{tool}");
    eprintln!("xtask: {package} is missing; installing it (minutes, once)");
    cmd!(sh, "cargo install --locked {package}")
        .run()
        .with_context(|| format!("{package} is missing and could not be installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_that_a_server_says() {
        let redis =
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0";
        assert_eq!(server_version(redis), Some((7, 0)));
        assert_eq!(server_version("Server v=8.1.1 sha=0"), Some((8, 1)));
        assert_eq!(server_version("nonsense"), None);
    }

    #[test]
    fn an_old_server_is_older_than_the_least_one() {
        assert!(server_version("Redis server v=6.0.16 sha=0").unwrap() < REDIS_MIN);
        assert!(server_version("Redis server v=6.2.0 sha=0").unwrap() >= REDIS_MIN);
    }
}
