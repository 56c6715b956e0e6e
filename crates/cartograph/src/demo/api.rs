//! The control API on the base port: links, regions, heal, converged.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/links`, `GET /api/links/{from}/{to}` | the links, one for each direction |
//! | `PUT /api/links/{from}/{to}` | the link as it is now; keys left out stay as they were |
//! | `GET /api/regions`, `GET /api/regions/{name}` | the regions with ports, process ids and states |
//! | `POST /api/regions` `{"name"}` | 201 and the new region, once it serves |
//! | `POST /api/regions/{name}/kill`, `start`, `pause`, `resume` | the region; `start` returns once the node serves |
//! | `POST /api/regions/{name}/store/kill`, `start`, `wipe`, `snapshot`, `rollback` | the region, perhaps with a `note` |
//! | `POST /api/heal` | all links as they began, paused nodes resumed; what was killed stays so and is in `down` |
//! | `GET /api/converged`, with `?deep=1` | whether all regions hold the same, and where they do not |
//!
//! The page, and what it needs besides, are in `page`.
//!
//! Errors are `{"error":{"code","message"}}` with a fitting status; after a 4xx nothing has changed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::actions::{NodeAction, Note, StoreAction};
use super::clock;
use super::cluster::Demo;
use super::converged::{self, Target, Verdict};
use super::error::{Error, Result};
use super::guard::guard;
use super::links::{LinkPatch, LinkView};
use super::page;
use super::process::Phase;
use super::region::Region;

/// The largest request body.
const BODY_BYTES_MAX: usize = 64 << 10;

type Shared = State<Arc<Demo>>;

/// All routes, guarded. `port` is the one that clients see.
pub(crate) fn router(demo: Arc<Demo>, port: u16) -> Router {
    Router::new()
        .route("/api/links", get(list_links))
        .route("/api/links/{from}/{to}", get(show_link).put(change_link))
        .route("/api/regions", get(list_regions).post(add_region))
        .route("/api/regions/{name}", get(show_region))
        .route("/api/regions/{name}/{action}", post(act_on_node))
        .route("/api/regions/{name}/store/{action}", post(act_on_store))
        .route("/api/heal", post(heal))
        .route("/api/converged", get(is_converged))
        .merge(page::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(port, guard))
        .with_state(demo)
}

/// The names in a path; one that is no UTF-8 is refused as everything else is, in JSON.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(error) => Err(Error::bad_request(error.body_text())),
        }
    }
}

/// A body, whole; what is too long for one is refused in JSON, too.
pub(super) struct Whole(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Error::too_large(format!(
                "the body has more than {BODY_BYTES_MAX} bytes"
            ))),
            Err(error) => Err(Error::bad_request(error.body_text())),
        }
    }
}

async fn list_links(State(demo): Shared) -> Json<Vec<LinkView>> {
    Json(demo.links.all().iter().map(|link| link.view()).collect())
}

async fn show_link(
    State(demo): Shared,
    Named((from, to)): Named<(String, String)>,
) -> Result<Json<LinkView>> {
    Ok(Json(demo.links.get(&from, &to)?.view()))
}

async fn change_link(
    State(demo): Shared,
    Named((from, to)): Named<(String, String)>,
    Whole(body): Whole,
) -> Result<Json<LinkView>> {
    let link = demo.links.get(&from, &to)?;
    link.change(LinkPatch::parse(&body)?);
    demo.page.record.fault("link", &json!(link.view()));
    demo.console
        .say(link.fault().unwrap_or_else(|| format!("{from} → {to}: healthy")));
    Ok(Json(link.view()))
}

async fn list_regions(State(demo): Shared) -> Json<Vec<Value>> {
    Json(
        demo.regions()
            .iter()
            .map(|region| region.view(&demo.store))
            .collect(),
    )
}

