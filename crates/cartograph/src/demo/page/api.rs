//! The page's requests: see [the table](super).

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::shop::{self, Write};
use super::{assets, events, plain};
use crate::demo::api::{Named, Whole};
use crate::demo::cluster::Demo;
use crate::demo::error::{Error, Result};

type Shared = State<Arc<Demo>>;

/// The routes of the page.
pub(crate) fn routes() -> Router<Arc<Demo>> {
    Router::new()
        .route("/", get(index))
        .route("/page/{file}", get(asset))
        .route("/plain", get(plain_page))
        .route("/api/events", get(events::events))
        .route("/api/record", get(record))
        .route("/api/load", get(show_load).post(set_load))
        .route("/api/shop/{region}/carts/{cart}", post(write))
        .route("/api/shop/{region}/carts/{cart}/explain", get(explain))
}

async fn index(headers: HeaderMap) -> Response {
    assets::serve("index.html", &headers)
}

async fn asset(Named(file): Named<String>, headers: HeaderMap) -> Response {
    assets::serve(&file, &headers)
}

async fn plain_page(State(demo): Shared) -> Html<String> {
    Html(plain::index(&demo))
}

/// Every event as it was sent.
async fn record(State(demo): Shared) -> Result<Response> {
    let since = demo.page.record.since(0);
    let raw = since
        .events
        .iter()
        .map(|event| RawValue::from_string(event.data.to_string()));
    let events = raw
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::failed(format!("the record cannot be shown: {error}")))?;
    let document = Record {
        started_ms: demo.page.record.started_ms.to_string(),
        dropped: since.dropped,
        events,
    };
    Ok(Json(document).into_response())
}

#[derive(serde::Serialize)]
struct Record {
    started_ms: String,
    dropped: u64,
    events: Vec<Box<RawValue>>,
}

async fn show_load(State(demo): Shared) -> Json<Value> {
    Json(demo.page.load.view())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    region: String,
    per_second: u32,
}

async fn set_load(State(demo): Shared, Whole(body): Whole) -> Result<Json<Value>> {
    let rate: Rate = serde_json::from_slice(&body).map_err(|error| {
        Error::bad_request(format!(
            r#"expected {{"region": "...", "per_second": whole number}}: {error}"#
        ))
    })?;
    let region = demo.region(&rate.region)?;
    demo.page.load.set(&demo, &region, rate.per_second)?;
    Ok(Json(demo.page.load.view()))
}

async fn write(
    State(demo): Shared,
    Named((region, cart)): Named<(String, String)>,
    Whole(body): Whole,
) -> Result<Json<Value>> {
    let region = demo.region(&region)?;
    let write = Write::parse(&body)?;
    // In a task of its own: a page that is closed must not leave a write that was made and not recorded.
    let writing = tokio::spawn(async move { shop::write(&demo, &region, &cart, &write).await });
    writing
        .await
        .map_err(|error| Error::failed(format!("a task of the demo failed: {error}")))
}

async fn explain(State(demo): Shared, Named((region, cart)): Named<(String, String)>) -> Result<Json<Value>> {
    let region = demo.region(&region)?;
    shop::explain(&demo, &region, &cart).await
}
