//! The terminal: results to stdout, everything else to stderr, colour only where it is wanted.
//!
//! A closed stdout (`cartograph status | head -1`) is not an error: what follows is dropped, and the command
//! still ends with the exit code of its own verdict. Nothing here panics when a stream is gone, as the `print`
//! macros would.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Failure;

/// What a piece of text means; the colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// A heading.
    Strong,
    /// Detail that may be skipped.
    Dim,
}

/// Where a command writes.
#[derive(Debug)]
pub(crate) struct Term {
    quiet: bool,
    color: bool,
    color_stderr: bool,
    closed: AtomicBool,
}

impl Term {
    /// A terminal as the global flags and the environment ask for it.
    pub(crate) fn new(quiet: bool, no_color: bool) -> Self {
        let wanted = |tty| !no_color && wants_color(tty, |name| std::env::var(name).ok());
        Self {
            quiet,
            color: wanted(io::stdout().is_terminal()),
            color_stderr: wanted(io::stderr().is_terminal()),
            closed: AtomicBool::new(false),
        }
    }

    /// Writes a result to stdout, with a newline.
    ///
    /// # Errors
    /// What the system said, unless the reader has gone away: that is remembered in [`Term::closed`].
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        if self.closed() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other,
        }
    }

    /// Writes a JSON document to stdout, on one line.
    ///
    /// # Errors
    /// As [`Term::print`].
    pub(crate) fn print_json(&self, document: &serde_json::Value) -> io::Result<()> {
        self.print(&document.to_string())
    }

    /// True once nobody reads stdout any more; an endless command should stop then.
    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Tells the user what is going on, on stderr, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Reports why the command failed, on stderr, even with `--quiet`.
    pub(crate) fn failure(&self, failure: &Failure) {
        let label = if self.color_stderr {
            wrap(Paint::Bad, "error:")
        } else {
            "error:".to_owned()
        };
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{label} {failure}");
        if let Some(advice) = failure.advice() {
            let _ = writeln!(err, "  {advice}");
        }
    }

    /// True if a progress display belongs on stderr.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// `text` in the colour of its meaning, if stdout shows colours.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if self.color {
            wrap(paint, text)
        } else {
            text.to_owned()
        }
    }
}

/// What to write before each frame of an endless display: clears the screen where stdout is one.
pub(crate) fn frame_prefix() -> &'static str {
    if io::stdout().is_terminal() {
        "\x1b[2J\x1b[H"
    } else {
        ""
    }
}

fn wrap(paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "31",
        Paint::Strong => "1",
        Paint::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The conventions of `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR` and `TERM=dumb`.
fn wants_color(tty: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| env(name).is_some_and(|value| !value.is_empty() && value != "0");
    if env("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    if set("CLICOLOR_FORCE") {
        return true;
    }
    tty && env("TERM").as_deref() != Some("dumb") && env("CLICOLOR").as_deref() != Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(tty: bool, vars: &[(&str, &str)]) -> bool {
        wants_color(tty, |name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colour_is_for_terminals_unless_the_environment_says_otherwise() {
        assert!(wants(true, &[]));
        assert!(!wants(false, &[]));
        assert!(!wants(true, &[("NO_COLOR", "1")]));
        assert!(
            wants(true, &[("NO_COLOR", "")]),
            "an empty NO_COLOR counts as unset"
        );
        assert!(!wants(true, &[("TERM", "dumb")]));
        assert!(wants(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!wants(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!wants(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
    }
}
