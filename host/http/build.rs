//! Compiles the protocol buffers, without a `protoc` of the system.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .open_file("inference.proto")?;
    // What reflection tells of the service.
    std::fs::write(
        out.join("inference.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    prost_build::Config::new()
        // Raw tensors stay where they are in the message that came.
        .bytes(["."])
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
