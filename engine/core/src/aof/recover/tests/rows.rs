//! The table: how each disk state comes about, and how a start ends. The names are those of
//! docs/formats/recovery.md, in its order.

use super::stage::{Stage, rdb_file};
use crate::aof::gate::LogPosition;
use crate::aof::sample_log::SampleLog;

/// How a start ends.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// These keys are loaded.
    Starts(&'static [&'static str]),
    /// The same, and a tail is cut.
    Cut(&'static [&'static str]),
    /// Refused with this code.
    Refused(&'static str),
}

impl Outcome {
    pub fn keys(self) -> Vec<String> {
        match self {
            Self::Starts(keys) | Self::Cut(keys) => keys.iter().map(ToString::to_string).collect(),
            Self::Refused(_) => Vec::new(),
        }
    }
}

pub struct Row {
    pub name: &'static str,
    pub outcome: Outcome,
    pub build: fn(&mut Stage),
}

const fn row(name: &'static str, outcome: Outcome, build: fn(&mut Stage)) -> Row {
    Row { name, outcome, build }
}

use Outcome::{Cut, Refused, Starts};

pub const ROWS: &[Row] = &[
    row("off-nothing", Starts(&[]), |it| {
        it.off();
    }),
    row("off-rdb", Starts(&["r"]), |it| {
        it.off().rdb("r", None);
    }),
    row("off-redis-log", Starts(&["r"]), |it| {
        it.off().rdb("r", None).base(&["b"]).incr(1, &foreign(&["i"])).manifest();
    }),
    row("off-log-unread", Refused("AOF_NOT_ASKED"), |it| {
        let log = log(&["i"]);
        it.off().rdb("r", Some((7, log.end() - 1))).base(&["b"]).incr(1, &log.bytes).manifest();
        it.state(|state| state.last_epoch = 7);
    }),
    row("off-log-in-rdb", Starts(&["r"]), |it| {
        let mut log = log(&["i"]);
        let saved = log.end();
        let next = SampleLog::begun(8, 0);
        it.off().rdb("r", Some((7, saved))).base(&["b"]).incr(1, &log.stop().bytes);
        it.incr(2, &next.bytes).manifest().state(|state| state.last_epoch = 8);
    }),
    row("off-log-of-nothing", Starts(&[]), |it| {
        it.off().base(&[]).incr(1, &log(&[]).bytes).manifest();
        it.state(|state| state.last_epoch = 7);
    }),
    row("off-log-gone", Starts(&["r"]), |it| {
        it.off().rdb("r", None).state(|state| state.last_epoch = 7);
    }),
    row("nothing", Starts(&[]), |_| ()),
    row("rdb-only", Starts(&["r"]), |it| {
        it.rdb("r", None);
    }),
    row("log", Starts(&["b", "i", "j"]), |it| {
        let first = log(&["i"]);
        let second = log_at(7, first.end(), &["j"]);
        it.base(&["b"]).incr(1, &first.bytes).incr(2, &second.bytes).manifest();
        it.state(|state| state.last_epoch = 7);
    }),
    row("log-of-commands", Starts(&["b", "i"]), |it| {
        it.plain_base(&foreign(&["b"])).incr(1, &log(&["i"]).bytes).manifest();
    }),
    row("log-and-rdb", Starts(&["b", "i"]), |it| {
        let log = log(&["i"]);
        it.rdb("r", Some((7, log.end()))).base(&["b"]).incr(1, &log.bytes).manifest();
    }),
    row("log-without-base", Starts(&["i"]), |it| {
        it.incr(1, &log(&["i"]).bytes).manifest();
    }),
    row("log-begun", Starts(&["b"]), |it| {
        it.base(&["b"]).incr(1, b"").manifest();
    }),
    row("log-empty", Starts(&["r"]), |it| {
        it.plain_base(b"").incr(1, b"").manifest().rdb("r", None);
    }),
    row("history", Starts(&["b", "i"]), |it| {
        it.listed.rebase(super::Listed { name: "appendonly.aof.9.base.rdb".into(), seq: 9 }, 0);
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
    }),
    row("leftovers", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.put_log("appendonly.aof.2.base.rdb", &rdb_file(&["x"], None));
        it.put_log("appendonly.aof.2.incr.aof", b"");
        it.put_log("appendonly.aof.3.incr.aof", &log(&["x"]).bytes);
        it.put_log(".appendonly.aof.manifest.tmp-0-0", b"file");
    }),
    row("first-log-unfinished", Starts(&["r"]), |it| {
        it.rdb("r", None).state(|state| state.is_log_on = false);
        it.put_log("appendonly.aof.1.base.rdb", &rdb_file(&["b"], None));
        it.put_log("appendonly.aof.1.incr.aof", &log(&["i"]).bytes);
    }),
    row("first-log-unsaid", Starts(&["b", "i"]), |it| {
        it.rdb("r", None).base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| (state.is_log_on, state.last_epoch) = (false, 6));
    }),
    row("manifest-invalid", Refused("AOF_MANIFEST_INVALID"), |it| {
        it.base(&["b"]).manifest().put_log("appendonly.aof.manifest", b"file x seq 0 type i\n");
    }),
    row("history-not-in-base", Refused("AOF_MANIFEST_INVALID"), |it| {
        it.base_at(&["b"], Some((7, 0))).incr(1, &log(&["i"]).bytes);
        let text = String::from_utf8_lossy(&it.listed.to_bytes()).replace("type i", "type h");
        it.put_log("appendonly.aof.manifest", text.as_bytes());
    }),
    row("manifest-missing", Refused("AOF_MANIFEST_MISSING"), |it| {
        it.rdb("r", None).base(&["b"]).incr(1, &log(&["i"]).bytes);
    }),
    row("manifest-says-nothing", Refused("AOF_MANIFEST_MISSING"), |it| {
        it.base(&["b"]).incr(1, b"").put_log("appendonly.aof.manifest", b"# none\n");
        it.state(|state| state.last_epoch = 7);
    }),
    row("file-missing", Refused("AOF_FILE_MISSING"), |it| {
        let first = log(&["i"]);
        it.base(&["b"]).incr(1, &first.bytes).incr(2, b"").manifest();
        std::fs::remove_file(it.incr_path(1)).unwrap();
    }),
    row("file-missing-behind-base", Refused("AOF_FILE_MISSING"), |it| {
        it.base_at(&["b"], Some((7, 10))).incr(2, &log_at(7, 99, &["i"]).bytes).manifest();
    }),
    row("base-missing", Refused("AOF_BASE_MISSING"), |it| {
        it.incr(2, &log(&["i"]).bytes).manifest();
    }),
    row("base-unlisted", Refused("AOF_BASE_MISSING"), |it| {
        it.base(&["b"]).listed.base = None;
        it.incr(1, &log(&["i"]).bytes).manifest();
    }),
    row("base-empty", Refused("AOF_BASE_MISSING"), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.put_log("appendonly.aof.1.base.rdb", b"");
    }),
    row("base-no-rdb", Refused("RDB_ALIEN"), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.put_log("appendonly.aof.1.base.rdb", b"something else");
    }),
    row("base-torn", Refused("AOF_TRUNCATED"), |it| {
        it.plain_base(cut_short(&foreign(&["b", "c"]))).manifest();
    }),
    row("tail-torn", Cut(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, cut_short(&log(&["i", "j"]).bytes)).manifest();
    }),
    row("tail-torn-redis", Cut(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, cut_short(&foreign(&["i", "j"]))).manifest();
    }),
    row("tail-torn-transaction", Cut(&["b", "i"]), |it| {
        let mut log = log(&["i"]);
        log.unit(&[&["SET", "x", "1"], &["SET", "y", "1"]]);
        let exec = b"*1\r\n$4\r\nEXEC\r\n".len();
        it.base(&["b"]).incr(1, &log.bytes[..log.bytes.len() - exec]).manifest();
    }),
    row("tail-torn-annotation", Cut(&["b", "i"]), |it| {
        let mut log = log(&["i"]);
        it.base(&["b"]).incr(1, cut_short(&log.stop().bytes)).manifest();
    }),
    row("tail-zeros", Cut(&["b", "i"]), |it| {
        let bytes = [log(&["i"]).bytes, vec![0; 70_000]].concat();
        it.base(&["b"]).incr(1, &bytes).manifest();
    }),
    row("tail-lost-page", Cut(&["b", "i"]), |it| {
        let mut log = log(&["i"]);
        log.set("big", &"v".repeat(20_000));
        log.bytes[8192..12_288].fill(0);
        it.base(&["b"]).incr(1, &log.bytes).manifest();
        it.state(|state| (state.last_epoch, state.boot_id) = (7, "another".to_owned()));
    }),
    row("tail-torn-before-nothing", Cut(&["b", "i"]), |it| {
        let first = log(&["i", "j"]);
        let mut second = SampleLog::new(7, first.end());
        second.annotate(0);
        it.base(&["b"]).incr(1, cut_short(&first.bytes)).incr(2, &second.bytes).manifest();
    }),
    row("tail-lost-before-nothing", Cut(&["b", "i"]), |it| {
        let first = log(&["i", "j"]);
        let kept = first.last_end(first.bytes.len() - 1);
        let mut second = SampleLog::new(7, first.end());
        second.annotate(0);
        it.base(&["b"]).incr(1, &first.bytes[..kept]).incr(2, &second.bytes).manifest();
    }),
    row("tail-torn-not-allowed", Refused("AOF_TRUNCATED"), |it| {
        it.set("aof-load-truncated", "no");
        it.base(&["b"]).incr(1, cut_short(&log(&["i", "j"]).bytes)).manifest();
    }),
    row("torn-not-last", Refused("AOF_TRUNCATED"), |it| {
        let first = foreign(&["i", "j"]);
        it.base(&["b"]).incr(1, cut_short(&first)).incr(2, &foreign(&["k"])).manifest();
    }),
    row("middle", Refused("AOF_CORRUPT"), |it| {
        let mut log = log(&["i"]);
        let at = log.bytes.len();
        log.set("j", "1").stop().set("k", "1");
        log.bytes[at + 9] ^= 1;
        it.base(&["b"]).incr(1, &log.bytes).manifest();
    }),
    row("middle-by-the-next-file", Refused("AOF_CORRUPT"), |it| {
        let first = log(&["i", "j"]);
        let second = log_at(7, first.end(), &["k"]);
        let kept = first.last_end(first.bytes.len() - 1);
        it.base(&["b"]).incr(1, &first.bytes[..kept]).incr(2, &second.bytes).manifest();
    }),
    row("wrong-bytes-redis", Refused("AOF_CORRUPT"), |it| {
        let bytes = [foreign(&["i"]), b"something else\r\n".to_vec()].concat();
        it.base(&["b"]).incr(1, &bytes).manifest();
    }),
    row("redis-log", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, &foreign(&["i"])).manifest();
    }),
    row("redis-went-on", Starts(&["b", "i", "j"]), |it| {
        let mut log = log(&["i"]);
        log.stop();
        let ended = LogPosition { epoch: 7, offset: log.end() };
        let bytes = [log.bytes.as_slice(), &foreign(&["j"])].concat();
        it.base(&["b"]).incr(1, &bytes).manifest();
        it.state(|state| (state.last_epoch, state.ended) = (7, Some(ended)));
    }),
    row("redis-rewrote", Starts(&["b", "j"]), |it| {
        it.base(&["b"]).incr(2, &foreign(&["j"])).manifest();
        it.state(|state| state.last_epoch = 7);
    }),
    row("log-gone", Refused("AOF_MISSING"), |it| {
        it.rdb("r", None).state(|state| state.last_epoch = 7);
    }),
    row("log-older-than-state", Refused("AOF_STALE"), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| state.last_epoch = 8);
    }),
    row("log-older-than-rdb", Refused("AOF_STALE"), |it| {
        let log = log(&["i"]);
        it.rdb("r", Some((7, log.end() + 1))).base(&["b"]).incr(1, &log.bytes).manifest();
    }),
    row("log-was-off", Refused("AOF_STALE"), |it| {
        it.rdb("r", None).base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| (state.is_log_on, state.last_epoch) = (false, 7));
    }),
    row("log-was-off-since-rdb", Starts(&["b", "i"]), |it| {
        it.rdb("r", Some((7, 5))).base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| (state.is_log_on, state.last_epoch) = (false, 7));
    }),
    row("log-was-off-no-rdb", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| (state.is_log_on, state.last_epoch) = (false, 7));
    }),
    row("single-file", Starts(&["s"]), |it| {
        it.put("appendonly.aof", &foreign(&["s"]));
    }),
    row("single-file-preamble", Starts(&["p", "s"]), |it| {
        let bytes = [rdb_file(&["p"], None), foreign(&["s"])].concat();
        it.put("appendonly.aof", &bytes);
    }),
    row("single-file-torn", Cut(&["p", "s"]), |it| {
        let bytes = [rdb_file(&["p"], None), foreign(&["s", "t"])].concat();
        it.put("appendonly.aof", cut_short(&bytes));
    }),
    row("single-file-listed", Starts(&["s"]), |it| {
        it.put("appendonly.aof", &foreign(&["s"]));
        it.put_log("appendonly.aof.manifest", b"file appendonly.aof seq 1 type b\n");
    }),
    row("single-file-moved", Starts(&["s"]), |it| {
        it.put("appendonly.aof", &foreign(&["x"]));
        it.put_log("appendonly.aof", &foreign(&["s"]));
        it.put_log("appendonly.aof.manifest", b"file appendonly.aof seq 1 type b\n");
    }),
    row("single-file-empty", Starts(&["r"]), |it| {
        it.put("appendonly.aof", b"").rdb("r", None);
    }),
    row("state-damaged", Refused("STATE_FILE_DAMAGED"), |it| {
        it.rdb("r", None).put("perdure.state", b"perdure-state 1\n");
    }),
    row("state-of-another-server", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, &log(&["i"]).bytes).manifest();
        it.state(|state| (state.last_epoch, state.server_uid) = (7, "other".to_owned()));
    }),
    row("ring-fills-tail", Starts(&["b", "i", "j"]), |it| {
        let bytes = log(&["i", "j"]).bytes;
        it.base(&["b"]).incr(1, cut_short(&bytes)).manifest().ring(&[(1, 60, &bytes[60..])]);
    }),
    row("ring-fills-zeros", Starts(&["b", "i", "j"]), |it| {
        let mut log = log(&["i", "j"]);
        let whole = log.stop().bytes.clone();
        log.bytes[70..90].fill(0);
        it.base(&["b"]).incr(1, &log.bytes).manifest().ring(&[(1, 60, &whole[60..])]);
    }),
    row("ring-fills-all", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(1, b"").manifest().ring(&[(1, 0, &log(&["i"]).bytes)]);
        it.state(|state| (state.last_epoch, state.boot_id) = (7, "before".to_owned()));
    }),
    row("ring-fills-before-next", Starts(&["b", "i", "j", "k"]), |it| {
        let first = log(&["i", "j"]);
        let second = log_at(7, first.end(), &["k"]);
        it.base(&["b"]).incr(1, cut_short(&first.bytes)).incr(2, &second.bytes).manifest();
        it.ring(&[(1, 60, &first.bytes[60..]), (2, 0, &second.bytes)]);
    }),
    row("ring-fills-less", Cut(&["b", "i", "j"]), |it| {
        let log = log(&["i", "j", "k"]);
        let mut lost = cut_short(&log.bytes).to_vec();
        let (begin, end) = log.units[1];
        lost[begin..end].fill(0);
        it.base(&["b"]).incr(1, &lost).manifest().ring(&[(1, begin, &log.bytes[begin..end])]);
    }),
    row("ring-fills-for-comparing", Refused("AOF_NOT_ASKED"), |it| {
        let log = log(&["i", "j"]);
        let kept = log.units[1].0;
        it.off().rdb("r", Some((7, kept as u64))).base(&["b"]).incr(1, &log.bytes[..kept]);
        it.manifest().ring(&[(1, kept, &log.bytes[kept..])]);
        it.state(|state| (state.last_epoch, state.boot_id) = (7, "before".to_owned()));
    }),
    row("ring-of-less", Starts(&["b", "i", "j"]), |it| {
        let bytes = log(&["i", "j"]).bytes;
        it.base(&["b"]).incr(1, &bytes).manifest().ring(&[(1, 60, &bytes[60..80])]);
    }),
    row("ring-torn-too", Cut(&["b", "i"]), |it| {
        let bytes = log(&["i", "j"]).bytes;
        it.base(&["b"]).incr(1, cut_short(&bytes)).manifest();
        it.ring(&[(1, 60, &cut_short(&bytes)[60..])]);
    }),
    row("ring-damaged", Cut(&["b", "i"]), |it| {
        let bytes = log(&["i", "j"]).bytes;
        it.base(&["b"]).incr(1, cut_short(&bytes)).manifest().ring(&[(1, 60, &bytes[60..])]);
        let path = it.layout.ring();
        let mut ring = std::fs::read(&path).unwrap();
        ring[570] ^= 1;
        std::fs::write(path, ring).unwrap();
    }),
    row("ring-of-another-epoch", Cut(&["b", "i"]), |it| {
        let bytes = log_at(8, 0, &["i", "j"]).bytes;
        it.base(&["b"]).incr(1, cut_short(&bytes)).manifest().ring(&[(1, 60, &bytes[60..])]);
    }),
    row("ring-of-a-file-not-listed", Starts(&["b", "i"]), |it| {
        it.base(&["b"]).incr(2, &log(&["i"]).bytes).manifest();
        it.ring(&[(1, 0, &log(&["x"]).bytes), (3, 0, &log(&["y"]).bytes)]);
    }),
    row("ring-of-redis-log", Starts(&["b", "i"]), |it| {
        let bytes = log(&["x", "y"]).bytes;
        it.base(&["b"]).incr(1, &foreign(&["i"])).manifest().ring(&[(1, 0, &bytes)]);
    }),
    row("ring-and-log-off", Starts(&["r"]), |it| {
        let bytes = log(&["i"]).bytes;
        it.off().rdb("r", None).base(&["b"]).incr(1, &bytes).manifest();
        it.ring(&[(1, 60, b"else")]).state(|state| state.is_log_on = false);
    }),
    row("ring-differs", Refused("AOF_RING_DIFFERS"), |it| {
        let log = log(&["i", "j"]);
        let kept = log.units[1].0;
        let went_on = [&log.bytes[..kept], &foreign(&["x"])].concat();
        it.base(&["b"]).incr(1, &went_on).manifest().ring(&[(1, kept, &log.bytes[kept..])]);
    }),
    row("ring-cut-under-power", Refused("AOF_RING_DIFFERS"), |it| {
        let bytes = log(&["i", "j"]).bytes;
        it.base(&["b"]).incr(1, cut_short(&bytes)).manifest().ring(&[(1, 60, &bytes[60..])]);
        it.state(|state| state.last_epoch = 7);
    }),
    row("ring-after-orderly-end", Cut(&["b", "i"]), |it| {
        let log = log(&["i", "j"]);
        let (bytes, ended) = (&log.bytes, LogPosition { epoch: 7, offset: log.end() });
        it.base(&["b"]).incr(1, cut_short(bytes)).manifest().ring(&[(1, 60, &bytes[60..])]);
        it.state(|state| (state.last_epoch, state.ended) = (7, Some(ended)));
    }),
    row("ring-of-an-older-log", Refused("AOF_STALE"), |it| {
        it.base(&["b"]).incr(1, b"").manifest().ring(&[(1, 0, &log(&["i"]).bytes)]);
        it.state(|state| (state.last_epoch, state.boot_id) = (8, "before".to_owned()));
    }),
    row("ring-behind-end", Refused("AOF_RING_DIFFERS"), |it| {
        let log = log(&["i", "j", "k"]);
        let (from, kept) = (log.units[2].0, log.units[1].0);
        it.base(&["b"]).incr(1, &log.bytes[..kept]).manifest();
        it.ring(&[(1, from, &log.bytes[from..])]);
    }),
];

fn log(keys: &[&str]) -> SampleLog {
    log_at(7, 0, keys)
}

/// A log of ours that sets these keys; the last second has no annotation.
fn log_at(epoch: u64, start: u64, keys: &[&str]) -> SampleLog {
    let mut log = SampleLog::begun(epoch, start);
    for key in keys {
        log.set(key, "1");
    }
    log
}

/// The same, as another server writes it.
fn foreign(keys: &[&str]) -> Vec<u8> {
    let mut log = SampleLog::new(0, 0);
    log.time(1_795_000_000).unit(&[&["SELECT", "0"]]);
    for key in keys {
        log.set(key, "1");
    }
    log.bytes
}

fn cut_short(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() - 3]
}
