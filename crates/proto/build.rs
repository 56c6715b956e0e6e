//! Generates the gRPC code from `proto/`, with a protobuf compiler written in Rust: nothing has to be installed.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = [
        "cartograph/v1/cart.proto",
        "cartograph/v1/keys.proto",
        "cartograph/v1/replication.proto",
        "hipstershop/demo.proto",
    ];
    for file in files {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".cartograph.v1.Frame")
        .compile_fds(descriptors)?;
    Ok(())
}
