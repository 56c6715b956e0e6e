//! What this region's own Redis says of itself, in its INFO; asked at most every 100 ms, however many ask us.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use cartograph_resp::{Protocol, Value, encode_command};
use cartograph_store::raw::Repeat;
use cartograph_store::{Read, ReadReply, StoreInfo, StoreKind};
use tokio::sync::oneshot;

use super::super::context::Context;
use crate::clock;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(100);

/// How long Redis may take.
const ASK_MAX: Duration = Duration::from_secs(1);

/// What a store that is no Redis is compatible with.
const VERSION: &str = "7.0.0";

/// A server's INFO, section by section.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LocalInfo {
    /// By name, lower case; lines without the heading.
    sections: BTreeMap<String, Vec<(String, String)>>,
}

impl LocalInfo {
    pub(crate) fn parse(text: &str) -> LocalInfo {
        let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let mut section = String::new();
        for line in text.lines().map(str::trim_end) {
            if let Some(name) = line.strip_prefix("# ") {
                section = name.to_lowercase();
            } else if let Some((key, value)) = line.split_once(':') {
                let lines = sections.entry(section.clone()).or_default();
                lines.push((key.to_owned(), value.to_owned()));
            }
        }
        LocalInfo { sections }
    }

    /// A store that is no Redis, in Redis's words.
    fn of_store(info: &StoreInfo, keys: u64) -> LocalInfo {
        let line = |key: &str, value: String| (key.to_owned(), value);
        let ratio = info.fragmentation_ratio.unwrap_or(1.0);
        let memory = vec![
            line("used_memory", info.memory_bytes_used.to_string()),
            line("used_memory_human", human(info.memory_bytes_used)),
            line("used_memory_rss", info.memory_bytes_used.to_string()),
            line("used_memory_peak", info.memory_bytes_used.to_string()),
            line("maxmemory", info.memory_bytes_max.unwrap_or(0).to_string()),
            line("maxmemory_human", human(info.memory_bytes_max.unwrap_or(0))),
            line("maxmemory_policy", "noeviction".to_owned()),
            line("mem_fragmentation_ratio", format!("{ratio:.2}")),
        ];
        let aof = info.kind == StoreKind::Embedded;
        let persistence = vec![
            line("loading", "0".to_owned()),
            line("async_loading", "0".to_owned()),
            line("rdb_changes_since_last_save", "0".to_owned()),
            line("rdb_bgsave_in_progress", "0".to_owned()),
            line("rdb_last_save_time", (clock::wall_ms() / 1_000).to_string()),
            line("rdb_last_bgsave_status", "ok".to_owned()),
            line("aof_enabled", u8::from(aof).to_string()),
            line("aof_last_write_status", "ok".to_owned()),
        ];
        let stats = vec![
            line("expired_keys", info.keys_expired.to_string()),
            line("evicted_keys", info.keys_evicted.to_string()),
        ];
        let server = vec![line("redis_version", VERSION.to_owned())];
        let mut sections = BTreeMap::from([
            ("server".to_owned(), server),
            ("memory".to_owned(), memory),
            ("persistence".to_owned(), persistence),
            ("stats".to_owned(), stats),
        ]);
        if keys > 0 {
            let db = line("db0", format!("keys={keys},expires=0,avg_ttl=0"));
            sections.insert("keyspace".to_owned(), vec![db]);
        }
        LocalInfo { sections }
    }

    /// A section's lines.
    pub(crate) fn section(&self, name: &str) -> &[(String, String)] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }

    /// A value, wherever it stands.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut lines = self.sections.values().flatten();
        lines.find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// A whole number, 0 where there is none.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.get(key).and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    /// A ratio, 0 where there is none.
    pub(crate) fn ratio(&self, key: &str) -> f64 {
        let text = self.get(key).unwrap_or_default().trim_end_matches('%');
        text.parse().unwrap_or(0.0)
    }

    /// Keys of database 0, and how many of them expire.
    pub(crate) fn keys(&self) -> (u64, u64) {
        let db = self.get("db0").unwrap_or_default();
        let part = |name: &str| {
            let part = db
                .split(',')
                .find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
            part.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        (part("keys"), part("expires"))
    }
}

