//! The proxy between real sockets, on the real clock: bounds are one-sided where a busy machine could be late.

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

struct Fixture {
    forward: watch::Sender<Settings>,
    backward: watch::Sender<Settings>,
    proxy: SocketAddr,
    far: TcpListener,
}

impl Fixture {
    async fn new(forward_ms: u64, backward_ms: u64) -> Self {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let (forward, forward_watch) = watch::channel(Settings::healthy(MS(forward_ms)));
        let (backward, backward_watch) = watch::channel(Settings::healthy(MS(backward_ms)));
        let target = far.local_addr().unwrap();
        tokio::spawn(
            Proxy {
                target,
                forward: forward_watch,
                backward: backward_watch,
                seed: 7,
            }
            .serve(listener),
        );
        Self {
            forward,
            backward,
            proxy,
            far,
        }
    }

    /// Both ends of a connection through the proxy.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(self.proxy).await.unwrap();
        near.set_nodelay(true).unwrap();
        let (far, _) = timeout(MS(5000), self.far.accept()).await.unwrap().unwrap();
        far.set_nodelay(true).unwrap();
        (near, far)
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.forward.send_modify(change);
    }
}

/// Sends one byte and says how long it took to arrive.
async fn pass(from: &mut TcpStream, to: &mut TcpStream, byte: u8) -> Duration {
    let start = clock::now();
    from.write_all(&[byte]).await.unwrap();
    assert_eq!(timeout(MS(20_000), to.read_u8()).await.unwrap().unwrap(), byte);
    start.elapsed()
}

/// The stream ends (closed or reset) within `limit`.
async fn ends_within(stream: &mut TcpStream, limit: Duration) -> Duration {
    let start = clock::now();
    let mut rest = Vec::new();
    let ended = timeout(limit, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open after {limit:?}");
    assert!(rest.is_empty(), "bytes came through a cut");
    start.elapsed()
}

#[tokio::test]
async fn each_direction_takes_its_own_latency() {
    let fixture = Fixture::new(600, 20).await;
    let (mut near, mut far) = fixture.connect().await;
    let there = pass(&mut near, &mut far, 1).await;
    let back = pass(&mut far, &mut near, 2).await;
    assert!(there >= MS(600), "{there:?}");
    assert!(back >= MS(20) && back < MS(600), "{back:?}");
}

#[tokio::test]
async fn changed_latency_counts_at_once_even_for_bytes_under_way() {
    let fixture = Fixture::new(10_000, 0).await;
    let (mut near, mut far) = fixture.connect().await;
    let start = clock::now();
    near.write_all(b"x").await.unwrap();
    sleep(MS(50)).await;
    fixture.set(|settings| settings.latency = MS(100));
    assert_eq!(far.read_u8().await.unwrap(), b'x');
    let took = start.elapsed();
    assert!(took >= MS(100) && took < MS(3000), "{took:?}");
}

#[tokio::test]
async fn order_and_content_survive_jitter_and_many_pieces() {
    let fixture = Fixture::new(5, 5).await;
    fixture.set(|settings| settings.jitter = MS(5));
    let (mut near, mut far) = fixture.connect().await;
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        for part in sent.chunks(1777) {
            near.write_all(part).await.unwrap();
        }
        near.shutdown().await.unwrap();
        near
    });
    let mut got = Vec::new();
    timeout(MS(20_000), far.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert!(
        got == expected,
        "{} bytes of {} came, or in another order",
        got.len(),
        expected.len()
    );
    // The other direction lives on after one side has finished: half-closed, not closed.
    far.write_all(b"z").await.unwrap();
    let mut near = writer.await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), b'z');
}

#[tokio::test]
async fn a_cut_stops_both_ways_and_refuses_new_connections() {
    let fixture = Fixture::new(0, 0).await;
    let (mut near, mut far) = fixture.connect().await;
    pass(&mut near, &mut far, 1).await;
    fixture.set(|settings| settings.up = false);
    sleep(MS(50)).await;
    near.write_all(b"lost").await.unwrap();
    far.write_all(b"lost too").await.unwrap();
    let mut byte = [0_u8];
    assert!(
        timeout(MS(300), far.read(&mut byte)).await.is_err(),
        "silence, not an end, at first"
    );
    assert!(
        timeout(MS(300), near.read(&mut byte)).await.is_err(),
        "silence, not an end, at first"
    );

    let mut second = TcpStream::connect(fixture.proxy).await.unwrap();
    assert!(ends_within(&mut second, MS(1000)).await < MS(1000));
    assert!(
        timeout(MS(200), fixture.far.accept()).await.is_err(),
        "the far node heard of a refused connection"
    );

    ends_within(&mut far, CUT_HOLD + MS(3000)).await;
    ends_within(&mut near, MS(1000)).await;
}

