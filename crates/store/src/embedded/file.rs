//! The file: opening, checking, transactions, and what can be wrong with it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "redb's errors are open; what is not named is damage"
)]

use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable, StorageError, Table,
    TableDefinition, TableError, TableHandle as _,
};

use crate::error::Error;
use crate::kv::{Tables, TablesMut, Visit};

/// Version of the file's layout (`kv::keys`).
pub const FORMAT_VERSION: u32 = 1;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("cartograph");

/// Where the version stands; no other key begins so.
const VERSION_KEY: &[u8] = b"f";

/// Pages kept in memory, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// A file up to this size, in bytes, is checked whole when it is opened.
const CHECKED_BYTES_MAX: u64 = 256 << 20;

pub(super) struct StoreFile {
    path: PathBuf,
    /// None after a failure, until it is opened anew.
    database: RwLock<Option<Database>>,
}

impl StoreFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let database = open_checked(path)?;
        Ok(StoreFile {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> Result<u64, Error> {
        let file = std::fs::metadata(&self.path);
        Ok(file.map_err(|e| disk(&self.path, &e))?.len())
    }

    /// Closes the file after a failure.
    pub(super) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens it again, if it is closed; whether it was.
    pub(super) fn reopen(&self) -> Result<bool, Error> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            return Ok(false);
        }
        *database = Some(open_checked(&self.path)?);
        Ok(true)
    }

    fn closed(&self) -> Error {
        Error::Unavailable {
            address: self.path.display().to_string(),
            reason: "it failed, and is closed until it is claimed again".to_owned(),
        }
    }

    /// Reads in one transaction.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTables<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed())?;
        guarded(&self.path, || {
            let transaction = database.begin_read().map_err(|e| self.other(e))?;
            let table = transaction.open_table(TABLE).map_err(|e| self.table(e))?;
            read(&ReadTables {
                table,
                path: &self.path,
            })
        })
    }

    /// Writes in one transaction, which is synced unless `write` fails: then nothing of it is there.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&mut WriteTables<'_, '_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed())?;
        guarded(&self.path, || {
            let transaction = database.begin_write().map_err(|e| self.other(e))?;
            let table = transaction.open_table(TABLE).map_err(|e| self.table(e))?;
            let mut tables = WriteTables {
                table,
                path: &self.path,
            };
            let written = write(&mut tables);
            drop(tables);
            let written = written?;
            transaction.commit().map_err(|e| self.other(e))?;
            Ok(written)
        })
    }

    fn other(&self, error: impl Into<redb::Error>) -> Error {
        from_redb(&self.path, error.into())
    }

    fn table(&self, error: TableError) -> Error {
        match error {
            TableError::Storage(error) => storage(&self.path, error),
            other => foreign(&self.path, &other.to_string()),
        }
    }
}

fn open_checked(path: &Path) -> Result<Database, Error> {
    guarded(path, || {
        let fresh = std::fs::metadata(path).map_or(0, |m| m.len()) == 0;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let mut database = builder.create(path).map_err(|e| opening(path, e))?;
        if fresh {
            sync_directory(path)?;
        } else {
            check(path, &mut database)?;
        }
        check_version(path, &database)?;
        Ok(database)
    })
}

/// Verifies every page's checksum.
fn check(path: &Path, database: &mut Database) -> Result<(), Error> {
    let size = std::fs::metadata(path).map_err(|e| disk(path, &e))?.len();
    if size > CHECKED_BYTES_MAX {
        return Ok(());
    }
    let sound = database.check_integrity().map_err(|e| opening(path, e))?;
    if !sound {
        tracing::warn!(store = %path.display(), "the store's file was damaged, and was repaired to an earlier state");
    }
    Ok(())
}

fn check_version(path: &Path, database: &Database) -> Result<(), Error> {
    let fail = |e: redb::Error| from_redb(path, e);
    let transaction = database.begin_write().map_err(|e| fail(e.into()))?;
    let names: Vec<String> = {
        let tables = transaction.list_tables().map_err(|e| fail(e.into()))?;
        tables.map(|t| t.name().to_owned()).collect()
    };
    if names.iter().any(|name| name != TABLE.name()) {
        return Err(foreign(path, "a database of another program"));
    }
    {
        let mut table = transaction.open_table(TABLE).map_err(|e| match e {
            TableError::Storage(e) => storage(path, e),
            other => foreign(path, &other.to_string()),
        })?;
        let found = {
            let version = table.get(VERSION_KEY).map_err(|e| storage(path, e))?;
            version.map(|v| v.value().to_vec())
        };
        match found {
            None if names.is_empty() => {
                let version = FORMAT_VERSION.to_be_bytes();
                table
                    .insert(VERSION_KEY, version.as_slice())
                    .map_err(|e| storage(path, e))?;
            }
            None => return Err(foreign(path, "it has no format version")),
            Some(version) if version == FORMAT_VERSION.to_be_bytes() => {}
            Some(version) => {
                let version = version.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
                return Err(foreign(
                    path,
                    &format!("its format is {version}, this program reads {FORMAT_VERSION}"),
                ));
            }
        }
    }
    transaction.commit().map_err(|e| fail(e.into()))
}

