//! Which regions there are, and where.
//!
//! Three ways, in this order: named on the command line (`--region NAME=URL`, as often as there are regions),
//! read from a node's configuration file (`--config`), or asked of a running demo (`--demo`, the default), whose
//! control API lists them. Only a demo can compare its regions' fields one by one; for the others convergence is
//! judged from the regions' digests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::api::Region;
use crate::client::{Base, Error, Http};
use crate::exit::{Exit, Failure};

/// Where a demo's control API listens unless told otherwise.
const DEMO: &str = "http://127.0.0.1:7100";
/// What these flags stand under in help texts. A `next_help_heading` would also catch the flags after them.
pub(crate) const HEADING: &str = "Which regions";

/// One region named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedRegion {
    name: String,
    base: Base,
}

impl NamedRegion {
    /// Reads `NAME=URL`.
    ///
    /// # Errors
    /// A text for the command line, saying what was expected.
    fn parse(text: &str) -> Result<Self, String> {
        let example = "write NAME=URL, for example europe-west1=http://127.0.0.1:7102";
        let (name, url) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` names no address; {example}"))?;
        if name.is_empty() {
            return Err(format!("`{text}` has no name; {example}"));
        }
        Ok(Self {
            name: name.to_owned(),
            base: Base::parse(url)?,
        })
    }

    fn connect(self, http: &Http) -> Region {
        Region {
            name: self.name,
            base: self.base,
            http: http.clone(),
        }
    }
}

/// Where the demo is.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArg {
    /// Control API of a running demo; it lists the regions
    #[arg(long, global = true, help_heading = HEADING, value_name = "URL", default_value = DEMO, value_parser = Base::parse)]
    demo: Base,
}

/// Which regions a command works on.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    #[command(flatten)]
    demo: DemoArg,
    /// A region by name and HTTP address; repeat it for each region. No demo is asked then
    #[arg(long = "region", help_heading = HEADING, value_name = "NAME=URL", value_parser = NamedRegion::parse)]
    regions: Vec<NamedRegion>,
    /// Take the region, and its peers as far as their HTTP addresses are known, from a node's configuration
    #[arg(long, help_heading = HEADING, value_name = "FILE", conflicts_with = "regions")]
    config: Option<PathBuf>,
}

/// The regions of one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// The regions, in the order given or listed; at least one.
    pub(crate) regions: Vec<Region>,
    /// The demo's control API, if there is one.
    pub(crate) demo: Option<Base>,
    /// Connections to the demo.
    pub(crate) http: Http,
}

impl Target {
    /// Finds the regions. `timeout` bounds each request to them later on, `idle_max` the idle connections per region.
    ///
    /// # Errors
    /// A failure that says whom nobody answered for, and what to do.
    pub(crate) async fn find(&self, timeout: Duration, idle_max: usize) -> Result<Cluster, Failure> {
        let http = Http::new(timeout, idle_max);
        let (named, demo) = if !self.regions.is_empty() {
            (self.regions.clone(), None)
        } else if let Some(file) = &self.config {
            (from_config(file)?, None)
        } else {
            (
                from_demo(&self.demo.demo, &http).await?,
                Some(self.demo.demo.clone()),
            )
        };
        let mut seen = BTreeSet::new();
        if let Some(twice) = named.iter().find(|region| !seen.insert(region.name.clone())) {
            return Err(Failure::new(
                Exit::Usage,
                format!("the region `{}` is given twice", twice.name),
            ));
        }
        Ok(Cluster {
            regions: named.into_iter().map(|named| named.connect(&http)).collect(),
            demo,
            http,
        })
    }
}

/// The regions of a running demo; at least one.
///
/// # Errors
/// No demo answers there, or it lists no region.
pub(crate) async fn demo_regions(demo: &DemoArg, http: &Http) -> Result<Vec<Region>, Failure> {
    let named = from_demo(&demo.demo, http).await?;
    Ok(named.into_iter().map(|named| named.connect(http)).collect())
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    http: String,
}

async fn from_demo(demo: &Base, http: &Http) -> Result<Vec<NamedRegion>, Failure> {
    let url = demo.url("/api/regions");
    let listed: Vec<Listed> = http.get(&url).await.map_err(|error| no_demo(&error))?.value;
    if listed.is_empty() {
        return Err(Failure::new(
            Exit::Unreachable,
            format!("the demo at {demo} lists no region"),
        ));
    }
    listed
        .into_iter()
        .map(|Listed { name, http }| match Base::parse(&http) {
            Ok(base) => Ok(NamedRegion { name, base }),
            Err(why) => Err(Failure::new(
                Exit::Unreachable,
                format!("the demo at {demo} lists a region whose {why}"),
            )),
        })
        .collect()
}

fn no_demo(error: &Error) -> Failure {
    let advice = "start one with `cartograph demo`, say where it is with --demo URL, or name the regions with \
                  --region NAME=URL";
    unreachable(error, "no demo answers").advise(advice)
}

/// The failure for a server that gave no usable answer: `what` says what was wanted.
pub(crate) fn unreachable(error: &Error, what: &str) -> Failure {
    let exit = match error {
        Error::Connect { .. } | Error::Broken { .. } | Error::Refused { .. } | Error::Reply { .. } => {
            Exit::Unreachable
        }
        Error::Timeout { .. } => Exit::Timeout,
    };
    Failure::new(exit, format!("{what}: {error}"))
}

/// Reads where a node's HTTP door is, and its peers' doors as far as the file names them (`http` beside a peer's
/// replication address). The node's own parser is stricter; this one needs only these keys.
fn from_config(file: &Path) -> Result<Vec<NamedRegion>, Failure> {
    let wrong = |why: String| Failure::new(Exit::Usage, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| {
        wrong(error.to_string()).advise("give the file that `cartograph node --config` runs with")
    })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let string = |section: &str, key: &str| table.get(section)?.get(key)?.as_str();
    let missing = |what: &str| {
        wrong(format!("`{what}` is missing")).advise("or name the region with --region NAME=URL")
    };
    let name = string("region", "name").ok_or_else(|| missing("region.name"))?;
    let listen = string("http", "listen").ok_or_else(|| missing("http.listen"))?;
    let mut found = vec![NamedRegion {
        name: name.to_owned(),
        base: dialled(listen).map_err(wrong)?,
    }];
    let peers = table
        .get("peers")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    for peer in peers {
        let text = |key: &str| peer.get(key).and_then(toml::Value::as_str);
        if let (Some(name), Some(http)) = (text("name").or_else(|| text("region")), text("http")) {
            found.push(NamedRegion {
                name: name.to_owned(),
                base: Base::parse(http).map_err(wrong)?,
            });
        }
    }
    Ok(found)
}

/// The address to dial for a `listen` setting: one that listens everywhere is dialled on loopback.
fn dialled(listen: &str) -> Result<Base, String> {
    let address = listen
        .replace("0.0.0.0:", "127.0.0.1:")
        .replace("[::]:", "[::1]:");
    Base::parse(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_needs_a_name_and_an_address() {
        let region = NamedRegion::parse("eu=127.0.0.1:7102").unwrap();
        assert_eq!(
            (region.name.as_str(), region.base.url("")),
            ("eu", "http://127.0.0.1:7102".to_owned())
        );
        for wrong in ["eu", "=http://x", "eu=", "eu=https://x"] {
            assert!(NamedRegion::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_nodes_configuration_names_its_door_and_its_peers() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.toml");
        let text = "[region]\nid = 1\nname = \"us\"\n[http]\nlisten = \"0.0.0.0:7101\"\n\
                    [[peers]]\nname = \"eu\"\naddress = \"http://eu:7402\"\nhttp = \"http://eu:7102\"\n\
                    [[peers]]\nname = \"asia\"\naddress = \"http://asia:7403\"\n";
        std::fs::write(&file, text).unwrap();
        let found: Vec<_> = from_config(&file)
            .unwrap()
            .iter()
            .map(|r| format!("{} {}", r.name, r.base))
            .collect();
        assert_eq!(found, ["us http://127.0.0.1:7101", "eu http://eu:7102"]);

        std::fs::write(&file, "[region]\nid = 1\n").unwrap();
        let failure = from_config(&file).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(
            failure
                .to_string()
                .ends_with("node.toml: `region.name` is missing"),
            "{failure}"
        );
    }
}
