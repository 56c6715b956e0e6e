//! Whether all regions hold the same state, and where they do not.
//!
//! Every node is asked for the digest of its whole state as of one instant: equal version vectors and equal bucket digests
//! mean converged. Where a bucket differs its keys are asked for, where a key differs its fields, so that the answer names
//! what a person can go and look at. With `deep` the nodes compute their digests from the views that clients read.
//!
//! The regions are asked one after the other's writes: while writes run the answer is, rightly, mostly no.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clock;
use super::http::{Http, percent_encode};

/// Differences that an answer names at most.
pub(crate) const DIFFERENCES_MAX: usize = 100;
/// How long a node may take over a digest that it keeps.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node may take over a digest that it computes from the views.
const DEEP_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the search for the names of differences may take in all.
const NAMING_TIMEOUT: Duration = Duration::from_secs(20);

/// A region to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Its node's `http://127.0.0.1:port`, or why there is no point in asking.
    pub(crate) node: Result<String, String>,
}

/// What `GET /api/converged` answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// No difference was found and every region answered.
    pub(crate) converged: bool,
    /// At most [`DIFFERENCES_MAX`].
    pub(crate) diff: Vec<Difference>,
    /// There are, or may be, more than `diff` names.
    pub(crate) truncated: bool,
}

/// One place where regions differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// `value`, or what else differs: `region` (not reached), `version_vector`, `bucket` (a digest differs, and no key's).
    pub(crate) kind: &'static str,
    /// The key; in parentheses where the difference is not a key's.
    pub(crate) key: String,
    /// The field; in parentheses where it is none of the key's own: `(type)`, `(expires_at_ms)`, `(digest)`.
    pub(crate) field: String,
    /// What each region has; null where it has nothing.
    pub(crate) values: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Digest {
    version_vectors: BTreeMap<String, BTreeMap<String, String>>,
    buckets: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Keys {
    keys: BTreeMap<String, KeyDigest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct KeyDigest {
    digest: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Detail {
    #[serde(rename = "type", default)]
    kind: Value,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    expires_at_ms: Value,
}

/// Asks every region and compares. `as_of` is in unix milliseconds; keys that had expired by then count as absent.
pub(crate) async fn compare(http: &Http, targets: &[Target], as_of: u64, deep: bool) -> Verdict {
    let mut comparison = Comparison {
        http,
        query: format!("as_of={as_of}&deep={}", u8::from(deep)),
        limit: if deep { DEEP_TIMEOUT } else { DIGEST_TIMEOUT },
        targets: BTreeMap::new(),
        diff: Vec::new(),
        truncated: false,
    };
    let mut unreached = BTreeMap::new();
    for target in targets {
        match &target.node {
            Ok(node) => drop(comparison.targets.insert(target.name.clone(), node.clone())),
            Err(reason) => drop(unreached.insert(target.name.clone(), Value::from(reason.clone()))),
        }
    }
    let answers = comparison
        .ask_all::<Digest>(&format!("/v1/digest?{}", comparison.query))
        .await;
    let mut digests = BTreeMap::new();
    for (name, answer) in answers {
        match answer {
            Ok(digest) => drop(digests.insert(name, digest)),
            Err(reason) => {
                comparison.targets.remove(&name);
                unreached.insert(name, Value::from(reason));
            }
        }
    }
    for (name, reason) in unreached {
        comparison.push(
            "region",
            format!("(region {name})"),
            "(unreachable)",
            BTreeMap::from([(name, reason)]),
        );
    }
    comparison.vectors(&digests);
    comparison.buckets(&digests).await;
    Verdict {
        converged: comparison.diff.is_empty(),
        diff: comparison.diff,
        truncated: comparison.truncated,
    }
}

struct Comparison<'a> {
    http: &'a Http,
    query: String,
    limit: Duration,
    /// The regions that answer, with their nodes.
    targets: BTreeMap<String, String>,
    diff: Vec<Difference>,
    truncated: bool,
}

impl Comparison<'_> {
    /// Asks every region's node for the same path, all at once.
    async fn ask_all<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
    ) -> BTreeMap<String, Result<T, String>> {
        let mut asking = JoinSet::new();
        for (name, node) in &self.targets {
            let (http, name, url, limit) = (
                self.http.clone(),
                name.clone(),
                format!("{node}{path}"),
                self.limit,
            );
            asking.spawn(async move { (name, http.get(&url, limit).await) });
        }
        asking.join_all().await.into_iter().collect()
    }

    fn push(&mut self, kind: &'static str, key: String, field: &str, values: BTreeMap<String, Value>) {
        if self.diff.len() < DIFFERENCES_MAX {
            self.diff.push(Difference {
                kind,
                key,
                field: field.to_owned(),
                values,
            });
        } else {
            self.truncated = true;
        }
    }

    /// Pushes a difference unless all values are equal.
    fn push_unequal(
        &mut self,
        kind: &'static str,
        key: &str,
        field: &str,
        values: BTreeMap<String, Value>,
    ) -> bool {
        let unequal = !all_equal(values.values());
        if unequal {
            self.push(kind, key.to_owned(), field, values);
        }
        unequal
    }

    fn vectors(&mut self, digests: &BTreeMap<String, Digest>) {
        let mut places = BTreeSet::new();
        for digest in digests.values() {
            for (shard, vector) in &digest.version_vectors {
                places.extend(vector.keys().map(|replica| (shard, replica)));
            }
        }
        for (shard, replica) in places {
            let sequence = |digest: &Digest| {
                let found = digest
                    .version_vectors
                    .get(shard)
                    .and_then(|vector| vector.get(replica));
                Value::from(found.map_or("0", String::as_str))
            };
            let values = digests
                .iter()
                .map(|(name, digest)| (name.clone(), sequence(digest)))
                .collect();
            self.push_unequal(
                "version_vector",
                &format!("(version vector of shard {shard})"),
                replica,
                values,
            );
        }
    }

    async fn buckets(&mut self, digests: &BTreeMap<String, Digest>) {
        let deadline = clock::now() + NAMING_TIMEOUT + self.limit;
        let shards: BTreeSet<&String> = digests
            .values()
            .flat_map(|digest| digest.buckets.keys())
            .collect();
        for shard in shards {
            let rows = digests.values().filter_map(|digest| digest.buckets.get(shard));
            let count = rows.map(Vec::len).max().unwrap_or(0);
            for bucket in 0..count {
                let digest_of = |digest: &Digest| {
                    json!(
                        digest
                            .buckets
                            .get(shard)
                            .and_then(|row| row.get(bucket))
                            .map(String::as_str)
                    )
                };
                let values: BTreeMap<String, Value> = digests
                    .iter()
                    .map(|(name, digest)| (name.clone(), digest_of(digest)))
                    .collect();
                if all_equal(values.values()) {
                    continue;
                }
                if !self.keys_of(shard, bucket, deadline).await {
                    self.push(
                        "bucket",
                        format!("(bucket {bucket} of shard {shard})"),
                        "(digest)",
                        values,
                    );
                }
                if self.is_over(deadline) {
                    // Whatever else differs stays unnamed: the verdict stands already.
                    self.truncated = true;
                    return;
                }
            }
        }
    }

    /// Whether there is no more room, or no more time, for names.
    fn is_over(&self, deadline: Instant) -> bool {
        self.diff.len() >= DIFFERENCES_MAX || clock::now() >= deadline
    }

    /// Names the keys of a bucket that differ; says whether it named any.
    async fn keys_of(&mut self, shard: &str, bucket: usize, deadline: Instant) -> bool {
        let shard = percent_encode(shard);
        let path = format!("/v1/digest/keys?shard={shard}&bucket={bucket}&{}", self.query);
        let answers: BTreeMap<String, Result<Keys, String>> = self.ask_all(&path).await;
        // A region that answered a moment ago and does not now: the bucket stands for what cannot be named.
        let Ok(listed) = answers
            .into_iter()
            .map(|(name, keys)| keys.map(|keys| (name, keys.keys)))
            .collect()
        else {
            return false;
        };
        let listed: BTreeMap<String, BTreeMap<String, KeyDigest>> = listed;
        let keys: BTreeSet<&String> = listed.values().flat_map(BTreeMap::keys).collect();
        let mut named = false;
        for key in keys {
            let digests: BTreeMap<String, Value> = listed
                .iter()
                .map(|(name, keys)| {
                    (
                        name.clone(),
                        json!(keys.get(key).map(|found| found.digest.as_str())),
                    )
                })
                .collect();
            if all_equal(digests.values()) {
                continue;
            }
            if self.is_over(deadline) {
                self.truncated = true;
                break;
            }
            self.fields_of(key, digests).await;
            named = true;
        }
        named
    }

    /// Names the fields of a key that differ, or its digests where no field does.
    async fn fields_of(&mut self, key: &str, digests: BTreeMap<String, Value>) {
        let path = format!("/v1/digest/key?key={}&{}", percent_encode(key), self.query);
        let mut details: BTreeMap<String, Result<Detail, String>> = self.ask_all(&path).await;
        // Where the key is not listed there is nothing to show, whatever the node answers about it.
        let details: BTreeMap<String, Option<Detail>> = digests
            .iter()
            .map(|(name, digest)| {
                let detail = details.remove(name).and_then(Result::ok);
                (name.clone(), if digest.is_null() { None } else { detail })
            })
            .collect();
        let each = |show: &dyn Fn(&Detail) -> Value| -> BTreeMap<String, Value> {
            details
                .iter()
                .map(|(name, detail)| (name.clone(), detail.as_ref().map_or(Value::Null, show)))
                .collect()
        };
        let mut named = self.push_unequal("value", key, "(type)", each(&|detail| detail.kind.clone()));
        let fields: BTreeSet<&String> = details
            .values()
            .flatten()
            .flat_map(|detail| detail.fields.keys())
            .collect();
        for field in fields {
            let values = each(&|detail| detail.fields.get(field).cloned().unwrap_or_default());
            named |= self.push_unequal("value", key, field, values);
        }
        let expiries = each(&|detail| detail.expires_at_ms.clone());
        named |= self.push_unequal("value", key, "(expires_at_ms)", expiries);
        if !named {
            self.push("value", key.to_owned(), "(digest)", digests);
        }
    }
}

fn all_equal<'a>(mut values: impl Iterator<Item = &'a Value>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}

#[cfg(test)]
#[path = "converged_tests.rs"]
mod tests;
