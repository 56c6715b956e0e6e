//! `cartograph status`: how every region is, how it hears the others, and whether they agree.
//!
//! The table shows what a region's `/v1/status` says, whatever its version: a field that is missing is shown as
//! `-`, and what this version does not know is left to `--json`, which passes the documents on whole.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use crate::api::Region;
use crate::client::{Answer, Error};
use crate::converge::{Verdict, compare, each};
use crate::discovery::{Cluster, Target, unreachable};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::term::{Paint, Term, frame_prefix};
use crate::text::{duration, parse_duration, plain, printable, table};

/// Idle connections kept per region.
const IDLE_MAX: usize = 2;
/// A deep comparison reads everything, so it may take this long even where requests may not.
const DEEP_TIMEOUT: Duration = Duration::from_mins(1);

const ABOUT: &str = "Show how every region is, how it hears the others, and whether they agree";

const LONG_ABOUT: &str = "\
Shows how every region is, how each one hears the others, and whether all of them hold the same
carts.

LINK rows are as the region named first reports them: whether it hears the other one, and how far
apart the two are, in time (`lag`) and in entries (`behind`). Regions that are cut off from each
other go on serving; they differ until the link is back.";

const AFTER: &str = "\
Examples:
  cartograph status                    the running demo
  cartograph status --watch            again every second, until Ctrl-C
  cartograph status --deep             recompute the comparison from what readers see
  cartograph status --json | jq .converged
  cartograph status --region us=127.0.0.1:7101 --region eu=127.0.0.1:7102";

/// What `cartograph status` may be asked.
#[derive(ClapArgs, Debug)]
#[command(about = ABOUT, long_about = LONG_ABOUT, after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// How long to wait between two looks with --watch
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_duration, requires = "watch")]
    every: Duration,
    /// Compare what readers see, recomputed now, and not the digests that the regions keep; slower
    #[arg(long)]
    deep: bool,
    /// How long one request may take
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    timeout: Duration,
    /// Print one JSON document; with --watch one on each line
    #[arg(long)]
    json: bool,
}

/// Shows the status once, or again and again.
///
/// # Errors
/// Nobody answers who could say which regions there are.
pub(crate) async fn run(args: Args, term: &Term) -> Result<Exit, Failure> {
    let cluster = args.target.find(args.timeout, IDLE_MAX).await?;
    loop {
        let seen = look(&cluster, &args).await;
        if args.json {
            term.print_json(&seen.to_json())?;
        } else {
            let prefix = if args.watch { frame_prefix() } else { "" };
            term.print(&format!("{prefix}{}", seen.render(term)))?;
        }
        if !args.watch || term.closed() {
            return Ok(seen.exit());
        }
        tokio::time::sleep(args.every).await;
    }
}

/// One look at all regions.
#[derive(Debug)]
struct Seen {
    regions: Vec<SeenRegion>,
    /// Nothing where there is only one region to compare.
    verdict: Option<Result<Verdict, Error>>,
}

#[derive(Debug)]
struct SeenRegion {
    name: String,
    address: String,
    status: Result<Answer<Value>, Error>,
    ready: Result<(), String>,
}

async fn look(cluster: &Cluster, args: &Args) -> Seen {
    let regions = each(&cluster.regions, look_at)
        .await
        .into_iter()
        .map(|(_, seen)| seen)
        .collect();
    let verdict = if cluster.regions.len() < 2 {
        None
    } else {
        let timeout = if args.deep {
            args.timeout.max(DEEP_TIMEOUT)
        } else {
            args.timeout
        };
        Some(compare(cluster, args.deep, timeout).await)
    };
    Seen { regions, verdict }
}

async fn look_at(region: Region) -> SeenRegion {
    let status = region.status().await;
    let said = status
        .as_ref()
        .ok()
        .and_then(|answer| answer.value.get("ready").cloned());
    let ready = match said {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err("no".to_owned()),
        _ => region.ready().await.map_err(|error| match error {
            Error::Refused { message, .. } => format!("no: {message}"),
            other @ (Error::Connect { .. }
            | Error::Timeout { .. }
            | Error::Broken { .. }
            | Error::Reply { .. }) => {
                format!("no: {}", other.kind())
            }
        }),
    };
    SeenRegion {
        name: region.name,
        address: region.base.to_string(),
        status,
        ready,
    }
}

