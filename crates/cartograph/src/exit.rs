//! How a command ends: exit codes that scripts can rely on, and failures that help.
//!
//! Every client command ends in one of six ways, the same for all of them, so that `&&`, `if` and CI can tell
//! "the answer is no" from "there was no answer". A [`Failure`] carries what happened and what to do about it;
//! where it happened (an address, a region, a file) is part of what happened.

use std::fmt;
use std::process::ExitCode;

/// The table of exit codes as help texts show it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    it worked, and every check said yes
  1    a check said no, or the server refused the request
  2    the command line was wrong
  3    a region or the demo could not be reached
  4    it took longer than allowed
  130  stopped by Ctrl-C";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked, and every check said yes.
    Success,
    /// A check said no (regions differ, a write was lost), or the server refused the request.
    Refused,
    /// The command line or a file that it names makes no sense.
    Usage,
    /// A region or the demo could not be reached.
    Unreachable,
    /// It took longer than allowed.
    Timeout,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Timeout => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do its work: what happened and where, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    advice: Option<String>,
}

impl Failure {
    /// A failure that ends with `exit`; `what` says what was being done, to what, and what went wrong.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            advice: None,
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The exit code to end with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What the user can do about it, where there is anything to say.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// Writing the result failed for another reason than a closed pipe (a full disk, say).
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Refused, format!("cannot write the result: {error}"))
    }
}
