//! Starts on what a real redis-server 7.0 leaves, and what it makes of a log that a start of ours
//! has settled: plans only, no engine. Where to cut is compared with redis-check-aof.

#![allow(clippy::unwrap_used, clippy::panic)] // how a test fails

#[path = "rdb/peer.rs"]
#[allow(dead_code)] // written for more than this
mod peer;

use std::path::{Path, PathBuf};
use std::process::Command;

use peer::Peer;
use perdure_engine::aof::layout::Layout;
use perdure_engine::aof::manifest::{Listed, Manifest};
use perdure_engine::aof::recover::{Plan, Source, plan};
use perdure_engine::aof::scan::{Circumstances, scan};
use perdure_engine::config::Config;
use perdure_engine::effects::encode_command;

struct Dir(Config);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("perdure-peers-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let mut config = Config::redis_defaults();
        (config.dir, config.appendonly) = (path, true);
        Self(config)
    }

    fn path(&self) -> &Path {
        &self.0.dir
    }

    fn serve(&self, directives: &[&str]) -> Peer {
        let own = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
        Peer::start_with(self.path(), &[&own[..], directives].concat())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0.dir);
    }
}

const WRITES: &str = "SET a 1\nRPUSH l 1 2\nSELECT 3\nHSET h f v\nMULTI\nSET x 1\nINCR x\nEXEC\n\
                      SPOP none\nSET e 1 EX 1000\n";

fn logs(made: &Plan) -> Vec<PathBuf> {
    let Source::Replay { logs, .. } = &made.source else { panic!("{made:?}") };
    logs.iter().map(|log| log.path.clone()).collect()
}

/// How far redis-check-aof believes a file.
fn believed_by_redis(path: &Path) -> u64 {
    let said = Command::new("/usr/bin/redis-check-aof").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let place = text.split("ok_up_to=").nth(1).and_then(|rest| rest.split(',').next());
    place.and_then(|place| place.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_log_of_redis_is_cut_where_its_own_checker_would_cut() {
    let dir = Dir::new("cut");
    let server = dir.serve(&["--aof-timestamp-enabled", "yes"]);
    server.run(WRITES);
    drop(server);
    let made = plan(&dir.0, "").unwrap();
    let log = logs(&made).pop().unwrap();
    assert!(made.is_foreign && made.torn.is_none() && made.end.is_none());
    let bytes = std::fs::read(&log).unwrap();
    let cut = dir.path().join("cut.aof");
    for size in 1..=bytes.len() {
        std::fs::write(&cut, &bytes[..size]).unwrap();
        let found = scan(&cut, Circumstances::default()).unwrap();
        let theirs = believed_by_redis(&cut);
        // It takes an annotation without its end for whole; a server would append to it.
        let last = &bytes[found.end as usize..size];
        let is_fragment = last.starts_with(b"#");
        assert!(found.end == theirs || is_fragment, "at {size}: {} and {theirs}", found.end);
    }
}

#[test]
fn every_form_of_a_log_of_redis_is_planned() {
    for preamble in ["yes", "no"] {
        let dir = Dir::new(&format!("forms-{preamble}"));
        let server = dir.serve(&["--aof-use-rdb-preamble", preamble]);
        server.run(WRITES);
        server.run("BGREWRITEAOF\n");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !server.run("INFO persistence\n").contains("aof_rewrite_in_progress:0") {
            assert!(std::time::Instant::now() < deadline);
        }
        server.run("SET after 1\n");
        drop(server);
        let made = plan(&dir.0, "").unwrap();
        let Source::Replay { base, logs } = &made.source else { panic!("{made:?}") };
        assert_eq!(
            (base.is_some(), logs.len()),
            if preamble == "yes" { (true, 1) } else { (false, 2) }
        );
        made.settle(1).unwrap();
        assert_eq!(plan(&dir.0, "").unwrap().manifest.to_bytes(), made.manifest.to_bytes());
        // The same as Redis 6 had it: one file, plain or behind an RDB preamble.
        let files: Vec<_> = base.iter().chain(logs.iter().map(|log| &log.path)).collect();
        let whole: Vec<_> = files.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
        std::fs::remove_dir_all(dir.path().join("appendonlydir")).unwrap();
        std::fs::write(dir.path().join("appendonly.aof"), &whole).unwrap();
        let made = plan(&dir.0, "").unwrap();
        made.settle(1).unwrap();
        let server = dir.serve(&[]);
        assert_eq!(server.run("DBSIZE\nGET after\nSELECT 3\nGET x\n"), "3\n1\nOK\n2\n");
    }
}

#[test]
fn redis_goes_on_in_a_log_that_was_settled_and_so_do_we() {
    let dir = Dir::new("settled");
    let layout = Layout::of(&dir.0);
    layout.create_directory().unwrap();
    let mut manifest = Manifest::default();
    for (seq, keys) in [(1, &["a"][..]), (2, &["b", "torn"])] {
        let mut bytes = Vec::new();
        keys.iter().for_each(|key| encode_command(&mut bytes, &["SET", key, "1"]));
        let whole = bytes.len() - if seq == 2 { 5 } else { 0 };
        let name = layout.incr_name(seq);
        std::fs::write(layout.path(&name), [&bytes[..whole], &vec![0; 40_000]].concat()).unwrap();
        if seq == 1 {
            std::fs::write(layout.path(&name), &bytes).unwrap();
        }
        manifest.add_incr(Listed { name, seq });
    }
    manifest.replace(&layout).unwrap();
    let made = plan(&dir.0, "").unwrap();
    assert_eq!(made.settle(1).unwrap().len(), 1);
    let checked = Command::new("/usr/bin/redis-check-aof").arg(layout.manifest()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let server = dir.serve(&[]);
    assert_eq!(server.run("EXISTS a b torn\nSET c 1\n"), "2\nOK\n");
    drop(server);
    let made = plan(&dir.0, "").unwrap();
    let last = std::fs::read(logs(&made).pop().unwrap()).unwrap();
    assert!(made.torn.is_none() && String::from_utf8_lossy(&last).contains("c\r\n$1\r\n1"));
}
