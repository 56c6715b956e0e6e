//! `cartograph cart ...`: reads and changes one cart in one region, and says why it is what it is.
//!
//! Meant for trying things out (change a cart here, read it there, cut a link in between) and for support ("why
//! does this cart have two of these?"). Every answer says which region gave it and how long that took.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::api::{Cart, CartOp, Region};
use crate::client::{Base, Error, Http, Outcome};
use crate::discovery::{DemoArg, HEADING, demo_regions, unreachable};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::explain;
use crate::term::{Paint, Term};
use crate::text::{counted, duration, parse_duration, printable, table};

/// Quantities go up to this, as everywhere in the product.
const QUANTITY_MAX: i64 = 1_000_000_000;

const ABOUT: &str = "Read and change a cart in a region, and explain it";

const LONG_ABOUT: &str = "\
Reads and changes one cart in one region, over its HTTP interface.

The write is safe in that region when the command returns, and reaches the others on its own.
Concurrent changes follow simple rules: adds sum up; of two concurrent sets the later one wins;
a removal removes what its region had seen, so an add that it had not seen survives. `cartograph
cart explain` shows which rule decided what.";

const AFTER: &str = "\
Examples, with a running demo:
  cartograph cart add 42 OLJCESPC7Z 2 --region us-central1
  cartograph cart get 42 --region europe-west1
  cartograph cart merge 42 --from anonymous-7
  cartograph cart explain 42 --region asia-southeast1
Without a demo:
  cartograph cart get 42 --url http://127.0.0.1:7101";

/// What `cartograph cart` may be asked.
#[derive(ClapArgs, Debug)]
#[command(about = ABOUT, long_about = LONG_ABOUT, after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
}

#[derive(ClapArgs, Debug)]
struct Place {
    /// Region of the running demo to talk to [default: its first]
    #[arg(long, global = true, help_heading = HEADING, value_name = "NAME")]
    region: Option<String>,
    /// A region's HTTP address; no demo is asked then
    #[arg(long, global = true, help_heading = HEADING, value_name = "URL", value_parser = Base::parse, conflicts_with = "region")]
    url: Option<Base>,
    #[command(flatten)]
    demo: DemoArg,
    /// Repeating a write with the same key within a day changes nothing more and gives the first answer again
    #[arg(long, global = true, value_name = "KEY", value_parser = parse_key)]
    idempotency_key: Option<String>,
    /// Say what a change would send and show the cart as it is; change nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// How long the request may take
    #[arg(long, global = true, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    timeout: Duration,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Show a cart
    Get {
        /// The cart's id
        cart: String,
    },
    /// Add to a line; a negative quantity subtracts
    Add {
        /// The cart's id
        cart: String,
        /// The product
        sku: String,
        /// How many; below 0 subtracts
        #[arg(default_value = "1", allow_negative_numbers = true, value_parser = parse_change)]
        quantity: i64,
    },
    /// Set a line to a quantity
    Set {
        /// The cart's id
        cart: String,
        /// The product
        sku: String,
        /// How many
        #[arg(allow_negative_numbers = true, value_parser = parse_quantity)]
        quantity: i64,
    },
    /// Remove a line
    Remove {
        /// The cart's id
        cart: String,
        /// The product
        sku: String,
    },
    /// Remove every line
    Clear {
        /// The cart's id
        cart: String,
    },
    /// Fold an anonymous cart in; doing it twice, even in two regions at once, counts once
    Merge {
        /// The cart's id
        cart: String,
        /// The anonymous cart, which is emptied of what was folded
        #[arg(long, value_name = "CART")]
        from: String,
    },
    /// Why is this cart what it is? Who wrote what and when, what was concurrent, which rule decided
    Explain {
        /// The cart's id
        cart: String,
        /// Only this line
        #[arg(long)]
        sku: Option<String>,
    },
}

