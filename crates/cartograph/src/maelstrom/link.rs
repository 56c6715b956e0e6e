//! A stream over messages: what regions exchange is in order and complete, and Maelstrom's network is neither.
//!
//! In the product a stream between two regions is a connection. Maelstrom delays, reorders and drops single messages, so a
//! [`Link`] numbers what it sends, keeps it until it is acknowledged, sends it again when it is not, and puts what arrives in
//! order. One link is one life of a stream: when it cannot go on (too much unacknowledged, the other side began anew) it is
//! given up, and the dialler begins another with a higher epoch, as one dials again after a broken connection.

use std::collections::{BTreeMap, VecDeque};

/// Unacknowledged payloads of a link: past it the other side counts as gone.
const UNACKNOWLEDGED_MAX: usize = 20_000;
/// Payloads that arrived ahead of a gap and are kept.
const EARLY_MAX: usize = 4_096;
/// Sent again after this long without an acknowledgement.
const RESEND_MS: u64 = 250;
/// Sent again at once, at most.
const RESEND_COUNT: usize = 32;

/// One numbered payload, or none (a bare acknowledgement), with everything before `ack` acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The life of the stream.
    pub(super) epoch: u64,
    /// The payload's number and bytes.
    pub(super) payload: Option<(u64, Vec<u8>)>,
    /// The first number that the sender has not received.
    pub(super) ack: u64,
}

/// One side of a stream's life.
#[derive(Debug)]
pub(super) struct Link {
    epoch: u64,
    next_out: u64,
    unacknowledged: VecDeque<(u64, Vec<u8>)>,
    /// When the oldest of them was sent last.
    sent_ms: u64,
    next_in: u64,
    early: BTreeMap<u64, Vec<u8>>,
}

impl Link {
    /// A new life.
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            next_out: 0,
            unacknowledged: VecDeque::new(),
            sent_ms: 0,
            next_in: 0,
            early: BTreeMap::new(),
        }
    }

    /// Which life.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it cannot go on.
    pub(super) fn is_stuck(&self) -> bool {
        self.unacknowledged.len() > UNACKNOWLEDGED_MAX
    }

    /// Sends a payload.
    pub(super) fn send(&mut self, payload: Vec<u8>, now_ms: u64) -> Frame {
        let number = self.next_out;
        self.next_out += 1;
        if self.unacknowledged.is_empty() {
            self.sent_ms = now_ms;
        }
        self.unacknowledged.push_back((number, payload.clone()));
        self.frame(Some((number, payload)))
    }

    /// Takes a frame of this life: the payloads that are now in order, and a frame to send back where one is due.
    pub(super) fn receive(&mut self, frame: Frame, now_ms: u64) -> (Vec<Vec<u8>>, Option<Frame>) {
        while self
            .unacknowledged
            .front()
            .is_some_and(|(number, _)| *number < frame.ack)
        {
            self.unacknowledged.pop_front();
            self.sent_ms = now_ms;
        }
        let Some((number, payload)) = frame.payload else {
            return (Vec::new(), None);
        };
        if number >= self.next_in && self.early.len() < EARLY_MAX {
            self.early.insert(number, payload);
        }
        let mut ready = Vec::new();
        while let Some(payload) = self.early.remove(&self.next_in) {
            self.next_in += 1;
            ready.push(payload);
        }
        // Also for what was there already: the acknowledgement may have been lost.
        (ready, Some(self.frame(None)))
    }

    /// What has waited too long for an acknowledgement, again.
    pub(super) fn resend(&mut self, now_ms: u64) -> Vec<Frame> {
        if self.unacknowledged.is_empty() || now_ms.saturating_sub(self.sent_ms) < RESEND_MS {
            return Vec::new();
        }
        self.sent_ms = now_ms;
        let again: Vec<(u64, Vec<u8>)> = self.unacknowledged.iter().take(RESEND_COUNT).cloned().collect();
        again
            .into_iter()
            .map(|payload| self.frame(Some(payload)))
            .collect()
    }

    fn frame(&self, payload: Option<(u64, Vec<u8>)>) -> Frame {
        Frame {
            epoch: self.epoch,
            payload,
            ack: self.next_in,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn everything_arrives_once_and_in_order_over_a_network_that_drops_and_reorders() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut from, mut to) = (Link::new(1), Link::new(1));
        let mut on_the_way: Vec<(bool, Frame)> = Vec::new();
        let mut arrived = Vec::new();
        let mut sent = 0_u8;
        for now_ms in (0..60_000).step_by(10) {
            if sent < 200 {
                on_the_way.push((true, from.send(vec![sent], now_ms)));
                sent += 1;
            }
            on_the_way.extend(from.resend(now_ms).into_iter().map(|frame| (true, frame)));
            on_the_way.shuffle(&mut rng);
            for _ in 0..on_the_way.len().min(3) {
                let Some((there, frame)) = on_the_way.pop() else {
                    break;
                };
                if rng.random_bool(0.3) {
                    continue;
                }
                let (ready, answer) = if there {
                    to.receive(frame, now_ms)
                } else {
                    from.receive(frame, now_ms)
                };
                arrived.extend(ready.into_iter().flatten());
                on_the_way.extend(answer.map(|frame| (!there, frame)));
            }
        }
        assert_eq!(arrived, (0..200).collect::<Vec<u8>>());
        assert!(from.unacknowledged.is_empty());
    }

    #[test]
    fn a_side_that_never_answers_counts_as_gone_after_a_bound() {
        let mut link = Link::new(1);
        for _ in 0..=UNACKNOWLEDGED_MAX {
            assert!(!link.is_stuck());
            let _ = link.send(Vec::new(), 0);
        }
        assert!(link.is_stuck());
        assert_eq!(link.resend(10_000).len(), RESEND_COUNT);
    }
}
