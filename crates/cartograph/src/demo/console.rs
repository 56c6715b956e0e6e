//! What the demo says on standard output: lines, and on a terminal a table that is drawn anew below them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Lines that are remembered where nothing is printed.
const KEPT_MAX: usize = 10_000;

/// Standard output, shared by everything that has something to say.
#[derive(Debug)]
pub(crate) struct Console {
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The table's lines as they stand on the screen.
    table: String,
    /// What was said, where nothing is printed.
    kept: Option<Vec<String>>,
}

impl Console {
    /// The process's standard output.
    pub(crate) fn stdout() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            state: Mutex::default(),
        }
    }

    /// One that only remembers its lines, up to [`KEPT_MAX`] of them.
    pub(crate) fn kept() -> Self {
        let state = State {
            table: String::new(),
            kept: Some(Vec::new()),
        };
        Self {
            terminal: false,
            state: Mutex::new(state),
        }
    }

    /// What was said so far, where it is kept.
    pub(crate) fn said(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.clone().unwrap_or_default()
    }

    /// Whether people are watching.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Says one line (or several), above the table.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &mut state.kept {
            if kept.len() < KEPT_MAX {
                kept.push(line.as_ref().to_owned());
            }
            return;
        }
        let mut out = erase(&state.table);
        let _ = writeln!(out, "{}", line.as_ref());
        out.push_str(&drawn(&state.table));
        print(&out);
    }

    /// Replaces the table; only on a terminal.
    pub(crate) fn draw(&self, table: &str) {
        if !self.terminal {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let out = erase(&state.table) + &drawn(table);
        table.clone_into(&mut state.table);
        print(&out);
    }

    /// Leaves the table as it stands and writes below it from now on.
    pub(crate) fn leave_table(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .table
            .clear();
    }
}

/// Moves above the table and clears it.
fn erase(table: &str) -> String {
    let lines = table.lines().count();
    if lines == 0 {
        String::new()
    } else {
        format!("\x1b[{lines}A\x1b[J")
    }
}

/// The table with automatic wrapping off, so that a long line stays one line and the count of lines right.
fn drawn(table: &str) -> String {
    if table.is_empty() {
        String::new()
    } else {
        format!("\x1b[?7l{}\n\x1b[?7h", table.trim_end())
    }
}

/// A closed standard output is no reason to stop the regions.
fn print(out: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
}
