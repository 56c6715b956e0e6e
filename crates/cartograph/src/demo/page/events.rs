//! The stream of server-sent events, and who listens to it.
//!
//! A browser that was cut off names the last event that it saw; it gets what it lacks where that was an event of this run of
//! the demo, else everything. A reader that falls behind the live messages is brought up from the record: it loses states,
//! which are superseded anyway, and no event.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::record::Message;
use crate::demo::cluster::Demo;
use crate::demo::error::{Error, Result};

/// Streams at a time.
const STREAMS_MAX: usize = 24;
/// Carts that one stream may name.
const CARTS_MAX: usize = 4;
/// The longest cart id.
const CART_BYTES_MAX: usize = 256;
/// After what time a browser tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Silence after which a comment is sent, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Who listens, and which carts they look at.
#[derive(Debug, Default)]
pub(super) struct Audience {
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    streams: usize,
    carts: BTreeMap<String, usize>,
}

impl Audience {
    /// The carts that somebody looks at.
    pub(super) fn carts(&self) -> Vec<String> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.carts.keys().cloned().collect()
    }

    fn join(&self, carts: &[String]) -> Result<()> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.streams >= STREAMS_MAX {
            return Err(Error::conflict(format!(
                "{STREAMS_MAX} pages listen already; close one of them"
            )));
        }
        listeners.streams += 1;
        for cart in carts {
            *listeners.carts.entry(cart.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn leave(&self, carts: &[String]) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.streams = listeners.streams.saturating_sub(1);
        for cart in carts {
            if let Some(count) = listeners.carts.get_mut(cart) {
                *count -= 1;
                if *count == 0 {
                    listeners.carts.remove(cart);
                }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    carts: Option<String>,
    /// The last event seen, where a new stream goes on from an earlier one.
    after: Option<String>,
}

/// `GET /api/events?carts=a,b`.
///
/// # Errors
/// Too many streams or carts.
pub(super) async fn events(
    State(demo): State<Arc<Demo>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    let carts = cart_list(wanted.carts.as_deref().unwrap_or_default())?;
    demo.page.audience.join(&carts)?;
    let seat = Seat {
        demo: Arc::clone(&demo),
        carts,
    };
    let record = &demo.page.record;
    let after = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .or(wanted.after.as_deref())
        .and_then(|id| last_seen(id, record.started_ms))
        .unwrap_or(0);
    let since = record.since(after);
    let hello = json!({
        "started_ms": record.started_ms.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "base": demo.base,
        "store": demo.store.word(),
        "resumed": after > 0,
        "dropped": since.dropped,
    });
    let mut waiting = VecDeque::from([Message {
        number: None,
        name: "hello",
        data: hello.to_string().into(),
    }]);
    waiting.extend(since.events);
    waiting.push_back(Message {
        number: None,
        name: "live",
        data: "{}".into(),
    });
    let reader = Reader {
        seat,
        waiting,
        last: after,
        live: since.live,
    };
    let stream = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let headers = [("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((
        headers,
        Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)),
    ))
}

/// The carts of the query; a comma cannot be part of an id here.
fn cart_list(text: &str) -> Result<Vec<String>> {
    let carts: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|cart| !cart.is_empty())
        .map(str::to_owned)
        .collect();
    if carts.len() > CARTS_MAX || carts.iter().any(|cart| cart.len() > CART_BYTES_MAX) {
        return Err(Error::bad_request(format!(
            "expected at most {CARTS_MAX} carts of at most {CART_BYTES_MAX} bytes, with commas between them"
        )));
    }
    Ok(carts)
}

/// The number in `started-number`, where the event is of this run.
fn last_seen(id: &str, started_ms: u64) -> Option<u64> {
    let (run, number) = id.split_once('-')?;
    let number = number.parse().ok()?;
    (run.parse() == Ok(started_ms)).then_some(number)
}

/// A place in the audience, free again when dropped.
struct Seat {
    demo: Arc<Demo>,
    carts: Vec<String>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.demo.page.audience.leave(&self.carts);
    }
}

struct Reader {
    seat: Seat,
    waiting: VecDeque<Message>,
    last: u64,
    live: broadcast::Receiver<Message>,
}

impl Reader {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        let demo = Arc::clone(&self.seat.demo);
        let record = &demo.page.record;
        loop {
            let Some(message) = self.waiting.pop_front() else {
                let received = tokio::select! {
                    () = demo.stop.cancelled() => return None,
                    received = self.live.recv() => received,
                };
                match received {
                    Ok(message) => self.waiting.push_back(message),
                    Err(RecvError::Closed) => return None,
                    Err(RecvError::Lagged(_)) => {
                        let since = record.since(self.last);
                        self.waiting.extend(since.events);
                        self.live = since.live;
                    }
                }
                continue;
            };
            let mut event = Event::default().event(message.name).data(&*message.data);
            if message.name == "hello" {
                event = event.retry(RETRY);
            }
            return Some(match message.number {
                None => event,
                Some(number) => {
                    self.last = number;
                    event.id(format!("{}-{number}", record.started_ms))
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_another_run_is_no_place_to_go_on_from() {
        assert_eq!(last_seen("17-5", 17), Some(5));
        for id in ["16-5", "17", "17-", "-5", "17-x", ""] {
            assert_eq!(last_seen(id, 17), None, "{id}");
        }
    }

    #[test]
    fn carts_are_listed_with_commas_and_bounded() {
        assert_eq!(cart_list("").unwrap(), Vec::<String>::new());
        assert_eq!(cart_list(" a, b ,,").unwrap(), ["a", "b"]);
        assert!(cart_list("a,b,c,d").is_ok());
        assert_eq!(cart_list("a,b,c,d,e").unwrap_err().status, 400);
        assert_eq!(cart_list(&"a".repeat(257)).unwrap_err().status, 400);
    }

    #[test]
    fn a_cart_is_watched_while_somebody_looks_and_seats_are_limited() {
        let audience = Audience::default();
        let (a, b) = (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]);
        audience.join(&a).unwrap();
        audience.join(&b).unwrap();
        audience.leave(&a);
        assert_eq!(audience.carts(), ["a", "b"]);
        audience.leave(&b);
        assert!(audience.carts().is_empty());
        for _ in 0..STREAMS_MAX {
            audience.join(&[]).unwrap();
        }
        assert_eq!(audience.join(&[]).unwrap_err().status, 409);
    }
}
