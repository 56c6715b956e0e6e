//! A commit as the flat arguments of the commit script.
//!
//! Each operation is a letter and its arguments; the ones on a single element have letters of their own, because a
//! direct call costs Redis half of what a general one does. Order: metadata, views, indexes, log, head.

use ::redis::Cmd;
use cartograph_crdt::{Score, Type};
use cartograph_replica::commit::{
    CONFLICTS_MAX, Commit, Guard, MetadataChange, ViewChange, ViewContent, ViewExpiry, ViewShape,
};

use super::layout;
use super::script::Source;
use crate::hyperloglog;
use crate::kv::keys;
use crate::kv::views::canonical_score;

/// A commit as a command, by the script's name or by its text.
pub(crate) fn command(commit: &Commit, metadata_db: u16, script: &Source, by_name: bool) -> Cmd {
    let mut cmd = if by_name {
        let mut cmd = Cmd::new();
        cmd.arg("EVALSHA").arg(&script.sha);
        cmd
    } else {
        let mut cmd = Cmd::new();
        cmd.arg("EVAL").arg(script.text);
        cmd
    };
    cmd.arg(0).arg(metadata_db).arg(layout::head(commit.shard));
    let before = commit.batch.0.wrapping_sub(1);
    let head = |batch: u64, sequence: u64| format!("{} {batch} {sequence}", commit.fence.0);
    cmd.arg(head(before, commit.sequence_before));
    cmd.arg(head(commit.batch.0, commit.sequence_after));
    cmd.arg(u8::from(commit.freeing)).arg(commit.guards.len());
    for guard in &commit.guards {
        encode_guard(&mut cmd, guard);
    }
    for change in &commit.metadata {
        metadata(&mut cmd, &layout::row(commit.shard, &change.key), change);
    }
    if !commit.views.is_empty() {
        cmd.arg("V");
        for change in &commit.views {
            view(&mut cmd, change);
        }
        cmd.arg("W");
    }
    indexes(&mut cmd, commit);
    for append in &commit.log {
        cmd.arg("L").arg(layout::log(commit.shard, append.origin));
        cmd.arg(format!("{}-0", append.last)).arg(&append.record);
        cmd.arg(format!("{}-0", append.first));
        cmd.arg(format!("{}-0", append.first.saturating_sub(1)));
    }
    let fields = layout::head_fields(commit.shard);
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    for (field, blob) in &commit.head {
        let name = keys::field_name(*field);
        if blob.is_empty() {
            delete.push(name);
        } else {
            set.push(name);
            set.push(blob.clone());
        }
    }
    many(&mut cmd, ["h", "H"], fields.as_bytes(), &set, 2);
    many(&mut cmd, ["r", "R"], fields.as_bytes(), &delete, 1);
    cmd
}

/// An operation on a key with any number of arguments; its letter for just `one` argument (or pair), and for more.
fn many(cmd: &mut Cmd, [single, several]: [&str; 2], key: &[u8], args: &[impl AsRef<[u8]>], one: usize) {
    if args.is_empty() {
        return;
    }
    if args.len() == one {
        cmd.arg(single).arg(key);
    } else {
        cmd.arg(several).arg(key).arg(args.len());
    }
    for arg in args {
        cmd.arg(arg.as_ref());
    }
}

fn encode_guard(cmd: &mut Cmd, guard: &Guard) {
    cmd.arg(&guard.key);
    match guard.shape {
        ViewShape::Absent => cmd.arg("a").arg(""),
        ViewShape::Present {
            ty: Type::HyperLogLog,
            ..
        } => cmd.arg("y").arg(""),
        // An absent key has a length of 0, too.
        ViewShape::Present {
            ty,
            cardinality: None | Some(0),
        } => cmd.arg("t").arg(ty.redis_name()),
        ViewShape::Present {
            ty,
            cardinality: Some(n),
        } => {
            let kind = match ty {
                Type::String | Type::HyperLogLog => "l",
                Type::Hash => "h",
                Type::Set => "s",
                Type::SortedSet => "z",
            };
            cmd.arg(kind).arg(n)
        }
    };
}

fn metadata(cmd: &mut Cmd, row: &[u8], change: &MetadataChange) {
    if change.drop {
        cmd.arg("D").arg(row);
    }
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    let parts = [(keys::HEADER, &change.header), (keys::SUMMARY, &change.summary)];
    for (part, blob) in parts {
        match blob {
            None => {}
            Some(blob) if blob.is_empty() => delete.push(vec![part]),
            Some(blob) => {
                set.push(vec![part]);
                set.push(blob.clone());
            }
        }
    }
    for (element, blob) in &change.elements {
        match blob {
            Some(blob) => {
                set.push(keys::element_name(element));
                set.push(blob.clone());
            }
            None => delete.push(keys::element_name(element)),
        }
    }
    many(cmd, ["h", "H"], row, &set, 2);
    many(cmd, ["r", "R"], row, &delete, 1);
}

