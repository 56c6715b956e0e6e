//! The demo's page: its types, habits and arithmetic, and a real browser before a real demo; and the README's pictures.
//!
//! The page is written in what browsers run, so the product needs no Node.js to be built or run; its tests do. npm packages
//! are those of `tests/ui/package-lock.json`. What is missing is installed where that can be done without asking; where it
//! cannot be, the step is skipped, aloud.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

/// Browsers that will do, by their programs' names.
const BROWSERS: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// The tests use the test runner as it is since this version.
const NODE_MIN: u32 = 20;

/// Type check, lint and the tests that need no browser. `Some` says why they could not run.
///
/// # Errors
/// They found something.
pub(crate) fn check(sh: &Shell, root: &Path) -> Result<Option<String>> {
    if let Err(error) = ensure_packages(sh, root) {
        return Ok(Some(format!(
            "THE PAGE'S TYPES AND HABITS NOT CHECKED: {error:#}"
        )));
    }
    let _dir = sh.push_dir(folder(root));
    cmd!(sh, "npm run --silent types").run()?;
    cmd!(sh, "npm run --silent lint").run()?;
    cmd!(sh, "npm run --silent unit").run()?;
    Ok(None)
}

/// Everything that people do with the page, in a browser. `Some` says why it could not run.
///
/// # Errors
/// The page did not do what it must.
pub(crate) fn browse(sh: &Shell, root: &Path, binary: &Path) -> Result<Option<String>> {
    let browser = match ensure_packages(sh, root).and_then(|()| ensure_browser(sh)) {
        Ok(browser) => browser,
        Err(error) => return Ok(Some(format!("THE PAGE NOT TRIED IN A BROWSER: {error:#}"))),
    };
    let _dir = sh.push_dir(folder(root));
    cmd!(sh, "npm run --silent browser")
        .env("CARTOGRAPH_BIN", binary)
        .env("CARTOGRAPH_CHROMIUM", browser)
        .run()?;
    Ok(None)
}

/// Makes the pictures at the top of the README, from an optimised build.
///
/// # Errors
/// A tool is missing and cannot be installed, or the demo does not play its scene.
pub(crate) fn screenshots(sh: &Shell, root: &Path, target: &Path) -> Result<()> {
    ensure_packages(sh, root)?;
    let browser = ensure_browser(sh)?;
    cmd!(sh, "cargo build --locked --release --package cartograph").run()?;
    let _dir = sh.push_dir(folder(root));
    cmd!(sh, "npm run --silent screenshots")
        .env("CARTOGRAPH_BIN", target.join("release").join("cartograph"))
        .env("CARTOGRAPH_CHROMIUM", browser)
        .run()?;
    Ok(())
}

fn folder(root: &Path) -> PathBuf {
    root.join("tests").join("ui")
}

/// Node.js with npm, and the packages of the lock file.
fn ensure_packages(sh: &Shell, root: &Path) -> Result<()> {
    if node_version(sh).is_none() {
        install(sh, &["nodejs", "npm"])?;
    }
    let version = node_version(sh).context("there is no Node.js on PATH")?;
    ensure!(
        version >= NODE_MIN,
        "Node.js {version} is too old: the page's tests need {NODE_MIN} or later"
    );
    let folder = folder(root);
    // npm writes this file last, and it repeats the lock file's time.
    let installed = folder.join("node_modules").join(".package-lock.json");
    let fresh =
        modified(&installed).is_some_and(|at| Some(at) >= modified(&folder.join("package-lock.json")));
    if !fresh {
        let _dir = sh.push_dir(folder);
        cmd!(sh, "npm ci --no-audit --no-fund")
            .run()
            .context("the packages of tests/ui/package-lock.json could not be installed")?;
    }
    Ok(())
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn node_version(sh: &Shell) -> Option<u32> {
    cmd!(sh, "npm --version")
        .quiet()
        .ignore_stderr()
        .ignore_stdout()
        .run()
        .ok()?;
    let said = cmd!(sh, "node --version").quiet().ignore_stderr().read().ok()?;
    major(&said)
}

/// `20` of `v20.20.2`.
fn major(said: &str) -> Option<u32> {
    said.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The path of a browser: the one that `CARTOGRAPH_CHROMIUM` names, or one on PATH, installed where none is.
fn ensure_browser(sh: &Shell) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CARTOGRAPH_CHROMIUM") {
        return Ok(PathBuf::from(named));
    }
    if let Some(found) = installed_browser(sh) {
        return Ok(found);
    }
    install(sh, &["chromium", "fonts-liberation"])?;
    installed_browser(sh).context("apt-get installed no Chromium")
}

fn installed_browser(sh: &Shell) -> Option<PathBuf> {
    BROWSERS.iter().find_map(|name| {
        let found = cmd!(sh, "which {name}").quiet().ignore_stderr().read().ok()?;
        Some(PathBuf::from(found.trim()))
    })
}

/// Installs Debian packages, as root where there is apt-get.
fn install(sh: &Shell, packages: &[&str]) -> Result<()> {
    let root = cmd!(sh, "id -u")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok_and(|id| id == "0");
    let apt = cmd!(sh, "apt-get --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok();
    let names = packages.join(" ");
    if !root || !apt {
        bail!("{names} is missing, and cannot be installed from here (needs root and apt-get)");
    }
    eprintln!("xtask: {names} is missing; installing it");
    cmd!(sh, "apt-get update")
        .run()
        .and_then(|()| {
            cmd!(sh, "apt-get install --yes --no-install-recommends {packages...}")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run()
        })
        .with_context(|| format!("apt-get could not install {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_that_node_says() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("node"), None);
    }
}
