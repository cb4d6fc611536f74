//! A log of every command family, cut at every byte and flipped at every byte: a start finds a whole
//! prefix, and the same again the next time; or it refuses, with path, offset and hint.

use std::path::{Path, PathBuf};

use perdure_engine::error::EngineError;

use crate::running::{Client, Dir, wait_until};
use crate::{Memory, contents, digest, start_logged, turn};

/// The log's file.
const FIRST: &str = "appendonly.aof.1.incr.aof";

/// Calls of every family; each line is one unit of the log, or none.
const CALLS: &[&str] = &[
    "SET s one",
    "SELECT 0",
    "APPEND s two",
    "SETRANGE s 1 XY",
    "GETSET s three",
    "SETEX e 100000 v",
    "PSETEX pe 100000000 v",
    "SETNX nx v",
    "MSETNX m1 1 m2 2",
    "SET n 41 EX 100000",
    "INCR n",
    "DECRBY n 3",
    "INCRBYFLOAT f 1.5",
    "MSET a 1 b 2",
    "GETDEL b",
    "GETEX a PX 100000000",
    "RPUSH l a b c d",
    "LPUSH l z",
    "LPUSHX l y",
    "LINSERT l BEFORE b x",
    "LSET l 0 w",
    "LREM l 1 a",
    "LMOVE l l LEFT RIGHT",
    "RPOPLPUSH l l2",
    "LMPOP 1 l LEFT",
    "LPOP l",
    "LTRIM l 0 5",
    "HSET h f v g w",
    "HMSET h i 1",
    "HSETNX h j 2",
    "HINCRBY h i 5",
    "HINCRBYFLOAT h n 0.1",
    "HDEL h g",
    "SADD t 1 2 3 x",
    "SREM t 2",
    "SMOVE t t2 x",
    "SPOP t",
    "SINTERSTORE u t t",
    "SUNIONSTORE u2 t t2",
    "SDIFFSTORE u3 t t2",
    "ZADD z 1 a 2 b 1.5 c 7 d 8 e 9 f",
    "ZINCRBY z 0.25 a",
    "ZPOPMIN z",
    "ZMPOP 1 z MAX",
    "ZREMRANGEBYRANK z 0 0",
    "ZREMRANGEBYSCORE z 7 7",
    "ZRANGESTORE y z 0 -1",
    "ZUNIONSTORE y2 2 y z",
    "ZREM y2 e",
    "EXPIRE l 100000",
    "EXPIREAT l2 9999999999",
    "PEXPIRE h 100000000",
    "PERSIST h",
    "RENAME s s2",
    "RENAMENX s2 s4",
    "COPY s4 s3",
    "MOVE s3 2",
    "SORT t2 ALPHA STORE sorted",
    "SELECT 2",
    "SET other db",
    "SWAPDB 2 3",
    "SELECT 0",
    "UNLINK u u2",
    "DEL u3",
    "FLUSHDB",
    "SET after flush",
    "SELECT 4",
    "SET other db",
    "FLUSHALL",
    "SET all gone",
];
/// A transaction over two databases.
const TRANSACTION: &[&str] =
    &["MULTI", "INCR n", "RPUSH l in multi", "SELECT 5", "SET after exec", "EXEC"];

/// The files of a data dir after its server ended, where the log is among them, and the
/// digest after so many bytes of it: at its begin, and behind each unit.
struct Logged {
    files: Files,
    log: usize,
    states: Vec<(usize, String)>,
}

type Files = Vec<(PathBuf, Vec<u8>)>;

/// What the files of a data dir hold, by their names in it.
fn files_of(dir: &Path) -> Files {
    let relative =
        |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(dir).unwrap().to_path_buf(), bytes);
    contents(dir).into_iter().map(relative).collect()
}

fn place_of(files: &Files, name: &str) -> usize {
    files.iter().position(|(path, _)| path.ends_with(name)).unwrap()
}

/// How the server that wrote a log ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    /// Behind an annotation; nothing was fsynced.
    KillWhenAnnotated,
    Stop,
}