/// So that a new file's name survives a crash, too.
fn sync_directory(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).and_then(|d| d.sync_all());
    directory.map_err(|e| disk(path, &e))
}

/// A page that makes no sense may make the library panic: that is damage, not the end of the process.
fn guarded<T>(path: &Path, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(damaged(path, words.unwrap_or("it does not make sense")))
    })
}

fn opening(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::InUse {
            path: path.to_owned(),
        },
        DatabaseError::UpgradeRequired(version) => {
            foreign(path, &format!("its file format {version} is an old one"))
        }
        DatabaseError::Storage(error) => storage(path, error),
        other => damaged(path, &other.to_string()),
    }
}

fn from_redb(path: &Path, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(error) => disk(path, &error),
        redb::Error::PreviousIo => Error::Disk {
            path: path.to_owned(),
            reason: "it failed before".to_owned(),
        },
        other => damaged(path, &other.to_string()),
    }
}

fn storage(path: &Path, error: StorageError) -> Error {
    match error {
        StorageError::Io(error) if error.kind() == ErrorKind::InvalidData => {
            foreign(path, &error.to_string())
        }
        other => from_redb(path, other.into()),
    }
}

fn disk(path: &Path, error: &std::io::Error) -> Error {
    Error::Disk {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn foreign(path: &Path, reason: &str) -> Error {
    Error::ForeignFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::Damaged {
        place: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// A reading transaction.
pub(super) struct ReadTables<'a> {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    path: &'a Path,
}

impl Tables for ReadTables<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        get(&self.table, self.path, key)
    }

    fn range(
        &self,
        from: &[u8],
        until: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), Error> {
        range(&self.table, self.path, from, until, visit)
    }
}

/// A writing transaction.
pub(super) struct WriteTables<'t, 'a> {
    table: Table<'t, &'static [u8], &'static [u8]>,
    path: &'a Path,
}

impl Tables for WriteTables<'_, '_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        get(&self.table, self.path, key)
    }

    fn range(
        &self,
        from: &[u8],
        until: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), Error> {
        range(&self.table, self.path, from, until, visit)
    }
}

impl TablesMut for WriteTables<'_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let done = self.table.insert(key, value).map(|_| ());
        done.map_err(|e| storage(self.path, e))
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool, Error> {
        let done = self.table.remove(key).map(|old| old.is_some());
        done.map_err(|e| storage(self.path, e))
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    path: &Path,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let found = table.get(key).map_err(|e| storage(path, e))?;
    Ok(found.map(|value| value.value().to_vec()))
}

fn range(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    path: &Path,
    from: &[u8],
    until: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
) -> Result<(), Error> {
    if from >= until {
        return Ok(());
    }
    for entry in table.range(from..until).map_err(|e| storage(path, e))? {
        let (key, value) = entry.map_err(|e| storage(path, e))?;
        if visit(key.value(), value.value()).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        let error = StoreFile::open(path).err().unwrap();
        assert!(matches!(error, Error::ForeignFile { .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("theirs");
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("theirs"))
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(refusal(&path).contains("another program"));
        let database = Database::open(&path).unwrap();
        let tables = database.begin_read().unwrap();
        assert_eq!(tables.list_tables().unwrap().count(), 1);
    }

    #[test]
    fn a_store_of_a_later_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let file = StoreFile::open(&path).unwrap();
        let later = (FORMAT_VERSION + 1).to_be_bytes();
        file.write(|tables| tables.put(VERSION_KEY, &later)).unwrap();
        drop(file);
        assert!(refusal(&path).contains("its format is 2, this program reads 1"));
    }

    #[test]
    fn what_fails_half_way_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = StoreFile::open(&directory.path().join("store")).unwrap();
        let failed = file.write(|tables| -> Result<(), Error> {
            tables.put(b"k", b"v")?;
            Err(file.closed())
        });
        assert!(failed.is_err());
        assert_eq!(file.read(|tables| tables.get(b"k")), Ok(None));
    }
}
