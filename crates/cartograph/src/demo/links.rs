//! The links between regions: one for each direction, each with its faults.
//!
//! A [`Link`] is a setting that its proxy watches (see `proxy`). Changing it is all there is to a fault: the nodes are not
//! told. Settings are bounded, so that whatever a script puts here can be undone within seconds.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::error::{Error, Result};
use super::gcp;

/// The longest latency or jitter that can be set.
pub(crate) const DELAY_MS_MAX: u64 = 10_000;

/// What a direction does to the bytes that cross it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Whether anything passes at all.
    pub(crate) up: bool,
    /// One-way delay.
    pub(crate) latency: Duration,
    /// How far the delay strays from `latency`, to either side.
    pub(crate) jitter: Duration,
    /// The chance, from 0 to 1, that a piece has to be sent again.
    pub(crate) loss: f64,
}

impl Settings {
    /// A healthy link with this one-way latency.
    pub(crate) fn healthy(latency: Duration) -> Self {
        Self {
            up: true,
            latency,
            jitter: Duration::ZERO,
            loss: 0.0,
        }
    }
}

/// The link from one region to another.
#[derive(Debug)]
pub(crate) struct Link {
    /// The region whose node dials.
    pub(crate) from: String,
    /// The region that is dialled.
    pub(crate) to: String,
    /// Where the proxy listens for `from`'s node.
    pub(crate) address: SocketAddr,
    /// The proxy's task, which ends with the link.
    pub(crate) proxy: OnceLock<AbortHandle>,
    settings: watch::Sender<Settings>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxy.get() {
            proxy.abort();
        }
    }
}

/// A link as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LinkView {
    from: String,
    to: String,
    up: bool,
    latency_ms: u64,
    jitter_ms: u64,
    loss: f64,
}

/// The body of `PUT /api/links/{from}/{to}`: what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkPatch {
    /// Whether anything passes at all.
    pub(crate) up: Option<bool>,
    /// One-way delay.
    pub(crate) latency_ms: Option<u64>,
    /// How far the delay strays.
    pub(crate) jitter_ms: Option<u64>,
    /// The chance that a piece has to be sent again.
    pub(crate) loss: Option<f64>,
}

impl LinkPatch {
    /// Reads and checks a request body.
    ///
    /// # Errors
    /// A bad request that says what was expected.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let expected = r#"expected a JSON object with any of "up" (true or false), "latency_ms", "jitter_ms" (whole numbers) and "loss" (0 to 1)"#;
        let patch: Self = serde_json::from_slice(body)
            .map_err(|error| Error::bad_request(format!("{expected}: {error}")))?;
        for (name, value) in [("latency_ms", patch.latency_ms), ("jitter_ms", patch.jitter_ms)] {
            if let Some(value) = value.filter(|value| *value > DELAY_MS_MAX) {
                return Err(Error::bad_request(format!(
                    "{name} is {value}, expected a whole number from 0 to {DELAY_MS_MAX}"
                )));
            }
        }
        if let Some(loss) = patch.loss.filter(|loss| !(0.0..=1.0).contains(loss)) {
            return Err(Error::bad_request(format!(
                "loss is {loss}, expected a number from 0 to 1"
            )));
        }
        Ok(patch)
    }
}

