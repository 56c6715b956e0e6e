//! Killed in the middle of the load: every acknowledged commit is there, and no half of one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use cartograph_replica::commit::{
    Claim, Commit, Elements, Load, Loaded, MetadataChange, Outcome, ViewChange, ViewContent, ViewExpiry,
    ViewValue,
};
use cartograph_store::{EmbeddedStore, Store};

use super::harness::Server;
use super::{SHARD, nth_after};

/// The program in `src/bin`.
const WRITER: &str = env!("CARGO_BIN_EXE_embedded-writer");

struct Writer {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Writer {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Writer { child, out }
    }

    /// The next line: an acknowledged batch, or why there is none.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Metadata and views of the last fifty batches say the same, and what was acknowledged is there.
async fn check(store: &dyn Store, claim: &Claim, acknowledged: u64) {
    let head = claim.head.batch.0;
    assert!(
        head >= acknowledged,
        "{acknowledged} was acknowledged, the head says {head}"
    );
    assert_eq!(claim.head.sequence, head);
    for batch in head.saturating_sub(49).max(1)..=head {
        let key = format!("key:{}", batch % 50).into_bytes();
        let row = Load::Row {
            key: key.clone(),
            elements: Elements::All,
        };
        let Ok(Loaded::Row(row)) = store.load(SHARD, row).await else {
            panic!("no row");
        };
        let Ok(Loaded::View(Some((ViewValue::String(view), None)))) =
            store.load(SHARD, Load::View { key }).await
        else {
            panic!("no view of batch {batch}");
        };
        assert_eq!(row.header, view);
        assert!(
            view.starts_with(format!("{batch} ").as_bytes()),
            "batch {batch} is lost"
        );
    }
}

async fn open_and_check(path: &Path, acknowledged: u64) -> Claim {
    let store = EmbeddedStore::open(path).unwrap();
    let claim = store.claim(SHARD).await.unwrap();
    check(&store, &claim, acknowledged).await;
    claim
}

#[tokio::test]
async fn the_embedded_store_survives_kill_9_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut acknowledged = 0;
    let mut names = std::collections::BTreeSet::new();
    for round in 1..=5_u64 {
        let mut command = Command::new(WRITER);
        command.arg(&path);
        let mut writer = Writer::start(command);
        let enough = acknowledged + 30 * round;
        while acknowledged < enough {
            acknowledged = writer.line().unwrap().parse().unwrap();
        }
        writer.child.kill().unwrap();
        // What it had written before it died counts.
        while let Some(line) = writer.line() {
            acknowledged = line.parse().unwrap();
        }
        drop(writer);
        let claim = open_and_check(&path, acknowledged).await;
        acknowledged = claim.head.batch.0;
        assert!(
            names.insert(claim.server),
            "an opening must have a name of its own"
        );
    }
}

/// A file that may not grow past two megabytes stands for a full disk.
#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut command = Command::new("sh");
    // With the signal ignored the write fails, as it does where there is no room.
    command.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$1\"", WRITER]);
    command.arg(&path);
    let mut writer = Writer::start(command);
    let mut acknowledged = 0;
    let last = loop {
        let line = writer.line().expect("it must say what happened");
        match line.parse() {
            Ok(batch) => acknowledged = batch,
            Err(_) => break line,
        }
    };
    assert!(
        last.starts_with("Unknown") || last.starts_with("Refused"),
        "{last}"
    );
    assert!(last.contains("File too large"), "{last}");
    drop(writer);
    assert!(acknowledged > 0);
    open_and_check(&path, acknowledged).await;
}

fn commit(claim: &Claim, n: u64) -> Commit {
    let mut commit = nth_after(claim, n);
    let batch = commit.batch.0;
    let (key, value) = (format!("key:{}", batch % 50), format!("{batch} ").into_bytes());
    commit.sequence_before = batch - 1;
    commit.sequence_after = batch;
    commit.metadata = vec![MetadataChange {
        key: key.clone().into_bytes(),
        header: Some(value.clone()),
        ..MetadataChange::default()
    }];
    commit.views = vec![ViewChange {
        key: key.into_bytes(),
        replace: false,
        content: ViewContent::String(value),
        expiry: ViewExpiry::Unchanged,
    }];
    commit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_has_every_acknowledged_commit() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = Server::start(&arguments);
    let store = server.store();
    let mut acknowledged = 0;
    for round in 1..=3_u64 {
        let claim = store.claim(SHARD).await.unwrap();
        check(&store, &claim, acknowledged).await;
        let mut in_flight = std::collections::VecDeque::new();
        let mut n = 0;
        let lost = loop {
            n += 1;
            in_flight.push_back((claim.head.batch.0 + n, store.commit(commit(&claim, n))));
            if in_flight.len() < 3 {
                continue;
            }
            let (batch, outcome) = in_flight.pop_front().unwrap();
            match outcome.await {
                Outcome::Committed => acknowledged = batch,
                other => break other,
            }
            if n == 100 * round {
                server.process.kill();
            }
        };
        assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
        // Those behind it may have been answered before the break, but never after it.
        for (_, outcome) in in_flight {
            assert!(matches!(outcome.await, Outcome::Unknown { .. }));
        }
        server.restart(&arguments);
    }
    let claim = store.claim(SHARD).await.unwrap();
    check(&store, &claim, acknowledged).await;
    assert!(acknowledged > 300);
}
