//! `cartograph region`: who dials whom, and who is a member no more.
//!
//! Members change by what operators do, never by a timeout, so each of these is one request to the regions that are
//! named: `add` and `remove` change whom they dial, until their next start; `forget` takes a region out of the cluster for
//! good. docs/operating/members.md has the order in which things are done.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::api::Region;
use crate::client::Error;
use crate::discovery::{Target, unreachable};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::term::Term;
use crate::text::{parse_duration, path_segment};

/// Idle connections kept per region.
const IDLE_MAX: usize = 1;

const AFTER: &str = "\
Examples:
  cartograph region add europe-west4 --id 4 --address https://10.0.4.5:7501 \\
      --region us-central1=http://10.0.1.5:7101 --region europe-west1=http://10.0.2.5:7101
  cartograph region remove europe-west4 --region us-central1=http://10.0.1.5:7101
  cartograph region forget europe-west4 --yes --region us-central1=http://10.0.1.5:7101";

/// Add a region to those that are dialled, take one away, or forget one for good
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// Say what would be sent, and send nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// How long one request may take
    #[arg(long, global = true, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    timeout: Duration,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The named regions dial another one from now on
    Add {
        /// The other region's name
        name: String,
        /// Its id, never used before
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        id: u16,
        /// Where it is dialled: https://HOST:PORT
        #[arg(long)]
        address: String,
        #[command(flatten)]
        target: Target,
    },
    /// The named regions dial it no more; it stays a member
    Remove {
        /// The other region's name
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// It is no member any more, and its id never returns. Stop its node first
    Forget {
        /// Its name or id
        name: String,
        /// It is gone for good, and its node is stopped
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        target: Target,
    },
}

impl Action {
    fn target(&self) -> &Target {
        match self {
            Action::Add { target, .. } | Action::Remove { target, .. } | Action::Forget { target, .. } => {
                target
            }
        }
    }

    /// The request, its body, and whether one region is enough: forgetting is an entry, and spreads by itself.
    fn request(&self) -> (Method, String, Option<Value>, bool) {
        match self {
            Action::Add {
                name, id, address, ..
            } => {
                let path = format!("/v1/admin/peers/{}", path_segment(name));
                (
                    Method::PUT,
                    path,
                    Some(json!({"id": id, "address": address})),
                    false,
                )
            }
            Action::Remove { name, .. } => (
                Method::DELETE,
                format!("/v1/admin/peers/{}", path_segment(name)),
                None,
                false,
            ),
            Action::Forget { name, .. } => (
                Method::POST,
                format!("/v1/admin/forget/{}", path_segment(name)),
                None,
                true,
            ),
        }
    }
}

/// # Errors
/// No region can be reached, or forgetting was not confirmed.
pub(crate) async fn run(args: Args, term: &Term) -> Result<Exit, Failure> {
    let cluster = args.action.target().find(args.timeout, IDLE_MAX).await?;
    let (method, path, body, once) = args.action.request();
    if let Action::Forget { name, yes: false, .. } = &args.action
        && !args.dry_run
    {
        return Err(Failure::new(
            Exit::Usage,
            format!("forgetting {name} cannot be undone, and its id never returns"),
        )
        .advise("stop its node and its store, wait until the others have what it had, then say --yes"));
    }
    if args.dry_run {
        for region in cluster.regions.iter().take(if once { 1 } else { usize::MAX }) {
            let body = body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
            term.print(&format!("would send {method} {}{body}", region.base.url(&path)))?;
        }
        return Ok(Exit::Success);
    }
    let mut answers = Map::new();
    let mut worst: Option<(String, Error)> = None;
    for region in &cluster.regions {
        let sent: Result<Value, Error> = send(region, &method, &path, body.as_ref()).await;
        let told = sent.is_ok();
        match sent {
            Ok(answer) => {
                if !args.json {
                    term.print(&format!("{}: done", region.name))?;
                }
                answers.insert(region.name.clone(), answer);
            }
            Err(error) => {
                term.note(&format!("{}: {error}", region.name));
                answers.insert(region.name.clone(), json!({"error": error.to_string()}));
                worst = Some((region.name.clone(), error));
            }
        }
        if told && once {
            worst = None;
            break;
        }
    }
    if args.json {
        term.print_json(&Value::Object(answers))?;
    }
    match worst {
        None => Ok(Exit::Success),
        Some((name, error)) => Err(refusal(&name, &error)),
    }
}

async fn send(region: &Region, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
    let url = region.base.url(path);
    let answer = region.http.call(method.clone(), &url, body, None).await?;
    Ok(answer.value)
}

fn refusal(name: &str, error: &Error) -> Failure {
    match error {
        Error::Refused { .. } => Failure::new(Exit::Refused, format!("{name}: {error}")),
        Error::Connect { .. } | Error::Timeout { .. } | Error::Broken { .. } | Error::Reply { .. } => {
            unreachable(error, &format!("no answer from {name}"))
                .advise("the others may have been told: run it again for this one")
        }
    }
}