impl Link {
    /// A healthy link, with the latency that is usual between these two regions.
    pub(crate) fn new(from: &str, to: &str, address: SocketAddr) -> Self {
        let (settings, _) = watch::channel(Settings::healthy(gcp::one_way(from, to)));
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            address,
            proxy: OnceLock::new(),
            settings,
        }
    }

    /// What holds now.
    pub(crate) fn settings(&self) -> Settings {
        *self.settings.borrow()
    }

    /// For a proxy: follows the settings.
    pub(crate) fn watch(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    /// Changes what `patch` names; proxies notice at once.
    pub(crate) fn change(&self, patch: LinkPatch) {
        self.settings.send_modify(|settings| {
            settings.up = patch.up.unwrap_or(settings.up);
            settings.latency = patch.latency_ms.map_or(settings.latency, Duration::from_millis);
            settings.jitter = patch.jitter_ms.map_or(settings.jitter, Duration::from_millis);
            settings.loss = patch.loss.unwrap_or(settings.loss);
        });
    }

    /// Up, without loss, with the latency that the link began with.
    pub(crate) fn heal(&self) {
        self.settings
            .send_replace(Settings::healthy(gcp::one_way(&self.from, &self.to)));
    }

    /// As the API shows it.
    pub(crate) fn view(&self) -> LinkView {
        let settings = self.settings();
        LinkView {
            from: self.from.clone(),
            to: self.to.clone(),
            up: settings.up,
            latency_ms: whole_ms(settings.latency),
            jitter_ms: whole_ms(settings.jitter),
            loss: settings.loss,
        }
    }

    /// What is wrong with the link, in a few words; nothing when it is as it began.
    pub(crate) fn fault(&self) -> Option<String> {
        let settings = self.settings();
        let mut words = Vec::new();
        if !settings.up {
            words.push("cut".to_owned());
        }
        if settings.latency != gcp::one_way(&self.from, &self.to) {
            words.push(format!("{} ms", whole_ms(settings.latency)));
        }
        if !settings.jitter.is_zero() {
            words.push(format!("±{} ms", whole_ms(settings.jitter)));
        }
        if settings.loss > 0.0 {
            words.push(format!("loss {}", settings.loss));
        }
        (!words.is_empty()).then(|| format!("{} → {}: {}", self.from, self.to, words.join(", ")))
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All links, in the order in which their regions came.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: RwLock<Vec<Arc<Link>>>,
}

impl Links {
    /// The links there are now.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The link from one region to another.
    ///
    /// # Errors
    /// Not found, naming the known regions.
    pub(crate) fn get(&self, from: &str, to: &str) -> Result<Arc<Link>> {
        let links = self.all();
        if let Some(link) = links.iter().find(|link| link.from == from && link.to == to) {
            return Ok(Arc::clone(link));
        }
        let mut names: Vec<&str> = links
            .iter()
            .flat_map(|link| [link.from.as_str(), link.to.as_str()])
            .collect();
        names.sort_unstable();
        names.dedup();
        Err(Error::not_found(format!(
            "there is no link from {from:?} to {to:?}; expected two different regions of {}",
            names.join(", ")
        )))
    }

    /// Adds a link that is not there yet.
    pub(crate) fn add(&self, link: Arc<Link>) {
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(link);
    }

    /// Forgets the links of a region whose start failed.
    pub(crate) fn remove_region(&self, name: &str) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.from != name && link.to != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(links: &Links, from: &str, to: &str) -> Arc<Link> {
        let link = Arc::new(Link::new(from, to, SocketAddr::from(([127, 0, 0, 1], 1))));
        links.add(Arc::clone(&link));
        link
    }

    #[test]
    fn a_patch_changes_only_what_it_names_and_one_direction() {
        let links = Links::default();
        let there = add(&links, "us-central1", "europe-west1");
        let back = add(&links, "europe-west1", "us-central1");
        there.change(LinkPatch::parse(br#"{"up":false}"#).unwrap());
        there.change(LinkPatch::parse(br#"{"loss":0.25,"jitter_ms":7}"#).unwrap());
        let shown = serde_json::to_value(there.view()).unwrap();
        let expected = serde_json::json!({"from": "us-central1", "to": "europe-west1", "up": false,
            "latency_ms": 50, "jitter_ms": 7, "loss": 0.25});
        assert_eq!(shown, expected);
        assert_eq!(back.settings(), Settings::healthy(Duration::from_millis(50)));
        assert_eq!(
            there.fault().unwrap(),
            "us-central1 → europe-west1: cut, ±7 ms, loss 0.25"
        );
        there.heal();
        assert_eq!(there.settings(), Settings::healthy(Duration::from_millis(50)));
        assert_eq!(there.fault(), None);
    }

    #[test]
    fn bad_patches_are_refused_with_what_was_expected() {
        for (body, word) in [
            (r#"{"latency_ms":10001}"#, "10000"),
            (r#"{"latency_ms":-1}"#, "whole numbers"),
            (r#"{"jitter_ms":1.5}"#, "whole numbers"),
            (r#"{"loss":1.01}"#, "0 to 1"),
            (r#"{"loss":-0.01}"#, "0 to 1"),
            (r#"{"up":"no"}"#, "true or false"),
            (r#"{"latency":5}"#, "latency_ms"),
            ("[]", "JSON object"),
            ("", "JSON object"),
            ("{", "JSON object"),
        ] {
            let error = LinkPatch::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.status, 400, "{body}");
            assert!(error.message.contains(word), "{body}: {error}");
        }
        for body in [r#"{"latency_ms":10000}"#, r#"{"loss":1}"#, r#"{"loss":0}"#, "{}"] {
            assert!(LinkPatch::parse(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn an_unknown_link_names_the_known_regions() {
        let links = Links::default();
        let _ = add(&links, "us-central1", "europe-west1");
        for (from, to) in [("us-central1", "mars"), ("us-central1", "us-central1")] {
            let error = links.get(from, to).unwrap_err();
            assert_eq!(error.status, 404);
            assert!(error.message.contains("europe-west1, us-central1"), "{error}");
        }
    }
}
