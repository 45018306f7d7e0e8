//! Compiles the protocol schemas; no `protoc` is needed.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let dataplane = protox::compile(["weft/dataplane/v1/dataplane.proto"], ["proto"])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(dataplane)?;
    let softnic = protox::compile(["weft/softnic/v1/softnic.proto"], ["proto"])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(softnic)?;
    let files = ["service", "modules", "ports"].map(|name| format!("bess/{name}.proto"));
    let bess = protox::compile(files, ["proto"])?;
    // The schema itself comes along: configuration files and generated requests are read by it.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("bess.bin"), bess.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    // The names of messages are part of the interface.
    config.enable_type_names();
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds_with_config(bess, config)?;
    Ok(())
}
