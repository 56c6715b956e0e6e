//! What stands in the way of a demo's start is named.

use std::net::{Ipv4Addr, TcpListener};

use super::harness::{Demo, command};

#[tokio::test]
async fn a_second_demo_on_the_same_ports_names_them_and_leaves_the_first_alone() {
    let demo = Demo::start().await;
    let other = tempfile::tempdir().unwrap();
    let mut second = command(demo.base, other.path(), &["--store", "redis"]);
    let output = tokio::task::spawn_blocking(move || second.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for port in [demo.base, demo.base + 1, demo.base + 203, demo.base + 302] {
        assert!(said.contains(&format!("port {port} is in use")), "{port}: {said}");
    }
    demo.regions[0].adds("cart", "line", 1).await;
    demo.converges().await;

    // The same data directory, on ports of its own.
    let mut third = command(demo.base, &demo.dir.path().join("data"), &[]);
    let output = tokio::task::spawn_blocking(move || third.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("another demo is running"),
        "{said}"
    );
    demo.stop().await;
}

#[tokio::test]
async fn data_that_was_kept_is_there_in_the_next_demo() {
    let demo = Demo::start().await;
    demo.regions[1].adds("kept", "line", 3).await;
    demo.converges().await;
    let demo = demo.restart().await;
    for region in &demo.regions {
        assert_eq!(
            region.cart("kept").await,
            [("line".to_owned(), 3)],
            "{}",
            region.name
        );
    }
    demo.regions[0].adds("kept", "line", 1).await;
    demo.converges().await;
    demo.stop().await;
}

#[tokio::test]
async fn one_port_in_use_is_named_with_its_purpose() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let mut demo = command(taken - 201, dir.path(), &["--store", "embedded"]);
    let output = tokio::task::spawn_blocking(move || demo.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    let expected = format!("port {taken} is in use; it is needed for us-central1's gRPC API");
    assert!(said.contains(&expected), "{said}");
    drop(listener);
}
