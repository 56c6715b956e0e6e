//! Every rule of carts, in several regions: what docs/semantics.md says under "The cart".

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use std::time::Duration;

use cartograph_commerce::explain::{Kind, Outcome, explain};
use cartograph_commerce::{Cart, CartCommand, CartId, CartPolicy, Quantity, Sku};
use cartograph_crdt::{Effect, Hlc};
use cartograph_engine::testkit::{Cluster, Seen, argv};
use cartograph_engine::{CommandError, Reply};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Regions with carts.
struct Shop {
    cluster: Cluster,
    policy: CartPolicy,
}

fn id(name: &str) -> CartId {
    CartId::parse(name).unwrap()
}

fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

fn add(name: &str, n: i64) -> CartCommand {
    CartCommand::Add {
        sku: sku(name),
        quantity: Quantity::signed(n).unwrap(),
    }
}

fn set(name: &str, n: i64) -> CartCommand {
    CartCommand::Set {
        sku: sku(name),
        quantity: Quantity::positive(n).unwrap(),
    }
}

fn remove(name: &str) -> CartCommand {
    CartCommand::Remove { sku: sku(name) }
}

fn merge(from: &str) -> CartCommand {
    CartCommand::Merge { from: id(from) }
}

impl Shop {
    fn new() -> Self {
        Shop {
            cluster: Cluster::new(3),
            policy: CartPolicy::default(),
        }
    }

    fn try_on(
        &mut self,
        region: usize,
        cart: &str,
        what: CartCommand,
    ) -> Result<Vec<(String, i64)>, CommandError> {
        let request = what.request(&id(cart), self.policy);
        let now = self.cluster.now_ms;
        let done = self.cluster.region(region).exec(&request.commands, now, None);
        let replies: Vec<Reply> = done
            .replies
            .into_iter()
            .map(|r| r.unwrap_or_else(Reply::Error))
            .collect();
        let cart = Cart::after(&replies)?;
        Ok(cart.lines.into_iter().map(|l| (l.sku, l.quantity)).collect())
    }

    /// Does it, and says what the cart shows afterwards.
    fn on(&mut self, region: usize, cart: &str, what: CartCommand) -> Vec<(String, i64)> {
        self.try_on(region, cart, what).unwrap()
    }

    fn shows(&mut self, region: usize, cart: &str) -> Vec<(String, i64)> {
        self.on(region, cart, CartCommand::Get)
    }

    fn everywhere(&mut self, cart: &str, lines: &[(&str, i64)]) {
        self.cluster.sync();
        self.cluster.assert_converged();
        for region in [A, B, C] {
            assert_eq!(self.shows(region, cart), owned(lines), "in region {region}");
        }
    }

    fn redis(&mut self, region: usize, command: &str) -> Result<Reply, CommandError> {
        let words: Vec<&str> = command.split(' ').collect();
        let parsed = argv::parse(&words).unwrap();
        self.cluster.run(region, parsed.command).map(parsed.form)
    }

