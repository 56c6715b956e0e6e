//! The demo's data directory: where everything lives, and what a later demo over the same directory must know.
//!
//! ```text
//! <data-dir>/demo.json                 which store, and each region's id (an id is never given to another region)
//! <data-dir>/demo.lock                 held while a demo runs here
//! <data-dir>/<region>/node.toml        the node's settings, written anew at each change
//! <data-dir>/<region>/node.log         the node's output
//! <data-dir>/<region>/redis|store/     the store's data: the private Redis's, or the embedded store's
//! <data-dir>/<region>/redis.log
//! <data-dir>/<region>/snapshot/        what `store/snapshot` copied last
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// What `demo.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `redis` or `embedded`: the data of one is nothing to the other.
    pub(crate) store: String,
    /// In the order of their ids.
    pub(crate) regions: Vec<RecordedRegion>,
}

/// A region that has data here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedRegion {
    /// Its name.
    pub(crate) name: String,
    /// Its id, from 1.
    pub(crate) id: u16,
}

/// The directory, ours alone until dropped; a temporary one is then removed.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
    _lock: File,
}

impl DataDir {
    /// Opens `given`, made where it is missing, or makes a temporary directory.
    ///
    /// # Errors
    /// It cannot be made or written, or another demo runs in it.
    pub(crate) fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        let (path, temporary) = if let Some(path) = given {
            fs::create_dir_all(path)
                .with_context(|| format!("cannot make the data directory {}", path.display()))?;
            (path.canonicalize()?, None)
        } else {
            let temporary = tempfile::Builder::new()
                .prefix("cartograph-demo-")
                .tempdir()
                .context("cannot make a temporary data directory; choose one with --data-dir")?;
            (temporary.path().canonicalize()?, Some(temporary))
        };
        let lock_path = path.join("demo.lock");
        let lock =
            File::create(&lock_path).with_context(|| format!("cannot write {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another demo is running in the data directory {}", path.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
            }
        }
        Ok(Self {
            path,
            temporary,
            _lock: lock,
        })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when the demo ends.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Removes a temporary directory now; the process may end in ways that run no destructors.
    pub(crate) fn remove_if_temporary(&self) {
        if self.is_temporary() {
            let _ = remove_dir(&self.path);
        }
    }

    /// What an earlier demo left here, if one ran.
    ///
    /// # Errors
    /// There is a `demo.json` that cannot be read.
    pub(crate) fn record(&self) -> anyhow::Result<Option<Record>> {
        let path = self.path.join("demo.json");
        match fs::read(&path) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                Ok(Some(record))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes `demo.json`, whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        write_whole(&self.path.join("demo.json"), &serde_json::to_vec_pretty(record)?)
    }
}

/// Writes a file beside `path` and moves it there, so that a reader finds the old content or the new.
///
/// # Errors
/// The system's.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, content)?;
    fs::rename(&beside, path)
}

/// Copies the files of a directory, with all below it. Redis's temporary files (`temp-*`) are left out.
///
/// # Errors
/// The system's; `to` may then hold a part.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let target = to.join(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else if kind.is_file() && !name.to_string_lossy().starts_with("temp-") {
            let _bytes = fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Removes a directory with all below it; one that is not there is no error.
///
/// # Errors
/// The system's.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_demo_at_a_time_and_keeps_its_record() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("demo");
        let data = DataDir::open(Some(&path)).unwrap();
        assert_eq!(data.record().unwrap(), None);
        let record = Record {
            store: "redis".to_owned(),
            regions: vec![RecordedRegion {
                name: "us-central1".to_owned(),
                id: 1,
            }],
        };
        data.write_record(&record).unwrap();
        let error = DataDir::open(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("another demo is running"), "{error}");
        drop(data);
        let data = DataDir::open(Some(&path)).unwrap();
        assert_eq!(data.record().unwrap(), Some(record));
        fs::write(path.join("demo.json"), "{").unwrap();
        assert!(data.record().is_err());
    }

    #[test]
    fn a_temporary_directory_goes_with_the_demo() {
        let data = DataDir::open(None).unwrap();
        let path = data.path().to_owned();
        assert!(data.is_temporary() && path.is_dir());
        drop(data);
        assert!(!path.exists());
    }

    #[test]
    fn a_copy_holds_everything_but_redis_leftovers() {
        let parent = tempfile::tempdir().unwrap();
        let (from, to) = (parent.path().join("from"), parent.path().join("to"));
        fs::create_dir_all(from.join("appendonlydir")).unwrap();
        fs::write(from.join("appendonlydir/base"), "b").unwrap();
        fs::write(from.join("temp-rewriteaof-1.aof"), "t").unwrap();
        copy_dir(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("appendonlydir/base")).unwrap(), b"b");
        assert!(!to.join("temp-rewriteaof-1.aof").exists());
        remove_dir(&to).unwrap();
        remove_dir(&to).unwrap();
        assert!(!to.exists());
    }
}
