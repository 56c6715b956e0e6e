//! A store over any ordered map with transactions: what [`crate::memory`] and [`crate::embedded`] share.
//!
//! The map's keys are byte strings; [`keys`] says how everything is laid out in them, and that layout is a stored
//! format. [`commit`] applies commits, [`load`] answers the core, [`read`] answers clients, [`views`] keeps Redis-like
//! values. Expiry of views is lazy: a view past its instant is absent for guards and reads, and each commit clears a
//! few of those away.

pub mod commit;
pub mod keys;
pub mod load;
pub mod read;
pub mod views;

use std::ops::ControlFlow;

use crate::error::Error;

/// What a visitor of a range says after each entry.
pub type Visit = ControlFlow<()>;

/// One transaction's view of the map.
pub trait Tables {
    /// The value under `key`.
    ///
    /// # Errors
    /// The store's own.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Calls `visit` with each entry from `from` on and before `until`, ascending, while it says so.
    ///
    /// # Errors
    /// The store's own.
    fn range(
        &self,
        from: &[u8],
        until: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), Error>;
}

/// One transaction that may write.
pub trait TablesMut: Tables {
    /// Sets `key`.
    ///
    /// # Errors
    /// The store's own.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error>;

    /// Removes `key`; whether it was there.
    ///
    /// # Errors
    /// The store's own.
    fn delete(&mut self, key: &[u8]) -> Result<bool, Error>;
}

/// The keys of a range, at most `count`.
pub(crate) fn keys_in(
    tables: &(impl Tables + ?Sized),
    from: &[u8],
    until: &[u8],
    count: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    if count == 0 {
        return Ok(found);
    }
    tables.range(from, until, &mut |key, _| {
        found.push(key.to_vec());
        if found.len() < count {
            Visit::Continue(())
        } else {
            Visit::Break(())
        }
    })?;
    Ok(found)
}

/// Removes all of a range.
pub(crate) fn delete_range(
    tables: &mut (impl TablesMut + ?Sized),
    from: &[u8],
    until: &[u8],
) -> Result<(), Error> {
    for key in keys_in(tables, from, until, usize::MAX)? {
        tables.delete(&key)?;
    }
    Ok(())
}

/// What stands for a value that does not decode.
pub(crate) fn damaged(what: &str) -> Error {
    Error::Damaged {
        place: "file".to_owned(),
        reason: format!("{what} cannot be read"),
    }
}
