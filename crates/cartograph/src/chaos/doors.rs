//! How the workload speaks to a region: one trait, an implementation for each door.
//!
//! An answer is honest about what it means for a write ([`Outcome`]): *failed* only where the server says so, or where the
//! request provably never left; everything else that is no acknowledgement is *unknown*. No request is ever repeated here,
//! and connections that broke are not silently replaced under a request that had begun.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use super::history::{Object, Op, Outcome, View};

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The session token that came with it.
    pub(crate) token: Option<String>,
}

/// A future reply.
pub(crate) type Replying<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// One way into a region.
pub(crate) trait Door: fmt::Debug + Send + Sync {
    /// Its word in reports.
    fn word(&self) -> &'static str;

    /// Whether it can operate on this kind of object.
    fn takes(&self, object: Object) -> bool;

    /// Does one thing; `token` is a session token to present.
    fn perform<'a>(&'a self, object: Object, op: Op, token: Option<&'a str>) -> Replying<'a>;
}

/// How objects and members are called in the store. The run's mark keeps runs over one store apart.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The run's mark.
    pub(crate) run: String,
}

impl Names {
    /// An object's key, or a cart's id.
    pub(crate) fn key(&self, object: Object) -> String {
        let run = &self.run;
        match object {
            Object::Set(n) => format!("chaos:{run}:set:{n}"),
            Object::Rising(n) => format!("chaos:{run}:rising:{n}"),
            Object::Counter(n) => format!("chaos:{run}:counter:{n}"),
            Object::Register(n) => format!("chaos:{run}:register:{n}"),
            Object::Cart(n) => format!("chaos-{run}-{n}"),
        }
    }

    /// A member's name, in a set or as a cart's line.
    pub(crate) fn member(member: u32) -> String {
        format!("m{member}")
    }

    /// A cart's ledger line.
    pub(crate) fn ledger(sum: u8) -> String {
        format!("ledger-{sum}")
    }

    /// A cart's lines, by name and quantity.
    pub(crate) fn cart_view(lines: impl IntoIterator<Item = (String, i64)>) -> View {
        let mut view = View::default();
        for (name, quantity) in lines {
            if let Some(member) = name.strip_prefix('m').and_then(|text| text.parse().ok()) {
                view.members.insert(member);
            } else if let Some(sum) = name.strip_prefix("ledger-").and_then(|text| text.parse().ok()) {
                view.sums.insert(sum, quantity);
            }
        }
        view
    }

    /// A set's members.
    pub(crate) fn set_view<'a>(members: impl IntoIterator<Item = &'a [u8]>) -> View {
        let number = |member: &[u8]| std::str::from_utf8(member.strip_prefix(b"m")?).ok()?.parse().ok();
        View {
            members: members.into_iter().filter_map(number).collect(),
            ..View::default()
        }
    }

    /// A counter's value.
    pub(crate) fn sum_view(value: i64) -> View {
        View {
            sums: BTreeMap::from([(0, value)]),
            ..View::default()
        }
    }
}

/// Where a region's doors are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// HTTP.
    pub(crate) http: SocketAddr,
    /// gRPC.
    pub(crate) grpc: SocketAddr,
}

/// All doors of a region that the workload uses.
pub(crate) fn open(addresses: Addresses, names: &Names, timeout: Duration) -> Vec<Box<dyn Door>> {
    vec![
        Box::new(super::http_door::HttpDoor::new(
            addresses.http,
            names.clone(),
            timeout,
        )),
        Box::new(super::grpc_door::GrpcDoor::new(
            addresses.grpc,
            names.clone(),
            timeout,
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_members_are_told_apart_and_strangers_ignored() {
        let lines = [("m7", 1), ("ledger-2", 40), ("other", 3), ("mx", 1)];
        let view = Names::cart_view(lines.map(|(name, quantity)| (name.to_owned(), quantity)));
        assert_eq!((view.members, view.sums), ([7].into(), [(2, 40)].into()));
        assert_eq!(Names::set_view([&b"m3"[..], b"x", b"\xff"]).members, [3].into());
    }
}
