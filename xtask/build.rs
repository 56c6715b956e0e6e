//! Generates the plugin protocol of the stub Terraform provider, with a protobuf compiler written in Rust.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(["tfplugin5.proto", "plugin.proto"], [&root])?;
    tonic_prost_build::configure()
        .build_client(false)
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
