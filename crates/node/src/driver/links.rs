//! Which connection is the current one of each peer and direction.
//!
//! A connection can be replaced before its death was noticed. So each has a number, and what comes from one that is not
//! the current one is dropped; and the machine hears of the old one's end before it hears of the new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use cartograph_crdt::RegionId;
use cartograph_replica::exchange::Direction;
use tokio::sync::mpsc;

/// Names one connection of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId(u64);

impl LinkId {
    /// A name that no other connection has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LinkId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The current connections of one direction.
#[derive(Debug)]
pub(super) struct Links<M> {
    direction: Direction,
    current: BTreeMap<RegionId, (LinkId, mpsc::Sender<M>)>,
}

impl<M> Links<M> {
    pub(super) fn new(direction: Direction) -> Self {
        Links {
            direction,
            current: BTreeMap::new(),
        }
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// Puts a connection in; tells whether it replaces one.
    pub(super) fn put(&mut self, peer: RegionId, link: LinkId, sender: mpsc::Sender<M>) -> bool {
        self.current.insert(peer, (link, sender)).is_some()
    }

    pub(super) fn is_current(&self, peer: RegionId, link: LinkId) -> bool {
        self.current.get(&peer).is_some_and(|(l, _)| *l == link)
    }

    /// Drops the peer's connection, whichever it is: its task ends when it finds its channel closed.
    pub(super) fn drop_peer(&mut self, peer: RegionId) -> bool {
        self.current.remove(&peer).is_some()
    }

    /// All peers with a connection.
    pub(super) fn peers(&self) -> Vec<RegionId> {
        self.current.keys().copied().collect()
    }

    /// Hands a message to the peer's connection; false when it is stuck, and was dropped.
    pub(super) fn send(&mut self, peer: RegionId, message: M) -> bool {
        let Some((_, sender)) = self.current.get(&peer) else {
            return true;
        };
        let sent = sender.try_send(message).is_ok();
        if !sent {
            self.current.remove(&peer);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: RegionId = RegionId(2);

    #[test]
    fn only_the_current_connection_counts() {
        let mut links = Links::new(Direction::In);
        let (first, second) = (LinkId::fresh(), LinkId::fresh());
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        assert!(!links.put(EU, first, sender));
        assert!(links.put(EU, second, mpsc::channel(1).0));
        assert!(!links.is_current(EU, first) && links.is_current(EU, second));
        assert_eq!(receiver.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }

    #[test]
    fn a_stuck_connection_is_dropped_at_the_limit_and_not_before() {
        let mut links = Links::new(Direction::Out);
        let (sender, _receiver) = mpsc::channel(2);
        links.put(EU, LinkId::fresh(), sender);
        assert!(links.send(EU, 1) && links.send(EU, 2));
        assert!(!links.send(EU, 3));
        assert!(links.peers().is_empty());
        assert!(links.send(EU, 4), "nobody there is nothing stuck");
    }
}
