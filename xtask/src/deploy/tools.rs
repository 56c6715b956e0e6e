//! Tools of the deployment checks: found, else installed, else an error that says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// What is installed from `PyPI`, exactly: a new check must be a decision.
const PYTHON: &[(&str, &str)] = &[("checkov", "3.3.30"), ("kubernetes-validate", "1.37.0")];

/// Is a program of this name on PATH?
pub(super) fn has(sh: &Shell, program: &str) -> bool {
    cmd!(sh, "which {program}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_ok()
}

/// Makes sure that `program` is on PATH, by `package` of Debian where it is not.
pub(super) fn ensure_apt(sh: &Shell, program: &str, package: &str) -> Result<()> {
    if has(sh, program) {
        return Ok(());
    }
    let root = cmd!(sh, "id -u")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok_and(|id| id == "0");
    if !root || !has(sh, "apt-get") {
        bail!("`{program}` is not on PATH, and cannot be installed from here (needs root and apt-get)");
    }
    eprintln!("xtask: no {program} on PATH; installing {package}");
    let install = cmd!(sh, "apt-get install --yes --no-install-recommends {package}")
        .env("DEBIAN_FRONTEND", "noninteractive");
    if install.quiet().ignore_stdout().run().is_err() {
        cmd!(sh, "apt-get update").quiet().ignore_stdout().run()?;
        cmd!(sh, "apt-get install --yes --no-install-recommends {package}")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .ignore_stdout()
            .run()
            .with_context(|| format!("{package} could not be installed"))?;
    }
    if !has(sh, program) {
        bail!("Debian's {package} has no `{program}`");
    }
    Ok(())
}

/// A program of a Python package, in an environment of our own below `target/`.
pub(super) fn ensure_python(sh: &Shell, root: &Path, package: &str) -> Result<PathBuf> {
    let version = PYTHON
        .iter()
        .find_map(|(name, version)| (*name == package).then_some(*version))
        .with_context(|| format!("{package} has no version"))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set));
    let place = target.join("tools").join(format!("{package}-{version}"));
    let program = place.join("bin").join(package);
    let mark = place.join("installed");
    if mark.exists() && program.exists() {
        return Ok(program);
    }
    if !has(sh, "python3") {
        bail!("`python3` is not on PATH");
    }
    eprintln!("xtask: installing {package} {version} from PyPI (once)");
    cmd!(sh, "python3 -m venv --clear {place}").quiet().run()?;
    let pip = place.join("bin").join("pip");
    cmd!(
        sh,
        "{pip} install --quiet --disable-pip-version-check --no-input {package}=={version}"
    )
    .run()
    .with_context(|| format!("{package} {version} could not be fetched from PyPI"))?;
    sh.write_file(&mark, version)?;
    Ok(program)
}