impl Action {
    /// The cart, and what to do with it; nothing to do for `explain`.
    fn parts(self) -> (String, Option<CartOp>, Option<String>) {
        match self {
            Self::Get { cart } => (cart, Some(CartOp::Get), None),
            Self::Add { cart, sku, quantity } => (cart, Some(CartOp::Add { sku, quantity }), None),
            Self::Set { cart, sku, quantity } => (cart, Some(CartOp::Set { sku, quantity }), None),
            Self::Remove { cart, sku } => (cart, Some(CartOp::Remove { sku }), None),
            Self::Clear { cart } => (cart, Some(CartOp::Clear), None),
            Self::Merge { cart, from } => (cart, Some(CartOp::Merge { from }), None),
            Self::Explain { cart, sku } => (cart, None, sku),
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// The region cannot be reached or refuses.
pub(crate) async fn run(args: Args, term: &Term) -> Result<Exit, Failure> {
    let Args { action, place } = args;
    let region = place.find().await?;
    let (id, op, sku) = action.parts();
    let Some(op) = op else {
        let answer = region
            .explain(&id)
            .await
            .map_err(|error| failed(&region, &CartOp::Get, &error))?;
        return explain::show(&answer, sku.as_deref(), place.json, term);
    };
    if place.dry_run && op != CartOp::Get {
        return dry_run(&region, &id, &op, place.json, term).await;
    }
    let key = place.idempotency_key.as_deref();
    let answer = region
        .cart(&id, &op, key)
        .await
        .map_err(|error| failed(&region, &op, &error))?;
    if place.json {
        let Cart {
            cart_id,
            region,
            lines,
        } = &answer.value;
        let took_ms = answer.took.as_secs_f64() * 1e3;
        term.print_json(&json!({"cart_id": cart_id, "region": region, "lines": lines, "took_ms": took_ms}))?;
    } else {
        term.print(&render(&answer.value, term))?;
        let by = printable(&answer.value.region);
        term.print(&term.paint(Paint::Dim, &format!("{by} answered in {}", duration(answer.took))))?;
    }
    Ok(Exit::Success)
}

async fn dry_run(region: &Region, id: &str, op: &CartOp, json: bool, term: &Term) -> Result<Exit, Failure> {
    let (method, path, body) = op.request(id);
    let url = region.base.url(&path);
    let cart = region
        .cart(id, &CartOp::Get, None)
        .await
        .map_err(|error| failed(region, &CartOp::Get, &error))?;
    if json {
        let would = json!({"method": method.as_str(), "url": url, "body": body});
        term.print_json(&json!({"would": would, "cart": cart.value}))?;
    } else {
        let body = body
            .as_ref()
            .map(|body: &Value| format!(" {body}"))
            .unwrap_or_default();
        term.print(&format!("would send {method} {url}{body}\nthe cart as it is:\n"))?;
        term.print(&render(&cart.value, term))?;
    }
    Ok(Exit::Success)
}

impl Place {
    async fn find(&self) -> Result<Region, Failure> {
        let http = Http::new(self.timeout, 1);
        if let Some(base) = &self.url {
            return Ok(Region {
                name: base.to_string(),
                base: base.clone(),
                http,
            });
        }
        let mut regions = demo_regions(&self.demo, &http).await?;
        let Some(wanted) = &self.region else {
            return Ok(regions.swap_remove(0));
        };
        let names: Vec<String> = regions.iter().map(|region| region.name.clone()).collect();
        regions
            .into_iter()
            .find(|region| region.name == *wanted)
            .ok_or_else(|| {
                Failure::new(Exit::Usage, format!("the demo has no region `{wanted}`"))
                    .advise(format!("its regions are {}", names.join(", ")))
            })
    }
}

fn failed(region: &Region, op: &CartOp, error: &Error) -> Failure {
    let failure = match error {
        Error::Refused { status, .. } if *status < 500 => Failure::new(Exit::Refused, error.to_string()),
        Error::Refused { .. }
        | Error::Connect { .. }
        | Error::Timeout { .. }
        | Error::Broken { .. }
        | Error::Reply { .. } => unreachable(error, &format!("no answer from {}", region.name)),
    };
    if *op != CartOp::Get && error.outcome() == Outcome::Unknown {
        failure.advise(
            "whether the change happened is unknown: read the cart before trying again, or give every try the same \
             --idempotency-key",
        )
    } else if matches!(error, Error::Connect { .. }) {
        failure.advise("nothing was changed; is the region up? `cartograph status` shows all of them")
    } else {
        failure
    }
}

fn render(cart: &Cart, term: &Term) -> String {
    let id = printable(&cart.cart_id);
    if cart.lines.is_empty() {
        return format!("cart {id} is empty");
    }
    let row = |line: &crate::api::CartLine| vec![printable(&line.sku), line.quantity.to_string()];
    let rows = cart.lines.iter().map(row).collect();
    let title = term.paint(
        Paint::Strong,
        &format!("cart {id}, {}", counted(cart.lines.len(), "line")),
    );
    format!("{title}\n{}", table(&["sku", "quantity"], rows))
}

fn parse_key(text: &str) -> Result<String, String> {
    // What may stand in an HTTP header without quoting.
    if !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 255 visible ASCII characters".to_owned())
    }
}

fn parse_change(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(0) => Err("adding 0 changes nothing".to_owned()),
        Ok(quantity) if (-QUANTITY_MAX..=QUANTITY_MAX).contains(&quantity) => Ok(quantity),
        _ => Err(format!(
            "expected a whole number from -{QUANTITY_MAX} to {QUANTITY_MAX}"
        )),
    }
}

fn parse_quantity(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(0) => Err("a line cannot be set to 0; use `cartograph cart remove`".to_owned()),
        Ok(quantity) if (1..=QUANTITY_MAX).contains(&quantity) => Ok(quantity),
        _ => Err(format!("expected a whole number from 1 to {QUANTITY_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CartLine;

    #[test]
    fn carts_are_shown_as_a_table_and_an_absent_cart_as_empty() {
        let term = Term::new(false, true);
        let lines = vec![
            CartLine {
                sku: "A".into(),
                quantity: 2,
            },
            CartLine {
                sku: "LONG".into(),
                quantity: 10,
            },
        ];
        let mut cart = Cart {
            cart_id: "42".into(),
            region: "us".into(),
            lines,
        };
        assert_eq!(
            render(&cart, &term),
            "cart 42, 2 lines\nSKU   QUANTITY\nA     2\nLONG  10"
        );
        cart.lines.clear();
        assert_eq!(render(&cart, &term), "cart 42 is empty");
    }

    #[test]
    fn quantities_are_bounded_as_the_server_bounds_them() {
        assert_eq!(parse_change("-1000000000"), Ok(-1_000_000_000));
        assert_eq!(parse_quantity("1000000000"), Ok(1_000_000_000));
        for wrong in ["0", "1000000001", "-1000000001", "1.5", "x"] {
            assert!(parse_change(wrong).is_err(), "{wrong}");
        }
        assert!(parse_quantity("0").is_err_and(|text| text.contains("cart remove")));
        assert!(parse_quantity("-1").is_err());
    }

    #[test]
    fn an_unknown_outcome_is_said_for_writes_only() {
        let base = Base::parse("http://us").unwrap();
        let region = Region {
            name: "us".into(),
            base,
            http: Http::new(Duration::from_secs(1), 1),
        };
        let timeout = Error::Timeout {
            url: "u".into(),
            after: Duration::from_secs(1),
        };
        let write = failed(&region, &CartOp::Clear, &timeout);
        assert_eq!(write.exit(), Exit::Timeout);
        assert!(write.advice().unwrap().contains("unknown"));
        assert!(failed(&region, &CartOp::Get, &timeout).advice().is_none());
    }
}
