//! The cart's commands. Each is one procedure: it reads what the cart shows here and now, and makes its effects in one
//! entry.
//!
//! A line is shown while its value is an integer above 0. Concurrent subtractions may take a merged sum below that:
//! then no door of carts shows the line, `HGETALL` shows the stored number, and the next add starts from zero.

use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::{ElementId, Exact, Row, Type, Value};
use cartograph_engine::api::Request;
use cartograph_engine::number::parse_i64;
use cartograph_engine::{Command, CommandError, Procedure, Reply, Shown, Stop, Want, Writer, show};

use crate::fold;
use crate::input::{CartId, Quantity, Sku};

/// What is the same for all carts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartPolicy {
    /// How long a cart lives after its last change.
    pub ttl: Duration,
    /// The most lines that adding and setting may make. Folding may go past it.
    pub lines_max: u64,
}

impl Default for CartPolicy {
    /// 30 days, 1,000 lines.
    fn default() -> Self {
        CartPolicy {
            ttl: Duration::from_hours(30 * 24),
            lines_max: 1_000,
        }
    }
}

/// What can be done with a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartCommand {
    /// Adds pieces of a SKU, or takes some out, down to what is visible.
    Add {
        /// The line.
        sku: Sku,
        /// How many.
        quantity: Quantity,
    },
    /// Sets a line's quantity, which must be above 0.
    Set {
        /// The line.
        sku: Sku,
        /// How many.
        quantity: Quantity,
    },
    /// Takes a line out. An absent one is no error.
    Remove {
        /// The line.
        sku: Sku,
    },
    /// Takes everything out: `DEL`.
    Clear,
    /// Folds another cart into this one, and empties it.
    Merge {
        /// The other cart.
        from: CartId,
    },
    /// Reads the lines.
    Get,
}

impl CartCommand {
    /// The command on `cart`. A change replies with a number: the line's quantity afterwards, or for `Clear` and `Merge`
    /// the number of carts cleared or lines folded. `Get` replies with SKUs and quantities in turn.
    pub fn command(self, cart: &CartId, policy: CartPolicy) -> Command {
        Command::Procedure(Arc::new(OnCart {
            key: cart.key(),
            policy,
            what: self,
        }))
    }

    /// The command, and the cart afterwards, as one request: see [`Cart::after`].
    pub fn request(self, cart: &CartId, policy: CartPolicy) -> Request {
        let get = CartCommand::Get.command(cart, policy);
        let commands = match self {
            CartCommand::Get => vec![get],
            CartCommand::Add { .. }
            | CartCommand::Set { .. }
            | CartCommand::Remove { .. }
            | CartCommand::Clear
            | CartCommand::Merge { .. } => vec![self.command(cart, policy), get],
        };
        Request {
            commands,
            watched: Vec::new(),
            idempotency_key: None,
        }
    }
}

/// One line as cart doors show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU; bytes that a raw write put there and that are no UTF-8 are replaced.
    pub sku: String,
    /// Pieces, above 0.
    pub quantity: i64,
}

/// A cart as its doors show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cart {
    /// Its lines, by SKU.
    pub lines: Vec<Line>,
}

impl Cart {
    /// The cart in the replies to [`CartCommand::request`].
    ///
    /// # Errors
    /// What the change was refused with.
    pub fn after(replies: &[Reply]) -> Result<Cart, CommandError> {
        for reply in replies {
            if let Reply::Error(error) = reply {
                return Err(error.clone());
            }
        }
        Ok(replies.last().map(Cart::from_reply).unwrap_or_default())
    }

    /// The cart in the reply to [`CartCommand::Get`].
    pub fn from_reply(reply: &Reply) -> Cart {
        let Reply::Array(items) = reply else {
            return Cart::default();
        };
        let (pairs, _) = items.as_chunks::<2>();
        let line = |pair: &[Reply; 2]| match pair {
            [Reply::Bytes(sku), Reply::Integer(quantity)] => {
                let sku = String::from_utf8_lossy(sku).into_owned();
                Some(Line {
                    sku,
                    quantity: *quantity,
                })
            }
            _ => None,
        };
        Cart {
            lines: pairs.iter().filter_map(line).collect(),
        }
    }
}

