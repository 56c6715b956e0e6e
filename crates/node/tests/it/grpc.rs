//! The gRPC door of a region alone.

use cartograph_proto::hipstershop as shop;
use cartograph_proto::hipstershop::cart_service_client::CartServiceClient as Boutique;
use cartograph_proto::v1;
use cartograph_proto::v1::cart_service_client::CartServiceClient;
use cartograph_proto::v1::key_service_client::KeyServiceClient;
use cartograph_proto::v1::operation::Op;
use cartograph_proto::v1::reply::Reply as Shown;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{TestNode, eventually};

async fn channel(node: &TestNode) -> Channel {
    Channel::from_shared(node.grpc())
        .unwrap()
        .connect()
        .await
        .unwrap()
}

fn add(user_id: &str, product_id: &str, quantity: i32) -> shop::AddItemRequest {
    shop::AddItemRequest {
        user_id: user_id.to_owned(),
        item: Some(shop::CartItem {
            product_id: product_id.to_owned(),
            quantity,
        }),
    }
}

fn of(user_id: &str) -> shop::GetCartRequest {
    shop::GetCartRequest {
        user_id: user_id.to_owned(),
    }
}

const USER: &str = "12345678-1234-1234-1234-123456789123";

// The three cases that Online Boutique's own cart service is tested with.

#[tokio::test]
async fn boutique_get_item_no_add_before() {
    let node = TestNode::alone().await;
    let mut shop = Boutique::new(channel(&node).await);
    let cart = shop.get_cart(of(USER)).await.unwrap().into_inner();
    assert_eq!(cart, shop::Cart::default());
    node.node.stop().await;
}

#[tokio::test]
async fn boutique_add_item_item_exists() {
    let node = TestNode::alone().await;
    let mut shop = Boutique::new(channel(&node).await);
    for _ in 0..2 {
        shop.add_item(add(USER, "1", 1)).await.unwrap();
    }
    let cart = shop.get_cart(of(USER)).await.unwrap().into_inner();
    assert_eq!(cart.user_id, USER);
    assert_eq!(cart.items.len(), 1);
    assert_eq!(cart.items[0].quantity, 2);
    node.node.stop().await;
}

#[tokio::test]
async fn boutique_add_item_new_inserted_then_emptied() {
    let node = TestNode::alone().await;
    let mut shop = Boutique::new(channel(&node).await);
    shop.add_item(add(USER, "1", 1)).await.unwrap();
    let cart = shop.get_cart(of(USER)).await.unwrap().into_inner();
    assert_eq!((cart.user_id.as_str(), cart.items.len()), (USER, 1));
    let user_id = USER.to_owned();
    shop.empty_cart(shop::EmptyCartRequest { user_id }).await.unwrap();
    let cart = shop.get_cart(of(USER)).await.unwrap().into_inner();
    assert_eq!(cart, shop::Cart::default());
    node.node.stop().await;
}

/// What the shop's load generator makes of a shopper's session, in calls to the cart service: of a hundred about 85 read,
/// 11 add and 4 empty. Each shopper knows what must be in the cart, since nobody else writes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boutique_load_mix_runs_without_an_error() {
    const SKUS: [&str; 9] = [
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
    let node = TestNode::alone().await;
    let channel = channel(&node).await;
    let shoppers = (0..10_usize).map(|shopper| {
        let mut shop = Boutique::new(channel.clone());
        tokio::spawn(async move {
            let user = format!("{shopper:08}-1234-1234-1234-123456789123");
            let mut expected = std::collections::BTreeMap::<&str, i32>::new();
            for step in 0..200_usize {
                match (step * 37 + shopper * 11) % 100 {
                    0..11 => {
                        let sku = SKUS[(step + shopper) % SKUS.len()];
                        let quantity = i32::try_from(step % 10).unwrap() + 1;
                        shop.add_item(add(&user, sku, quantity)).await.unwrap();
                        *expected.entry(sku).or_default() += quantity;
                    }
                    11..15 => {
                        let user_id = user.clone();
                        shop.empty_cart(shop::EmptyCartRequest { user_id }).await.unwrap();
                        expected.clear();
                    }
                    _ => {
                        let cart = shop.get_cart(of(&user)).await.unwrap().into_inner();
                        assert_eq!(cart.user_id.is_empty(), expected.is_empty());
                        let found: std::collections::BTreeMap<_, _> = cart
                            .items
                            .iter()
                            .map(|item| (item.product_id.as_str(), item.quantity))
                            .collect();
                        assert_eq!(found, expected, "shopper {shopper}, step {step}");
                    }
                }
            }
        })
    });
    for shopper in shoppers.collect::<Vec<_>>() {
        shopper.await.unwrap();
    }
    node.node.stop().await;
}

