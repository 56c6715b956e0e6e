//! Who may use the control API: programs of this machine, and pages that this server itself gave out.
//!
//! Any page on the web can make a browser send requests to localhost. So every request must name us as its Host (a page that
//! rebinds its own name to 127.0.0.1 does not), an Origin, where there is one, must be ours, and a write must be JSON, which a
//! foreign page cannot send without asking first. A write without a body and without Origin, as `curl -X POST` sends it,
//! comes from no page: browsers put an Origin on every POST.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{Error, Result};

/// Names under which the control API may be called.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Middleware: refuses what [`check`] refuses. The state is our port.
pub(crate) async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    match check(request.method(), request.headers(), port) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Decides by method and headers.
///
/// # Errors
/// Forbidden for a foreign Host or Origin; not JSON for a write that is not declared as JSON.
pub(crate) fn check(method: &Method, headers: &HeaderMap, port: u16) -> Result<()> {
    let expected = || NAMES.map(|name| format!("{name}:{port}")).join(", ");
    let host = single(headers, &HOST)?
        .ok_or_else(|| Error::forbidden(format!("no Host; expected one of {}", expected())))?;
    if !is_ours(host, port) {
        return Err(Error::forbidden(format!(
            "Host {host:?} is not this demo's; expected one of {}",
            expected()
        )));
    }
    let origin = single(headers, &ORIGIN)?;
    if let Some(origin) = origin
        && !origin
            .strip_prefix("http://")
            .is_some_and(|host| is_ours(host, port))
    {
        return Err(Error::forbidden(format!(
            "Origin {origin:?} is not this demo's; expected http:// and one of {}",
            expected()
        )));
    }
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    let content_type = single(headers, &CONTENT_TYPE)?;
    let is_json = content_type.is_some_and(|value| {
        value
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if is_json || (content_type.is_none() && origin.is_none()) {
        return Ok(());
    }
    Err(Error::not_json(
        "a write must say content-type: application/json (curl: -H 'content-type: application/json')",
    ))
}

/// `localhost`, `127.0.0.1` or `[::1]` with our port, which may be left out where it is HTTP's own.
fn is_ours(host: &str, port: u16) -> bool {
    NAMES.iter().any(|name| {
        let rest = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .and(host.get(name.len()..));
        match rest {
            Some("") => port == 80,
            Some(rest) => rest
                .strip_prefix(':')
                .is_some_and(|digits| digits == port.to_string()),
            None => false,
        }
    })
}

/// A header's one value as text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Error::forbidden(format!("more than one {name}")));
    }
    let text = |value: &'a HeaderValue| {
        value
            .to_str()
            .map_err(|_| Error::forbidden(format!("{name} is not plain text")))
    };
    first.map(text).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &Method, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check(method, &map, 7100).map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_our_own_names_and_port_are_hosts() {
        for host in ["localhost:7100", "127.0.0.1:7100", "[::1]:7100", "LocalHost:7100"] {
            assert_eq!(verdict(&Method::GET, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "localhost",
            "localhost:7101",
            "127.0.0.1",
            "evil.example:7100",
            "localhost.evil.example:7100",
            "localhost:07100",
            "127.0.0.1:7100:7100",
            "x@localhost:7100",
            "",
            ":7100",
            "[::1]7100",
        ] {
            assert_eq!(verdict(&Method::GET, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(verdict(&Method::GET, &[]), 403);
        assert_eq!(
            verdict(
                &Method::GET,
                &[("host", "localhost:7100"), ("host", "evil.example")]
            ),
            403
        );
    }

    #[test]
    fn a_foreign_origin_is_refused_for_reads_and_writes() {
        let json = ("content-type", "application/json");
        for (origin, expected) in [
            ("http://localhost:7100", 200),
            ("http://127.0.0.1:7100", 200),
            ("http://[::1]:7100", 200),
            ("https://localhost:7100", 403),
            ("http://localhost:7101", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            let headers = [("host", "localhost:7100"), ("origin", origin), json];
            assert_eq!(verdict(&Method::GET, &headers), expected, "{origin}");
            assert_eq!(verdict(&Method::PUT, &headers), expected, "{origin}");
        }
    }

    #[test]
    fn writes_are_json_or_come_from_no_page() {
        let host = ("host", "localhost:7100");
        let origin = ("origin", "http://localhost:7100");
        assert_eq!(verdict(&Method::POST, &[host]), 200, "curl -X POST");
        assert_eq!(
            verdict(&Method::POST, &[host, origin]),
            415,
            "a page must declare JSON"
        );
        for (content_type, expected) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("multipart/form-data", 415),
            ("text/plain; application/json", 415),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(
                    verdict(&method, &[host, ("content-type", content_type)]),
                    expected,
                    "{content_type}"
                );
            }
        }
        assert_eq!(
            verdict(&Method::GET, &[host, ("content-type", "text/plain")]),
            200
        );
    }
}