    /// The stored number of a line, whatever it is.
    fn stored(&mut self, region: usize, cart: &str, line: &str) -> Option<String> {
        let now = self.cluster.now_ms;
        let view = self.cluster.region(region).view(&id(cart).key(), now)?;
        match view.elements.get(line.as_bytes())? {
            Seen::Bytes(bytes) => Some(String::from_utf8(bytes.clone()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn expiry(&mut self, region: usize, cart: &str) -> Option<u64> {
        let now = self.cluster.now_ms;
        self.cluster
            .region(region)
            .view(&id(cart).key(), now)
            .unwrap()
            .expiry
    }

    fn entries(&mut self, region: usize) -> usize {
        self.cluster.region(region).log.len()
    }
}

fn owned(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect()
}

#[test]
fn adds_of_two_regions_sum() {
    let mut shop = Shop::new();
    assert_eq!(shop.on(A, "1", add("shoe", 2)), owned(&[("shoe", 2)]));
    shop.on(B, "1", add("shoe", 3));
    shop.on(C, "1", add("hat", 1));
    shop.everywhere("1", &[("hat", 1), ("shoe", 5)]);
}

#[test]
fn a_cart_is_a_hash_that_any_redis_client_reads() {
    let mut shop = Shop::new();
    shop.on(A, "42", add("shoe", 2));
    let expected = Reply::Array(vec![Reply::Bytes(b"shoe".to_vec()), Reply::Bytes(b"2".to_vec())]);
    assert_eq!(shop.redis(A, "HGETALL cart:42"), Ok(expected));
    shop.redis(A, "HINCRBY cart:42 shoe 3").unwrap();
    assert_eq!(shop.shows(A, "42"), owned(&[("shoe", 5)]));
}

#[test]
fn of_two_concurrent_sets_the_later_counts() {
    let mut shop = Shop::new();
    let policy = shop.policy;
    for (region, n, ms) in [(A, 7, 2_000_002), (B, 9, 2_000_001)] {
        let command = set("shoe", n).command(&id("1"), policy);
        let now = shop.cluster.now_ms;
        shop.cluster
            .region(region)
            .exec(&[command], now, Some(Hlc::new(ms, 0)));
    }
    shop.everywhere("1", &[("shoe", 7)]);
}

#[test]
fn a_set_counts_with_an_add_that_it_had_not_seen() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 1));
    shop.cluster.sync();
    shop.on(A, "1", set("shoe", 5));
    shop.on(B, "1", add("shoe", 2));
    shop.everywhere("1", &[("shoe", 7)]);
}

#[test]
fn a_removal_leaves_what_it_had_not_seen() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 4));
    shop.cluster.sync();
    assert_eq!(shop.on(A, "1", remove("shoe")), owned(&[]));
    shop.on(B, "1", add("shoe", 1));
    shop.everywhere("1", &[("shoe", 1)]);
}

#[test]
fn a_cleared_cart_keeps_only_the_line_that_was_not_seen() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 4));
    shop.on(A, "1", add("hat", 1));
    shop.cluster.sync();
    shop.on(A, "1", CartCommand::Clear);
    shop.on(B, "1", add("sock", 1));
    shop.everywhere("1", &[("sock", 1)]);
}

#[test]
fn removing_or_clearing_what_is_absent_is_no_error_and_no_entry() {
    let mut shop = Shop::new();
    shop.on(A, "1", remove("shoe"));
    shop.on(A, "1", CartCommand::Clear);
    shop.on(A, "1", add("shoe", -1));
    shop.on(A, "1", merge("2"));
    assert_eq!(shop.entries(A), 0);
}

#[test]
fn taking_all_that_is_visible_or_more_removes_the_line() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 3));
    assert_eq!(shop.on(A, "1", add("shoe", -2)), owned(&[("shoe", 1)]));
    assert_eq!(shop.on(A, "1", add("shoe", -5)), owned(&[]));
    assert_eq!(shop.stored(A, "1", "shoe"), None, "removed, not at 0 or below");
    assert_eq!(shop.on(A, "1", add("shoe", 2)), owned(&[("shoe", 2)]));
    assert_eq!(shop.on(A, "1", add("shoe", -2)), owned(&[]));
    shop.everywhere("1", &[]);
}

#[test]
fn nobody_pays_for_a_debt_that_concurrent_subtractions_made() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 3));
    shop.on(A, "1", add("hat", 1));
    shop.cluster.sync();
    for region in [A, B, C] {
        shop.on(region, "1", add("shoe", -2));
    }
    shop.everywhere("1", &[("hat", 1)]);
    assert_eq!(
        shop.stored(B, "1", "shoe").as_deref(),
        Some("-3"),
        "HGETALL shows the stored number"
    );
    let before = shop.entries(B);
    assert_eq!(shop.on(B, "1", add("shoe", -1)), owned(&[("hat", 1)]));
    assert_eq!(shop.entries(B), before, "there is nothing to take");
    assert_eq!(shop.on(B, "1", add("shoe", 1)), owned(&[("hat", 1), ("shoe", 1)]));
    assert_eq!(
        shop.entries(B),
        before + 1,
        "the debt goes and the piece comes in one entry"
    );
    shop.everywhere("1", &[("hat", 1), ("shoe", 1)]);
    assert_eq!(shop.stored(C, "1", "shoe").as_deref(), Some("1"));
}

