//! The command line of `cartograph load`, and the text that teaches it.

use std::time::Duration;

use clap::{Args as ClapArgs, value_parser};

use super::mix::Mix;
use crate::discovery::Target;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::text::parse_duration;

const ABOUT: &str = "Drive every region with shoppers; check that they agree and that nothing is lost";

const LONG_ABOUT: &str = "\
Drives every region with shoppers, then checks that all regions agree and that no acknowledged
write is lost.

The shoppers behave as those of Google's Online Boutique: its nine products, and the weights of
its load generator (85 % reading the cart, 11 % adding 1 to 10 of a product, 4 % emptying it at
checkout). A part of them edits carts that are shared by all regions, so that concurrent adds,
sets, removals and clears of the same lines happen all the time. Another part adds to ledger
carts, which nobody clears: there, what each region must hold at the end is known to the unit.

The load is open-loop: visits are due at fixed instants however slow the answers are, and a
latency counts from the instant at which the visit was due. A slow region cannot hide behind its
own slowness.";

const AFTER: &str = "\
Examples:
  cartograph demo                       in one terminal, and then in another:
  cartograph load                       30 seconds at 200 operations a second in each region
  cartograph load --shared-carts 1 --shared-weight 90 --rate 500
                                        everybody fights over one cart
  cartograph load --region us=127.0.0.1:7101 --region eu=127.0.0.1:7102
                                        a deployment without a demo's control API

Cut a link in the demo's page while it runs: the load goes on in every region, and they agree soon after the link
is back.";

/// What `cartograph load` may be asked.
#[derive(ClapArgs, Debug)]
#[command(about = ABOUT, long_about = LONG_ABOUT, after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Operations per second asked of each region
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
    /// Shoppers at work at once in each region, at most; each keeps one connection
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = value_parser!(u32).range(1..=4_096))]
    pub(super) users: u32,
    /// How long to drive, for example 30s or 2m
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub(super) duration: Duration,
    /// Makes the same visits in every run with the same number [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Carts that each region's shoppers use
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) carts: u32,
    /// Carts that the shoppers of all regions edit; 0 for none
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub(super) shared_carts: u32,
    /// Percent of the visits that edit a shared cart
    #[arg(long, default_value_t = 20, value_name = "PERCENT", value_parser = value_parser!(u32).range(0..=100))]
    pub(super) shared_weight: u32,
    /// Carts that are only added to, and checked to the unit; 0 for none
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = value_parser!(u32).range(0..=100_000))]
    pub(super) ledger_carts: u32,
    /// Percent of the visits that add to a ledger cart
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = value_parser!(u32).range(0..=100))]
    pub(super) ledger_weight: u32,
    /// How long the regions may take to agree after the load
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    pub(super) converge_timeout: Duration,
    /// How long one request may take
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    pub(super) timeout: Duration,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    /// Checks what no flag can check by itself.
    ///
    /// # Errors
    /// The weights make more than 100 percent.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.shared_weight + self.ledger_weight <= 100 {
            return Ok(());
        }
        let what = format!(
            "--shared-weight {} and --ledger-weight {} are more than 100 percent together",
            self.shared_weight, self.ledger_weight
        );
        Err(Failure::new(Exit::Usage, what).advise("lower one of them; the rest are shoppers' visits"))
    }

    /// Shoppers at work at once, and connections kept, in each region.
    pub(super) fn users(&self) -> usize {
        usize::try_from(self.users).unwrap_or(usize::MAX)
    }

    /// The mix of region number `region` of `regions`.
    pub(super) fn mix(&self, region: u32, regions: u32) -> Mix {
        Mix {
            carts: self.carts,
            shared_carts: self.shared_carts,
            shared_percent: self.shared_weight,
            ledger_carts: self.ledger_carts,
            ledger_percent: self.ledger_weight,
            regions,
            region,
        }
    }
}
