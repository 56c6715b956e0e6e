//! Digests of the state, for comparing regions.
//!
//! The cheap digest is what commits keep up to date, a number per bucket, less the keys that have expired by the
//! asker's instant. The *deep* one is computed anew from the views, as readers see them, and each view is held against
//! its metadata: where they differ the digest is spoilt on purpose, so that a broken view is never taken for agreement,
//! not even one that is broken alike everywhere.
//!
//! Writes may go on meanwhile. A digest is taken again, a few times, when the vector has moved; if it moves still, the
//! document says so (`"stable": false`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::VersionVector;
use cartograph_replica::commit::{BUCKETS, bucket};
use cartograph_replica::{Key, Load, Loaded};
use cartograph_store::{Read, ReadReply, Store};
use futures_util::StreamExt;
use futures_util::stream;

use crate::content::Shown;
use crate::doors::failure::{Failure, kinds};
use crate::driver::ShardHandle;

/// How often a digest is taken again because something was written meanwhile.
const ATTEMPTS: usize = 3;

/// How often a broken view must look the same before it is taken for one, and the pause between: longer together than
/// a commit takes.
const LOOKS: usize = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(150);

/// Keys read at the same time.
const AT_ONCE: usize = 16;

/// Keys in a page.
const PAGE: usize = 512;

/// Expired and not purged keys that a digest takes out one by one.
const DUE_MAX: usize = 20_000;

/// How long each step may take.
const STEP_MAX: Duration = Duration::from_secs(5);

/// One shard's digest.
pub(crate) struct ShardDigest {
    pub(crate) vector: VersionVector,
    pub(crate) buckets: Vec<u64>,
    /// Was nothing written while it was taken?
    pub(crate) stable: bool,
    /// Keys whose view is not what their metadata says (deep only).
    pub(crate) broken: Vec<Key>,
}

/// A shard, and the store that it is in.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) shard: ShardHandle,
    pub(crate) store: Arc<dyn Store>,
    /// What spoils the digest of a broken view: differs from region to region.
    pub(crate) salt: u64,
}

type Result<T> = std::result::Result<T, Failure>;

fn unexpected() -> Failure {
    Failure::new(
        kinds::STORE_UNREACHABLE,
        "the store answered something else than was asked",
    )
}

impl Place {
    async fn load(&self, load: Load) -> Result<Loaded> {
        Ok(self.store.load(self.shard.shard(), load).await?)
    }

    async fn vector(&self) -> Result<(VersionVector, Vec<u64>)> {
        let status = self.shard.status(STEP_MAX).await;
        let status = status.ok_or_else(|| Failure::new(kinds::NOT_READY, "the shard does not answer"))?;
        Ok((status.vector, status.digests))
    }