#[test]
fn a_line_at_exactly_zero_begins_anew_too() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 4));
    shop.cluster.sync();
    shop.on(A, "1", add("shoe", -2));
    shop.on(B, "1", add("shoe", -2));
    shop.everywhere("1", &[]);
    assert_eq!(shop.stored(A, "1", "shoe").as_deref(), Some("0"));
    shop.on(A, "1", add("shoe", 1));
    shop.everywhere("1", &[("shoe", 1)]);
}

#[test]
fn the_price_of_counting_subtractions_is_as_the_rules_say() {
    // Removed here, -2 there, +1 elsewhere, none seeing the others: the acknowledged +1 is outweighed.
    let mut shop = Shop::new();
    shop.on(A, "1", add("shoe", 3));
    shop.cluster.sync();
    shop.on(A, "1", remove("shoe"));
    shop.on(B, "1", add("shoe", -2));
    shop.on(C, "1", add("shoe", 1));
    shop.everywhere("1", &[]);
    assert_eq!(shop.stored(A, "1", "shoe").as_deref(), Some("-1"));
}

#[test]
fn a_full_cart_takes_no_new_line_but_more_of_those_it_has() {
    let mut shop = Shop::new();
    shop.policy.lines_max = 2;
    shop.on(A, "1", add("a", 1));
    shop.on(A, "1", add("b", 1));
    let before = shop.entries(A);
    for what in [add("c", 1), set("c", 1)] {
        match shop.try_on(A, "1", what) {
            Err(CommandError::Domain {
                code: "cart_full",
                message,
            }) => assert!(message.contains("2 lines")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shop.entries(A), before, "nothing changed");
    shop.on(A, "1", add("a", 1));
    shop.on(A, "1", set("b", 5));
    shop.on(A, "1", remove("b"));
    assert_eq!(shop.on(A, "1", add("c", 1)), owned(&[("a", 2), ("c", 1)]));
}

#[test]
fn lines_that_nobody_sees_take_no_room() {
    let mut shop = Shop::new();
    shop.policy.lines_max = 2;
    shop.on(A, "1", add("a", 1));
    shop.on(A, "1", add("b", 3));
    shop.cluster.sync();
    shop.on(A, "1", add("b", -2));
    shop.on(B, "1", add("b", -2));
    shop.everywhere("1", &[("a", 1)]);
    assert_eq!(shop.on(A, "1", add("c", 1)), owned(&[("a", 1), ("c", 1)]));
    assert!(
        shop.try_on(A, "1", add("b", 1)).is_err(),
        "to show again it would need room"
    );
}

#[test]
fn a_merge_may_exceed_the_limit_and_loses_nothing() {
    let mut shop = Shop::new();
    shop.policy.lines_max = 1;
    shop.on(A, "customer", add("a", 1));
    shop.on(A, "anonymous", add("b", 1));
    assert_eq!(
        shop.on(A, "customer", merge("anonymous")),
        owned(&[("a", 1), ("b", 1)])
    );
}

#[test]
fn every_change_renews_the_carts_expiry_in_its_own_entry() {
    let mut shop = Shop::new();
    shop.policy.ttl = Duration::from_secs(100);
    shop.on(A, "2", add("hat", 1));
    let writes = [
        add("a", 3),
        add("a", -1),
        add("b", 1),
        set("a", 9),
        remove("b"),
        add("b", 2),
        add("b", -2),
        merge("2"),
    ];
    for what in writes {
        shop.cluster.now_ms += 1_000;
        let before = shop.entries(A);
        shop.on(A, "1", what.clone());
        assert_eq!(shop.entries(A), before + 1, "{what:?}");
        assert_eq!(
            shop.expiry(A, "1"),
            Some(shop.cluster.now_ms + 100_000),
            "{what:?}"
        );
    }
    shop.cluster.now_ms += 1_000;
    let before = shop.expiry(A, "1");
    shop.redis(A, "HINCRBY cart:1 a 1").unwrap();
    shop.shows(A, "1");
    assert_eq!(
        shop.expiry(A, "1"),
        before,
        "raw commands and reads leave it alone"
    );
}

#[test]
fn a_write_that_leaves_the_cart_empty_leaves_no_expiry_behind() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("a", 3));
    shop.on(A, "1", add("a", -3));
    let row = shop.cluster.region(A).row(b"cart:1").unwrap();
    assert!(row.is_empty() || row.header.is_empty(), "{row:?}");
}

