//! Do the regions hold the same carts?
//!
//! A demo compares its regions itself and names every differing field (`GET /api/converged`). Without one, each
//! region is asked for its digest as of the same instant: they agree when their version vectors and their bucket
//! digests are equal. A digest names buckets, not fields, so the differences are coarser then.
//!
//! *Deep* asks each region to recompute from what its readers see, not from the digests it keeps up to date, so
//! that a broken view cannot pass for a converged one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::{Digest, Number, Region};
use crate::client::{Base, Error, Http};
use crate::clock;
use crate::discovery::Cluster;
use crate::text::{and_more, plain, printable, table};

/// How many differences are shown; the rest are counted.
const SHOWN_MAX: usize = 20;
/// The pause between two comparisons, growing from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Something in which the regions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What differs: a key and a field, or a shard and one of its buckets.
    pub(crate) place: String,
    /// What each region has there.
    pub(crate) values: BTreeMap<String, String>,
}

/// The answer of one comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Equal state, and every region has applied the same entries.
    Converged,
    /// The same state to see, but some entries have not arrived everywhere; says which.
    Behind(Vec<Difference>),
    /// Different state.
    Differs(Vec<Difference>),
    /// The demo could not reach every region, so nobody knows; says which, and what else it found.
    Unreached(Vec<Difference>),
}

impl Verdict {
    /// What differs; nothing when converged.
    pub(crate) fn differences(&self) -> &[Difference] {
        match self {
            Self::Converged => &[],
            Self::Behind(differences) | Self::Differs(differences) | Self::Unreached(differences) => {
                differences
            }
        }
    }

    /// For `--json`: `{"converged", "diff":[{"place","values"}]}`.
    pub(crate) fn to_json(&self) -> Value {
        let diff = self
            .differences()
            .iter()
            .map(|d| json!({"place": d.place, "values": d.values}));
        json!({"converged": *self == Self::Converged, "diff": diff.collect::<Vec<_>>()})
    }

    /// A table of the first differences, a row for each and a column per region.
    pub(crate) fn difference_table(&self) -> String {
        let differences = self.differences();
        let regions: BTreeSet<&str> = differences
            .iter()
            .flat_map(|d| d.values.keys().map(String::as_str))
            .collect();
        let mut header = vec!["where"];
        header.extend(&regions);
        let row = |d: &Difference| {
            let cell = |region: &&str| {
                d.values
                    .get(*region)
                    .map_or("-".to_owned(), |value| printable(value))
            };
            let mut row = vec![printable(&d.place)];
            row.extend(regions.iter().map(cell));
            row
        };
        let mut text = table(&header, differences.iter().take(SHOWN_MAX).map(row).collect());
        text.push_str(&and_more(differences.len(), SHOWN_MAX));
        text
    }
}

/// Compares the regions once.
///
/// # Errors
/// The first region, or the demo, that gave no usable answer.
pub(crate) async fn compare(cluster: &Cluster, deep: bool, timeout: Duration) -> Result<Verdict, Error> {
    match &cluster.demo {
        Some(demo) => ask_demo(&cluster.http.with_timeout(timeout), demo, deep).await,
        None => compare_digests(&cluster.regions, deep, timeout).await,
    }
}

/// The last comparison before the regions agreed or the time was up.
#[derive(Debug)]
pub(crate) struct Waited {
    /// What it said, or why there was none.
    pub(crate) last: Result<Verdict, Error>,
    /// The time from the first comparison's start to the last one's end.
    pub(crate) took: Duration,
}

/// Compares until the regions agree, for at most `limit`.
pub(crate) async fn wait(cluster: &Cluster, limit: Duration) -> Waited {
    let started = clock::now();
    let (mut pause, pause_max) = PAUSE;
    let mut answered = None;
    loop {
        let left = limit.saturating_sub(started.elapsed());
        let last = compare(cluster, true, left.max(PAUSE.0)).await;
        let took = started.elapsed();
        if matches!(last, Ok(Verdict::Converged)) {
            return Waited { last, took };
        }
        if took >= limit {
            // A comparison that the end of the wait cut short must not hide the one before it, which has a diff.
            let last = match (last, answered) {
                (Err(Error::Timeout { .. }), Some(before)) => Ok(before),
                (last, _) => last,
            };
            return Waited { last, took };
        }
        answered = last.ok().or(answered);
        tokio::time::sleep(pause.min(limit.saturating_sub(took))).await;
        pause = (pause * 2).min(pause_max);
    }
}

