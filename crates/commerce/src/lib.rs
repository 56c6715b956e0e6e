//! Carts, as procedures on typed keys.
//!
//! A cart is the hash `cart:<id>`: a field is a line, named by its SKU, and its value is the quantity. So a cart that is
//! written here reads back with `HGETALL`, and what wins under concurrency is what wins in a hash: adds of two regions
//! sum, of two concurrent sets the later counts, a removal takes back exactly what it had seen.
//!
//! What carts add to hashes, each in one entry with the change it belongs to:
//! - taking all that is visible, or more, removes the line; adding to a line in debt removes the debt first;
//! - every change renews the cart's expiry;
//! - a cart has a bounded number of lines;
//! - one cart can be folded into another, and counts there once however often and wherever that is done ([`fold`]).
//!
//! [`explain`] says of each line which replica wrote what, and which rule decided.

pub mod cart;
pub mod explain;

pub mod fold;
pub mod input;

pub use cart::{Cart, CartCommand, CartPolicy, Line};
pub use input::{CartId, InputError, Quantity, Sku};
