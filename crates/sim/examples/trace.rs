//! Plays one seed.
use cartograph_sim::history::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let seed: u64 = a[1].parse().unwrap();
    let plan = match a[2].as_str() {
        "crash" => Plan {
            crashes: true,
            ..Plan::default()
        },
        _ => Plan {
            stores: true,
            crashes: true,
            ..Plan::default()
        },
    };
    if a.len() > 3 {
        println!("{:?}", play_traced(seed, &plan, a[3].parse().unwrap()));
    } else {
        match play(seed, &plan) {
            Ok(t) => println!("{seed} {t:?}"),
            Err(e) => println!("{e}"),
        }
    }
}
