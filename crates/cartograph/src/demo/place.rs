//! Where a region's processes run: on this machine's loopback address, or somewhere that only looks like another machine.
//!
//! The demo runs everything on the loopback address. `cartograph chaos` may give each region a network namespace of its
//! own, with an address that the others reach, and a clock that can be set (see `chaos::netns` and `chaos::skew`).

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where a region's processes run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where its doors, its Redis and its peer port listen.
    pub(crate) host: Ipv4Addr,
    /// What starts a program there; the program and its arguments follow. Empty: nothing is needed.
    pub(crate) enter: Vec<OsString>,
    /// Added to the environment of its node.
    pub(crate) node_env: Vec<(OsString, OsString)>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST,
            enter: Vec::new(),
            node_env: Vec::new(),
        }
    }
}

impl Place {
    /// The address of one of its ports.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host, port))
    }

    /// Whether other regions reach it through the demo's proxies.
    pub(crate) fn is_local(&self) -> bool {
        self.host.is_loopback()
    }

    /// `file` and `args` as they are started here.
    pub(crate) fn command(&self, file: PathBuf, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        let Some((first, rest)) = self.enter.split_first() else {
            return (file, args);
        };
        let words = rest.iter().cloned().chain([file.into_os_string()]).chain(args);
        (PathBuf::from(first), words.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_started_through_what_enters_the_place() {
        let args = || vec![OsString::from("--port"), OsString::from("1")];
        let file = || PathBuf::from("/bin/redis-server");
        assert_eq!(Place::default().command(file(), args()), (file(), args()));
        let place = Place {
            enter: ["ip", "netns", "exec", "r1"].map(OsString::from).to_vec(),
            ..Place::default()
        };
        let (program, words) = place.command(file(), args());
        assert_eq!(program, PathBuf::from("ip"));
        assert_eq!(
            words.join(std::ffi::OsStr::new(" ")),
            "netns exec r1 /bin/redis-server --port 1"
        );
    }
}
