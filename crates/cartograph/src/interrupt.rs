//! Ctrl-C: once ends gracefully, twice at once.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::term::Term;

/// Listens for Ctrl-C from now on. The token is cancelled by the first one; the second ends the process.
pub(crate) fn listen(term: Arc<Term>) -> CancellationToken {
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        // Where no handler can be installed, Ctrl-C does what it does without one.
        if tokio::signal::ctrl_c().await.is_ok() {
            term.note("stopping; Ctrl-C again stops at once");
            first.cancel();
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(Exit::Interrupted.code().into());
            }
        }
    });
    token
}