#[derive(Deserialize)]
struct DemoAnswer {
    converged: bool,
    #[serde(default)]
    diff: Vec<DemoDifference>,
}

#[derive(Deserialize)]
struct DemoDifference {
    /// `region` for a region that could not be asked, `version_vector` for entries under way, else what differs.
    #[serde(default)]
    kind: Value,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    field: Value,
    #[serde(default)]
    values: BTreeMap<String, Value>,
}

async fn ask_demo(http: &Http, demo: &Base, deep: bool) -> Result<Verdict, Error> {
    let url = demo.url(if deep {
        "/api/converged?deep=1"
    } else {
        "/api/converged"
    });
    let answer: DemoAnswer = http.get(&url).await?.value;
    if answer.converged {
        return Ok(Verdict::Converged);
    }
    Ok(judge_demo(answer.diff))
}

fn judge_demo(diff: Vec<DemoDifference>) -> Verdict {
    let unreached = diff.iter().any(|d| d.kind == "region");
    let under_way = diff.iter().all(|d| d.kind == "version_vector");
    let difference = |d: DemoDifference| {
        let field = if d.field.is_null() {
            String::new()
        } else {
            format!("  {}", plain(&d.field))
        };
        let values = d
            .values
            .into_iter()
            .map(|(region, value)| (region, plain(&value)))
            .collect();
        Difference {
            place: format!("{}{field}", plain(&d.key)),
            values,
        }
    };
    let differences = diff.into_iter().map(difference).collect();
    if unreached {
        Verdict::Unreached(differences)
    } else if under_way {
        Verdict::Behind(differences)
    } else {
        Verdict::Differs(differences)
    }
}

async fn compare_digests(regions: &[Region], deep: bool, timeout: Duration) -> Result<Verdict, Error> {
    let as_of = clock::unix_ms();
    let ask = move |region: Region| async move {
        let region = Region {
            http: region.http.with_timeout(timeout),
            ..region
        };
        region.digest(as_of, deep).await
    };
    let mut digests = BTreeMap::new();
    for (region, digest) in each(regions, ask).await {
        digests.insert(region.name, digest?);
    }
    Ok(judge(&digests))
}

