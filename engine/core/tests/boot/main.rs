//! A start with the append-only file: what a kill at any place leaves is loaded whole, the log goes
//! on in a new epoch, and what cannot be loaded is refused with the files as they were. Failpoints
//! are armed for the whole process, so tests take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod every_byte;
mod killed;
mod refusals;
mod ring;
#[path = "../running/mod.rs"]
mod running;
mod starts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use perdure_engine::clock::Clock;
use perdure_engine::config::Config;
use perdure_engine::error::EngineError;
use perdure_engine::failpoint;
use perdure_engine::job::boot::{BootOptions, load_at_boot};
use perdure_engine::state::Shared;
use running::{Client, Dir, Engine, launch, options, start_with};
use serde_json::Value;

/// Tests of this file take turns; what one armed is gone when the next begins.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock();
    failpoint::arm("").unwrap();
    turn
}

fn log_options(dir: &Path) -> Value {
    let mut made = options(dir);
    let args = made["redis_args"].as_array_mut().unwrap();
    args.extend(["--appendonly", "yes"].map(Into::into));
    made
}

/// Start with a log and wait until it serves.
fn start_logged(dir: &Dir) -> Engine {
    start_with(&log_options(&dir.0), Clock::system())
}

/// Begin a start that is to fail; gives its error.
fn refused(dir: &Dir) -> Value {
    let engine = launch(&log_options(&dir.0), Clock::system());
    engine.wait_event(|event| event["state"] == "failed")["error"].clone()
}

/// What a kill now would leave: a copy of the data dir.
fn copy_of(dir: &Path) -> Dir {
    let copy = Dir::new();
    let copied = Command::new("cp").arg("-a").arg(dir.join(".")).arg(&copy.0).status().unwrap();
    assert!(copied.success());
    copy
}

/// Every file below a directory with its bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

fn manifest(dir: &Dir) -> Vec<String> {
    let path = dir.0.join("appendonlydir/appendonly.aof.manifest");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.replace("file appendonly.aof.", "")).collect()
}

fn digest(client: &mut Client) -> String {
    client.command(&["DEBUG", "DIGEST"]).trim_start_matches('+').to_owned()
}

fn info(client: &mut Client, name: &str) -> String {
    let text = client.command(&["INFO", "everything"]);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in INFO")).to_owned()
}

/// A data dir in memory: a start fsyncs, and there are many.
struct Memory(PathBuf);

impl Memory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let shm = PathBuf::from("/dev/shm");
        let root = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let path = root.join(format!("perdure-boot-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The files of another data dir, in place of what is here.
    fn fill(&self, files: &[(PathBuf, Vec<u8>)]) {
        std::fs::remove_dir_all(&self.0).unwrap();
        for (name, bytes) in files {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Start without doors; gives the digest of the data. The log is ended as a kill ends it.
    fn boot(&self) -> Result<String, EngineError> {
        let mut config = Config::redis_defaults();
        config.dir.clone_from(&self.0);
        (config.appendonly, config.save) = (true, Vec::new());
        let shared = Arc::new(Shared::new(config, Clock::system(), "0".repeat(40)));
        shared.stats.is_loading.store(true, Ordering::Release);
        let loaded = load_at_boot(&shared, &BootOptions::default());
        let log = shared.log.file();
        shared.state.lock().effects.attach(None);
        if let Some(log) = log {
            log.stop().unwrap();
        }
        loaded.map(|_| {
            let digest = shared.state.lock().keyspace.digest();
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
