//! Prints the trace of a tiny run.
use cartograph_sim::world::*;
fn main() {
    let n: u64 = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .unwrap_or(1500);
    let mut w = World::new(Setup {
        regions: 2,
        seed: 1,
        limits: Default::default(),
        latency_ms: 20,
    });
    w.trace = Some(vec![]);
    w.run(n);
    w.request(
        0,
        vec![cartograph_engine::Command::SAdd {
            key: b"k".to_vec(),
            members: vec![b"x".to_vec()],
        }],
    );
    w.run(500);
    for l in w.trace.take().unwrap() {
        println!("{}", l.chars().take(330).collect::<String>());
    }
    println!("{:?}", w.links.values().collect::<Vec<_>>());
    println!("{:?} {:?}", w.state(0), w.state(1));
}