impl Seen {
    fn exit(&self) -> Exit {
        let asked = self
            .regions
            .iter()
            .filter_map(|region| region.status.as_ref().err());
        if let Some(error) = asked
            .chain(self.verdict.iter().filter_map(|verdict| verdict.as_ref().err()))
            .next()
        {
            return unreachable(error, "").exit();
        }
        if matches!(self.verdict, Some(Ok(Verdict::Unreached(_)))) {
            return Exit::Unreachable;
        }
        let all_ready = self.regions.iter().all(|region| region.ready.is_ok());
        let agree = self
            .verdict
            .iter()
            .all(|verdict| matches!(verdict, Ok(Verdict::Converged)));
        if all_ready && agree {
            Exit::Success
        } else {
            Exit::Refused
        }
    }

    fn render(&self, term: &Term) -> String {
        let rows = self.regions.iter().map(SeenRegion::row).collect();
        let header = [
            "region",
            "id",
            "ready",
            "answer",
            "store",
            "durability",
            "keys",
            "log",
        ];
        let mut parts = vec![table(&header, rows)];
        let links: Vec<_> = self.regions.iter().flat_map(SeenRegion::links).collect();
        if !links.is_empty() {
            parts.push(table(&["link", "to", "state", "lag", "behind"], links));
        }
        let silent = self
            .regions
            .iter()
            .filter_map(|region| Some((region, region.status.as_ref().err()?)));
        let silent: Vec<String> = silent
            .map(|(region, error)| term.paint(Paint::Bad, &format!("{}: {error}", region.name)))
            .collect();
        if !silent.is_empty() {
            parts.push(silent.join("\n"));
        }
        parts.push(self.verdict_text(term));
        parts.join("\n\n")
    }

    fn verdict_text(&self, term: &Term) -> String {
        match &self.verdict {
            None => term.paint(Paint::Dim, "one region: nothing to compare it with"),
            Some(Ok(Verdict::Converged)) => {
                term.paint(Paint::Good, "CONVERGED  all regions hold the same carts")
            }
            Some(Ok(verdict @ Verdict::Behind(_))) => with_table(
                &term.paint(
                    Paint::Bad,
                    "NOT CONVERGED  the same carts so far, but entries are still under way",
                ),
                verdict,
            ),
            Some(Ok(verdict @ Verdict::Differs(_))) => {
                with_table(&term.paint(Paint::Bad, "DIVERGED  the regions differ"), verdict)
            }
            Some(Ok(verdict @ Verdict::Unreached(_))) => with_table(
                &term.paint(Paint::Bad, "UNKNOWN  not every region could be asked"),
                verdict,
            ),
            Some(Err(error)) => term.paint(Paint::Bad, &format!("UNKNOWN  they cannot be compared: {error}")),
        }
    }

    fn to_json(&self) -> Value {
        let mut document = Map::new();
        document.insert(
            "regions".to_owned(),
            self.regions.iter().map(SeenRegion::to_json).collect(),
        );
        let verdict = match &self.verdict {
            None => json!({"converged": null, "diff": []}),
            Some(Ok(verdict)) => verdict.to_json(),
            Some(Err(error)) => json!({"converged": null, "diff": [], "error": error.to_string()}),
        };
        if let Value::Object(verdict) = verdict {
            document.extend(verdict);
        }
        document.insert("exit".to_owned(), self.exit().code().into());
        Value::Object(document)
    }
}

fn with_table(headline: &str, verdict: &Verdict) -> String {
    if verdict.differences().is_empty() {
        headline.to_owned()
    } else {
        format!("{headline}\n{}", verdict.difference_table())
    }
}

impl SeenRegion {
    fn row(&self) -> Vec<String> {
        let ready = match &self.ready {
            Ok(()) => "yes".to_owned(),
            Err(why) => printable(why),
        };
        let (status, took) = match &self.status {
            Ok(answer) => (Some(&answer.value), duration(answer.took)),
            Err(_) => (None, "-".to_owned()),
        };
        let field = |name: &str| {
            status
                .and_then(|status| status.get(name))
                .map_or("-".to_owned(), plain)
        };
        let name = printable(&self.name);
        let mut row = vec![name, field("region_id"), ready, took];
        row.extend(["store", "durability", "keys", "log"].map(field));
        row
    }