#[test]
fn an_expired_cart_is_gone_and_the_next_add_begins_a_new_one() {
    let mut shop = Shop::new();
    shop.on(A, "1", add("a", 3));
    shop.cluster.sync();
    shop.cluster.now_ms += 31 * 24 * 3_600_000;
    assert_eq!(shop.shows(B, "1"), owned(&[]));
    assert_eq!(shop.on(B, "1", add("b", 1)), owned(&[("b", 1)]));
    shop.everywhere("1", &[("b", 1)]);
}

#[test]
fn a_raw_value_that_is_no_quantity_is_not_shown_and_refuses_adds() {
    let mut shop = Shop::new();
    shop.redis(A, "HSET cart:1 shoe many hat 2").unwrap();
    assert_eq!(shop.shows(A, "1"), owned(&[("hat", 2)]));
    assert!(matches!(
        shop.try_on(A, "1", add("shoe", 1)),
        Err(CommandError::Domain {
            code: "not_a_quantity",
            ..
        })
    ));
    assert_eq!(shop.on(A, "1", set("shoe", 1)), owned(&[("hat", 2), ("shoe", 1)]));
}

#[test]
fn a_key_of_another_type_is_no_cart() {
    let mut shop = Shop::new();
    shop.redis(A, "SET cart:1 x").unwrap();
    for what in [
        add("a", 1),
        set("a", 1),
        remove("a"),
        CartCommand::Get,
        merge("2"),
        CartCommand::Clear,
    ] {
        assert_eq!(shop.try_on(A, "1", what), Err(CommandError::WrongType));
    }
}

#[test]
fn folding_adds_the_lines_and_empties_the_source() {
    let mut shop = Shop::new();
    shop.on(A, "customer", add("shoe", 1));
    shop.on(A, "anonymous", add("shoe", 2));
    shop.on(A, "anonymous", set("hat", 3));
    let before = shop.entries(A);
    assert_eq!(
        shop.on(A, "customer", merge("anonymous")),
        owned(&[("hat", 3), ("shoe", 3)])
    );
    assert_eq!(shop.entries(A), before + 1, "one entry for both carts");
    shop.everywhere("customer", &[("hat", 3), ("shoe", 3)]);
    shop.everywhere("anonymous", &[]);
}

#[test]
fn folding_the_same_cart_in_two_regions_at_once_counts_once() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.on(B, "anonymous", add("shoe", 1));
    shop.on(C, "anonymous", set("hat", 4));
    shop.cluster.sync();
    for region in [A, B, C] {
        assert_eq!(
            shop.on(region, "customer", merge("anonymous")),
            owned(&[("hat", 4), ("shoe", 3)])
        );
    }
    shop.everywhere("customer", &[("hat", 4), ("shoe", 3)]);
    shop.everywhere("anonymous", &[]);
    assert_eq!(
        shop.on(A, "customer", merge("anonymous")),
        owned(&[("hat", 4), ("shoe", 3)])
    );
}

#[test]
fn regions_that_fold_different_parts_of_a_cart_count_all_of_it_once() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.cluster.sync();
    shop.on(B, "anonymous", add("shoe", 1));
    assert_eq!(shop.on(A, "customer", merge("anonymous")), owned(&[("shoe", 2)]));
    assert_eq!(shop.on(B, "customer", merge("anonymous")), owned(&[("shoe", 3)]));
    shop.everywhere("customer", &[("shoe", 3)]);
}

