//! `hipstershop.CartService`: what Online Boutique's frontend and checkout call.
//!
//! Wire-compatible, and stricter on purpose: its clients price a line in a loop of `uint32(quantity)` steps, so no line
//! below 1 or above a million is ever shown, and a quantity below 1 is refused where the reference stores it.

use cartograph_commerce::{Cart, CartCommand, CartId, Quantity, Sku};
use cartograph_proto::hipstershop as shop;
use cartograph_proto::hipstershop::cart_service_server::CartService;
use tonic::{Request, Response, Status};

use super::{Door, call};
use crate::clock;
use crate::doors::failure::{Failure, kinds};

/// The largest quantity of a line that clients are shown.
const QUANTITY_SHOWN_MAX: i64 = 1_000_000;

/// The reference's form: everything empty when there are no lines.
fn show(user_id: String, cart: Cart) -> shop::Cart {
    if cart.lines.is_empty() {
        return shop::Cart::default();
    }
    let item = |line: cartograph_commerce::Line| shop::CartItem {
        product_id: line.sku,
        quantity: i32::try_from(line.quantity.min(QUANTITY_SHOWN_MAX)).unwrap_or(i32::MAX),
    };
    shop::Cart {
        user_id,
        items: cart.lines.into_iter().map(item).collect(),
    }
}

#[tonic::async_trait]
impl CartService for Door {
    async fn add_item(
        &self,
        request: Request<shop::AddItemRequest>,
    ) -> Result<Response<shop::Empty>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let cart = CartId::parse(&asked.user_id)?;
            let item = asked.item.ok_or_else(|| {
                Failure::new(
                    kinds::QUANTITY,
                    "the item is missing: expected product_id and quantity",
                )
            })?;
            let command = CartCommand::Add {
                sku: Sku::parse(&item.product_id)?,
                quantity: Quantity::positive(i64::from(item.quantity))?,
            };
            self.0.change_cart(call(&metadata)?, &cart, command).await
        }
        .await;
        self.answer("boutique_add_item", started, result, |_| shop::Empty {})
    }

    async fn get_cart(&self, request: Request<shop::GetCartRequest>) -> Result<Response<shop::Cart>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let cart = CartId::parse(&asked.user_id)?;
            self.0.get_cart(&call(&metadata)?, &cart).await
        }
        .await;
        self.answer("boutique_get_cart", started, result, |cart| {
            show(asked.user_id, cart)
        })
    }

    async fn empty_cart(
        &self,
        request: Request<shop::EmptyCartRequest>,
    ) -> Result<Response<shop::Empty>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let cart = CartId::parse(&asked.user_id)?;
            self.0
                .change_cart(call(&metadata)?, &cart, CartCommand::Clear)
                .await
        }
        .await;
        self.answer("boutique_empty_cart", started, result, |_| shop::Empty {})
    }
}
