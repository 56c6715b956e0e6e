//! The embedded store's file: who has it, what it is, and what became of it.

use std::path::Path;

use cartograph_replica::commit::{BatchId, Fence, MetadataChange, Outcome};
use cartograph_store::{EmbeddedStore, Error, Store};

use super::{SHARD, commit_at, nth_after};

async fn fill(path: &Path, commits: u64) {
    let store = EmbeddedStore::open(path).unwrap();
    let claim = store.claim(SHARD).await.unwrap();
    for n in 1..=commits {
        let mut commit = nth_after(&claim, n);
        commit.metadata = vec![MetadataChange {
            key: n.to_string().into_bytes(),
            header: Some(vec![7; 300]),
            ..MetadataChange::default()
        }];
        assert_eq!(store.commit(commit).await, Outcome::Committed);
    }
}

fn error_of(path: &Path) -> Error {
    EmbeddedStore::open(path).err().unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    fill(&path, 20).await;
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(matches!(
        store.commit(commit_at(Fence(1), 21, 0)).await,
        Outcome::Unknown { .. }
    ));
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!((claim.head.batch, claim.head.fence), (BatchId(20), Fence(2)));
    let late = store.commit(commit_at(Fence(1), 21, 0)).await;
    assert!(matches!(late, Outcome::Fenced { .. }), "{late:?}");
    store.release(SHARD).await.unwrap();
    assert!(matches!(
        store.commit(nth_after(&claim, 1)).await,
        Outcome::Unknown { .. }
    ));
}

#[tokio::test]
async fn a_second_opener_is_told_that_it_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let first = EmbeddedStore::open(&path).unwrap();
    assert_eq!(error_of(&path), Error::InUse { path: path.clone() });
    drop(first);
    EmbeddedStore::open(&path).unwrap();
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "dear diary\n".repeat(1_000)).unwrap();
    assert!(matches!(error_of(&text), Error::ForeignFile { .. }));
    assert_eq!(std::fs::read(&text).unwrap().len(), 11_000);

    let missing = directory.path().join("no/such/directory");
    assert!(matches!(error_of(&missing), Error::Disk { .. }));
}

/// Wherever the file is damaged: an error by name, or every commit is still there. Never a panic, never less in
/// silence.
#[tokio::test]
async fn damage_is_found_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    fill(&path, 200).await;
    let sound = std::fs::read(&path).unwrap();
    let mut found = 0;
    let step = (sound.len() / 60).max(1);
    for at in (0..sound.len()).step_by(step) {
        let mut bytes = sound.clone();
        for byte in bytes.iter_mut().skip(at).take(64) {
            *byte ^= 0x5a;
        }
        let damaged = directory.path().join(format!("damaged-{at}"));
        std::fs::write(&damaged, &bytes).unwrap();
        match EmbeddedStore::open(&damaged) {
            Err(Error::Damaged { .. } | Error::ForeignFile { .. } | Error::Disk { .. }) => found += 1,
            Err(other) => panic!("at {at}: {other:?}"),
            Ok(store) => {
                let claim = store.claim(SHARD).await.unwrap();
                assert_eq!(claim.head.batch, BatchId(200), "at {at}");
            }
        }
    }
    assert!(found > 0);
    let cut = directory.path().join("cut");
    std::fs::write(&cut, &sound[..sound.len() / 2]).unwrap();
    let error = error_of(&cut);
    assert!(
        matches!(error, Error::Damaged { .. } | Error::Disk { .. }),
        "{error:?}"
    );
}