#[derive(Debug)]
struct OnCart {
    key: Vec<u8>,
    policy: CartPolicy,
    what: CartCommand,
}

impl Procedure for OnCart {
    fn wants(&self) -> Vec<Want> {
        let line = |sku: &Sku| vec![Want::elements(&self.key, vec![field(sku)])];
        match &self.what {
            CartCommand::Add { sku, .. } | CartCommand::Set { sku, .. } | CartCommand::Remove { sku } => {
                line(sku)
            }
            CartCommand::Clear | CartCommand::Get => vec![Want::all(&self.key)],
            CartCommand::Merge { from } => vec![Want::all(&from.key()), Want::all(&self.key)],
        }
    }

    fn run(&self, w: &mut Writer<'_>) -> Result<Reply, Stop> {
        match &self.what {
            CartCommand::Add { sku, quantity } if quantity.get() < 0 => self.take(w, sku, -quantity.get()),
            CartCommand::Add { sku, quantity } => self.add(w, sku, quantity.get()),
            CartCommand::Set { sku, quantity } => self.set(w, sku, quantity.get()),
            CartCommand::Remove { sku } => self.remove(w, sku),
            CartCommand::Clear => self.clear(w),
            CartCommand::Merge { from } => fold::fold(w, &from.key(), &self.key, self.expiry(w)),
            CartCommand::Get => self.get(w),
        }
    }
}

impl OnCart {
    fn expiry(&self, w: &Writer<'_>) -> u64 {
        let ttl = u64::try_from(self.policy.ttl.as_millis()).unwrap_or(u64::MAX);
        w.now_ms().saturating_add(ttl)
    }

    /// Adds to a line; one at or below 0 is removed first, so that nobody pays for a debt.
    fn add(&self, w: &mut Writer<'_>, sku: &Sku, by: i64) -> Result<Reply, Stop> {
        let shown = w.look_typed(&self.key, Type::Hash)?;
        let id = field(sku);
        let old = quantity(w, &self.key, shown, &id)?;
        let visible = old.unwrap_or(0).max(0);
        let new = visible.checked_add(by).ok_or(CommandError::Overflow)?;
        if visible == 0 {
            self.check_room(w, shown)?;
        }
        w.ready_with_expiry(&self.key, shown, Type::Hash, Some(self.expiry(w)))?;
        if old.is_some() && visible == 0 {
            w.reset(&self.key, id.clone())?;
        }
        w.increment(&self.key, id, Exact::from_i64(by))?;
        Ok(Reply::Integer(new))
    }

    /// Takes pieces out, down to what is visible; taking all of it, or more, removes the line.
    fn take(&self, w: &mut Writer<'_>, sku: &Sku, by: i64) -> Result<Reply, Stop> {
        let shown = w.look_typed(&self.key, Type::Hash)?;
        let id = field(sku);
        let visible = quantity(w, &self.key, shown, &id)?.unwrap_or(0);
        if visible <= 0 {
            return Ok(Reply::Integer(0));
        }
        if visible <= by {
            self.remove_line(w, id)?;
            return Ok(Reply::Integer(0));
        }
        w.ready_with_expiry(&self.key, shown, Type::Hash, Some(self.expiry(w)))?;
        w.increment(&self.key, id, Exact::from_i64(-by))?;
        Ok(Reply::Integer(visible - by))
    }

    fn set(&self, w: &mut Writer<'_>, sku: &Sku, to: i64) -> Result<Reply, Stop> {
        let shown = w.look_typed(&self.key, Type::Hash)?;
        let id = field(sku);
        let visible = text(w, &self.key, shown, &id)?.and_then(|t| parse_i64(&t.bytes));
        if visible.is_none_or(|visible| visible <= 0) {
            self.check_room(w, shown)?;
        }
        w.ready_with_expiry(&self.key, shown, Type::Hash, Some(self.expiry(w)))?;
        w.assign(&self.key, id, Value::Bytes(to.to_string().into_bytes()))?;
        Ok(Reply::Integer(to))
    }

