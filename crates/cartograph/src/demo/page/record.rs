//! What happened, in order, numbered and bounded; and the live messages that are not kept.
//!
//! INVARIANT: a message is numbered, kept and sent under one lock, so that whoever asks for everything [`Record::since`] a
//! number and then follows misses nothing and sees nothing twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::demo::clock;

/// Events that are kept at most; the oldest go first.
const EVENTS_MAX: usize = 6_000;
/// Bytes of events that are kept at most.
const BYTES_MAX: usize = 6 << 20;
/// Messages that a slow reader may fall behind.
const BEHIND_MAX: usize = 512;

/// One message for the page.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its number; state that is not kept has none.
    pub(crate) number: Option<u64>,
    /// What kind of event the browser sees.
    pub(crate) name: &'static str,
    /// JSON.
    pub(crate) data: Arc<str>,
}

/// The record.
#[derive(Debug)]
pub(crate) struct Record {
    /// When this demo began, in unix milliseconds: numbers of different demos are not to be compared.
    pub(crate) started_ms: u64,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Message>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    bytes: usize,
    dropped: u64,
    events: VecDeque<Message>,
}

/// Everything since a number, and what follows.
pub(crate) struct Since {
    /// Kept events, oldest first.
    pub(crate) events: Vec<Message>,
    /// Events that were dropped for lack of room since the demo began.
    pub(crate) dropped: u64,
    /// What follows.
    pub(crate) live: broadcast::Receiver<Message>,
}

impl Record {
    /// An empty record.
    pub(crate) fn new(started_ms: u64) -> Self {
        let (live, _) = broadcast::channel(BEHIND_MAX);
        Self {
            started_ms,
            kept: Mutex::default(),
            live,
        }
    }

    /// Keeps and sends an event of this kind, and returns its number. `fields` is a JSON object.
    pub(crate) fn keep(&self, kind: &'static str, fields: Value) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        let number = kept.last;
        let mut event = Map::new();
        event.insert("n".to_owned(), number.into());
        event.insert("t".to_owned(), clock::unix_ms().into());
        event.insert("kind".to_owned(), kind.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let message = Message {
            number: Some(number),
            name: "record",
            data: Value::Object(event).to_string().into(),
        };
        kept.bytes += message.data.len();
        kept.events.push_back(message.clone());
        while kept.events.len() > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else {
                break;
            };
            kept.bytes -= oldest.data.len();
            kept.dropped += 1;
        }
        // Nobody listens: then nobody misses it.
        let _ = self.live.send(message);
        number
    }

    /// Records something that people or scripts did to the demo: a cut, a kill, a heal.
    pub(crate) fn fault(&self, what: &str, subject: &Value) {
        self.keep("fault", serde_json::json!({"what": what, "subject": subject}));
    }

    /// Sends what is not kept.
    pub(crate) fn send(&self, name: &'static str, data: &Value) {
        let message = Message {
            number: None,
            name,
            data: data.to_string().into(),
        };
        let _ = self.live.send(message);
    }

    /// Whether a page listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.live.receiver_count() > 0
    }

    /// All kept events with a number above `after`, and what follows them.
    pub(crate) fn since(&self, after: u64) -> Since {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = |message: &&Message| message.number.is_some_and(|number| number > after);
        Since {
            events: kept.events.iter().filter(newer).cloned().collect(),
            dropped: kept.dropped,
            live: self.live.subscribe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reader_gets_what_it_lacks_and_then_what_follows() {
        let record = Record::new(1);
        assert!(!record.is_heard());
        assert_eq!(record.keep("op", json!({"cart": "a"})), 1);
        assert_eq!(record.keep("op", json!({"cart": "b"})), 2);
        let mut since = record.since(1);
        assert!(record.is_heard());
        record.keep("fault", json!({"what": "cut"}));
        record.send("state", &json!({"t": 1}));
        let numbers: Vec<_> = since.events.iter().map(|message| message.number).collect();
        assert_eq!(numbers, [Some(2)]);
        let event: Value = serde_json::from_str(&since.events[0].data).unwrap();
        assert_eq!(
            (&event["n"], &event["kind"], &event["cart"]),
            (&json!(2), &json!("op"), &json!("b"))
        );
        assert_eq!(since.live.try_recv().unwrap().number, Some(3));
        let state = since.live.try_recv().unwrap();
        assert_eq!((state.number, state.name), (None, "state"));
        assert!(since.live.try_recv().is_err());
    }

    #[test]
    fn the_oldest_events_make_room_by_count_and_by_bytes() {
        let record = Record::new(1);
        for _ in 0..=EVENTS_MAX {
            record.keep("op", json!({}));
        }
        let since = record.since(0);
        assert_eq!((since.events.len(), since.dropped), (EVENTS_MAX, 1));
        assert_eq!(since.events[0].number, Some(2));
        let long = "x".repeat(BYTES_MAX / 2);
        for _ in 0..3 {
            record.keep("op", json!({"text": long}));
        }
        let bytes: usize = record.since(0).events.iter().map(|event| event.data.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes}");
    }
}
