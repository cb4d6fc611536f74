//! What the tests of this binary share: a scratch directory, saving to a file, RDB files made by
//! hand byte by byte.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use perdure_engine::error::EngineError;
use perdure_engine::keyspace::Keyspace;
use perdure_engine::rdb::{self, LoadOptions, SaveOptions, SaveScratch, Saved, Summary};

/// A directory of its own for each test, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        Self::under(std::env::temp_dir())
    }

    /// On a memory file system if there is one: thousands of small files, each fsynced by `verify`.
    pub fn in_memory() -> Self {
        let shared = PathBuf::from("/dev/shm");
        Self::under(if shared.is_dir() { shared } else { std::env::temp_dir() })
    }

    fn under(parent: PathBuf) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("perdure-rdb-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn options() -> SaveOptions {
    SaveOptions {
        is_compressed: true,
        is_checksummed: true,
        ctime_unix_s: 1_790_000_000,
        used_memory_bytes: 1_234_567,
        ..SaveOptions::default()
    }
}

pub fn save_to(keyspace: &Keyspace, options: &SaveOptions, path: &Path) -> Saved {
    let file = std::fs::File::create(path).unwrap();
    let mut scratch = SaveScratch::new(options);
    rdb::save(keyspace, options, &mut scratch, file.as_raw_fd(), &mut |_| true).unwrap()
}

pub fn load(path: &Path) -> Result<(Keyspace, Summary), EngineError> {
    let progress = &mut |_, _| true;
    rdb::load(path, LoadOptions { is_digested: true, ..LoadOptions::new(16, progress) })
}

pub fn verify(path: &Path) -> Result<Summary, EngineError> {
    rdb::verify(path, &mut |_, _| true)
}

pub fn context<'a>(error: &'a EngineError, name: &str) -> &'a str {
    match error.context.iter().find(|(found, _)| *found == name) {
        Some((_, value)) => value,
        None => panic!("no {name:?} in {error:?}"),
    }
}

/// `load` must fail with this code. Gives the error.
pub fn refused(path: &Path, code: &str) -> EngineError {
    let error = load(path).err().unwrap_or_else(|| panic!("{} loads", path.display()));
    assert_eq!(error.code, code, "{error:?}");
    assert!(!error.hint.is_empty());
    assert_eq!(verify(path).expect_err("verify is as strict as load").code, code);
    error
}

/// A file of these parts, unchecked (CRC 0), version 10.
pub fn by_hand(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"REDIS0010".to_vec();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.push(0xFF);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

/// A short string: its length in one byte, then its bytes.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 64);
    let mut out = vec![bytes.len() as u8];
    out.extend_from_slice(bytes);
    out
}

/// A string key: type 0, name, value already encoded.
pub fn key(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0], text(name).as_slice(), value].concat()
}
