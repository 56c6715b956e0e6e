//! The HTTP interface of a region, as its clients see it, and the shapes of its replies.
//!
//! Replies are read tolerantly: fields that this version does not know are kept or ignored, 64-bit numbers may
//! be strings or numbers, and what is missing is shown as missing. Only what a command's verdict rests on (the
//! lines of a cart, vectors and buckets of a digest) must be there.

use std::collections::BTreeMap;

use hyper::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::client::{Answer, Base, Error, Http};
use crate::text::path_segment;

/// A cart as every cart reply shows it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Cart {
    /// The cart's id.
    #[expect(clippy::struct_field_names, reason = "the name on the wire")]
    pub(crate) cart_id: String,
    /// The region that answered.
    pub(crate) region: String,
    /// The lines above 0, sorted by SKU; none for an absent cart.
    pub(crate) lines: Vec<CartLine>,
}

/// One line of a cart.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct CartLine {
    /// The stock-keeping unit.
    pub(crate) sku: String,
    /// How many of it.
    pub(crate) quantity: i64,
}

/// A change of a cart, or the reading of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CartOp {
    /// Reads the cart.
    Get,
    /// Adds `quantity` of `sku`; negative subtracts.
    Add {
        /// The line.
        sku: String,
        /// How many to add.
        quantity: i64,
    },
    /// Sets the line to `quantity`.
    Set {
        /// The line.
        sku: String,
        /// The new quantity.
        quantity: i64,
    },
    /// Removes the line.
    Remove {
        /// The line.
        sku: String,
    },
    /// Removes every line.
    Clear,
    /// Folds the cart `from` in.
    Merge {
        /// The anonymous cart.
        from: String,
    },
}

impl CartOp {
    /// The request for this operation on cart `id`: method, path, body.
    pub(crate) fn request(&self, id: &str) -> (Method, String, Option<Value>) {
        let cart = format!("/v1/carts/{}", path_segment(id));
        match self {
            Self::Get => (Method::GET, cart, None),
            Self::Add { sku, quantity } => (
                Method::POST,
                format!("{cart}/items"),
                Some(json!({"sku": sku, "quantity": quantity})),
            ),
            Self::Set { sku, quantity } => (
                Method::PUT,
                format!("{cart}/items/{}", path_segment(sku)),
                Some(json!({"quantity": quantity})),
            ),
            Self::Remove { sku } => (
                Method::DELETE,
                format!("{cart}/items/{}", path_segment(sku)),
                None,
            ),
            Self::Clear => (Method::DELETE, cart, None),
            Self::Merge { from } => (Method::POST, format!("{cart}/merge"), Some(json!({"from": from}))),
        }
    }
}

/// A region's state digest: what two regions compare to know that they agree.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Per shard and replica, the highest sequence that the region has applied.
    pub(crate) version_vectors: BTreeMap<String, BTreeMap<String, Number>>,
    /// Per shard, one hash for each bucket.
    pub(crate) buckets: BTreeMap<String, Vec<String>>,
}

/// A 64-bit number, sent as a string so that JavaScript does not round it, or as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        number(&value)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("`{value}` is not a whole number")))
    }
}

/// A whole number, from a JSON number or from a string of digits.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// One region and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Its name.
    pub(crate) name: String,
    /// Its HTTP address.
    pub(crate) base: Base,
    /// The connections to it.
    pub(crate) http: Http,
}

impl Region {
    /// Carries out `op` on cart `id`.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub(crate) async fn cart(
        &self,
        id: &str,
        op: &CartOp,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Cart>, Error> {
        let (method, path, body) = op.request(id);
        self.http
            .call(method, &self.base.url(&path), body.as_ref(), idempotency_key)
            .await
    }

    /// Why is this cart what it is?
    ///
    /// # Errors
    /// As [`Http::call`].
    pub(crate) async fn explain(&self, id: &str) -> Result<Answer<Value>, Error> {
        self.http
            .get(&self.base.url(&format!("/v1/carts/{}/explain", path_segment(id))))
            .await
    }

    /// The region's status document.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub(crate) async fn status(&self) -> Result<Answer<Value>, Error> {
        self.http.get(&self.base.url("/v1/status")).await
    }

    /// Succeeds if the region can serve.
    ///
    /// # Errors
    /// As [`Http::call`]; a region that is up but cannot serve answers 503.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        match self.http.get::<Value>(&self.base.url("/readyz")).await {
            // The body is for people: its form is nobody's contract.
            Ok(_) | Err(Error::Reply { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The region's digest of live state, less keys expired by `as_of_ms`; `deep` recomputes it from the views.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub(crate) async fn digest(&self, as_of_ms: u64, deep: bool) -> Result<Digest, Error> {
        let deep = if deep { "&deep=1" } else { "" };
        let answer = self
            .http
            .get(&self.base.url(&format!("/v1/digest?as_of={as_of_ms}{deep}")))
            .await?;
        Ok(answer.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_the_interface_and_encode_what_users_choose() {
        let request = |op: CartOp| {
            let (method, path, body) = op.request("a/b");
            format!("{method} {path} {}", body.unwrap_or_default())
        };
        let sku = || "x y".to_owned();
        assert_eq!(request(CartOp::Get), "GET /v1/carts/a%2Fb null");
        assert_eq!(
            request(CartOp::Add {
                sku: sku(),
                quantity: -2
            }),
            r#"POST /v1/carts/a%2Fb/items {"quantity":-2,"sku":"x y"}"#
        );
        assert_eq!(
            request(CartOp::Set {
                sku: sku(),
                quantity: 3
            }),
            r#"PUT /v1/carts/a%2Fb/items/x%20y {"quantity":3}"#
        );
        assert_eq!(
            request(CartOp::Remove { sku: sku() }),
            "DELETE /v1/carts/a%2Fb/items/x%20y null"
        );
        assert_eq!(request(CartOp::Clear), "DELETE /v1/carts/a%2Fb null");
        assert_eq!(
            request(CartOp::Merge { from: "c".into() }),
            r#"POST /v1/carts/a%2Fb/merge {"from":"c"}"#
        );
    }

    #[test]
    fn numbers_are_read_from_strings_and_numbers_and_nothing_else() {
        assert_eq!(number(&json!("18446744073709551615")), Some(u64::MAX));
        assert_eq!(number(&json!(7)), Some(7));
        assert_eq!(number(&json!("-1")), None);
        assert_eq!(number(&json!(1.5)), None);
        let text = r#"{"version_vectors":{"0":{"1-9":"17"}},"buckets":{"0":["a"]},"as_of":"1","new":[]}"#;
        let digest: Digest = serde_json::from_str(text).unwrap();
        assert_eq!(digest.version_vectors["0"]["1-9"], Number(17));
        assert!(
            serde_json::from_str::<Digest>(r#"{"version_vectors":{}}"#).is_err(),
            "a verdict needs buckets"
        );
    }
}
