//! What the shoppers do.
//!
//! Three kinds of visit, each a short series of operations on one cart, made one after the other:
//!
//! - a *shopper's* visit, as the load generator of Google's Online Boutique makes it: its behaviours with its
//!   weights, each with the cart calls that the shop's pages make for it. Over all of them that is 85 % reading
//!   the cart, 11 % adding 1 to 10 of a product and 4 % emptying it at checkout;
//! - an *edit* of a cart that every region's shoppers share: adds, sets, removals and clears from several regions
//!   at once, the traffic that makes conflicts;
//! - an addition to a *ledger* cart, which nobody clears, so that every acknowledged unit must be there at the
//!   end (see [`super::ledger`]).
//!
//! Everything follows from a seed: the same seed makes the same visits in every run.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::api::CartOp;

/// The products of Online Boutique's catalogue.
pub(crate) const PRODUCTS: [&str; 9] = [
    "0PUK6V6EV0",
    "1YMWWN1N4O",
    "2ZYFJ3GM2N",
    "66VCHSJNUP",
    "6E92ZMYYFZ",
    "9SIQT8TOJO",
    "L9ECAV7KIM",
    "LS4PSXUNUM",
    "OLJCESPC7Z",
];

/// What a shopper does on one visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Opens the front page.
    Index,
    /// Picks a currency, and is sent back to the front page.
    SetCurrency,
    /// Looks at a product.
    Browse,
    /// Looks at a product, adds some, and is shown the cart.
    AddToCart,
    /// Looks at the cart.
    ViewCart,
    /// Adds some of a product and pays: the order reads the cart and then empties it.
    Checkout,
}

/// The load generator's weights; they sum to [`WEIGHTS_SUM`].
const WEIGHTS: [(Behaviour, u32); 6] = [
    (Behaviour::Index, 1),
    (Behaviour::SetCurrency, 2),
    (Behaviour::Browse, 10),
    (Behaviour::AddToCart, 2),
    (Behaviour::ViewCart, 3),
    (Behaviour::Checkout, 1),
];
const WEIGHTS_SUM: u32 = 19;

/// A kind of operation, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OpKind {
    /// Reads the cart.
    Get,
    /// Adds to a line.
    Add,
    /// Sets a line.
    Set,
    /// Removes a line.
    Remove,
    /// Empties the cart.
    Clear,
}

impl OpKind {
    /// Every kind, in the order in which reports show them.
    pub(crate) const ALL: [Self; 5] = [Self::Get, Self::Add, Self::Set, Self::Remove, Self::Clear];

    /// The word for tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Add => "add",
            Self::Set => "set",
            Self::Remove => "remove",
            Self::Clear => "clear",
        }
    }
}

/// One operation on the visit's cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Reads the cart.
    Get,
    /// Adds to a product's line.
    Add {
        /// The product.
        sku: &'static str,
        /// 1 to 10.
        quantity: u8,
    },
    /// Sets a product's line.
    Set {
        /// The product.
        sku: &'static str,
        /// 1 to 10.
        quantity: u8,
    },
    /// Removes a product's line.
    Remove {
        /// The product.
        sku: &'static str,
    },
    /// Empties the cart.
    Clear,
}

impl Op {
    /// Its kind, for counting.
    pub(crate) fn kind(self) -> OpKind {
        match self {
            Self::Get => OpKind::Get,
            Self::Add { .. } => OpKind::Add,
            Self::Set { .. } => OpKind::Set,
            Self::Remove { .. } => OpKind::Remove,
            Self::Clear => OpKind::Clear,
        }
    }

    /// The same, as a region's client wants it.
    pub(crate) fn cart_op(self) -> CartOp {
        match self {
            Self::Get => CartOp::Get,
            Self::Add { sku, quantity } => CartOp::Add {
                sku: sku.to_owned(),
                quantity: quantity.into(),
            },
            Self::Set { sku, quantity } => CartOp::Set {
                sku: sku.to_owned(),
                quantity: quantity.into(),
            },
            Self::Remove { sku } => CartOp::Remove { sku: sku.to_owned() },
            Self::Clear => CartOp::Clear,
        }
    }
}

/// Whose cart a visit is about, and its number among those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CartRef {
    /// A cart that only this region's shoppers use.
    Own(u32),
    /// A cart that every region's shoppers edit.
    Shared(u32),
    /// A cart that is only added to.
    Ledger(u32),
}