/// Run calls; `tail` is the last transaction, or nothing.
fn written(calls: &[&str], tail: &[&str], end: End) -> Logged {
    let dir = Dir::new();
    let engine = start_logged(&dir);
    let mut client = engine.client();
    let path = dir.0.join("appendonlydir").join(FIRST);
    if end == End::KillWhenAnnotated {
        client.command(&["CONFIG", "SET", "appendfsync", "no"]);
    }
    let mut states = vec![(0, digest(&mut client))];
    let mut note = |client: &mut Client| {
        states.push((units_end(&std::fs::read(&path).unwrap()), digest(client)));
    };
    for call in calls {
        let reply = client.command(&call.split(' ').collect::<Vec<_>>());
        assert!(!reply.starts_with('-'), "{call}: {reply}");
        rest_of(&mut client, &reply);
        note(&mut client);
    }
    for call in tail {
        let reply = client.command(&call.split(' ').collect::<Vec<_>>());
        assert!(!reply.starts_with('-'), "{call}: {reply}");
        rest_of(&mut client, &reply);
    }
    note(&mut client);
    match end {
        End::Kill => {}
        End::KillWhenAnnotated => wait_until("an annotation", || {
            let bytes = std::fs::read(&path).unwrap();
            units_end(&bytes) < bytes.len()
        }),
        End::Stop => engine.stop(),
    }
    let files = files_of(&dir.0);
    Logged { log: place_of(&files, FIRST), files, states }
}

/// The rest of an array's reply.
fn rest_of(client: &mut Client, reply: &str) {
    let Some(count) = reply.strip_prefix('*') else { return };
    for _ in 0..count.parse().unwrap() {
        let reply = client.receive();
        rest_of(client, &reply);
    }
}

/// Where the last unit ends: cron may have annotated behind it.
fn units_end(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while let Some(begin) = bytes[..end].windows(4).rposition(|window| window == b"#PD:") {
        if bytes[begin..end].iter().filter(|byte| **byte == b'\n').count() > 1 {
            break;
        }
        end = begin;
    }
    end
}

impl Logged {
    fn bytes(&self) -> &[u8] {
        &self.files[self.log].1
    }

    /// The digest that a log of so many bytes makes.
    fn state_at(&self, length: usize) -> &str {
        let whole = self.states.iter().take_while(|(end, _)| *end <= length);
        &whole.last().unwrap().1
    }
}

/// Start on a data dir whose log has only so many bytes, twice.
fn assert_cut(killed: &mut Logged, whole: &[u8], memory: &Memory, length: usize) {
    let log = &mut killed.files[killed.log].1;
    log.truncate(0);
    log.extend_from_slice(&whole[..length]);
    memory.fill(&killed.files);
    for start in ["first", "second"] {
        let made = memory.boot().unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!(made, killed.state_at(length), "{length} bytes, {start} start");
    }
}

/// Every family, the last unit a transaction: cut anywhere. Every third length, beginning at random;
/// and every length of the last 300, which hold the transaction.
#[test]
fn a_log_cut_at_any_byte_gives_the_whole_units_before_it_twice() {
    let _turn = turn();
    let mut killed = written(CALLS, TRANSACTION, End::Kill);
    let whole = killed.bytes().to_vec();
    let memory = Memory::new();
    let first = seed() as usize % 3;
    let tail = whole.len() - 300;
    for length in (first..tail).step_by(3).chain(tail..=whole.len()) {
        assert_cut(&mut killed, &whole, &memory, length);
    }
}

#[test]
#[ignore = "run by make soak"]
fn a_log_cut_at_every_byte_gives_the_whole_units_before_it_twice() {
    let _turn = turn();
    for tail in [TRANSACTION, &[]] {
        let mut killed = written(CALLS, tail, End::Kill);
        let whole = killed.bytes().to_vec();
        let memory = Memory::new();
        (0..=whole.len()).for_each(|length| assert_cut(&mut killed, &whole, &memory, length));
    }
}