    fn remove(&self, w: &mut Writer<'_>, sku: &Sku) -> Result<Reply, Stop> {
        let shown = w.look_typed(&self.key, Type::Hash)?;
        let id = field(sku);
        if shown.is_some() && w.element(&self.key, &id)?.is_some() {
            self.remove_line(w, id)?;
        }
        Ok(Reply::Integer(0))
    }

    /// The line goes; what is left of the cart, if anything, lives on from now.
    fn remove_line(&self, w: &mut Writer<'_>, id: ElementId) -> Result<(), Stop> {
        w.remove(&self.key, [id])?;
        if w.look(&self.key)?.is_some() {
            w.expire(&self.key, Some(self.expiry(w)))?;
        }
        Ok(())
    }

    fn clear(&self, w: &mut Writer<'_>) -> Result<Reply, Stop> {
        let shown = w.look_typed(&self.key, Type::Hash)?;
        if let Some(shown) = shown {
            w.drop_key(&self.key, shown)?;
        }
        Ok(Reply::flag(shown.is_some()))
    }

    fn get(&self, w: &mut Writer<'_>) -> Result<Reply, Stop> {
        let mut replies = Vec::new();
        if w.look_typed(&self.key, Type::Hash)?.is_some() {
            for (sku, quantity) in lines(w.whole(&self.key)?) {
                replies.push(Reply::Bytes(sku));
                replies.push(Reply::Integer(quantity));
            }
        }
        Ok(Reply::Array(replies))
    }

    /// May one more line be made? Fields that are not shown as lines do not count.
    fn check_room(&self, w: &mut Writer<'_>, shown: Option<Shown>) -> Result<(), Stop> {
        let limit = self.policy.lines_max;
        let full = match shown {
            None => limit == 0,
            Some(shown) if shown.cardinality < limit => false,
            Some(_) => lines(w.whole(&self.key)?).count() as u64 >= limit,
        };
        if full {
            let message = format!("the cart has {limit} lines, as many as it may have: remove one first");
            return Err(CommandError::Domain {
                code: "cart_full",
                message,
            }
            .into());
        }
        Ok(())
    }
}

fn field(sku: &Sku) -> ElementId {
    ElementId::field(sku.as_str().as_bytes())
}

/// The lines above 0 of a cart that shows as a hash, by SKU.
fn lines(row: &Row) -> impl Iterator<Item = (Vec<u8>, i64)> {
    row.live(Type::Hash).filter_map(|(id, element)| {
        let quantity = parse_i64(&show::text(element)?.bytes).filter(|q| *q > 0)?;
        Some((id.name.clone(), quantity))
    })
}

fn text(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: &ElementId,
) -> Result<Option<show::Text>, Stop> {
    if shown.is_none() {
        return Ok(None);
    }
    Ok(w.element(key, id)?.and_then(show::text))
}

/// What the line stands at, below 0 too; `None` when it is absent.
fn quantity(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: &ElementId,
) -> Result<Option<i64>, Stop> {
    let text = text(w, key, shown, id)?;
    text.map(|text| whole_number(id, &text)).transpose()
}

/// The number that a line shows.
///
/// # Errors
/// Refused when it is none (a raw write may have put anything there), or past its range.
pub(crate) fn whole_number(id: &ElementId, text: &show::Text) -> Result<i64, Stop> {
    if text.saturated {
        return Err(CommandError::Saturated.into());
    }
    let sku = String::from_utf8_lossy(&id.name);
    let not_a_number = || CommandError::Domain {
        code: "not_a_quantity",
        message: format!("line {sku:?} does not hold a whole number: set or remove it first"),
    };
    Ok(parse_i64(&text.bytes).ok_or_else(not_a_number)?)
}
