//! What can be wrong with a store, and what to do about it.
//!
//! Each error is definite: a read changed nothing, and a failed claim at most raised the fence (which is harmless).
//! What became of a *commit* is never an [`Error`]; it is an `Outcome`, which can say "unknown".

use std::path::PathBuf;

/// A store's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke, or no answer in time.
    #[error("the store at {address} cannot be reached: {reason}")]
    Unavailable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The server is still reading its data.
    #[error("the store at {address} is still loading its data; it will answer when that is done")]
    Loading {
        /// Where.
        address: String,
    },
    /// The address is none.
    #[error("{url:?} is no address of a Redis ({reason}); expected redis://HOST:PORT or unix:///PATH")]
    Address {
        /// As configured, without a password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Keys could be evicted.
    #[error(
        "the Redis at {address} may evict keys (maxmemory-policy is {policy}), and with them what makes carts \
         agree; set `maxmemory-policy noeviction` and start again"
    )]
    Evicting {
        /// Where.
        address: String,
        /// Its policy.
        policy: String,
    },
    /// A replica, which takes no writes.
    #[error("the Redis at {address} is a read-only replica; give the address of its primary")]
    ReadOnlyReplica {
        /// Where.
        address: String,
    },
    /// Too old.
    #[error("the Redis at {address} is version {version}; 6.2 or later is needed")]
    VersionTooOld {
        /// Where.
        address: String,
        /// Its version.
        version: String,
    },
    /// Redis Cluster, where one script cannot reach all keys of a shard.
    #[error(
        "the Redis at {address} runs in cluster mode, where a commit cannot be atomic; use one with cluster mode \
         disabled (on managed services: CLUSTER_DISABLED, one shard)"
    )]
    ClusterMode {
        /// Where.
        address: String,
    },
    /// Wrong or missing credentials.
    #[error("the Redis at {address} refuses the login ({reason}); check user name and password")]
    Authentication {
        /// Where.
        address: String,
        /// The server's words.
        reason: String,
    },
    /// The user lacks a command or a key.
    #[error(
        "the Redis user may not do what a store must ({reason}); allow it on the Redis at {address}: SELECT, INFO, \
         TIME, EVAL, EVALSHA, SCRIPT LOAD, and all reads and writes on all keys"
    )]
    NoPermission {
        /// Where.
        address: String,
        /// The server's words.
        reason: String,
    },
    /// The reserved database is not there.
    #[error(
        "the Redis at {address} has no database {db} for metadata ({reason}); set `metadata_db` to one that it has \
         and nothing else uses, or raise its `databases`"
    )]
    MetadataDatabase {
        /// Where.
        address: String,
        /// Which.
        db: u16,
        /// The server's words.
        reason: String,
    },
    /// The durability asked for cannot be had.
    #[error("the store at {address} cannot keep durability {wanted:?}: {reason}")]
    Durability {
        /// Where.
        address: String,
        /// What was configured.
        wanted: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// A read of a value of another type, in Redis's own words.
    #[error("{reason}")]
    WrongType {
        /// Begins with `WRONGTYPE`.
        reason: String,
    },
    /// The server refused a write of the store's own for now (out of memory, failing persistence).
    #[error("the store at {address} refuses writes: {reason}")]
    Refused {
        /// Where.
        address: String,
        /// The server's words, and what to do.
        reason: String,
    },
    /// An answer that the store does not understand.
    #[error("the store at {address} gave an answer that was not expected: {reason}")]
    Unexpected {
        /// Where.
        address: String,
        /// What.
        reason: String,
    },
    /// What is stored cannot be read.
    #[error("the store {place} is damaged: {reason}; restore a copy, or wipe it and let the region catch up")]
    Damaged {
        /// File or server.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The file is of another format.
    #[error("{path} is no store of this version: {reason}")]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// Another process has the file.
    #[error("{path} is in use by another process; stop that one, or give this one its own file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another node of the region has the lease: this one stands by.
    #[error("this node is a standby: the node at {owner} owns the region's store")]
    Standby {
        /// Where the owner is reached.
        owner: String,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be used: {reason}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed later with nobody changing a configuration.
    pub fn is_retryable(&self) -> bool {
        match self {
            // A failover makes a primary of a replica; a disk may have room again.
            Error::Unavailable { .. }
            | Error::Loading { .. }
            | Error::Refused { .. }
            | Error::InUse { .. }
            | Error::Standby { .. }
            | Error::ReadOnlyReplica { .. }
            | Error::Disk { .. } => true,
            Error::Address { .. }
            | Error::Evicting { .. }
            | Error::VersionTooOld { .. }
            | Error::ClusterMode { .. }
            | Error::Authentication { .. }
            | Error::NoPermission { .. }
            | Error::MetadataDatabase { .. }
            | Error::Durability { .. }
            | Error::WrongType { .. }
            | Error::Unexpected { .. }
            | Error::Damaged { .. }
            | Error::ForeignFile { .. } => false,
        }
    }

    /// Redis's own words for a read of a value of another type.
    pub(crate) fn wrong_type() -> Self {
        Error::WrongType {
            reason: "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned(),
        }
    }

    /// Redis's own words for `PFCOUNT` of a string that is no HyperLogLog.
    pub(crate) fn no_hyperloglog() -> Self {
        Error::WrongType {
            reason: "WRONGTYPE Key is not a valid HyperLogLog string value.".to_owned(),
        }
    }
}
