//! Repairs that fail at any of their steps: nothing is lost, and the next start plans the rest
//! again. A process of its own, since failpoints are the process's; one test, since it arms them.
//! The table of disk states is tested in `aof::recover`.
#![allow(clippy::unwrap_used, clippy::panic)] // how a test fails

use std::path::{Path, PathBuf};

use perdure_engine::aof::annotation::{Annotation, Checksum, FIELD_BYTES};
use perdure_engine::aof::layout::Layout;
use perdure_engine::aof::manifest::{Listed, Manifest};
use perdure_engine::aof::recover::{Plan, Source, plan};
use perdure_engine::config::Config;
use perdure_engine::effects::encode_command;
use perdure_engine::failpoint;

const STEPS: [&str; 9] = [
    "aof.tail_kept",
    "aof.tail_cut",
    "aof.tail_fsynced",
    "aof.before_manifest",
    "aof.after_manifest",
    "aof.set_aside",
    "aof.directory_created",
    "aof.upgrade_listed",
    "aof.upgrade_moved",
];

struct Dir(Config);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("perdure-repair-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let mut config = Config::redis_defaults();
        (config.dir, config.appendonly) = (path, true);
        Self(config)
    }

    fn put(&self, path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0.dir);
    }
}

fn commands(keys: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| encode_command(&mut bytes, &["SET", key, "1"]));
    bytes
}

/// A line as the first of a file that begins at `offset`.
fn first_line(offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let annotation = Annotation { epoch: 7, offset, fsynced: 0, unix_ms: 1 };
    let field = annotation.write(&mut bytes);
    let mut checksum = Checksum::default();
    checksum.update(&bytes[..field]);
    bytes[field..field + FIELD_BYTES].copy_from_slice(&checksum.take_field());
    bytes
}

/// A torn incremental and one behind it that holds nothing, and a leftover.
fn torn(dir: &Dir) {
    let layout = Layout::of(&dir.0);
    let whole = [first_line(0), commands(&["a", "b"])].concat();
    let mut manifest = Manifest::default();
    let torn = &whole[..whole.len() - 3];
    for (seq, bytes) in [(1, torn), (2, first_line(whole.len() as u64).as_slice())] {
        let name = layout.incr_name(seq);
        dir.put(&layout.path(&name), bytes);
        manifest.add_incr(Listed { name, seq });
    }
    dir.put(&layout.manifest(), &manifest.to_bytes());
    dir.put(&layout.path(&layout.incr_name(3)), b"leftover");
}

/// The log of Redis 6, torn.
fn single(dir: &Dir) {
    let bytes = commands(&["a", "b"]);
    dir.put(&Layout::of(&dir.0).single_file(), &bytes[..bytes.len() - 3]);
}

/// What would be replayed, lines of ours left out.
fn replayed(made: &Plan) -> Vec<u8> {
    let Source::Replay { logs, .. } = &made.source else { panic!("{made:?}") };
    let stretch = |path: &PathBuf, from: u64, to: u64| {
        let bytes = std::fs::read(path).unwrap()[from as usize..to as usize].to_vec();
        let start = bytes.iter().position(|byte| *byte == b'*').unwrap_or(bytes.len());
        bytes[start..].to_vec()
    };
    logs.iter().flat_map(|log| stretch(&log.path, log.from, log.to)).collect()
}

#[test]
fn repairs_that_fail_at_any_step_are_planned_again() {
    let builds: [fn(&Dir); 2] = [torn, single];
    let mut reached = Vec::new();
    for (name, build) in ["torn", "single"].into_iter().zip(builds) {
        for step in STEPS {
            let dir = Dir::new(&format!("{name}-{step}"));
            build(&dir);
            let made = plan(&dir.0, "").unwrap();
            assert_eq!(replayed(&made), commands(&["a"]), "{name} {step}");
            failpoint::arm(&format!("{step}=error:EIO")).unwrap();
            if made.settle(1).is_err() {
                reached.push(step);
            }
            failpoint::arm("").unwrap();
            for start in ["second", "third"] {
                let again = plan(&dir.0, "").unwrap_or_else(|error| panic!("{step}: {error}"));
                assert_eq!(replayed(&again), commands(&["a"]), "{name} {step}, {start} start");
                again.settle(2).unwrap();
            }
            let last = plan(&dir.0, "").unwrap();
            assert_eq!(last.torn, None, "{name} {step}");
            let kept = std::fs::read_dir(dir.0.dir.join("quarantine")).unwrap();
            let kept: Vec<_> =
                kept.map(|item| std::fs::read(item.unwrap().path()).unwrap()).collect();
            let tail = &commands(&["b"])[..commands(&["b"]).len() - 3];
            assert!(kept.iter().any(|bytes| bytes == tail), "{name} {step}");
        }
    }
    reached.sort_unstable();
    reached.dedup();
    let mut all = STEPS.to_vec();
    all.sort_unstable();
    assert_eq!(reached, all, "every step is one that a repair passes");
}