    /// The whole shard's digest as of an instant.
    pub(crate) async fn digest(&self, as_of_ms: u64, deep: bool) -> Result<ShardDigest> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (vector, kept) = self.vector().await?;
            let mut digest = ShardDigest {
                vector,
                buckets: vec![0; usize::from(BUCKETS)],
                stable: false,
                broken: Vec::new(),
            };
            if deep {
                self.recompute(as_of_ms, &mut digest).await?;
            } else {
                digest.buckets = kept;
                self.take_out_expired(as_of_ms, &mut digest.buckets).await?;
            }
            digest.stable = self.vector().await?.0 == digest.vector;
            if digest.stable || attempt >= ATTEMPTS {
                return Ok(digest);
            }
        }
    }

    async fn take_out_expired(&self, as_of_ms: u64, buckets: &mut [u64]) -> Result<()> {
        let due = Load::Due {
            until_ms: as_of_ms,
            count: DUE_MAX,
        };
        let Loaded::Due(due) = self.load(due).await? else {
            return Err(unexpected());
        };
        if due.len() >= DUE_MAX {
            let message = format!("more than {DUE_MAX} keys have expired and are not purged yet: try again");
            return Err(Failure::new(kinds::TOO_MUCH, message));
        }
        let digests = stream::iter(due.into_iter().map(|(key, _)| self.kept_digest(key, 0)));
        let digests: Vec<_> = digests.buffer_unordered(AT_ONCE).collect().await;
        for found in digests {
            let (key, digest) = found?;
            if let Some(slot) = buckets.get_mut(usize::from(bucket(&key))) {
                *slot = slot.wrapping_sub(digest.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// A key's digest as commits keep it; `None` when it shows nothing, or has expired by then.
    async fn kept_digest(&self, key: Key, as_of_ms: u64) -> Result<(Key, Option<u64>)> {
        let row = self.shard.inspect(key.clone(), false, STEP_MAX).await?;
        let expired = row.header.expiry().is_some_and(|at| at <= as_of_ms);
        let digest = row.digest(&key);
        Ok((key, (digest != 0 && !expired).then_some(digest)))
    }

    async fn recompute(&self, as_of_ms: u64, digest: &mut ShardDigest) -> Result<()> {
        let keys = self.keys(|_| true).await?;
        let found = stream::iter(keys.into_iter().map(|key| self.deep_digest(key, as_of_ms)));
        let found: Vec<_> = found.buffer_unordered(AT_ONCE).collect().await;
        for found in found {
            let (key, value, broken) = found?;
            if let Some(slot) = digest.buckets.get_mut(usize::from(bucket(&key))) {
                *slot = slot.wrapping_add(value.unwrap_or(0));
            }
            if broken {
                digest.broken.push(key);
            }
        }
        digest.broken.sort_unstable();
        Ok(())
    }

    /// A key's digest from its view, and whether the view is not what the metadata says.
    async fn deep_digest(&self, key: Key, as_of_ms: u64) -> Result<(Key, Option<u64>, bool)> {
        let (mut view, mut wanted) = self.both(&key).await?;
        if view != wanted {
            // It may have expired between the two.
            (view, wanted) = self.both(&key).await?;
        }
        let view = view.and_then(|v| v.unless_expired(as_of_ms));
        let wanted = wanted.and_then(|w| w.unless_expired(as_of_ms));
        let broken = view != wanted;
        let mut digest = view.map(|v| v.digest(&key));
        if broken {
            digest = Some(digest.unwrap_or(0).wrapping_add(self.salt) | 1);
        }
        Ok((key, digest, broken))
    }

    /// What a key's view shows, and what its metadata says that it should.
    async fn both(&self, key: &Key) -> Result<(Option<Shown>, Option<Shown>)> {
        let row = self.shard.inspect(key.clone(), true, STEP_MAX).await?;
        let time_ms = self.store.time_ms().await?;
        Ok((self.view(key).await?, Shown::of_row(&row, time_ms)))
    }

    async fn view(&self, key: &Key) -> Result<Option<Shown>> {
        let Loaded::View(view) = self.load(Load::View { key: key.clone() }).await? else {
            return Err(unexpected());
        };
        Ok(view.map(|(value, expires_ms)| Shown::of_view(value, expires_ms)))
    }

    /// All keys with metadata or a view that `wanted` takes.
    async fn keys(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<BTreeSet<Key>> {
        let mut keys = BTreeSet::new();
        let wanted = |key: &Key| !key.starts_with(cartograph_engine::writer::SYSTEM_PREFIX) && wanted(key);
        let mut cursor = Vec::new();
        loop {
            let page = Load::Keys { cursor, count: PAGE };
            let Loaded::Keys {
                keys: page,
                cursor: next,
            } = self.load(page).await?
            else {
                return Err(unexpected());
            };
            keys.extend(page.into_iter().filter(|k| wanted(k)));
            let Some(next) = next else { break };
            cursor = next;
        }
        let mut cursor = 0;
        loop {
            let scan = Read::Scan {
                cursor,
                pattern: None,
                count: PAGE,
            };
            let ReadReply::Page {
                cursor: next,
                keys: page,
            } = self.store.read(scan).await?
            else {
                return Err(unexpected());
            };
            keys.extend(page.into_iter().filter(|k| wanted(k)));
            if next == 0 {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// Digests of the keys in one bucket.
    pub(crate) async fn bucket_keys(
        &self,
        wanted: u16,
        as_of_ms: u64,
        deep: bool,
    ) -> Result<BTreeMap<Key, u64>> {
        let keys = self.keys(|key| bucket(key) == wanted).await?;
        let digest = |key| async move {
            if deep {
                let (key, digest, _) = self.deep_digest(key, as_of_ms).await?;
                Ok((key, digest))
            } else {
                self.kept_digest(key, as_of_ms).await
            }
        };
        let found: Vec<Result<_>> = stream::iter(keys.into_iter().map(digest))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut digests = BTreeMap::new();
        for found in found {
            let (key, digest) = found?;
            digests.extend(digest.map(|d| (key, d)));
        }
        Ok(digests)
    }

    /// What one key shows, by its view or by its metadata.
    pub(crate) async fn key(&self, key: &Key, as_of_ms: u64, deep: bool) -> Result<Option<Shown>> {
        let shown = if deep {
            self.view(key).await?
        } else {
            let row = self.shard.inspect(key.clone(), true, STEP_MAX).await?;
            Shown::of_row(&row, 0)
        };
        Ok(shown.and_then(|s| s.unless_expired(as_of_ms)))
    }

    /// Is this key's view what its metadata says? The two are not read at one instant, and a row may be ahead of a view
    /// whose commit is on its way: only a difference that stays the same, view and row, from look to look is damage.
    pub(crate) async fn is_whole(&self, key: &Key) -> Result<bool> {
        let first = self.both(key).await?;
        if first.0 == first.1 {
            return Ok(true);
        }
        for _ in 1..LOOKS {
            tokio::time::sleep(LOOK_PAUSE).await;
            if self.both(key).await? != first {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A page of keys with metadata, for the scrub.
    pub(crate) async fn page(&self, cursor: Vec<u8>, count: usize) -> Result<(Vec<Key>, Option<Vec<u8>>)> {
        let Loaded::Keys { keys, cursor } = self.load(Load::Keys { cursor, count }).await? else {
            return Err(unexpected());
        };
        Ok((keys, cursor))
    }
}
