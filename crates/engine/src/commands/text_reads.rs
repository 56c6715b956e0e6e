//! Reads of strings.

use cartograph_replica::Key;

use super::strings::{look_string, shown_bytes};
use crate::command::Reply;
use crate::command::read::LcsForm;
use crate::error::CommandError;
use crate::writer::{Stop, Writer};

/// Cells of the table that LCS fills, at most: it holds one number of four bytes each.
const LCS_CELLS_MAX: usize = 32 << 20;

fn bytes(w: &mut Writer<'_>, key: &[u8]) -> Result<Vec<u8>, Stop> {
    let shown = look_string(w, key)?;
    Ok(shown_bytes(w, key, shown)?.unwrap_or_default())
}

/// MGET: nil for what is absent or no string.
pub(super) fn mget(w: &mut Writer<'_>, keys: &[Key]) -> Result<Reply, Stop> {
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let shown = match look_string(w, key) {
            Err(Stop::Refused(CommandError::WrongType)) => None,
            shown => shown?,
        };
        values.push(Reply::bytes(shown_bytes(w, key, shown)?));
    }
    Ok(Reply::Array(values))
}

/// STRLEN.
pub(super) fn strlen(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    Ok(Reply::count(bytes(w, key)?.len()))
}

/// GETRANGE and SUBSTR.
pub(super) fn getrange(w: &mut Writer<'_>, key: &[u8], start: i64, end: i64) -> Result<Reply, Stop> {
    let bytes = bytes(w, key)?;
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Bytes(Vec::new()));
    }
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(length).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let part = range.and_then(|(start, end)| bytes.get(start..=end.max(start)).filter(|_| start <= end));
    Ok(Reply::Bytes(part.unwrap_or_default().to_vec()))
}

/// LCS: the longest common subsequence.
pub(super) fn lcs(w: &mut Writer<'_>, keys: &[Key; 2], form: LcsForm) -> Result<Reply, Stop> {
    let mut texts = Vec::with_capacity(2);
    for key in keys {
        match bytes(w, key) {
            Err(Stop::Refused(CommandError::WrongType)) => return Err(CommandError::LcsNotStrings.into()),
            other => texts.push(other?),
        }
    }
    let [first, second] = texts.as_slice() else {
        return Ok(Reply::Nil);
    };
    if (first.len() + 1).saturating_mul(second.len() + 1) > LCS_CELLS_MAX {
        return Err(CommandError::LcsTooLong.into());
    }
    let (sequence, matches) = common(first, second);
    let length = Reply::count(sequence.len());
    Ok(match form {
        LcsForm::Sequence => Reply::Bytes(sequence),
        LcsForm::Length => length,
        LcsForm::Matches { shortest, lengths } => {
            let long = matches.iter().filter(|m| m.length() as u64 >= shortest);
            Reply::Array(vec![
                Reply::Bytes(b"matches".to_vec()),
                Reply::Array(long.map(|m| m.reply(lengths)).collect()),
                Reply::Bytes(b"len".to_vec()),
                length,
            ])
        }
    })
}

/// The subsequence, and the runs that it is made of, last first.
fn common(a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
    let columns = b.len() + 1;
    let table = table(a, b);
    let at = |i: usize, j: usize| table.get(i * columns + j).copied().unwrap_or(0);
    let (mut i, mut j) = (a.len(), b.len());
    let (mut sequence, mut matches) = (Vec::new(), Vec::new());
    let mut open: Option<Match> = None;
    while i > 0 && j > 0 {
        if a.get(i - 1) == b.get(j - 1) {
            sequence.extend(a.get(i - 1));
            (i, j) = (i - 1, j - 1);
            open = Some(match open {
                Some(run) if run.a.0 == i + 1 && run.b.0 == j + 1 => Match {
                    a: (i, run.a.1),
                    b: (j, run.b.1),
                },
                run => {
                    matches.extend(run);
                    Match { a: (i, i), b: (j, j) }
                }
            });
        } else if at(i - 1, j) > at(i, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    matches.extend(open);
    sequence.reverse();
    (sequence, matches)
}

/// The lengths of the longest common subsequences of all prefixes, row by row.
fn table(a: &[u8], b: &[u8]) -> Vec<u32> {
    let columns = b.len() + 1;
    let mut table = vec![0_u32; columns];
    table.reserve(a.len() * columns);
    for x in a {
        let above = table.len() - columns;
        table.push(0);
        for (j, y) in b.iter().enumerate() {
            let number = |at: usize| table.get(at).copied().unwrap_or(0);
            let length = if x == y {
                number(above + j) + 1
            } else {
                number(above + j + 1).max(number(table.len() - 1))
            };
            table.push(length);
        }
    }
    table
}

/// A run that both strings have, from and to, both included.
#[derive(Clone, Copy)]
struct Match {
    a: (usize, usize),
    b: (usize, usize),
}

impl Match {
    fn length(self) -> usize {
        self.a.1 - self.a.0 + 1
    }

    fn reply(self, length: bool) -> Reply {
        let range = |(from, to)| Reply::Array(vec![Reply::count(from), Reply::count(to)]);
        let mut parts = vec![range(self.a), range(self.b)];
        if length {
            parts.push(Reply::count(self.length()));
        }
        Reply::Array(parts)
    }
}
