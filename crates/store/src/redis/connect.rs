//! Addresses and connections.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo};

use super::RedisConfig;
use super::reply::Fault;
use crate::error::Error;

/// Where a Redis is, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    info: ::redis::ConnectionInfo,
    /// For messages: no password.
    pub(crate) address: String,
    pub(crate) metadata_db: u16,
    connect_timeout: Duration,
}

impl Endpoint {
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Address {
            url: without_password(&config.url),
            reason,
        };
        let info = config.url.as_str().into_connection_info();
        let info = info.map_err(|e| wrong(e.detail().map_or_else(|| e.to_string(), str::to_owned)))?;
        if info.redis_settings().db() != 0 {
            return Err(wrong(
                "the views are in database 0; leave the database out".to_owned(),
            ));
        }
        let address = match info.addr() {
            ConnectionAddr::Unix(path) => path.display().to_string(),
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => without_password(&config.url),
        };
        if config.metadata_db == 0 {
            return Err(Error::MetadataDatabase {
                address,
                db: 0,
                reason: "database 0 holds the views".to_owned(),
            });
        }
        // Not every managed service allows CLIENT SETINFO.
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        let login = login.set_protocol(::redis::ProtocolVersion::RESP2);
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Ok(Endpoint {
            info: info.set_redis_settings(login).set_tcp_settings(tcp),
            address,
            metadata_db: config.metadata_db,
            connect_timeout: config.connect_timeout,
        })
    }

    /// A new connection on this database. It never reconnects by itself.
    pub(crate) async fn connect(
        &self,
        db: u16,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, Fault> {
        let login = self.info.redis_settings().clone().set_db(i64::from(db));
        let client = Client::open(self.info.clone().set_redis_settings(login))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Fault::Broken(format!(
                "no connection within {} ms",
                self.connect_timeout.as_millis()
            ))),
        }
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> &ConnectionAddr {
        self.info.addr()
    }

    /// User name and password.
    pub(crate) fn credentials(&self) -> (Option<&str>, Option<&str>) {
        let login = self.info.redis_settings();
        (login.username(), login.password())
    }

    pub(crate) fn error(&self, fault: Fault) -> Error {
        fault.into_error(&self.address, self.metadata_db)
    }
}

/// An address as it may be shown: what stands before an `@` is left out, and so is a query.
fn without_password(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, Error> {
        Endpoint::new(&RedisConfig::new(url))
    }

    #[test]
    fn addresses_are_shown_without_passwords() {
        assert_eq!(
            endpoint("redis://:secret@127.0.0.1:7401").unwrap().address,
            "127.0.0.1:7401"
        );
        assert_eq!(
            endpoint("unix:///run/r.sock?pass=secret").unwrap().address,
            "/run/r.sock"
        );
        let error = endpoint("http://u:secret@h").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("http://h"), "{error}");
        assert!(matches!(endpoint("redis://h/3"), Err(Error::Address { .. })));
    }
}
