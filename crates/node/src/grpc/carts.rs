//! `cartograph.v1.CartService`.

use cartograph_commerce::{Cart, CartCommand, CartId, Quantity, Sku};
use cartograph_proto::v1;
use cartograph_proto::v1::cart_service_server::CartService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::{Door, call};
use crate::clock;
use crate::doors::Answered;
use crate::doors::failure::Failure;

type Result<T> = std::result::Result<T, Failure>;

impl Door {
    fn show(&self, id: String, cart: Cart) -> v1::Cart {
        let line = |l: cartograph_commerce::Line| v1::CartLine {
            sku: l.sku,
            quantity: l.quantity,
        };
        v1::Cart {
            cart_id: id,
            region: self.0.config.region.name.clone(),
            lines: cart.lines.into_iter().map(line).collect(),
        }
    }

    async fn change(
        &self,
        operation: &'static str,
        metadata: &MetadataMap,
        id: String,
        command: impl FnOnce() -> Result<CartCommand>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let started = clock::elapsed();
        let result: Result<Answered<Cart>> = async {
            let cart = CartId::parse(&id)?;
            self.0.change_cart(call(metadata)?, &cart, command()?).await
        }
        .await;
        self.answer(operation, started, result, |cart| self.show(id, cart))
    }
}

#[tonic::async_trait]
impl CartService for Door {
    async fn get_cart(
        &self,
        request: Request<v1::GetCartRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let cart = CartId::parse(&asked.cart_id)?;
            self.0.get_cart(&call(&metadata)?, &cart).await
        }
        .await;
        self.answer("get_cart", started, result, |cart| self.show(asked.cart_id, cart))
    }

    async fn add_item(
        &self,
        request: Request<v1::AddItemRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let command = || {
            Ok(CartCommand::Add {
                sku: Sku::parse(&asked.sku)?,
                quantity: Quantity::signed(asked.quantity)?,
            })
        };
        self.change("add_item", &metadata, asked.cart_id, command).await
    }

    async fn set_item(
        &self,
        request: Request<v1::SetItemRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let command = || {
            Ok(CartCommand::Set {
                sku: Sku::parse(&asked.sku)?,
                quantity: Quantity::positive(asked.quantity)?,
            })
        };
        self.change("set_item", &metadata, asked.cart_id, command).await
    }

    async fn remove_item(
        &self,
        request: Request<v1::RemoveItemRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let command = || {
            Ok(CartCommand::Remove {
                sku: Sku::parse(&asked.sku)?,
            })
        };
        self.change("remove_item", &metadata, asked.cart_id, command)
            .await
    }

    async fn clear(
        &self,
        request: Request<v1::ClearRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let (metadata, _, asked) = request.into_parts();
        self.change("clear", &metadata, asked.cart_id, || Ok(CartCommand::Clear))
            .await
    }

    async fn merge(
        &self,
        request: Request<v1::MergeRequest>,
    ) -> std::result::Result<Response<v1::Cart>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let command = || {
            Ok(CartCommand::Merge {
                from: CartId::parse(&asked.from)?,
            })
        };
        self.change("merge", &metadata, asked.cart_id, command).await
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> std::result::Result<Response<v1::ExplainResponse>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let cart = CartId::parse(&asked.cart_id)?;
            self.0.explain(&call(&metadata)?, &cart).await
        }
        .await;
        self.answer("explain", started, result, |document| v1::ExplainResponse {
            json: document.to_string(),
        })
    }
}