#[test]
fn what_comes_after_a_fold_shows_in_the_source_and_folds_again() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.cluster.sync();
    shop.on(A, "customer", merge("anonymous"));
    shop.on(B, "anonymous", add("shoe", 5));
    shop.cluster.sync();
    assert_eq!(
        shop.shows(C, "anonymous"),
        owned(&[("shoe", 5)]),
        "put in unseen: not lost"
    );
    assert_eq!(
        shop.on(C, "customer", merge("anonymous")),
        owned(&[("shoe", 7)]),
        "only the new part counts"
    );
    shop.everywhere("customer", &[("shoe", 7)]);
    shop.everywhere("anonymous", &[]);
}

#[test]
fn a_removal_covers_what_was_folded_in_and_a_concurrent_fold_does_not_bring_it_back() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.cluster.sync();
    shop.on(A, "customer", merge("anonymous"));
    shop.on(A, "customer", remove("shoe"));
    shop.on(B, "customer", merge("anonymous"));
    shop.everywhere("customer", &[]);
    assert_eq!(shop.on(C, "customer", add("shoe", 1)), owned(&[("shoe", 1)]));
    shop.everywhere("customer", &[("shoe", 1)]);
}

#[test]
fn a_removal_that_had_not_seen_a_fold_leaves_what_was_folded_in() {
    let mut shop = Shop::new();
    shop.on(A, "customer", add("shoe", 1));
    shop.on(A, "anonymous", add("shoe", 2));
    shop.cluster.sync();
    shop.on(A, "customer", merge("anonymous"));
    shop.on(B, "customer", remove("shoe"));
    shop.everywhere("customer", &[("shoe", 2)]);
}

#[test]
fn folded_lines_go_along_when_the_cart_is_folded_on_there_and_back() {
    let mut shop = Shop::new();
    shop.on(A, "phone", add("shoe", 2));
    shop.on(A, "tablet", merge("phone"));
    assert_eq!(shop.on(A, "customer", merge("tablet")), owned(&[("shoe", 2)]));
    shop.everywhere("customer", &[("shoe", 2)]);
    assert_eq!(shop.on(B, "tablet", merge("customer")), owned(&[("shoe", 2)]));
    assert_eq!(shop.on(B, "phone", merge("tablet")), owned(&[("shoe", 2)]));
    assert_eq!(shop.on(B, "tablet", merge("phone")), owned(&[("shoe", 2)]));
    assert_eq!(shop.on(B, "customer", merge("tablet")), owned(&[("shoe", 2)]));
    shop.everywhere("customer", &[("shoe", 2)]);
    shop.everywhere("tablet", &[]);
}

#[test]
fn folding_into_a_line_in_debt_pays_nothing_back() {
    let mut shop = Shop::new();
    shop.on(A, "customer", add("shoe", 3));
    shop.on(A, "anonymous", add("shoe", 4));
    shop.cluster.sync();
    for region in [A, B, C] {
        shop.on(region, "customer", add("shoe", -2));
    }
    shop.cluster.sync();
    assert_eq!(shop.on(A, "customer", merge("anonymous")), owned(&[("shoe", 4)]));
    shop.everywhere("customer", &[("shoe", 4)]);
}

#[test]
fn a_line_in_debt_is_not_folded() {
    let mut shop = Shop::new();
    shop.on(A, "customer", add("shoe", 5));
    shop.on(A, "anonymous", add("shoe", 3));
    shop.on(A, "anonymous", add("hat", 1));
    shop.cluster.sync();
    for region in [A, B, C] {
        shop.on(region, "anonymous", add("shoe", -2));
    }
    shop.cluster.sync();
    assert_eq!(
        shop.on(A, "customer", merge("anonymous")),
        owned(&[("hat", 1), ("shoe", 5)])
    );
    shop.everywhere("anonymous", &[]);
}