fn view(cmd: &mut Cmd, change: &ViewChange) {
    let key = change.key.as_slice();
    let is_string = matches!(change.content, ViewContent::String(_));
    if (change.replace && !is_string) || change.content == ViewContent::Absent {
        cmd.arg("D").arg(key);
    }
    match &change.content {
        ViewContent::Unchanged | ViewContent::Absent => {}
        ViewContent::String(bytes) => {
            cmd.arg("S").arg(key).arg(bytes);
        }
        ViewContent::Hash { set, delete } => {
            let set: Vec<&[u8]> = set.iter().flat_map(|(f, v)| [f.as_slice(), v]).collect();
            many(cmd, ["h", "H"], key, &set, 2);
            many(cmd, ["r", "R"], key, delete, 1);
        }
        ViewContent::Set { add, remove } => {
            many(cmd, ["a", "A"], key, add, 1);
            many(cmd, ["m", "M"], key, remove, 1);
        }
        ViewContent::SortedSet { set, remove } => {
            let scored = |(member, score): &(Vec<u8>, Score)| [score_text(*score), member.clone()];
            let set: Vec<Vec<u8>> = set.iter().flat_map(scored).collect();
            many(cmd, ["z", "Z"], key, &set, 2);
            many(cmd, ["q", "Q"], key, remove, 1);
        }
        ViewContent::HyperLogLog { set } if change.replace => {
            let mut bytes = hyperloglog::empty();
            hyperloglog::set_registers(&mut bytes, set);
            cmd.arg("S").arg(key).arg(bytes);
        }
        ViewContent::HyperLogLog { set } => {
            let groups = hyperloglog::group_changes(set);
            cmd.arg("Y").arg(key).arg(groups.len() * 3);
            for group in groups {
                cmd.arg(group.offset).arg(group.keep).arg(group.set);
            }
        }
    }
    match change.expiry {
        ViewExpiry::Unchanged => {}
        ViewExpiry::Never => {
            cmd.arg("P").arg(key);
        }
        ViewExpiry::At(instant) => {
            cmd.arg("E").arg(key).arg(instant.min(keys::INSTANT_MAX));
        }
    }
}

/// A score that reads back as the same double: the shortest such text.
fn score_text(score: Score) -> Vec<u8> {
    format!("{:e}", canonical_score(score).get()).into_bytes()
}

fn indexes(cmd: &mut Cmd, commit: &Commit) {
    let changes = &commit.indexes;
    let due = changes.due.iter().map(|(key, instant)| (key.clone(), *instant));
    ordered(cmd, &layout::due(commit.shard), due);
    let garbage = changes.garbage.iter();
    let garbage = garbage.map(|(item, batch)| (keys::garbage_item(item), *batch));
    ordered(cmd, &layout::garbage(commit.shard), garbage);
    for (n, (key, blob)) in changes.conflicts.iter().enumerate() {
        cmd.arg("C")
            .arg(layout::conflicts(commit.shard))
            .arg(CONFLICTS_MAX);
        cmd.arg(format!("{}-{n}", commit.batch.0)).arg(key).arg(blob);
    }
    for (id, reply, keep_ms) in &changes.replies {
        let keep_ms = (*keep_ms).clamp(1, keys::INSTANT_MAX);
        cmd.arg("X").arg(layout::reply(commit.shard, id));
        cmd.arg(reply).arg(keep_ms);
    }
    for (origin, keep) in &changes.trims {
        let log = layout::log(commit.shard, *origin);
        if *keep == u64::MAX {
            cmd.arg("D").arg(log);
        } else {
            cmd.arg("T").arg(log).arg(format!("{keep}-0"));
        }
    }
}

/// Changes of a sorted set of names by number. The last change of a name counts.
fn ordered(cmd: &mut Cmd, key: &str, changes: impl Iterator<Item = (Vec<u8>, Option<u64>)>) {
    let changes: std::collections::BTreeMap<_, _> = changes.collect();
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    for (name, number) in changes {
        match number {
            Some(n) => {
                set.push(n.min(keys::INSTANT_MAX).to_string().into_bytes());
                set.push(name);
            }
            None => delete.push(name),
        }
    }
    many(cmd, ["z", "Z"], key.as_bytes(), &set, 2);
    many(cmd, ["q", "Q"], key.as_bytes(), &delete, 1);
}
