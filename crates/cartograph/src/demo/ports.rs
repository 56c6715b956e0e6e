//! Which port is for what, and whether it is free.
//!
//! All ports are checked before anything starts, and each one in use is named with what it was wanted for: finding out from
//! the fourth process's log is no way to begin a demo.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::Serialize;

/// Regions that a demo can have; each is a node and perhaps a Redis on one machine.
pub(crate) const REGIONS_MAX: u16 = 20;
/// The highest base port that leaves room for all.
pub(crate) const BASE_MAX: u16 = 65_000;

/// One region's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ports {
    /// The HTTP API.
    pub(crate) http: u16,
    /// The Redis protocol.
    pub(crate) resp: u16,
    /// The gRPC services.
    pub(crate) grpc: u16,
    /// The region's own Redis, where it has one.
    pub(crate) redis: Option<u16>,
    /// Replication.
    pub(crate) peer: u16,
}

impl Ports {
    /// The ports of region `id` (1 to [`REGIONS_MAX`]) above `base` (to [`BASE_MAX`]).
    pub(crate) fn of(base: u16, id: u16, own_redis: bool) -> Self {
        let at = |group: u16| base.saturating_add(group * 100).saturating_add(id);
        Self {
            http: at(0),
            resp: at(1),
            grpc: at(2),
            redis: own_redis.then(|| at(3)),
            peer: at(4),
        }
    }

    /// Each port with what region `name` wants it for.
    pub(crate) fn wanted(&self, name: &str) -> Vec<(u16, String)> {
        let mut wanted = vec![
            (self.http, format!("{name}'s HTTP API")),
            (self.resp, format!("{name}'s Redis protocol")),
            (self.grpc, format!("{name}'s gRPC API")),
            (self.peer, format!("{name}'s replication")),
        ];
        wanted.extend(self.redis.map(|port| (port, format!("{name}'s own Redis"))));
        wanted
    }
}

/// Names every port of `wanted` that cannot be had on the loopback address, in one sentence each.
///
/// # Errors
/// The sentences, when there is at least one.
pub(crate) fn check(wanted: &[(u16, String)]) -> Result<(), String> {
    let complaints: Vec<String> = wanted
        .iter()
        .filter_map(|(port, purpose)| {
            TcpListener::bind(loopback(*port))
                .err()
                .map(|error| complaint(*port, purpose, &error))
        })
        .collect();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}

/// Says that `port` cannot be had, and why.
pub(crate) fn complaint(port: u16, purpose: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        format!(
            "port {port} is in use; it is needed for {purpose} (stop what listens there, or choose another --base-port)"
        )
    } else {
        format!("port {port} cannot be had for {purpose}: {error}")
    }
}

/// A listener on a port that the system chooses, outside those that regions have or may come to have.
///
/// # Errors
/// The system's, or that no such port was found.
pub(crate) fn bind_outside(base: u16) -> io::Result<TcpListener> {
    let reserved = base..=base.saturating_add(500);
    // Kept until one is found, so that the system offers others.
    let mut unsuitable = Vec::new();
    for _ in 0..1000 {
        let listener = TcpListener::bind(loopback(0))?;
        if !reserved.contains(&listener.local_addr()?.port()) {
            listener.set_nonblocking(true)?;
            return Ok(listener);
        }
        unsuitable.push(listener);
    }
    Err(io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        "no port is free outside the demo's own range",
    ))
}

/// The loopback address with this port.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_documented_scheme() {
        let ports = Ports::of(7100, 2, true);
        assert_eq!(
            ports,
            Ports {
                http: 7102,
                resp: 7202,
                grpc: 7302,
                redis: Some(7402),
                peer: 7502
            }
        );
        assert_eq!(Ports::of(7100, 2, false).redis, None);
        let highest = Ports::of(BASE_MAX, REGIONS_MAX, true);
        assert_eq!(highest.peer, BASE_MAX + 400 + REGIONS_MAX, "no port saturates");
    }

    #[test]
    fn every_port_in_use_is_named_with_its_purpose() {
        let first = TcpListener::bind(loopback(0)).unwrap();
        let second = TcpListener::bind(loopback(0)).unwrap();
        let free = TcpListener::bind(loopback(0)).unwrap();
        let (first_port, second_port) = (
            first.local_addr().unwrap().port(),
            second.local_addr().unwrap().port(),
        );
        let free_port = free.local_addr().unwrap().port();
        drop(free);
        let wanted = [
            (first_port, "us-central1's HTTP API".to_owned()),
            (free_port, "us-central1's gRPC API".to_owned()),
            (second_port, "us-central1's own Redis".to_owned()),
        ];
        let said = check(&wanted).unwrap_err();
        assert!(
            said.contains(&format!(
                "port {first_port} is in use; it is needed for us-central1's HTTP API"
            )),
            "{said}"
        );
        assert!(
            said.contains(&format!(
                "port {second_port} is in use; it is needed for us-central1's own Redis"
            )),
            "{said}"
        );
        assert!(!said.contains("gRPC"), "{said}");
        drop((first, second));
        assert_eq!(check(&wanted), Ok(()));
    }

    #[test]
    fn proxies_keep_out_of_the_regions_ports() {
        let offered = TcpListener::bind(loopback(0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let base = offered.saturating_sub(250).min(BASE_MAX);
        for _ in 0..50 {
            let port = bind_outside(base).unwrap().local_addr().unwrap().port();
            assert!(!(base..=base + 500).contains(&port), "{port} above {base}");
        }
    }
}
