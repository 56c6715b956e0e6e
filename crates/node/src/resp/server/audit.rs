//! The audit log: who did what as an administrator, from where, and what came of it.
//!
//! Each command that needs the right `admin`, each change of users and each failed AUTH is one event of the tracing
//! target `audit`, and, with `resp.audit_file`, one JSON object on a line of that file. Arguments that may be passwords
//! are not written; others are cut to 128 bytes.
//!
//! The door never waits for the disk: lines go through a bounded queue to a thread of their own. When the disk is too
//! slow for it, lines are lost and counted, and the next line that is written says how many.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use cartograph_resp::Value;
use serde_json::json;

use super::super::session::Session;
use crate::clock;
use crate::config::{ConfigError, Problem};

/// Lines that may wait for the disk.
const LINES_MAX: usize = 4_096;

/// Arguments that a line shows, the name included.
const ARGUMENTS_MAX: usize = 16;

/// Bytes that a line shows of an argument.
const ARGUMENT_BYTES_MAX: usize = 128;

/// What stands for an argument that may be a password.
const HIDDEN: &str = "(hidden)";

/// Where the events go.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    file: Option<SyncSender<String>>,
    lost: Arc<AtomicU64>,
}

impl Audit {
    /// Opens the file to append to it, where there is one.
    ///
    /// # Errors
    /// It cannot be opened, or no thread can be had.
    pub(crate) fn open(path: Option<&Path>) -> Result<Audit, ConfigError> {
        let Some(path) = path else {
            return Ok(Audit::default());
        };
        let unusable = |error: std::io::Error| {
            ConfigError::Invalid(vec![Problem {
                key: "resp.audit_file".to_owned(),
                found: format!("{}: {error}", path.display()),
                expected: "a file that can be written".to_owned(),
            }])
        };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(unusable)?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_lines(file, &lines, &counter))
            .map_err(unusable)?;
        Ok(Audit {
            file: Some(sender),
            lost,
        })
    }

    /// Notes a command and its outcome.
    pub(crate) fn note(&self, session: &Session, arguments: &[Bytes], outcome: &Value) {
        let user = session.client.said().user.clone();
        let address = session.client.address;
        let id = session.client.id;
        let command = shown(arguments);
        let outcome = if let Value::Error(error) = outcome {
            error.as_str()
        } else {
            "ok"
        };
        tracing::info!(
            target: "audit", %user, %address, client = id, command = %command.join(" "), outcome,
            "an administrator's command"
        );
        let Some(file) = &self.file else { return };
        let line = json!({
            "at_ms": clock::wall_ms(),
            "user": user,
            "address": address.to_string(),
            "client": id,
            "command": command,
            "outcome": outcome,
        });
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = file.try_send(line.to_string()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that the disk was too slow for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Writes lines until nobody can send any more.
fn write_lines(mut file: std::fs::File, lines: &Receiver<String>, lost: &AtomicU64) {
    let mut told = 0;
    while let Ok(mut line) = lines.recv() {
        let now = lost.load(Ordering::Relaxed);
        if now > told {
            line = json!({"lost_lines": now - told}).to_string() + "\n" + &line;
            told = now;
        }
        line.push('\n');
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::error!(target: "audit", %error, "a line of the audit file was not written");
        }
    }
}

/// The command's words, passwords hidden.
pub(crate) fn shown(arguments: &[Bytes]) -> Vec<String> {
    let word = |n: usize| arguments.get(n).map(|a| a.to_ascii_lowercase());
    let hidden_from = match word(0).as_deref() {
        Some(b"auth") if arguments.len() == 2 => 1,
        Some(b"auth") => 2,
        // ACL SETUSER name >password, CONFIG SET requirepass password.
        Some(b"acl") if word(1).as_deref() == Some(b"setuser") => 3,
        Some(b"config") if word(2).is_some_and(|w| w.ends_with(b"pass") || w.ends_with(b"auth")) => 3,
        Some(b"migrate") => 6,
        Some(b"hello") => {
            let auth = arguments.iter().position(|a| a.eq_ignore_ascii_case(b"auth"));
            auth.map_or(usize::MAX, |at| at + 2)
        }
        _ => usize::MAX,
    };
    let mut words = Vec::with_capacity(arguments.len().min(ARGUMENTS_MAX) + 1);
    for (n, argument) in arguments.iter().take(ARGUMENTS_MAX).enumerate() {
        if n >= hidden_from {
            words.push(HIDDEN.to_owned());
            continue;
        }
        let first = argument.get(..ARGUMENT_BYTES_MAX).unwrap_or(argument);
        let mut text: String = String::from_utf8_lossy(first).into_owned();
        if first.len() < argument.len() {
            text.push_str("...");
        }
        words.push(
            text.chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect(),
        );
    }
    if arguments.len() > ARGUMENTS_MAX {
        words.push(format!("({} more)", arguments.len() - ARGUMENTS_MAX));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let arguments: Vec<Bytes> = line
            .split(' ')
            .map(|w| Bytes::copy_from_slice(w.as_bytes()))
            .collect();
        shown(&arguments).join(" ")
    }

    #[test]
    fn no_password_gets_into_the_log() {
        for line in [
            "AUTH hunter2",
            "auth bob hunter2",
            "HELLO 3 AUTH bob hunter2",
            "ACL SETUSER bob >hunter2",
            "CONFIG SET requirepass hunter2",
            "config set masterauth hunter2",
        ] {
            assert!(!words(line).contains("hunter2"), "{}", words(line));
        }
        assert_eq!(words("auth bob x"), "auth bob (hidden)");
        assert_eq!(words("CLIENT KILL ID 7"), "CLIENT KILL ID 7");
        assert_eq!(words("CONFIG SET timeout 7"), "CONFIG SET timeout 7");
    }

    #[test]
    fn what_a_client_sends_cannot_forge_a_line_nor_fill_the_disk() {
        let arguments = vec![Bytes::from("a\r\nb".to_owned() + &"x".repeat(500)); 40];
        let shown = shown(&arguments);
        assert_eq!(shown.len(), 17);
        assert!(shown[0].starts_with("a??b") && shown[0].len() < 140);
        assert_eq!(shown[16], "(24 more)");
    }
}