#[tokio::test]
async fn a_cut_of_the_other_direction_leaves_this_connection_alone() {
    let fixture = Fixture::new(0, 0).await;
    let (mut near, mut far) = fixture.connect().await;
    fixture.backward.send_modify(|settings| settings.up = false);
    pass(&mut near, &mut far, 1).await;
    pass(&mut far, &mut near, 2).await;
    let (mut near, mut far) = fixture.connect().await;
    pass(&mut near, &mut far, 3).await;
}

#[tokio::test]
async fn a_heal_closes_what_was_stalled_and_lets_new_connections_through() {
    let fixture = Fixture::new(500, 0).await;
    let (mut near, mut far) = fixture.connect().await;
    near.write_all(b"under way").await.unwrap();
    sleep(MS(50)).await;
    fixture.set(|settings| settings.up = false);
    sleep(MS(100)).await;
    fixture.set(|settings| *settings = Settings::healthy(MS(1)));
    // Well before CUT_HOLD, so that the dialler need not wait for it.
    assert!(ends_within(&mut near, MS(2500)).await < MS(2500));
    ends_within(&mut far, MS(1000)).await;
    let (mut near, mut far) = fixture.connect().await;
    pass(&mut near, &mut far, 1).await;
}

#[tokio::test]
async fn loss_stalls_but_everything_arrives_in_order() {
    let fixture = Fixture::new(0, 0).await;
    fixture.set(|settings| settings.loss = 0.5);
    let (mut near, mut far) = fixture.connect().await;
    let mut stalled = 0_u32;
    for byte in 0..12 {
        let took = pass(&mut near, &mut far, byte).await;
        stalled += u32::from(took >= STALL_FIRST);
    }
    // With the fixed seed the dice are always the same; what matters is that both happen.
    assert!((1..12).contains(&stalled), "{stalled} of 12 pieces stalled");
    // The way back carries acks: it does not stall.
    assert!(pass(&mut far, &mut near, 1).await < STALL_FIRST);
}

#[tokio::test]
async fn total_loss_passes_nothing_until_it_ends_and_then_at_once() {
    let fixture = Fixture::new(0, 0).await;
    fixture.set(|settings| settings.loss = 1.0);
    let (mut near, mut far) = fixture.connect().await;
    near.write_all(b"x").await.unwrap();
    assert!(timeout(MS(1000), far.read_u8()).await.is_err());
    fixture.set(|settings| settings.loss = 0.0);
    let start = clock::now();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
    assert!(
        start.elapsed() < STALL_FIRST,
        "waited out a stall after the loss was over"
    );
}

#[tokio::test]
async fn a_full_flight_pushes_back_on_the_sender() {
    let fixture = Fixture::new(10_000, 0).await;
    let (mut near, far) = fixture.connect().await;
    let part = vec![0_u8; 1 << 20];
    let mut sent = 0_usize;
    while sent < 64 << 20 {
        match timeout(MS(500), near.write(&part)).await {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    // The rest sits in the kernel's buffers (at most a few MiB for each of two sockets).
    assert!(
        (FLIGHT_BYTES_MAX..FLIGHT_BYTES_MAX + (24 << 20)).contains(&sent),
        "{sent} bytes taken"
    );
    drop(far);
}

#[tokio::test]
async fn a_dead_target_resets_the_dialler() {
    let fixture = Fixture::new(0, 0).await;
    let proxy = fixture.proxy;
    let Fixture {
        forward,
        backward,
        far,
        ..
    } = fixture;
    drop(far);
    let mut near = TcpStream::connect(proxy).await.unwrap();
    ends_within(&mut near, MS(1000)).await;
    drop((forward, backward));
}

#[test]
fn delays_stray_by_the_jitter_and_never_below_zero() {
    let settings = Settings {
        jitter: MS(30),
        ..Settings::healthy(MS(20))
    };
    assert_eq!(delay(settings, 0.0), MS(20));
    assert_eq!(delay(settings, 1.0), MS(50));
    assert_eq!(delay(settings, -1.0), Duration::ZERO);
}