    fn links(&self) -> Vec<Vec<String>> {
        let peers: BTreeMap<&String, &Value> = match &self.status {
            Ok(answer) => answer
                .value
                .get("peers")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .collect(),
            Err(_) => BTreeMap::new(),
        };
        let row = |(peer, link): (&String, &Value)| {
            let state = match link.get("connected").and_then(Value::as_bool) {
                Some(true) => "connected",
                Some(false) => "cut",
                None => "-",
            };
            let shown = |name: &str| link.get(name).map_or("-".to_owned(), plain);
            let lag = match shown("lag_ms") {
                none if none == "-" => none,
                ms => format!("{ms} ms"),
            };
            vec![
                printable(&self.name),
                printable(peer),
                state.to_owned(),
                lag,
                shown("entries_behind"),
            ]
        };
        peers.into_iter().map(row).collect()
    }

    fn to_json(&self) -> Value {
        let (name, ready) = (&self.name, self.ready.is_ok());
        match &self.status {
            Ok(answer) => {
                let took_ms = answer.took.as_secs_f64() * 1e3;
                json!({"region": name, "http": self.address, "ready": ready, "took_ms": took_ms, "status": answer.value})
            }
            Err(error) => {
                json!({"region": name, "http": self.address, "ready": ready, "error": error.to_string()})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, status: Value) -> SeenRegion {
        let took = Duration::from_micros(400);
        let status = Ok(Answer { value: status, took });
        SeenRegion {
            name: name.to_owned(),
            address: format!("http://{name}"),
            status,
            ready: Ok(()),
        }
    }

    fn plain_term() -> Term {
        Term::new(false, true)
    }

    #[test]
    fn the_table_shows_what_the_interface_promises_and_the_useful_extras() {
        let us = json!({
            "region": "us", "region_id": 1, "store": "redis 7.2.4", "durability": "disk", "keys": "12",
            "log": {"entries": 3, "bytes": 400}, "something_new": [1],
            "peers": {"eu": {"connected": true, "lag_ms": 12, "entries_behind": "0"},
                      "asia": {"connected": false, "lag_ms": null, "entries_behind": 7}},
            "shards": [],
        });
        let seen = Seen {
            regions: vec![region("us", us)],
            verdict: Some(Ok(Verdict::Converged)),
        };
        let expected = "\
REGION  ID  READY  ANSWER   STORE        DURABILITY  KEYS  LOG
us      1   yes    0.40 ms  redis 7.2.4  disk        12    bytes=400 entries=3

LINK  TO    STATE      LAG    BEHIND
us    asia  cut        -      7
us    eu    connected  12 ms  0

CONVERGED  all regions hold the same carts";
        assert_eq!(seen.render(&plain_term()), expected);
        assert_eq!(seen.exit(), Exit::Success);
        assert_eq!(
            seen.to_json()["regions"][0]["status"]["something_new"][0],
            1,
            "--json passes on everything"
        );
    }

    #[test]
    fn a_status_without_any_field_is_shown_as_dashes() {
        let seen = Seen {
            regions: vec![region("us", json!({}))],
            verdict: None,
        };
        let text = seen.render(&plain_term());
        assert!(
            text.contains("us      -   yes    0.40 ms  -      -           -     -"),
            "{text}"
        );
        assert!(text.ends_with("nothing to compare it with"), "{text}");
    }

    #[test]
    fn exit_codes_tell_no_answer_from_the_answer_no() {
        let refused = || Error::Connect {
            url: "http://us".to_owned(),
            why: "Connection refused".to_owned(),
        };
        let seen = |region, verdict| {
            Seen {
                regions: vec![region],
                verdict,
            }
            .exit()
        };
        let up = || region("us", json!({}));
        let unready = SeenRegion {
            ready: Err("no".to_owned()),
            ..up()
        };
        let down = SeenRegion {
            status: Err(refused()),
            ..up()
        };
        assert_eq!(seen(up(), Some(Ok(Verdict::Differs(vec![])))), Exit::Refused);
        assert_eq!(seen(up(), Some(Ok(Verdict::Behind(vec![])))), Exit::Refused);
        assert_eq!(seen(unready, None), Exit::Refused);
        assert_eq!(seen(down, Some(Ok(Verdict::Differs(vec![])))), Exit::Unreachable);
        assert_eq!(seen(up(), Some(Err(refused()))), Exit::Unreachable);
    }
}