/// One visit: operations on one cart, made in this order, the next when the one before is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// The cart.
    pub(crate) cart: CartRef,
    /// The operations; at least one.
    pub(crate) ops: Vec<Op>,
}

/// How much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Carts that this region's shoppers use; at least 1.
    pub(crate) carts: u32,
    /// Carts that all regions edit; 0 for none.
    pub(crate) shared_carts: u32,
    /// Percent of the visits that edit one of those.
    pub(crate) shared_percent: u32,
    /// Carts that are only added to; 0 for none.
    pub(crate) ledger_carts: u32,
    /// Percent of the visits that add to one of those.
    pub(crate) ledger_percent: u32,
    /// How many regions there are, and which of them this one is: every second ledger cart has one home region,
    /// the others are added to from everywhere at once.
    pub(crate) regions: u32,
    /// See `regions`; counts from 0.
    pub(crate) region: u32,
}

/// An endless series of visits, made from a seed.
#[derive(Debug)]
pub(crate) struct Visits {
    mix: Mix,
    rng: ChaCha8Rng,
}

impl Visits {
    /// The visits of one region. Regions have different visits under the same seed.
    pub(crate) fn new(mix: Mix, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(mix.region));
        Self { mix, rng }
    }

    /// The next visit.
    pub(crate) fn next_visit(&mut self) -> Visit {
        let roll = self.rng.random_range(0..100);
        let shared = if self.mix.shared_carts == 0 {
            0
        } else {
            self.mix.shared_percent
        };
        let ledger = if self.mix.ledger_carts == 0 {
            0
        } else {
            self.mix.ledger_percent
        };
        if roll < shared {
            let cart = CartRef::Shared(self.rng.random_range(0..self.mix.shared_carts));
            Visit {
                cart,
                ops: vec![self.edit()],
            }
        } else if roll < shared + ledger {
            let cart = CartRef::Ledger(self.ledger_cart());
            Visit {
                cart,
                ops: vec![self.add()],
            }
        } else {
            let cart = CartRef::Own(self.rng.random_range(0..self.mix.carts));
            Visit {
                cart,
                ops: self.shop(),
            }
        }
    }

    fn shop(&mut self) -> Vec<Op> {
        match self.behaviour() {
            Behaviour::Index | Behaviour::SetCurrency | Behaviour::Browse | Behaviour::ViewCart => {
                vec![Op::Get]
            }
            Behaviour::AddToCart => vec![Op::Get, self.add(), Op::Get],
            Behaviour::Checkout => vec![Op::Get, self.add(), Op::Get, Op::Get, Op::Clear],
        }
    }

    fn behaviour(&mut self) -> Behaviour {
        let mut roll = self.rng.random_range(0..WEIGHTS_SUM);
        for (behaviour, weight) in WEIGHTS {
            if roll < weight {
                return behaviour;
            }
            roll -= weight;
        }
        Behaviour::Index
    }

    /// An edit of a shared cart: half of them adds, so that there is something to set, remove and clear.
    fn edit(&mut self) -> Op {
        match self.rng.random_range(0..20) {
            0..10 => self.add(),
            10..13 => Op::Set {
                sku: self.product(),
                quantity: self.quantity(),
            },
            13..16 => Op::Remove { sku: self.product() },
            16 => Op::Clear,
            _ => Op::Get,
        }
    }

    fn add(&mut self) -> Op {
        Op::Add {
            sku: self.product(),
            quantity: self.quantity(),
        }
    }

    fn product(&mut self) -> &'static str {
        let index = self.rng.random_range(0..PRODUCTS.len());
        PRODUCTS.get(index).copied().unwrap_or("OLJCESPC7Z")
    }

    fn quantity(&mut self) -> u8 {
        self.rng.random_range(1..=10)
    }

    /// Even carts are everybody's. Odd ones belong to one region each, so that the ledger also covers carts that
    /// only ever have one writer; a region without one of its own uses everybody's.
    fn ledger_cart(&mut self) -> u32 {
        let cart = self.rng.random_range(0..self.mix.ledger_carts);
        let home = cart / 2 % self.mix.regions.max(1);
        if cart % 2 == 0 || home == self.mix.region {
            cart
        } else {
            cart - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SHOPPERS_ONLY: Mix = Mix {
        carts: 50,
        shared_carts: 0,
        shared_percent: 20,
        ledger_carts: 0,
        ledger_percent: 10,
        regions: 3,
        region: 0,
    };

    fn take(mix: Mix, seed: u64, count: usize) -> Vec<Visit> {
        let mut visits = Visits::new(mix, seed);
        (0..count).map(|_| visits.next_visit()).collect()
    }

    #[test]
    fn the_weights_sum_to_what_the_dice_have() {
        assert_eq!(WEIGHTS.iter().map(|(_, weight)| weight).sum::<u32>(), WEIGHTS_SUM);
    }

    #[test]
    fn shoppers_make_the_mix_of_online_boutique() {
        let mut counts: BTreeMap<OpKind, f64> = BTreeMap::new();
        for op in take(SHOPPERS_ONLY, 7, 40_000).iter().flat_map(|visit| &visit.ops) {
            *counts.entry(op.kind()).or_default() += 1.0;
        }
        let all: f64 = counts.values().sum();
        let percent = |kind| 100.0 * counts.get(&kind).copied().unwrap_or_default() / all;
        assert!(
            (percent(OpKind::Get) - 85.2).abs() < 0.5,
            "{}",
            percent(OpKind::Get)
        );
        assert!(
            (percent(OpKind::Add) - 11.1).abs() < 0.5,
            "{}",
            percent(OpKind::Add)
        );
        assert!(
            (percent(OpKind::Clear) - 3.7).abs() < 0.5,
            "{}",
            percent(OpKind::Clear)
        );
        assert_eq!(counts.len(), 3, "shoppers neither set nor remove");
    }

    #[test]
    fn adds_are_of_one_to_ten_of_every_product() {
        let (mut products, mut quantities) = (BTreeSet::new(), BTreeSet::new());
        for op in take(SHOPPERS_ONLY, 7, 10_000).iter().flat_map(|visit| &visit.ops) {
            if let Op::Add { sku, quantity } = op {
                products.insert(*sku);
                quantities.insert(*quantity);
            }
        }
        assert_eq!(products, BTreeSet::from(PRODUCTS));
        assert_eq!(quantities, (1..=10).collect());
    }

    #[test]
    fn the_same_seed_makes_the_same_visits_and_regions_differ() {
        let mix = Mix {
            shared_carts: 4,
            ledger_carts: 6,
            ..SHOPPERS_ONLY
        };
        assert_eq!(take(mix, 42, 500), take(mix, 42, 500));
        assert_ne!(take(mix, 42, 500), take(mix, 43, 500));
        assert_ne!(take(mix, 42, 500), take(Mix { region: 1, ..mix }, 42, 500));
    }

    #[test]
    fn shared_and_ledger_visits_take_their_share() {
        let mix = Mix {
            shared_carts: 4,
            ledger_carts: 6,
            ..SHOPPERS_ONLY
        };
        let visits = take(mix, 3, 20_000);
        let share = |pick: fn(CartRef) -> bool| visits.iter().filter(|visit| pick(visit.cart)).count() / 200;
        assert!((19..=21).contains(&share(|cart| matches!(cart, CartRef::Shared(0..4)))));
        assert!((9..=11).contains(&share(|cart| matches!(cart, CartRef::Ledger(0..6)))));
        let shared: BTreeSet<_> = visits
            .iter()
            .filter(|visit| matches!(visit.cart, CartRef::Shared(_)))
            .flat_map(|visit| visit.ops.iter().map(|op| op.kind()))
            .collect();
        assert_eq!(
            shared,
            BTreeSet::from(OpKind::ALL),
            "shared carts see every kind of edit"
        );
    }

    #[test]
    fn ledger_carts_are_only_added_to_and_some_have_one_home() {
        let mut users: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for region in 0..3 {
            let mix = Mix {
                ledger_carts: 6,
                ledger_percent: 100,
                region,
                ..SHOPPERS_ONLY
            };
            for visit in take(mix, 9, 2_000) {
                let CartRef::Ledger(cart) = visit.cart else {
                    panic!("{visit:?}")
                };
                assert!(matches!(visit.ops[..], [Op::Add { .. }]), "{visit:?}");
                users.entry(cart).or_default().insert(region);
            }
        }
        assert_eq!(users[&0].len(), 3, "everybody's");
        assert_eq!(users[&1], BTreeSet::from([0]));
        assert_eq!(users[&3], BTreeSet::from([1]));
        assert_eq!(users[&5], BTreeSet::from([2]));
    }
}