/// As Redis writes sizes for people.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let unit = (0..UNITS.len())
        .rev()
        .find(|n| bytes >= 1 << (10 * n))
        .unwrap_or(0);
    if unit == 0 {
        return format!("{bytes}B");
    }
    let shown = bytes.saturating_mul(100) / (1 << (10 * unit));
    format!(
        "{}.{:02}{}",
        shown / 100,
        shown % 100,
        UNITS.get(unit).unwrap_or(&"P")
    )
}

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Local {
    last: Mutex<Option<(Duration, Arc<LocalInfo>)>>,
    /// One asks; who comes meanwhile waits for that answer.
    asking: tokio::sync::Mutex<()>,
}

impl Local {
    fn lock(&self) -> MutexGuard<'_, Option<(Duration, Arc<LocalInfo>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Arc<LocalInfo>> {
        let last = self.lock();
        let (at, info) = last.as_ref()?;
        (clock::elapsed().saturating_sub(*at) < FRESH).then(|| Arc::clone(info))
    }

    /// The last answer, however old; empty before the first.
    pub(crate) fn last(&self) -> Arc<LocalInfo> {
        self.lock()
            .as_ref()
            .map(|(_, info)| Arc::clone(info))
            .unwrap_or_default()
    }

    /// What the server says now, or said last while it does not answer.
    pub(crate) async fn info(&self, context: &Context) -> Arc<LocalInfo> {
        if let Some(info) = self.fresh() {
            return info;
        }
        let _alone = self.asking.lock().await;
        if let Some(info) = self.fresh() {
            return info;
        }
        match ask(context).await {
            Some(info) => {
                let info = Arc::new(info);
                *self.lock() = Some((clock::elapsed(), Arc::clone(&info)));
                info
            }
            None => self.last(),
        }
    }

    /// The server's version; asked for once.
    pub(crate) async fn version(&self, context: &Context) -> String {
        let mut info = self.last();
        if info.get("redis_version").is_none() {
            info = self.info(context).await;
        }
        info.get("redis_version").unwrap_or(VERSION).to_owned()
    }
}

async fn ask(context: &Context) -> Option<LocalInfo> {
    if context.raw.is_none() {
        let info = tokio::time::timeout(ASK_MAX, context.doors.store.info());
        let size = tokio::time::timeout(ASK_MAX, context.doors.store.read(Read::DbSize));
        let info = info.await.ok()?.ok()?;
        let keys = match size.await {
            Ok(Ok(ReadReply::Integer(keys))) => u64::try_from(keys).unwrap_or(0),
            Ok(Ok(_) | Err(_)) | Err(_) => 0,
        };
        return Some(LocalInfo::of_store(&info, keys));
    }
    let Value::Bulk(text) = raw(context, &["INFO", "everything"], Protocol::Resp2).await? else {
        return None;
    };
    Some(LocalInfo::parse(&String::from_utf8_lossy(&text)))
}

/// One command to this region's Redis, on a connection shared with all; `None` when there is no Redis or no answer.
/// It must be harmless to send it twice.
pub(crate) async fn raw<A: AsRef<[u8]>>(
    context: &Context,
    command: &[A],
    protocol: Protocol,
) -> Option<Value> {
    let lane = context.raw.as_ref()?.shared(protocol);
    let mut bytes = BytesMut::new();
    encode_command(command, &mut bytes);
    let (answer, answered) = oneshot::channel();
    let callback = Box::new(move |result| {
        let _ = answer.send(result);
    });
    lane.submit(&bytes, 1, Repeat::Read, callback).ok()?;
    let replies = tokio::time::timeout(ASK_MAX, answered).await.ok()?.ok()?.ok()?;
    let mut reply = BytesMut::from(&replies.as_bytes()[..]);
    Value::decode(&mut reply).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_section_by_section() {
        let info = LocalInfo::parse(
            "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nused_memory:12\r\nmem_fragmentation_ratio:1.50\r\n\
             used_memory_peak_perc:99.50%\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb15:keys=9,expires=0,avg_ttl=0\r\n",
        );
        assert_eq!(info.get("redis_version"), Some("7.0.15"));
        assert_eq!(info.number("used_memory"), 12);
        assert_eq!(info.keys(), (3, 1), "database 0 alone");
        assert!((info.ratio("mem_fragmentation_ratio") - 1.5).abs() < 1e-9);
        assert!((info.ratio("used_memory_peak_perc") - 99.5).abs() < 1e-9);
        assert_eq!(info.section("memory").len(), 3);
        assert_eq!(info.section("nothing"), []);
    }

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        for (bytes, shown) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.00K"),
            (2_496_936, "2.38M"),
            (25_276_514_304, "23.54G"),
        ] {
            assert_eq!(human(bytes), shown);
        }
    }
}
