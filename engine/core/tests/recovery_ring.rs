//! A log whose last group stands in the commit ring, lost at every byte of it in every way that a power
//! cut may: what is filled in and planned is the whole log. A process of its own and one test, since
//! it arms failpoints; what a whole start makes of such logs is tested in `boot`.
#![allow(clippy::unwrap_used, clippy::panic)] // how a test fails

use std::path::PathBuf;

use perdure_engine::aof::annotation::{Annotation, Checksum, FIELD_BYTES};
use perdure_engine::aof::layout::Layout;
use perdure_engine::aof::manifest::{Listed, Manifest};
use perdure_engine::aof::recover::{Source, fill, plan};
use perdure_engine::aof::ring::{Record, Ring};
use perdure_engine::config::Config;
use perdure_engine::effects::encode_command;
use perdure_engine::failpoint;

const EPOCH: u64 = 7;

struct Dir {
    config: Config,
    layout: Layout,
    log: PathBuf,
}

impl Dir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("perdure-ring-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let mut config = Config::redis_defaults();
        (config.dir, config.appendonly) = (path, true);
        let layout = Layout::of(&config);
        std::fs::create_dir_all(&layout.directory).unwrap();
        let mut manifest = Manifest::default();
        manifest.add_incr(Listed { name: layout.incr_name(1), seq: 1 });
        std::fs::write(layout.manifest(), manifest.to_bytes()).unwrap();
        Self { config, log: layout.path(&layout.incr_name(1)), layout }
    }

    /// Where what a start would load ends, and whether the log is torn behind that.
    fn planned(&self) -> (u64, bool) {
        let made = plan(&self.config, "").unwrap();
        let Source::Replay { logs, .. } = &made.source else { panic!("{made:?}") };
        (logs[0].to, made.torn.is_some())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.config.dir);
    }
}

/// A log, and where its last group begins.
fn log() -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let annotation = Annotation { epoch: EPOCH, offset: 0, fsynced: 0, unix_ms: 1 };
    let field = annotation.write(&mut bytes);
    let mut checksum = Checksum::default();
    checksum.update(&bytes[..field]);
    bytes[field..field + FIELD_BYTES].copy_from_slice(&checksum.take_field());
    encode_command(&mut bytes, &["SET", "before", "1"]);
    let begin = bytes.len();
    encode_command(&mut bytes, &["SET", "binary", "\0\0x\0"]);
    encode_command(&mut bytes, &["MULTI"]);
    encode_command(&mut bytes, &["INCR", "before"]);
    encode_command(&mut bytes, &["EXEC"]);
    (bytes, begin)
}

#[test]
fn a_group_lost_at_any_byte_is_whole_after_the_start() {
    let (whole, begin) = log();
    let dir = Dir::new();
    std::fs::write(&dir.log, &whole[..begin + 9]).unwrap();
    assert_eq!(fill(&dir.config).unwrap(), [], "there is no ring");
    assert_eq!(dir.planned(), (begin as u64, true));
    let record = Record { epoch: EPOCH, seq: 1, offset: begin as u64, payload: &whole[begin..] };
    Ring::open(&dir.layout.ring()).unwrap().commit(&record).unwrap();
    for at in begin..=whole.len() {
        let cut = whole[..at].to_vec();
        let zeros_from = [cut.as_slice(), &vec![0; whole.len() - at]].concat();
        let zeros_to = [&whole[..begin], &vec![0; at - begin], &whole[at..]].concat();
        for lost in [cut, zeros_from, zeros_to] {
            std::fs::write(&dir.log, &lost).unwrap();
            let is_lost = lost != whole;
            failpoint::arm("aof.ring_filled=error:EIO").unwrap();
            assert!(fill(&dir.config).is_err(), "at {at}");
            failpoint::arm("").unwrap();
            assert_eq!(fill(&dir.config).unwrap(), [], "the bytes were there already");
            std::fs::write(&dir.log, &lost).unwrap();
            assert_eq!(fill(&dir.config).unwrap().len(), usize::from(is_lost), "at {at}");
            assert_eq!(std::fs::read(&dir.log).unwrap(), whole, "at {at}");
            assert_eq!(dir.planned(), (whole.len() as u64, false), "at {at}");
        }
    }
}
