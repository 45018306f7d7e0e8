//! Compiles the schema of the data plane; no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["weft/e2/v1/plane.proto"], ["proto"])?;
    // The names of messages are part of the interface.
    prost_build::Config::new().enable_type_names().compile_fds(schema)?;
    Ok(())
}
