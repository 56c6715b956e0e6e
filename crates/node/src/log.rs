//! The node's log, on standard error.
//!
//! | level | what |
//! |---|---|
//! | error | somebody has to act: data at risk, a link refused, a store that is not ours |
//! | warn | something is wrong and is being dealt with: a store or peer out of reach, a view repaired |
//! | info | a few lines a day: starts, stops, links, snapshots, incarnations |
//! | debug, trace | for those who read the code beside it |

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Begins to log as configured. A second call in one process changes nothing.
pub(crate) fn init(log: &Log) {
    let (filter, wrong) = match EnvFilter::try_new(&log.level) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // SUBTLE: what cannot be written must not be told on standard error either: that fails for the same reason (a full
        // disk), and `eprintln!` panics then, in the middle of whatever task had something to log.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let (Ok(()), Some(error)) = (set, wrong) {
        tracing::warn!(level = %log.level, %error, "log.level is not understood: logging at info");
    }
}
