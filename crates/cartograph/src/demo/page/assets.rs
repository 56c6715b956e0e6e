//! The page's files, compiled in: no network but the demo itself is needed to show it.
//!
//! In a debug build `CARTOGRAPH_DEMO_ASSETS=DIR` serves them from a directory instead, so that a change shows on reload. Only
//! the names of [`FILES`] are ever served.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::demo::error::Error;

/// The page loads nothing from anywhere else, and nobody frames it.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// One file.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($kind:literal: $($name:literal)*;)*) => {
        &[$($(File {
            name: $name,
            kind: $kind,
            text: include_str!(concat!("assets/", $name)),
        },)*)*]
    };
}

/// Every file of the page.
const FILES: &[File] = files! {
    "text/html; charset=utf-8":
        "index.html";
    "text/css; charset=utf-8":
        "base.css"
        "panels.css";
    "text/javascript; charset=utf-8":
        "api.js"
        "app.js"
        "charts.js"
        "compare.js"
        "controls.js"
        "dom.js"
        "explain.js"
        "land.js"
        "lww.js"
        "map.js"
        "model.js"
        "notes.js"
        "products.js"
        "proof.js"
        "scenes.js"
        "stage.js"
        "storefronts.js"
        "stories.js"
        "stream.js"
        "theme.js"
        "timeline.js"
        "traffic.js"
        "verdict.js"
        "words.js";
    "image/svg+xml":
        "icon.svg";
};

/// A file by its name, or why not.
pub(super) fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Error::not_found(format!("the page has no file {name:?}")).into_response();
    };
    let text = from_disk(file.name).map_or_else(|| std::borrow::Cow::Borrowed(file.text), Into::into);
    let tag = tag(&text);
    let unchanged = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, file.kind)], text.into_owned()).into_response()
    };
    let head = answer.headers_mut();
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    head.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.insert(ETAG, tag);
    }
    answer
}

/// A name for this content: FNV-1a, for telling versions of one file apart and nothing else.
fn tag(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

/// In debug builds: the file as it is in the directory that the environment names.
fn from_disk(name: &str) -> Option<String> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let dir = std::env::var_os("CARTOGRAPH_DEMO_ASSETS")?;
    std::fs::read_to_string(std::path::Path::new(&dir).join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file in the folder is served, and each by the type that a browser needs for it.
    #[test]
    fn the_table_names_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/page/assets");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md" && name != "types.d.ts")
            .collect();
        let mut named: Vec<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        found.sort();
        named.sort();
        assert_eq!(found, named);
        for file in FILES {
            let kind = match file.name.rsplit('.').next().unwrap() {
                "html" => "text/html; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "js" => "text/javascript; charset=utf-8",
                "svg" => "image/svg+xml",
                other => panic!("no type for .{other}"),
            };
            assert_eq!(file.kind, kind, "{}", file.name);
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let first = serve("index.html", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(serve("index.html", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            serve("../page.rs", &HeaderMap::new()).status(),
            StatusCode::NOT_FOUND
        );
    }
}