async fn show_region(State(demo): Shared, Named(name): Named<String>) -> Result<Json<Value>> {
    Ok(Json(demo.region(&name)?.view(&demo.store)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRegion {
    name: String,
}

async fn add_region(State(demo): Shared, Whole(body): Whole) -> Result<Response> {
    let new: NewRegion = serde_json::from_slice(&body).map_err(|error| {
        Error::bad_request(format!(
            r#"expected {{"name": "..."}}, a Google Cloud region such as europe-west4: {error}"#
        ))
    })?;
    // In a task of its own: a client that hangs up must not leave a region half added.
    let adding = Arc::clone(&demo);
    let added = finish(async move { adding.add_region(&new.name).await }).await?;
    demo.page.record.fault("add", &json!({"region": added.name}));
    Ok((StatusCode::CREATED, Json(added.view(&demo.store))).into_response())
}

async fn act_on_node(
    State(demo): Shared,
    Named((name, action)): Named<(String, String)>,
) -> Result<Json<Value>> {
    let region = demo.region(&name)?;
    let chosen = choose(&action, &NodeAction::ALL)?;
    let (acting, on) = (Arc::clone(&demo), Arc::clone(&region));
    let what = match chosen {
        NodeAction::Kill => "node kill",
        NodeAction::Start => "node start",
        NodeAction::Pause => "node pause",
        NodeAction::Resume => "node resume",
    };
    demo.page.record.fault(what, &json!({"region": name}));
    let note = finish(async move { acting.act_on_node(&on, chosen).await }).await?;
    demo.console.say(format!("{name}: {action}"));
    Ok(outcome(&demo, &region, note))
}

async fn act_on_store(
    State(demo): Shared,
    Named((name, action)): Named<(String, String)>,
) -> Result<Json<Value>> {
    let region = demo.region(&name)?;
    let chosen = choose(&action, &StoreAction::ALL)?;
    let (acting, on) = (Arc::clone(&demo), Arc::clone(&region));
    let what = match chosen {
        StoreAction::Kill => "store kill",
        StoreAction::Start => "store start",
        StoreAction::Wipe => "store wipe",
        StoreAction::Snapshot => "store snapshot",
        StoreAction::Rollback => "store rollback",
    };
    demo.page.record.fault(what, &json!({"region": name}));
    let note = finish(async move { acting.act_on_store(&on, chosen).await }).await?;
    demo.console.say(format!("{name}: store {action}"));
    Ok(outcome(&demo, &region, note))
}

async fn heal(State(demo): Shared) -> Json<Value> {
    let (resumed, down) = demo.heal();
    demo.console.say("all links are healthy");
    demo.page
        .record
        .fault("heal", &json!({"resumed": resumed, "down": down}));
    let links: Vec<LinkView> = demo.links.all().iter().map(|link| link.view()).collect();
    Json(json!({"links": links, "resumed": resumed, "down": down}))
}

#[derive(Deserialize)]
struct ConvergedQuery {
    deep: Option<String>,
}

async fn is_converged(State(demo): Shared, Query(query): Query<ConvergedQuery>) -> Result<Json<Verdict>> {
    let deep = match query.deep.as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true" | "") => true,
        Some(other) => return Err(Error::bad_request(format!("deep is {other:?}, expected 0 or 1"))),
    };
    let targets: Vec<Target> = demo.regions().iter().map(|region| target(region)).collect();
    Ok(Json(
        converged::compare(&demo.http, &targets, clock::unix_ms(), deep).await,
    ))
}

/// A node that is known not to answer is not asked.
fn target(region: &Region) -> Target {
    let node = match region.node.phase() {
        Phase::Running => Ok(region.http()),
        phase @ (Phase::Paused | Phase::Stopped | Phase::Crashed(_)) => {
            Err(format!("its node is {}", phase.word()))
        }
    };
    Target {
        name: region.name.clone(),
        node,
    }
}

async fn no_such_path() -> Error {
    Error::not_found(
        "there is nothing here; expected /, /api/links, /api/links/{from}/{to}, /api/regions, /api/regions/{name}/{action}, \
         /api/regions/{name}/store/{action}, /api/heal, /api/converged, /api/events, /api/record, /api/load, \
         /api/shop/{region}/carts/{cart} or /plain",
    )
}

async fn no_such_method() -> Error {
    Error::method_not_allowed("this path has other methods: reads are GET, links take PUT, all else is POST")
}

/// Finds an action by its word.
fn choose<T: Copy>(word: &str, all: &[(&'static str, T)]) -> Result<T> {
    all.iter()
        .find(|(name, _)| *name == word)
        .map(|(_, action)| *action)
        .ok_or_else(|| {
            let words: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            Error::not_found(format!(
                "there is no action {word:?}; expected one of {}",
                words.join(", ")
            ))
        })
}

/// Runs to the end even when the client hangs up.
async fn finish<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::failed(format!("a task of the demo failed: {error}"))),
    }
}

/// The region as it is now, with the note.
fn outcome(demo: &Demo, region: &Region, note: Note) -> Json<Value> {
    let mut view = region.view(&demo.store);
    if let (Some(object), Some(note)) = (view.as_object_mut(), note) {
        object.insert("note".to_owned(), Value::from(note));
    }
    Json(view)
}
