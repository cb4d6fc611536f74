//! Replaying a log: what it says is what there is afterwards, and what cannot be executed is refused
//! with its place, never passed over. Written with the seam's own encoder, read from files.

#![allow(clippy::unwrap_used)] // a test may fail so

use std::path::{Path, PathBuf};
use std::sync::Arc;

use perdure_engine::aof::replay::{Stretch, replay};
use perdure_engine::clock::Clock;
use perdure_engine::command::Replayer;
use perdure_engine::config::Config;
use perdure_engine::effects::encode_command;
use perdure_engine::error::EngineError;
use perdure_engine::keyspace::Keyspace;

const NOW_MS: i64 = 1_700_000_000_000;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("perdure-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A log of lines: words of a command, or an annotation.
fn log(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        if line.starts_with('#') {
            bytes.extend_from_slice(format!("{line}\r\n").as_bytes());
        } else {
            encode_command(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        }
    }
    bytes
}

fn replay_file(path: &Path, from: u64) -> Result<(Keyspace, u64), EngineError> {
    let to = std::fs::metadata(path).unwrap().len();
    let clock = Arc::new(Clock::driven(NOW_MS));
    let mut replayer = Replayer::new(&Config::redis_defaults(), &clock, Keyspace::new(16));
    let commands = replay(&mut replayer, Stretch { path, from, to }, &mut |_| true)?;
    Ok((replayer.finish(), commands))
}

fn replayed(name: &str, bytes: &[u8]) -> Result<(Keyspace, u64), EngineError> {
    let file = Scratch::new(name, bytes);
    replay_file(&file.0, 0)
}

fn text(keyspace: &Keyspace, db: usize, key: &str) -> Option<Vec<u8>> {
    keyspace.db(db).get(key.as_bytes()).map(|entry| entry.value().text().to_vec())
}

fn context<'a>(error: &'a EngineError, name: &str) -> &'a str {
    error.context.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
}

#[test]
fn commands_transactions_databases_and_annotations_are_followed() {
    let lines = [
        "#TS:1700000000",
        "SELECT 0",
        "SET a 1",
        "#PD:17:54:0:1700000000000:0000000000000000",
        "MULTI",
        "INCR a",
        "SELECT 3",
        "RPUSH list x y",
        "EXEC",
        "set b 2",
        "SWAPDB 3 4",
        "#",
    ];
    let (keyspace, commands) = replayed("followed", &log(&lines)).unwrap();
    assert_eq!(commands, 9);
    assert_eq!(text(&keyspace, 0, "a").unwrap(), b"2");
    assert_eq!(text(&keyspace, 4, "b").unwrap(), b"2");
    assert_eq!((keyspace.db(3).len(), keyspace.db(4).len()), (0, 2));
}

#[test]
fn arguments_longer_than_what_is_read_at_once_come_whole() {
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    for (number, length) in
        [0, 1, 16_000, 17_000, 262_144, 300_000, 3_000_000, 5].iter().enumerate()
    {
        let value = vec![b'a' + number as u8; *length];
        encode_command(&mut bytes, &[b"SET".as_slice(), format!("k{number}").as_bytes(), &value]);
        bytes.extend_from_slice(b"#TS:1\r\n");
        lengths.push(value);
    }
    for number in 0..20_000 {
        encode_command(
            &mut bytes,
            &[b"SET".to_vec(), format!("n{number}").into_bytes(), b"v".to_vec()],
        );
    }
    let (keyspace, commands) = replayed("long", &bytes).unwrap();
    assert_eq!(commands, 20_008);
    assert_eq!(keyspace.len(), 20_008);
    for (number, value) in lengths.iter().enumerate() {
        assert_eq!(text(&keyspace, 0, &format!("k{number}")).as_ref(), Some(value));
    }
}