/// Asks every region the same thing at once; the answers come in the regions' order.
pub(crate) async fn each<T, F>(regions: &[Region], ask: impl Fn(Region) -> F) -> Vec<(Region, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for (index, region) in regions.iter().cloned().enumerate() {
        let answer = ask(region.clone());
        asked.spawn(async move { (index, region, answer.await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(index, _, _)| *index);
    answers
        .into_iter()
        .map(|(_, region, answer)| (region, answer))
        .collect()
}

fn judge(digests: &BTreeMap<String, Digest>) -> Verdict {
    let buckets = unequal_buckets(digests);
    let vectors = unequal_vectors(digests);
    if !buckets.is_empty() {
        Verdict::Differs(buckets.into_iter().chain(vectors).collect())
    } else if !vectors.is_empty() {
        Verdict::Behind(vectors)
    } else {
        Verdict::Converged
    }
}

fn unequal_buckets(digests: &BTreeMap<String, Digest>) -> Vec<Difference> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (shard, buckets) in digests.values().flat_map(|digest| &digest.buckets) {
        let most = count.entry(shard).or_default();
        *most = buckets.len().max(*most);
    }
    let places = count
        .into_iter()
        .flat_map(|(shard, count)| (0..count).map(move |bucket| (shard, bucket)));
    let difference = |(shard, bucket): (&str, usize)| {
        let value = |digest: &Digest| match digest.buckets.get(shard).and_then(|buckets| buckets.get(bucket))
        {
            Some(hash) => hash.clone(),
            None => "none".to_owned(),
        };
        unequal(digests, format!("shard {shard} bucket {bucket}"), value)
    };
    places.filter_map(difference).collect()
}

fn unequal_vectors(digests: &BTreeMap<String, Digest>) -> Vec<Difference> {
    let vectors = digests.values().flat_map(|digest| &digest.version_vectors);
    let places: BTreeSet<(&str, &str)> = vectors
        .flat_map(|(shard, vector)| {
            vector
                .keys()
                .map(move |replica| (shard.as_str(), replica.as_str()))
        })
        .collect();
    let difference = |(shard, replica): (&str, &str)| {
        // A replica that a vector leaves out counts as nothing seen of it.
        let seen = |digest: &Digest| -> Number {
            digest
                .version_vectors
                .get(shard)
                .and_then(|vector| vector.get(replica))
                .copied()
                .unwrap_or_default()
        };
        unequal(digests, format!("shard {shard} entries of {replica}"), |digest| {
            seen(digest).0.to_string()
        })
    };
    places.into_iter().filter_map(difference).collect()
}

fn unequal(
    digests: &BTreeMap<String, Digest>,
    place: String,
    value: impl Fn(&Digest) -> String,
) -> Option<Difference> {
    let values: BTreeMap<String, String> = digests
        .iter()
        .map(|(region, digest)| (region.clone(), value(digest)))
        .collect();
    let distinct: BTreeSet<&String> = values.values().collect();
    (distinct.len() > 1).then_some(Difference { place, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(vector: &[(&str, u64)], buckets: &[&str]) -> Digest {
        let vector = vector
            .iter()
            .map(|(replica, sequence)| ((*replica).to_owned(), Number(*sequence)))
            .collect();
        Digest {
            version_vectors: BTreeMap::from([("0".to_owned(), vector)]),
            buckets: BTreeMap::from([("0".to_owned(), buckets.iter().map(|b| (*b).to_owned()).collect())]),
        }
    }

    fn verdict(us: Digest, eu: Digest) -> Verdict {
        judge(&BTreeMap::from([("us".to_owned(), us), ("eu".to_owned(), eu)]))
    }

    #[test]
    fn equal_vectors_and_buckets_are_converged() {
        let one = || digest(&[("1-9", 4), ("2-9", 2)], &["a", "b"]);
        assert_eq!(verdict(one(), one()), Verdict::Converged);
        let silent = digest(&[("1-9", 4), ("2-9", 2), ("3-9", 0)], &["a", "b"]);
        assert_eq!(
            verdict(one(), silent),
            Verdict::Converged,
            "nothing seen of a replica is nothing missing"
        );
    }

    #[test]
    fn equal_buckets_with_entries_under_way_are_behind() {
        let found = verdict(digest(&[("1-9", 4)], &["a"]), digest(&[("1-9", 3)], &["a"]));
        let Verdict::Behind(differences) = found else {
            panic!("{found:?}")
        };
        assert_eq!(differences[0].place, "shard 0 entries of 1-9");
        assert_eq!(differences[0].values["eu"], "3");
    }

    #[test]
    fn unequal_buckets_differ_even_where_vectors_are_equal() {
        let found = verdict(
            digest(&[("1-9", 4)], &["a", "b"]),
            digest(&[("1-9", 4)], &["a", "c"]),
        );
        let Verdict::Differs(differences) = &found else {
            panic!("{found:?}")
        };
        assert_eq!(differences.len(), 1);
        assert_eq!(
            found.difference_table(),
            "WHERE             EU  US\nshard 0 bucket 1  c   b"
        );
        let shorter = verdict(digest(&[], &["a", "b"]), digest(&[], &["a"]));
        assert!(
            matches!(shorter, Verdict::Differs(_)),
            "a region without a bucket does not agree"
        );
    }

    #[test]
    fn a_demos_differences_are_told_apart_by_their_kind() {
        let verdict = |kinds: &[Value]| {
            let diff = kinds
                .iter()
                .map(|kind| json!({"kind": kind, "key": "cart:1", "field": "A", "values": {}}));
            judge_demo(serde_json::from_value(diff.collect()).unwrap())
        };
        assert!(matches!(verdict(&[]), Verdict::Behind(_)));
        assert!(matches!(verdict(&[json!("version_vector")]), Verdict::Behind(_)));
        assert!(matches!(
            verdict(&[json!("version_vector"), json!("value")]),
            Verdict::Differs(_)
        ));
        assert!(
            matches!(verdict(&[json!(null)]), Verdict::Differs(_)),
            "a demo that names no kinds names fields"
        );
        assert!(matches!(
            verdict(&[json!("value"), json!("region")]),
            Verdict::Unreached(_)
        ));
    }

    #[test]
    fn a_long_difference_is_cut_and_counted() {
        let buckets: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let buckets: Vec<&str> = buckets.iter().map(String::as_str).collect();
        let text = verdict(digest(&[], &buckets), digest(&[], &["x"; 30])).difference_table();
        assert!(text.ends_with("... and 10 more"), "{text}");
    }
}
