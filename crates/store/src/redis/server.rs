//! What `INFO` says of a server, and whether it can be a store. Nothing here depends on `CONFIG`, which managed
//! services do not allow.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::store::{Durability, StoreInfo, StoreKind};

/// The oldest version that will do: `XTRIM MINID`, and scripts that replicate their effects.
const VERSION_MIN: (u32, u32) = (6, 2);

/// The first version with `WAITAOF`.
const VERSION_WAITAOF: (u32, u32) = (7, 2);

/// A server's `INFO`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(BTreeMap<String, String>);

impl Server {
    pub(crate) fn parse(info: &str) -> Self {
        let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        Server(lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// Redis's version, or the one that a Valkey is compatible with.
    pub(crate) fn version(&self) -> (u32, u32) {
        let mut parts = self
            .get("redis_version")
            .split('.')
            .map(|p| p.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Names this life of the server.
    pub(crate) fn identity(&self) -> String {
        format!("{} {}", self.get("run_id"), self.get("master_replid"))
    }

    pub(crate) fn has_aof(&self) -> bool {
        self.get("aof_enabled") == "1"
    }

    /// Can it be a store?
    pub(crate) fn check(&self, address: &str, wanted: Durability, fsync_always: bool) -> Result<(), Error> {
        let address = address.to_owned();
        if self.get("loading") == "1" || self.get("async_loading") == "1" {
            return Err(Error::Loading { address });
        }
        if self.get("cluster_enabled") == "1" || self.get("redis_mode") == "cluster" {
            return Err(Error::ClusterMode { address });
        }
        if self.version() < VERSION_MIN {
            return Err(Error::VersionTooOld {
                address,
                version: self.get("redis_version").to_owned(),
            });
        }
        if matches!(self.get("role"), "slave" | "replica") {
            return Err(Error::ReadOnlyReplica { address });
        }
        let policy = self.get("maxmemory_policy");
        if !policy.is_empty() && policy != "noeviction" {
            return Err(Error::Evicting {
                address,
                policy: policy.to_owned(),
            });
        }
        self.check_durability(&address, wanted, fsync_always)
    }

    fn check_durability(&self, address: &str, wanted: Durability, fsync_always: bool) -> Result<(), Error> {
        let refuse = |wanted, reason: &str| {
            Err(Error::Durability {
                address: address.to_owned(),
                wanted,
                reason: reason.to_owned(),
            })
        };
        match wanted {
            Durability::Disk if !self.has_aof() => {
                refuse("disk", "it keeps no append-only file; set `appendonly yes`")
            }
            Durability::Disk if !fsync_always && !self.has_wait_aof() => refuse(
                "disk",
                "WAITAOF needs version 7.2; set `appendfsync always` there and declare it in the node's \
                 configuration",
            ),
            Durability::Process | Durability::Disk => Ok(()),
            Durability::Replica { count } => {
                if self.number("connected_slaves") < u64::from(count) {
                    refuse("replica", "it has fewer replicas connected than that")
                } else {
                    Ok(())
                }
            }
        }
    }

    pub(crate) fn has_wait_aof(&self) -> bool {
        self.version() >= VERSION_WAITAOF
    }

    pub(crate) fn info(&self, durability: Durability) -> StoreInfo {
        let valkey = self.get("valkey_version");
        let (kind, version) = if valkey.is_empty() {
            (StoreKind::Redis, self.get("redis_version"))
        } else {
            (StoreKind::Valkey, valkey)
        };
        let policy = self.get("maxmemory_policy");
        StoreInfo {
            kind,
            version: version.to_owned(),
            durability,
            aof: Some(self.has_aof()),
            memory_bytes_max: Some(self.number("maxmemory")).filter(|n| *n > 0),
            memory_bytes_used: self.number("used_memory"),
            fragmentation_ratio: self.get("mem_fragmentation_ratio").parse().ok(),
            keys_evicted: self.number("evicted_keys"),
            keys_expired: self.number("expired_keys"),
            eviction_policy: Some(policy.to_owned()).filter(|p| !p.is_empty()),
            replicas_connected: self.number("connected_slaves"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &str, wanted: Durability) -> Result<(), Error> {
        Server::parse(info).check("here", wanted, false)
    }

    #[test]
    fn a_server_that_cannot_keep_what_is_asked_is_refused_by_name() {
        let process = Durability::Process;
        assert_eq!(check("redis_version:6.2.0\r\nrole:master\r\n", process), Ok(()));
        let old = check("redis_version:6.0.16\r\n", process);
        assert!(matches!(old, Err(Error::VersionTooOld { version, .. }) if version == "6.0.16"));
        let cluster = check("redis_version:8.0.0\r\ncluster_enabled:1\r\n", process);
        assert!(matches!(cluster, Err(Error::ClusterMode { .. })));
        let disk = check("redis_version:7.0.15\r\naof_enabled:1\r\n", Durability::Disk);
        assert!(matches!(disk, Err(Error::Durability { .. })));
        let disk = check("redis_version:7.2.4\r\naof_enabled:1\r\n", Durability::Disk);
        assert_eq!(disk, Ok(()));
    }
}
