//! Data dirs as a crash, another server or a person leaves them, and what a plan would load of
//! them: keys only, by a reader of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::aof::state_file::{StateFile, boot_id};
use crate::config::{Config, Directive};

/// A data dir; removed at the end.
pub struct Stage {
    pub config: Config,
    pub layout: Layout,
    pub listed: Manifest,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.config.dir);
    }
}

impl Stage {
    pub fn new(name: &str) -> Self {
        let unique = format!("perdure-recover-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = Config::redis_defaults();
        config.dir = dir;
        config.appendonly = true;
        let layout = Layout::of(&config);
        Self { config, layout, listed: Manifest::default() }
    }

    pub fn off(&mut self) -> &mut Self {
        self.config.appendonly = false;
        self
    }

    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.config.apply(&[Directive::new(name, vec![value.into()], "test")]).unwrap();
        self
    }

    pub fn put(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let path = self.config.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    pub fn put_log(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.put(&format!("appendonlydir/{name}"), bytes)
    }

    /// A base that is an RDB file with these keys, listed.
    pub fn base(&mut self, keys: &[&str]) -> &mut Self {
        self.base_at(keys, None)
    }

    pub fn base_at(&mut self, keys: &[&str], position: Option<(u64, u64)>) -> &mut Self {
        let listed = Listed { name: self.layout.base_name(1, true), seq: 1 };
        self.put_log(&listed.name, &rdb_file(keys, position));
        self.listed.rebase(listed, 0);
        self
    }

    /// A base of plain commands, listed.
    pub fn plain_base(&mut self, bytes: &[u8]) -> &mut Self {
        let listed = Listed { name: self.layout.base_name(1, false), seq: 1 };
        self.put_log(&listed.name, bytes);
        self.listed.rebase(listed, 0);
        self
    }

    /// An incremental, listed.
    pub fn incr(&mut self, seq: u64, bytes: &[u8]) -> &mut Self {
        let name = self.layout.incr_name(seq);
        self.put_log(&name, bytes);
        self.listed.add_incr(Listed { name, seq });
        self
    }

    pub fn incr_path(&self, seq: u64) -> PathBuf {
        self.layout.path(&self.layout.incr_name(seq))
    }

    pub fn manifest(&mut self) -> &mut Self {
        let bytes = self.listed.to_bytes();
        self.put_log("appendonly.aof.manifest", &bytes)
    }

    /// The commit ring: number of an incremental, where in it, bytes of epoch 7.
    pub fn ring(&mut self, committed: &[(u64, usize, &[u8])]) -> &mut Self {
        std::fs::create_dir_all(&self.layout.directory).unwrap();
        let mut ring = ring::Ring::open(&self.layout.ring()).unwrap();
        for (seq, offset, payload) in committed {
            let offset = *offset as u64;
            ring.commit(&ring::Record { epoch: 7, seq: *seq, offset, payload }).unwrap();
        }
        self
    }

    /// dump.rdb with one key.
    pub fn rdb(&mut self, key: &str, position: Option<(u64, u64)>) -> &mut Self {
        self.put("dump.rdb", &rdb_file(&[key], position))
    }

    /// The state file of a server whose log is on.
    pub fn state(&mut self, change: impl FnOnce(&mut StateFile)) -> &mut Self {
        let mut state = StateFile {
            server_uid: "uid".to_owned(),
            is_log_on: true,
            boot_id: boot_id(),
            ..StateFile::default()
        };
        change(&mut state);
        state.replace(&self.config.dir).unwrap();
        self
    }

    /// Names and lengths of all files.
    pub fn listing(&self) -> BTreeMap<PathBuf, u64> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.config.dir.clone()];
        while let Some(folder) = folders.pop() {
            for item in std::fs::read_dir(&folder).unwrap() {
                let path = item.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let size_bytes = path.metadata().unwrap().len();
                    found.insert(path, size_bytes);
                }
            }
        }
        found
    }

    /// The first arguments of what a plan loads: keys of RDB files, then of commands.
    pub fn loaded(&self, made: &Plan) -> Vec<String> {
        let Source::Replay { base, logs } = &made.source else {
            let Source::LoadRdb(path) = &made.source else { return Vec::new() };
            return keys_of_rdb(path);
        };
        let mut keys = base.as_deref().map(keys_of_rdb).unwrap_or_default();
        for log in logs {
            let bytes = std::fs::read(&log.path).unwrap();
            keys.extend(keys_of_log(&bytes[log.from as usize..log.to as usize]));
        }
        keys
    }

    /// Units that a plan replays.
    pub fn units(&self, made: &Plan) -> usize {
        let Source::Replay { logs, .. } = &made.source else { return 0 };
        let units = |log: &PlannedLog| {
            let known = crate::aof::scan::Circumstances { from: log.from, lost_power_in: None };
            let path = self.config.dir.join("units");
            std::fs::write(&path, &std::fs::read(&log.path).unwrap()[..log.to as usize]).unwrap();
            let found = crate::aof::scan::scan(&path, known).unwrap();
            std::fs::remove_file(&path).unwrap();
            found.units as usize
        };
        logs.iter().map(units).sum()
    }
}

/// An RDB file of strings whose values are their keys.
pub fn rdb_file(keys: &[&str], position: Option<(u64, u64)>) -> Vec<u8> {
    let mut bytes = b"REDIS0010".to_vec();
    let string = |text: &str, bytes: &mut Vec<u8>| {
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    };
    if let Some((epoch, offset)) = position {
        bytes.push(0xfa);
        string(rdb::AUX_LOG_POSITION, &mut bytes);
        string(&format!("{epoch}:{offset}"), &mut bytes);
    }
    for key in keys {
        bytes.push(0);
        string(key, &mut bytes);
        string(key, &mut bytes);
    }
    bytes.push(0xff);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

fn keys_of_rdb(path: &Path) -> Vec<String> {
    let mut progress = |_, _| true;
    let options = rdb::InspectOptions { top: 100, is_end_strict: false, progress: &mut progress };
    let mut keys = rdb::inspect(path, options).unwrap().largest;
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    keys.into_iter().map(|key| String::from_utf8(key.name).unwrap()).collect()
}

/// The word after the name of each command.
fn keys_of_log(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split("\r\n").collect();
    let is_set = |at: &usize| lines[*at] == "SET";
    (0..lines.len()).filter(is_set).map(|at| lines[at + 2].to_owned()).collect()
}
