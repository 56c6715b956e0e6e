//! `cartograph cart ...`.

use crate::world::{Faults, NAMES, World};
use crate::{Ran, nobody, run};

async fn cart(world: &World, args: &[&str]) -> Ran {
    let demo = world.demo_url();
    let mut all = vec!["cart"];
    all.extend(args);
    all.extend(["--demo", &demo]);
    run(&all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_shows_the_cart_the_region_and_the_time() {
    let world = World::start(Faults::default()).await;
    let ran = cart(&world, &["add", "42", "A", "2", "--region", NAMES[1]])
        .await
        .expect(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..3], ["cart 42, 1 line", "SKU  QUANTITY", "A    2"]);
    assert!(
        lines[3].starts_with("europe-west1 answered in ") && lines[3].ends_with(" ms"),
        "{ran:?}"
    );

    let quantities = |ran: &Ran| ran.json()["lines"].to_string();
    let json = |ran: Ran| quantities(&ran.expect(0));
    assert_eq!(
        json(cart(&world, &["add", "42", "A", "--json"]).await),
        r#"[{"quantity":3,"sku":"A"}]"#
    );
    assert_eq!(
        json(cart(&world, &["add", "42", "A", "-1", "--json"]).await),
        r#"[{"quantity":2,"sku":"A"}]"#
    );
    assert_eq!(
        json(cart(&world, &["set", "42", "A", "9", "--json"]).await),
        r#"[{"quantity":9,"sku":"A"}]"#
    );
    assert_eq!(json(cart(&world, &["remove", "42", "A", "--json"]).await), "[]");
    cart(&world, &["add", "anonymous", "B", "4"]).await.expect(0);
    let merged = cart(&world, &["merge", "42", "--from", "anonymous", "--json"]).await;
    assert_eq!(json(merged), r#"[{"quantity":4,"sku":"B"}]"#);
    let ran = cart(&world, &["clear", "42"]).await.expect(0);
    assert!(
        ran.stdout
            .starts_with("cart 42 is empty\nus-central1 answered in "),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_not_made_for_urls_arrive_as_they_are() {
    let world = World::start(Faults::default()).await;
    cart(&world, &["set", "a/b c", "x?y#é", "3"]).await.expect(0);
    assert_eq!(world.lock().carts[0]["a/b c"]["x?y#é"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let world = World::start(Faults::default()).await;
    cart(&world, &["add", "42", "A"]).await.expect(0);
    let ran = cart(&world, &["clear", "42", "--dry-run"]).await.expect(0);
    assert!(
        ran.stdout.starts_with("would send DELETE http://") && ran.stdout.contains("A    1"),
        "{ran:?}"
    );
    assert_eq!(world.lock().carts[0]["42"]["A"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_can_be_given_by_its_address_and_keys_are_sent() {
    let world = World::start(Faults::default()).await;
    let url = format!("http://{}", world.regions[2]);
    let ran = run(&[
        "cart",
        "add",
        "42",
        "A",
        "--url",
        &url,
        "--idempotency-key",
        "k-1",
    ])
    .await
    .expect(0);
    assert!(ran.stdout.contains("asia-southeast1 answered"), "{ran:?}");
    assert_eq!(world.lock().keys, ["k-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_mistakes_have_different_codes() {
    let world = World::start(Faults::default()).await;
    let ran = cart(&world, &["set", "42", "A", "1000001"]).await.expect(1);
    assert!(
        ran.stderr.contains("a line holds at most 1000000 (CG-0042)"),
        "{ran:?}"
    );
    let ran = cart(&world, &["set", "42", "A", "0"]).await.expect(2);
    assert!(ran.stderr.contains("cart remove"), "{ran:?}");
    let ran = cart(&world, &["get", "42", "--region", "mars"]).await.expect(2);
    assert!(
        ran.stderr.contains("us-central1, europe-west1, asia-southeast1"),
        "{ran:?}"
    );
    let ran = run(&["cart", "add", "42", "A", "--url", &nobody().await])
        .await
        .expect(3);
    assert!(ran.stderr.contains("nothing was changed"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_who_wrote_what_and_which_rule_decided() {
    let world = World::start(Faults::default()).await;
    cart(&world, &["add", "42", "A", "5"]).await.expect(0);
    let ran = cart(&world, &["explain", "42", "--region", NAMES[1]])
        .await
        .expect(0);
    assert!(
        ran.stdout.starts_with("cart 42 as europe-west1 has it\n\nA  5\n"),
        "{ran:?}"
    );
    assert!(
        ran.stdout
            .contains("us-central1  add 5  counted  entry 17.0 of 1-9"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("rule  adds of all regions sum up"), "{ran:?}");
    let ran = cart(&world, &["explain", "42", "--sku", "B"]).await.expect(1);
    assert!(ran.stderr.contains("nothing is known of a line `B`"), "{ran:?}");
    assert_eq!(
        cart(&world, &["explain", "42", "--json"]).await.expect(0).json()["lines"][0]["sku"],
        "A"
    );
}