#[tokio::test]
async fn boutique_refuses_what_would_hang_its_clients() {
    let node = TestNode::alone().await;
    let mut shop = Boutique::new(channel(&node).await);
    for quantity in [0, -1, i32::MIN] {
        let status = shop.add_item(add(USER, "1", quantity)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("CG-1003: "), "{status}");
    }
    let no_item = shop::AddItemRequest {
        user_id: USER.to_owned(),
        item: None,
    };
    assert_eq!(
        shop.add_item(no_item).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    for (user, product) in [("", "1"), (USER, "")] {
        let status = shop.add_item(add(user, product, 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    for _ in 0..2 {
        shop.add_item(add(USER, "1", 1_000_000_000)).await.unwrap();
    }
    let cart = shop.get_cart(of(USER)).await.unwrap().into_inner();
    assert_eq!(cart.items[0].quantity, 1_000_000);
    node.node.stop().await;
}

#[tokio::test]
async fn carts_are_the_same_through_every_door() {
    let node = TestNode::alone().await;
    let mut carts = CartServiceClient::new(channel(&node).await);
    let request = v1::AddItemRequest {
        cart_id: "c".to_owned(),
        sku: "a".to_owned(),
        quantity: 4,
    };
    let reply = carts.add_item(request).await.unwrap();
    assert!(reply.metadata().contains_key("cartograph-session"));
    assert_eq!(reply.into_inner().lines[0].quantity, 4);
    assert_eq!(node.http.lines("c").await, "a=4");
    let mut shop = Boutique::new(channel(&node).await);
    assert_eq!(
        shop.get_cart(of("c")).await.unwrap().into_inner().items[0].quantity,
        4
    );
    let id = || "c".to_owned();
    let explained = carts.explain(v1::ExplainRequest { cart_id: id() }).await.unwrap();
    assert!(explained.into_inner().json.contains("\"sku\":\"a\""));
    let set = v1::SetItemRequest {
        cart_id: id(),
        sku: "a".to_owned(),
        quantity: 0,
    };
    assert_eq!(
        carts.set_item(set).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    carts.clear(v1::ClearRequest { cart_id: id() }).await.unwrap();
    assert_eq!(node.http.lines("c").await, "");
    node.node.stop().await;
}

fn key(name: &str) -> v1::Key {
    v1::Key {
        key: name.as_bytes().to_vec(),
    }
}

async fn execute(keys: &mut KeyServiceClient<Channel>, op: Op) -> Result<Shown, tonic::Status> {
    let operation = Some(v1::Operation { op: Some(op) });
    let reply = keys.execute(v1::ExecuteRequest { operation }).await?;
    Ok(reply.into_inner().reply.unwrap().reply.unwrap())
}

fn incr(name: &str, by: i64) -> Op {
    Op::IncrBy(v1::IncrBy {
        key: name.as_bytes().to_vec(),
        by,
    })
}

fn set(name: &str, value: &str) -> Op {
    Op::Set(v1::Set {
        key: name.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
        ..v1::Set::default()
    })
}

#[tokio::test]
async fn keys_of_every_type_are_written_and_read() {
    let node = TestNode::alone().await;
    let mut keys = KeyServiceClient::new(channel(&node).await);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let run = async |keys: &mut KeyServiceClient<Channel>, op| execute(keys, op).await.unwrap();
    assert_eq!(run(&mut keys, incr("n", 5)).await, Shown::Integer(5));
    let float = Op::IncrByFloat(v1::IncrByFloat {
        key: bytes("n"),
        by: "0.5".to_owned(),
    });
    assert_eq!(run(&mut keys, float).await, Shown::Value(bytes("5.5")));
    assert_eq!(
        run(&mut keys, Op::Get(key("n"))).await,
        Shown::Value(bytes("5.5"))
    );
    let members = v1::KeyMembers {
        key: bytes("s"),
        members: vec![bytes("y"), bytes("x")],
    };
    assert_eq!(run(&mut keys, Op::SAdd(members)).await, Shown::Integer(2));
    let zadd = v1::ZAdd {
        key: bytes("z"),
        members: vec![v1::ScoredMember {
            member: bytes("m"),
            score: 1.5,
        }],
        flags: None,
    };
    assert_eq!(run(&mut keys, Op::ZAdd(zadd)).await, Shown::Integer(1));
    let elements = v1::KeyMembers {
        key: bytes("p"),
        members: vec![bytes("a"), bytes("b")],
    };
    assert_eq!(run(&mut keys, Op::PfAdd(elements)).await, Shown::Integer(1));
    let count = v1::Keys {
        keys: vec![bytes("p")],
    };
    assert_eq!(run(&mut keys, Op::PfCount(count)).await, Shown::Integer(2));
    for (name, ty) in [
        ("n", "string"),
        ("s", "set"),
        ("z", "zset"),
        ("p", "string"),
        ("q", "none"),
    ] {
        assert_eq!(
            run(&mut keys, Op::Type(key(name))).await,
            Shown::Type(ty.to_owned())
        );
    }
    let expire = v1::Expire {
        key: bytes("n"),
        when: Some(v1::When {
            when: Some(v1::when::When::InMs(100_000)),
        }),
        ..v1::Expire::default()
    };
    assert_eq!(run(&mut keys, Op::Expire(expire)).await, Shown::Integer(1));
    let Shown::Integer(left) = run(&mut keys, Op::Pttl(key("n"))).await else {
        panic!("PTTL gives a number")
    };
    assert!((1..=100_000).contains(&left), "{left}");
    assert_eq!(run(&mut keys, Op::Revoke(key("n"))).await, Shown::Integer(1));
    assert_eq!(run(&mut keys, Op::Get(key("n"))).await, Shown::Nil(v1::Nil {}));
    node.node.stop().await;
}

#[tokio::test]
async fn a_transaction_is_one_entry_and_a_refused_operation_leaves_the_others() {
    let node = TestNode::alone().await;
    let mut keys = KeyServiceClient::new(channel(&node).await);
    let operations = [set("a", "text"), incr("a", 1), incr("b", 2), Op::Get(key("b"))];
    let operations = operations.map(|op| v1::Operation { op: Some(op) }).to_vec();
    let reply = keys
        .transaction(v1::TransactionRequest { operations })
        .await
        .unwrap();
    let replies: Vec<Shown> = reply
        .into_inner()
        .replies
        .into_iter()
        .map(|r| r.reply.unwrap())
        .collect();
    assert_eq!(replies[0], Shown::Ok(v1::Ok {}));
    assert!(
        matches!(&replies[1], Shown::Error(e) if e.code == "CG-2002"),
        "{replies:?}"
    );
    assert_eq!(replies[2], Shown::Integer(2));
    assert_eq!(replies[3], Shown::Value(b"2".to_vec()));
    node.node.stop().await;
}

async fn all_refused<const N: usize>(keys: &mut KeyServiceClient<Channel>, cases: [(Op, Code, &str); N]) {
    for (op, code, text) in cases {
        let shown = format!("{op:.80?}");
        let status = execute(keys, op).await.unwrap_err();
        assert_eq!(status.code(), code, "{shown}: {status}");
        assert!(status.message().starts_with(text), "{shown}: {status}");
        assert_eq!(status.metadata().get("cartograph-outcome").unwrap(), "definite");
    }
}

#[tokio::test]
async fn operations_that_do_not_fit_what_is_there_are_refused() {
    let node = TestNode::alone().await;
    let mut keys = KeyServiceClient::new(channel(&node).await);
    execute(&mut keys, set("text", "x")).await.unwrap();
    let cases = [
        (incr("text", 1), Code::FailedPrecondition, "CG-2002"),
        (Op::SMembers(key("text")), Code::FailedPrecondition, "CG-2001"),
        (
            Op::SAdd(v1::KeyMembers {
                key: b"text".to_vec(),
                members: vec![b"m".to_vec()],
            }),
            Code::FailedPrecondition,
            "CG-2001",
        ),
        (
            Op::Rename(v1::Rename {
                from: b"none".to_vec(),
                to: b"other".to_vec(),
                only_if_absent: false,
            }),
            Code::NotFound,
            "CG-2005",
        ),
        (set("\0cartograph:members", "x"), Code::InvalidArgument, "CG-2007"),
    ];
    all_refused(&mut keys, cases).await;
    node.node.stop().await;
}

#[tokio::test]
async fn bad_operations_are_refused() {
    let node = TestNode::alone().await;
    let mut keys = KeyServiceClient::new(channel(&node).await);
    execute(&mut keys, set("text", "x")).await.unwrap();
    let long = vec![b'k'; (64 << 10) + 1];
    let cases = [
        (Op::Del(v1::Keys::default()), Code::InvalidArgument, "CG-1012"),
        (Op::Get(v1::Key { key: long }), Code::InvalidArgument, "CG-1012"),
        (
            Op::Expire(v1::Expire::default()),
            Code::InvalidArgument,
            "CG-1012",
        ),
        (Op::HSet(v1::HSet::default()), Code::InvalidArgument, "CG-1012"),
        (
            Op::Set(v1::Set {
                only_if_absent: true,
                only_if_present: true,
                ..v1::Set::default()
            }),
            Code::InvalidArgument,
            "CG-1012",
        ),
        (
            Op::ZAdd(v1::ZAdd {
                members: vec![v1::ScoredMember {
                    score: f64::NAN,
                    member: Vec::new(),
                }],
                ..v1::ZAdd::default()
            }),
            Code::InvalidArgument,
            "CG-1012",
        ),
    ];
    all_refused(&mut keys, cases).await;
    for operation in [None, Some(v1::Operation { op: None })] {
        let status = keys.execute(v1::ExecuteRequest { operation }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let none = v1::TransactionRequest {
        operations: Vec::new(),
    };
    assert_eq!(
        keys.transaction(none).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    node.node.stop().await;
}

#[tokio::test]
async fn metadata_carries_idempotency_keys() {
    let node = TestNode::alone().await;
    let mut keys = KeyServiceClient::new(channel(&node).await);
    for _ in 0..3 {
        let operation = Some(v1::Operation {
            op: Some(incr("n", 1)),
        });
        let mut request = Request::new(v1::ExecuteRequest { operation });
        request
            .metadata_mut()
            .insert("idempotency-key", "once".parse().unwrap());
        let reply = keys.execute(request).await.unwrap().into_inner();
        assert_eq!(reply.reply.unwrap().reply, Some(Shown::Integer(1)));
    }
    node.node.stop().await;
}

#[tokio::test]
async fn health_says_serving_for_everything_when_ready() {
    let node = TestNode::alone().await;
    let mut health = HealthClient::new(channel(&node).await);
    for service in ["", "hipstershop.CartService", "cartograph.v1.CartService"] {
        let mut health = health.clone();
        eventually("health says SERVING", || {
            let service = service.to_owned();
            let mut health = health.clone();
            async move {
                let reply = health.check(HealthCheckRequest { service }).await.ok()?;
                (reply.into_inner().status == 1).then_some(())
            }
        })
        .await;
        let _ = &mut health;
    }
    let service = "no.such.Service".to_owned();
    let status = health.check(HealthCheckRequest { service }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    node.node.stop().await;
}

#[tokio::test]
async fn reflection_knows_every_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
    let node = TestNode::alone().await;
    let mut reflection = ServerReflectionClient::new(channel(&node).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let reply: ServerReflectionResponse = replies.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("{reply:?}")
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in [
        "cartograph.v1.CartService",
        "cartograph.v1.KeyService",
        "hipstershop.CartService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} not in {names:?}");
    }
    node.node.stop().await;
}