#[test]
fn nothing_expires_until_the_log_says_so() {
    let past = NOW_MS - 5;
    let lines = [
        format!("SET over v PXAT {past}"),
        "APPEND over w".to_owned(),
        "SET kept v".to_owned(),
        format!("PEXPIREAT kept {past}"),
        "PERSIST kept".to_owned(),
        format!("SET gone v PXAT {past}"),
        "DEL gone".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (keyspace, _) = replayed("expiry", &log(&lines)).unwrap();
    assert_eq!(text(&keyspace, 0, "over").unwrap(), b"vw");
    assert_eq!(keyspace.db(0).get(b"over").unwrap().expire_at_ms(), Some(past));
    assert_eq!(keyspace.db(0).get(b"kept").unwrap().expire_at_ms(), None);
    assert_eq!(keyspace.len(), 2);
}

#[test]
fn function_libraries_are_kept_by_name() {
    let words = |name: &str, body: &str| format!("#!lua name={name}\n{body}");
    let (one, other, two) = (words("one", "a"), words("one", "b"), words("two", "c"));
    let replayed_calls = |calls: &[&[&str]]| {
        let mut bytes = Vec::new();
        calls.iter().for_each(|call| encode_command(&mut bytes, call));
        replayed("functions", &bytes)
    };
    let kept = |keyspace: &Keyspace| -> Vec<Vec<u8>> {
        keyspace.functions().map(<[u8]>::to_vec).collect()
    };
    let load: &[&str] = &["FUNCTION", "LOAD", &one];
    let (keyspace, _) = replayed_calls(&[
        load,
        &["function", "load", &two],
        &["FUNCTION", "LOAD", "REPLACE", &other],
    ])
    .unwrap();
    assert_eq!(kept(&keyspace), [two.as_bytes(), other.as_bytes()]);
    let (keyspace, _) = replayed_calls(&[load, &["FUNCTION", "DELETE", "one"], load]).unwrap();
    assert_eq!(kept(&keyspace), [one.as_bytes()]);
    let (keyspace, _) = replayed_calls(&[load, &["FUNCTION", "FLUSH"]]).unwrap();
    assert!(kept(&keyspace).is_empty());
    for calls in [&[load, load] as &[&[&str]], &[&["FUNCTION", "DELETE", "one"]], &[&["FUNCTION"]]]
    {
        assert_eq!(replayed_calls(calls).unwrap_err().code, "AOF_COMMAND_REFUSED");
    }
}

#[test]
fn redis_8_s_way_to_log_a_field_is_understood() {
    let lines =
        ["HSET h a 1 x y", "HSETEX h KEEPTTL FIELDS 2 a 1.5 b 2", "hsetex i keepttl fields 1 c 3"];
    let plain = ["HSET h a 1.5 x y b 2", "HSET i c 3"];
    let (as_written, commands) = replayed("hsetex", &log(&lines)).unwrap();
    assert_eq!(commands, 3);
    let (as_meant, _) = replayed("hset", &log(&plain)).unwrap();
    assert_eq!(as_written.digest(), as_meant.digest());
    for (line, reason) in [
        ("HSETEX h PXAT 9999999999999 FIELDS 1 a 1", "'HSETEX' with 'PXAT': a field cannot"),
        ("HSETEX h KEEPTTL FIELDS 2 a 1", "'HSETEX' with 6 arguments"),
        ("HSETEX h KEEPTTL FIELDS 9223372036854775808 a 1", "'HSETEX' with 6 arguments"),
        ("HSETEX h KEEPTTL FIELDS 0", "'HSETEX' with 4 arguments"),
        ("HSETEX", "'HSETEX' with ''"),
    ] {
        let error = replayed("hsetex-refused", &log(&[line])).unwrap_err();
        assert!(context(&error, "reason").starts_with(reason), "{line}: {}", error.message);
    }
}

#[test]
fn what_cannot_be_executed_is_refused_with_its_place() {
    let before = ["SELECT 0", "SET a 1", "#TS:1"];
    let place = log(&before).len();
    let cases = [
        ("NOSUCH x", "AOF_COMMAND_REFUSED", "unknown command 'NOSUCH'"),
        ("OBJECT NOSUCH", "AOF_COMMAND_REFUSED", "unknown command 'OBJECT NOSUCH'"),
        ("SET a", "AOF_COMMAND_REFUSED", "'set' with 1 arguments"),
        ("LPUSH a x", "AOF_COMMAND_REFUSED", "'LPUSH' fails: WRONGTYPE"),
        ("SELECT 99", "AOF_COMMAND_REFUSED", "'SELECT' fails: ERR DB index is out of range"),
        ("EXEC", "AOF_COMMAND_REFUSED", "an EXEC without its MULTI"),
        ("SHUTDOWN NOSAVE", "AOF_COMMAND_REFUSED", "'shutdown' does not belong in a log"),
        ("BGSAVE", "AOF_COMMAND_REFUSED", "'bgsave' does not belong in a log"),
        ("DEBUG RELOAD", "AOF_COMMAND_REFUSED", "'debug' does not belong in a log"),
        ("CONFIG SET save x", "AOF_COMMAND_REFUSED", "'config|set' does not belong in a log"),
    ];
    for (line, code, reason) in cases {
        let mut bytes = log(&before);
        bytes.extend(log(&[line, "SET b 2"]));
        let error = replayed("refused", &bytes).unwrap_err();
        assert_eq!(error.code, code, "{line}");
        assert_eq!(context(&error, "offset"), place.to_string(), "{line}");
        assert!(context(&error, "reason").starts_with(reason), "{line}: {}", error.message);
    }
}

#[test]
fn what_is_no_command_is_refused_with_its_place() {
    let before = log(&["SELECT 0", "SET a 1"]);
    for (after, code) in [
        (b"SET b 2\r\n".as_slice(), "AOF_CORRUPT"), // a connection would take it
        (b"*3\r\n:3\r\nSET\r\n", "AOF_CORRUPT"),
        (b"*x\r\n", "AOF_CORRUPT"),
        (b"\0\0\0\0", "AOF_CORRUPT"),
        (b"*2\r\n$3\r\nGET\r\n$5\r\nab", "AOF_TRUNCATED"),
        (b"*", "AOF_TRUNCATED"),
        (b"#TS:1", "AOF_TRUNCATED"),
        (b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n", "AOF_TRUNCATED"),
    ] {
        let error = replayed("broken", &[&before, after].concat()).unwrap_err();
        assert_eq!(error.code, code, "{}", after.escape_ascii());
        let place: usize = context(&error, "offset").parse().unwrap();
        assert!(place >= before.len(), "{}", after.escape_ascii());
    }
    let nested = log(&["MULTI", "MULTI"]);
    assert_eq!(replayed("nested", &nested).unwrap_err().code, "AOF_COMMAND_REFUSED");
}

#[test]
fn only_the_stretch_counts_and_a_refusal_to_go_on_cancels() {
    let bytes = [b"REDIS preamble".as_slice(), &log(&["SET a 1"])].concat();
    let file = Scratch::new("stretch", &bytes);
    let (keyspace, commands) = replay_file(&file.0, 14).unwrap();
    assert_eq!((keyspace.len(), commands), (1, 1));
    let clock = Arc::new(Clock::driven(NOW_MS));
    let mut replayer = Replayer::new(&Config::redis_defaults(), &clock, Keyspace::new(16));
    let stretch = Stretch { path: &file.0, from: 14, to: bytes.len() as u64 };
    assert_eq!(replay(&mut replayer, stretch, &mut |_| false).unwrap_err().code, "CANCELLED");
    let longer = Stretch { to: bytes.len() as u64 + 1, ..stretch };
    assert_eq!(replay(&mut replayer, longer, &mut |_| true).unwrap_err().code, "AOF_TRUNCATED");
}