#[test]
fn what_cannot_be_folded_is_refused_and_nothing_changes() {
    let mut shop = Shop::new();
    shop.on(A, "customer", add("shoe", 1));
    shop.redis(A, "HSET cart:odd shoe 2 hat 1.5").unwrap();
    shop.redis(A, "SET cart:string x").unwrap();
    shop.redis(A, "HSET cart:huge shoe 9223372036854775807").unwrap();
    let before = shop.entries(A);
    let error = |shop: &mut Shop, from: &str| shop.try_on(A, "customer", merge(from)).unwrap_err();
    assert!(matches!(
        error(&mut shop, "customer"),
        CommandError::Domain {
            code: "same_cart",
            ..
        }
    ));
    match error(&mut shop, "odd") {
        CommandError::Domain {
            code: "not_a_quantity",
            message,
        } => assert!(message.contains("hat"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(error(&mut shop, "string"), CommandError::WrongType);
    assert_eq!(error(&mut shop, "huge"), CommandError::Overflow);
    assert_eq!(shop.entries(A), before);
    assert_eq!(shop.shows(A, "customer"), owned(&[("shoe", 1)]));
}

#[test]
fn a_fold_takes_only_the_carts_part_of_a_key_that_is_two_things() {
    let mut shop = Shop::new();
    shop.redis(A, "SADD cart:anonymous m").unwrap();
    shop.cluster.region(B).hlc = Hlc::new(9_000_000, 0);
    shop.on(B, "anonymous", add("shoe", 2));
    shop.cluster.sync();
    assert_eq!(shop.on(A, "customer", merge("anonymous")), owned(&[("shoe", 2)]));
    shop.cluster.sync();
    assert_eq!(
        shop.redis(B, "SMEMBERS cart:anonymous"),
        Ok(Reply::Array(vec![Reply::Bytes(b"m".to_vec())]))
    );
}

#[test]
fn the_explanation_names_writers_winners_losers_and_what_was_reset() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.on(A, "1", add("shoe", 4));
    shop.cluster.sync();
    shop.on(B, "1", set("shoe", 10));
    shop.on(C, "1", set("shoe", 20));
    shop.on(A, "1", add("shoe", 1));
    shop.on(A, "1", merge("anonymous"));
    shop.cluster.sync();
    let shown = shop.shows(A, "1")[0].1;
    let explained = explain(shop.cluster.region(A).row(b"cart:1").unwrap());
    assert_eq!(explained.lines.len(), 1);
    let line = &explained.lines[0];
    assert_eq!(
        (line.quantity, line.stored.clone()),
        (Some(shown), Some(shown.to_string()))
    );
    let of = |outcome| line.writes.iter().filter(move |w| w.outcome == outcome);
    let winner = of(Outcome::Winner).next().unwrap();
    let loser = of(Outcome::Loser).next().unwrap();
    assert_eq!(
        (winner.at.region, winner.value.as_str()),
        (2, "10"),
        "equal clocks: the smaller region"
    );
    assert_eq!((loser.at.region, loser.value.as_str()), (3, "20"));
    assert!(winner.hlc_ms.is_some());
    let counted: Vec<(u16, &str, bool)> = of(Outcome::Counted)
        .map(|w| {
            (
                w.at.region,
                w.value.as_str(),
                matches!(w.kind, Kind::Import { .. }),
            )
        })
        .collect();
    assert_eq!(counted, [(1, "1", false), (1, "2", true)]);
    let reset = of(Outcome::Reset).next().unwrap();
    assert_eq!((reset.at.region, reset.value.as_str()), (1, "4"));
    assert!(
        [2, 3].contains(&reset.reset_by.as_ref().unwrap().region),
        "one of the sets took it back"
    );
    assert!(line.rules.len() >= 4, "{:?}", line.rules);
    let sum: i64 = counted.iter().map(|c| c.1.parse::<i64>().unwrap()).sum();
    assert_eq!(shown, 10 + sum);
}

#[test]
fn every_effect_of_a_fold_is_one_that_peers_accept() {
    let mut shop = Shop::new();
    shop.on(A, "anonymous", add("shoe", 2));
    shop.on(B, "anonymous", set("shoe", 2));
    shop.cluster.sync();
    shop.on(A, "customer", merge("anonymous"));
    let entry = shop.cluster.region(A).log.last().unwrap().clone();
    assert!(
        entry
            .effects
            .iter()
            .any(|(_, e)| matches!(e, Effect::Import { .. }))
    );
    assert!(entry.effects.iter().all(|(_, e)| e.is_well_formed()));
}
