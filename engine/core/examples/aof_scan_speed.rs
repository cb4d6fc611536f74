//! How fast a log is passed over before it is replayed: `cargo run --release --example
//! aof_scan_speed -- FILE`, or a million SETs of 64 bytes when no file is given.

use std::path::PathBuf;
use std::time::Instant;

use perdure_engine::aof::scan::{Circumstances, scan};
use perdure_engine::effects::encode_command;

fn sample() -> std::io::Result<PathBuf> {
    let mut bytes = Vec::new();
    for number in 0..1_000_000 {
        let key = format!("key:{number:012}");
        encode_command(&mut bytes, &["SET", &key, &"v".repeat(64)]);
    }
    let path = std::env::temp_dir().join(format!("perdure-scan-speed-{}", std::process::id()));
    std::fs::write(&path, bytes)?;
    Ok(path)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let is_given = given.is_some();
    let path = given.map_or_else(sample, Ok)?;
    for _ in 0..3 {
        let started = Instant::now();
        let found = scan(&path, Circumstances::default())?;
        let seconds = started.elapsed().as_secs_f64();
        let megabytes = found.size_bytes as f64 / 1e6;
        println!("{} units, {megabytes:.0} MB, {:.0} MB/s", found.units, megabytes / seconds);
    }
    if !is_given {
        std::fs::remove_file(&path)?;
    }
    Ok(())
}