fn seed() -> u64 {
    let told = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = told.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PERDURE_TEST_SEED={seed}");
    seed
}

/// What a start made of a flipped byte: a state that was, or a refusal that says where.
fn judge(killed: &Logged, made: Result<String, EngineError>, place: &str) -> Option<EngineError> {
    match made {
        Ok(made) => {
            let is_prefix = killed.states.iter().any(|(_, digest)| *digest == made);
            assert!(is_prefix, "{place}: {made} is no state that ever was");
            None
        }
        Err(error) => {
            assert!(!error.hint.is_empty(), "{place}: {error}");
            assert!(error.context.iter().any(|(name, _)| *name == "path"), "{place}: {error}");
            Some(error)
        }
    }
}

fn flip_each(killed: &Logged, file: usize, masks: &[u8], mut found: impl FnMut(usize, bool)) {
    let memory = Memory::new();
    let mut files = killed.files.clone();
    for at in 0..files[file].1.len() {
        for mask in masks {
            files[file].1[at] ^= mask;
            memory.fill(&files);
            files[file].1[at] ^= mask;
            let place = format!("{} byte {at}, mask {mask:02x}", files[file].0.display());
            let refusal = judge(killed, memory.boot(), &place);
            if let Some(error) = &refusal {
                assert!(
                    error.context.iter().any(|(name, _)| *name == "offset"),
                    "{place}: {error}"
                );
            }
            found(at, refusal.is_some());
        }
    }
}

const MASKS: &[u8] = &[0x01, 0x20, 0x80];

/// Every flip below the line at the log's end is found.
fn assert_all_found(killed: &Logged) {
    let last_line = units_end(killed.bytes());
    assert!(last_line < killed.bytes().len(), "it has a line at its end");
    flip_each(killed, killed.log, MASKS, |at, is_found| {
        assert!(is_found || at >= last_line, "byte {at} was fsynced");
    });
}

#[test]
fn a_flip_of_any_byte_of_a_log_that_was_ended_in_order_is_found() {
    let _turn = turn();
    assert_all_found(&written(&CALLS[..6], TRANSACTION, End::Stop));
}

/// A log of a killed server that started once more: all of the old file is fsynced, and a line at
/// its end covers it.
#[test]
fn a_flip_of_any_byte_that_a_start_has_replayed_is_found() {
    let _turn = turn();
    let mut killed = written(&CALLS[..6], TRANSACTION, End::Kill);
    let memory = Memory::new();
    memory.fill(&killed.files);
    memory.boot().unwrap();
    killed.files = files_of(&memory.0);
    killed.log = place_of(&killed.files, FIRST);
    assert_all_found(&killed);
}

/// Nothing but the first line is known to be fsynced; checksums cover the rest.
#[test]
fn a_flip_of_any_other_byte_is_refused_or_leaves_a_whole_prefix() {
    let _turn = turn();
    let killed = written(&CALLS[..6], TRANSACTION, End::KillWhenAnnotated);
    flip_each(&killed, killed.log, MASKS, |_, _| {});
}

/// Base and state file have a checksum of their own; the manifest must fit what it names.
#[test]
fn a_flip_of_any_byte_of_the_other_files_is_refused_or_changes_nothing() {
    let _turn = turn();
    let killed = written(&CALLS[..6], TRANSACTION, End::Stop);
    let last = &killed.states.last().unwrap().1;
    let memory = Memory::new();
    let mut files = killed.files.clone();
    for name in ["appendonly.aof.1.base.rdb", "appendonly.aof.manifest", "perdure.state"] {
        let file = place_of(&files, name);
        for at in 0..files[file].1.len() {
            for mask in MASKS {
                files[file].1[at] ^= mask;
                memory.fill(&files);
                files[file].1[at] ^= mask;
                let place = format!("{} byte {at}, mask {mask:02x}", files[file].0.display());
                match memory.boot() {
                    Ok(made) => assert_eq!(made, *last, "{place}"),
                    Err(error) => assert!(!error.hint.is_empty(), "{place}: {error}"),
                }
            }
        }
    }
}
