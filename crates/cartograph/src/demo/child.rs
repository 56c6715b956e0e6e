//! `cartograph demo-child`: a moment between the demo and each of its children.
//!
//! Children must die with the demo even when it is killed and can tell nobody. Linux has a setting for that, the parent-death
//! signal, which a process can only make for itself; this wrapper makes it and then *becomes* the real program, whose process
//! id is thus the wrapper's. The setting survives the exec. Elsewhere there is no such signal, and children of a demo that was
//! killed outright live on; its ports then name them at the next start.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

/// Arguments of the hidden subcommand `demo-child`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    /// The process id of the demo.
    #[arg(long)]
    parent: i32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Ties this process's life to its parent's and becomes the program; returns only when that failed.
///
/// # Errors
/// The demo has already gone, or the program cannot be run.
pub(crate) fn run_child(args: ChildArgs) -> anyhow::Result<ExitCode> {
    let mut words = args.command.into_iter();
    let program = words.next().context("no program to run")?;
    die_with_parent()?;
    // SUBTLE: a parent that died before the line above sends no signal any more; then somebody else is our parent now.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent != args.parent {
        bail!("the demo (process {}) has gone", args.parent);
    }
    let error = Command::new(&program).args(words).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Asks the kernel to kill this process when the thread that started it ends.
#[cfg(target_os = "linux")]
fn die_with_parent() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot set the parent-death signal")
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the Linux version can fail")]
fn die_with_parent() -> anyhow::Result<()> {
    Ok(())
}
