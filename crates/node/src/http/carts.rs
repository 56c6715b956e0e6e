//! `/v1/carts`.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use cartograph_commerce::{Cart, CartCommand, CartId, Quantity, Sku};
use serde::{Deserialize, Serialize};

use super::{Named, Shared, body, call};
use crate::clock;
use crate::doors::failure::Failure;
use crate::doors::{Answered, Doors};

/// `{"sku","quantity"}`
#[derive(Deserialize)]
struct Item {
    sku: String,
    quantity: i64,
}

/// `{"quantity"}`
#[derive(Deserialize)]
struct Amount {
    quantity: i64,
}

/// `{"from"}`
#[derive(Deserialize)]
struct Source {
    from: String,
}

type Result<T> = std::result::Result<T, Failure>;

/// A cart as every cart reply shows it.
#[derive(Serialize)]
struct Document {
    cart_id: String,
    region: String,
    lines: Vec<LineDocument>,
}

#[derive(Serialize)]
struct LineDocument {
    sku: String,
    quantity: i64,
}

fn show(doors: &Doors, id: &str, cart: Cart) -> Document {
    let line = |l: cartograph_commerce::Line| LineDocument {
        sku: l.sku,
        quantity: l.quantity,
    };
    Document {
        cart_id: id.to_owned(),
        region: doors.config.region.name.clone(),
        lines: cart.lines.into_iter().map(line).collect(),
    }
}

async fn change(
    doors: &Doors,
    headers: &HeaderMap,
    id: &str,
    command: CartCommand,
) -> Result<Answered<Cart>> {
    let id = CartId::parse(id)?;
    doors.change_cart(call(headers)?, &id, command).await
}

pub(super) async fn get_cart(State(doors): Shared, Named(id): Named<String>, headers: HeaderMap) -> Response {
    let started = clock::elapsed();
    let result = async {
        let cart = CartId::parse(&id)?;
        doors.get_cart(&call(&headers)?, &cart).await
    };
    let result = result.await;
    doors.answer("get_cart", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn add(
    State(doors): Shared,
    Named(id): Named<String>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let started = clock::elapsed();
    let result = async {
        let item: Item = body(&doors, &headers, content).await?;
        let command = CartCommand::Add {
            sku: Sku::parse(&item.sku)?,
            quantity: Quantity::signed(item.quantity)?,
        };
        change(&doors, &headers, &id, command).await
    };
    let result = result.await;
    doors.answer("add_item", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn set(
    State(doors): Shared,
    Named((id, sku)): Named<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let started = clock::elapsed();
    let result = async {
        let amount: Amount = body(&doors, &headers, content).await?;
        let command = CartCommand::Set {
            sku: Sku::parse(&sku)?,
            quantity: Quantity::positive(amount.quantity)?,
        };
        change(&doors, &headers, &id, command).await
    };
    let result = result.await;
    doors.answer("set_item", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn remove(
    State(doors): Shared,
    Named((id, sku)): Named<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let started = clock::elapsed();
    let result = async {
        let sku = Sku::parse(&sku)?;
        change(&doors, &headers, &id, CartCommand::Remove { sku }).await
    };
    let result = result.await;
    doors.answer("remove_item", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn clear(State(doors): Shared, Named(id): Named<String>, headers: HeaderMap) -> Response {
    let started = clock::elapsed();
    let result = change(&doors, &headers, &id, CartCommand::Clear).await;
    doors.answer("clear", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn merge(
    State(doors): Shared,
    Named(id): Named<String>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let started = clock::elapsed();
    let result = async {
        let source: Source = body(&doors, &headers, content).await?;
        let from = CartId::parse(&source.from)?;
        change(&doors, &headers, &id, CartCommand::Merge { from }).await
    };
    let result = result.await;
    doors.answer("merge", started, result, |cart| show(&doors, &id, cart))
}

pub(super) async fn explain(State(doors): Shared, Named(id): Named<String>, headers: HeaderMap) -> Response {
    let started = clock::elapsed();
    let result = async {
        let cart = CartId::parse(&id)?;
        doors.explain(&call(&headers)?, &cart).await
    };
    let result = result.await;
    doors.answer("explain", started, result, |document| document)
}
