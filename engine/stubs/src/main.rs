//! Regenerates the committed Rust stubs of the data API, or checks that they are current: protox
//! compiles the `.proto` files (no protoc on the machine), tonic-prost-build writes the code. The
//! Python stubs are `proto/generate.py`'s, which also leaves Google's files where this reads them.
//!
//! Usage: `cargo run -p perdure-stubs` writes; with `--check` it writes none and ends with 1 when a
//! committed file differs from what would be generated.

#![allow(clippy::print_stderr, reason = "a tool that is run by hand and by make")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error>;
/// Files by name.
type Files = Vec<(String, Vec<u8>)>;

/// Where the committed files stand, below `engine/`.
const GENERATED: &str = "core/src/grpc/generated";
/// The service's descriptors and all that they import, for reflection.
const DESCRIPTORS: &str = "descriptors.bin";
/// What every generated file begins with.
const HEAD: &str = "// Generated from proto/perdure/data/v1 by `make proto`. Do not edit.\n";

fn main() -> ExitCode {
    let is_check = std::env::args().any(|arg| arg == "--check");
    match generate().and_then(|files| settle(files, is_check)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error}");
            eprintln!("Try: python proto/generate.py first; it copies Google's own files");
            ExitCode::FAILURE
        }
    }
}

/// The clone that cargo runs this in: the one that it was compiled in may be another, since clones
/// share a target folder.
fn engine_root() -> PathBuf {
    let compiled_in = || env!("CARGO_MANIFEST_DIR").into();
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(compiled_in)).join("..")
}

/// The files as they should be.
fn generate() -> Result<Files, Failure> {
    let root = engine_root().join("../proto");
    let mut compiler = protox::Compiler::new([root.clone(), root.join(".googleapis")])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(find_protos(&root.join("perdure/data/v1"))?)?;
    let described = compiler.file_descriptor_set();
    let out = std::env::temp_dir().join(format!("perdure-stubs-{}", std::process::id()));
    std::fs::create_dir_all(&out)?;
    let written = tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .out_dir(&out)
        .compile_fds(described)
        .map_err(Failure::from)
        .and_then(|()| read_folder(&out));
    std::fs::remove_dir_all(&out)?;
    let mut files = written?;
    // Google's files are there for the descriptors; their code is not needed.
    files.retain(|(name, _)| name.starts_with("perdure."));
    for (_, content) in &mut files {
        content.splice(0..0, HEAD.bytes());
    }
    let mut plain = protox::Compiler::new([root.clone(), root.join(".googleapis")])?;
    plain.include_imports(true).open_files(find_protos(&root.join("perdure/data/v1"))?)?;
    files.push((DESCRIPTORS.to_owned(), plain.encode_file_descriptor_set()));
    Ok(files)
}

fn find_protos(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let found = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut protos = found.collect::<Result<Vec<_>, _>>()?;
    protos.retain(|path| path.extension().is_some_and(|suffix| suffix == "proto"));
    protos.sort();
    Ok(protos)
}

fn read_folder(folder: &Path) -> Result<Files, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, std::fs::read(entry.path())?));
    }
    Ok(files)
}

/// Write what differs, or with `is_check` say so; gives whether nothing is wrong.
fn settle(files: Files, is_check: bool) -> Result<bool, Failure> {
    let folder = engine_root().join(GENERATED);
    std::fs::create_dir_all(&folder)?;
    let mut is_current = true;
    for (name, content) in files {
        let path = folder.join(&name);
        if std::fs::read(&path).ok().as_ref() == Some(&content) {
            continue;
        }
        is_current = false;
        if is_check {
            eprintln!("stale: engine/{GENERATED}/{name} (run `make proto`)");
        } else {
            std::fs::write(&path, content)?;
        }
    }
    Ok(is_current || !is_check)
}
