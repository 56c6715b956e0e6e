//! What no Redis has: CARTOGRAPH.EXPLAIN and CARTOGRAPH.TOKEN. (CARTOGRAPH.REVOKE is a write like others.)

use bytes::Bytes;
use cartograph_proto::token::Token;
use cartograph_resp::Value;

use super::super::context::{Class, Context};
use super::super::errors::of_failure;
use super::super::session::Session;
use super::args::{lossy, text};
use super::errors::{error, not_supported, wrong_arity};
use crate::doors::Call;

/// EXPLAIN or TOKEN, lower case, and what follows.
pub(super) async fn answer(
    context: &Context,
    session: &mut Session,
    what: &str,
    arguments: &[Bytes],
) -> Value {
    match (what, arguments) {
        ("explain", [key]) => explain(context, session, key, None).await,
        ("explain", [key, field]) => explain(context, session, key, Some(field)).await,
        ("token", []) => match context.doors.token() {
            Some(token) => text(token),
            None => {
                error("ERR the session token would be too long: ask again when fewer incarnations are known")
            }
        },
        ("token", [token]) => match Token::from_text(&lossy(token)) {
            Ok(token) => {
                session.token = Some(token);
                Value::OK
            }
            Err(refused) => of_failure(&refused.into()),
        },
        _ => wrong_arity(&format!("cartograph.{what}")),
    }
}

fn local_key(key: &[u8]) -> Value {
    not_supported(format!(
        "the key '{}' is of the class `local` (resp.classes): it is this region's Redis's alone, and has no history",
        lossy(key)
    ))
}

/// Why a key, or one of its elements, is what it is.
async fn explain(context: &Context, session: &Session, key: &Bytes, field: Option<&Bytes>) -> Value {
    if context.class(key) == Class::Local {
        return local_key(key);
    }
    let call = Call {
        token: session.token.clone(),
        ..Call::default()
    };
    match context.doors.explain_key(&call, key, field.map(|f| &f[..])).await {
        Ok(answered) => shown(&answered.value),
        Err(failure) => of_failure(&failure),
    }
}

/// A JSON document in Redis's forms.
fn shown(document: &serde_json::Value) -> Value {
    match document {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Boolean(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => text(number.to_string()),
        },
        serde_json::Value::String(words) => text(words.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(shown).collect()),
        serde_json::Value::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(name, field)| (text(name.clone()), shown(field)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_maps_and_lists() {
        let document = serde_json::json!({"key": "a", "n": 3, "writes": [null, true, "x"]});
        let Value::Map(pairs) = shown(&document) else {
            panic!()
        };
        assert_eq!(pairs[1], (text("n"), Value::Integer(3)));
        assert_eq!(
            pairs[2].1,
            Value::Array(vec![Value::Null, Value::Boolean(true), text("x")])
        );
    }
}
