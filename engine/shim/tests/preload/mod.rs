//! What the tests of this crate share: a folder, and the shim on it with its orders, counters and
//! journal, to be preloaded into a process.

#![allow(dead_code)] // each test binary uses its own part

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// The order of the counters.
const KINDS: [&str; 10] = [
    "write",
    "pwrite",
    "fsync",
    "fdatasync",
    "rename",
    "open",
    "link",
    "unlink",
    "truncate",
    "any",
];

/// A folder that is gone when this is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty one.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("perdure-shim-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The shim on a folder.
pub struct Shim {
    notes: Folder,
    orders: String,
}

impl Shim {
    /// It counts and journals what happens below `folder`.
    pub fn on(folder: &Path) -> Self {
        let notes = Folder::new();
        let orders = format!(
            "below={};counts={};journal={}",
            folder.display(),
            notes.0.join("counts").display(),
            notes.0.join("journal").display()
        );
        Self { notes, orders }
    }

    /// And this (the grammar is in `src/orders.rs`).
    pub fn order(mut self, order: &str) -> Self {
        self.orders.push(';');
        self.orders.push_str(order);
        self
    }

    /// A file that an order may name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.notes.0.join(name)
    }

    /// Have a process run with it.
    pub fn preload<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let beside = std::env::current_exe().unwrap();
        let library = beside.with_file_name("libperdure_shim.so");
        assert!(library.exists(), "{} is not built", library.display());
        command.env("LD_PRELOAD", library).env("PERDURE_SHIM", &self.orders)
    }

    /// How many calls of a kind there were.
    pub fn count(&self, kind: &str) -> u64 {
        let at = KINDS.iter().position(|known| *known == kind).unwrap() * 8;
        let bytes = std::fs::read(self.notes.0.join("counts")).unwrap_or_default();
        bytes.get(at..at + 8).map_or(0, |count| u64::from_ne_bytes(count.try_into().unwrap()))
    }

    /// A line for each call.
    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.notes.0.join("journal")).unwrap_or_default()
    }
}
