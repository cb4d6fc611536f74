//! A log of every command family, cut at every byte and flipped at every byte: a start finds a whole
//! prefix, and the same again the next time; or it refuses, with path, offset and hint.

use std::path::{Path, PathBuf};

use crate::running::{Client, Dir};
use crate::{Memory, contents, digest, start_logged, turn};

/// Calls of every family; each line is one unit of the log, or none.
const CALLS: &[&str] = &[
    "SET s one",
    "APPEND s two",
    "SETRANGE s 1 XY",
    "SET n 41 EX 100000",
    "INCR n",
    "INCRBYFLOAT f 1.5",
    "MSET a 1 b 2",
    "GETDEL b",
    "GETEX a PX 100000000",
    "RPUSH l a b c d",
    "LPUSH l z",
    "LINSERT l BEFORE b x",
    "LMOVE l l LEFT RIGHT",
    "LPOP l 2",
    "LTRIM l 0 5",
    "HSET h f v g w",
    "HINCRBYFLOAT h n 0.1",
    "HDEL h g",
    "SADD t 1 2 3 x",
    "SREM t 2",
    "SPOP t",
    "SINTERSTORE u t t",
    "ZADD z 1 a 2 b 1.5 c",
    "ZINCRBY z 0.25 a",
    "ZPOPMIN z",
    "ZRANGESTORE y z 0 -1",
    "PEXPIRE h 100000000",
    "PERSIST h",
    "RENAME s s2",
    "COPY s2 s3",
    "MOVE s3 2",
    "SORT l ALPHA STORE sorted",
    "SELECT 2",
    "SET other db",
    "SWAPDB 2 3",
    "SELECT 0",
    "UNLINK u",
    "FLUSHDB",
    "SET after flush",
];
const TRANSACTION: &[&str] = &["MULTI", "INCR n", "RPUSH l in multi", "SET after exec", "EXEC"];

/// The files of a data dir with a log, where the log is among them, and the digest after so many
/// bytes of it: at its begin, and behind each call.
struct Logged {
    files: Vec<(PathBuf, Vec<u8>)>,
    log: usize,
    states: Vec<(usize, String)>,
}

enum End {
    Kill,
    /// In order: a checksum stands behind every byte.
    Stop,
}

fn logged(calls: &[&str], end: End) -> Logged {
    let dir = Dir::new();
    let engine = start_logged(&dir);
    let mut client = engine.client();
    let log = dir.0.join("appendonlydir/appendonly.aof.1.incr.aof");
    let length = |path: &Path| path.metadata().unwrap().len() as usize;
    let mut states = vec![(0, digest(&mut client))];
    let mut note = |client: &mut Client| states.push((length(&log), digest(client)));
    for call in calls {
        let reply = client.command(&call.split(' ').collect::<Vec<_>>());
        assert!(!reply.starts_with('-'), "{call}: {reply}");
        if let Some(count) = reply.strip_prefix('*') {
            (0..count.parse().unwrap()).for_each(|_| drop(client.receive()));
        }
        note(&mut client);
    }
    for call in TRANSACTION {
        client.command(&call.split(' ').collect::<Vec<_>>());
    }
    (0..3).for_each(|_| drop(client.receive()));
    note(&mut client);
    if matches!(end, End::Stop) {
        engine.stop();
    }
    let relative = |(path, bytes): (PathBuf, Vec<u8>)| {
        (path.strip_prefix(&dir.0).unwrap().to_path_buf(), bytes)
    };
    let files: Vec<_> = contents(&dir.0).into_iter().map(relative).collect();
    let log = files.iter().position(|(path, _)| path.ends_with("appendonly.aof.1.incr.aof"));
    Logged { log: log.unwrap(), files, states }
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

#[test]
fn a_log_cut_at_every_byte_gives_the_whole_units_before_it_twice() {
    let _turn = turn();
    let mut killed = logged(CALLS, End::Kill);
    let whole = killed.bytes().to_vec();
    let memory = Memory::new();
    for length in 0..=whole.len() {
        killed.files[killed.log].1.truncate(0);
        killed.files[killed.log].1.extend_from_slice(&whole[..length]);
        memory.fill(&killed.files);
        for start in ["first", "second"] {
            let made = memory.boot().unwrap_or_else(|error| panic!("{length} bytes: {error}"));
            assert_eq!(made, killed.state_at(length), "{length} bytes, {start} start");
        }
    }
}

#[test]
fn a_flip_of_any_byte_is_refused_or_leaves_a_whole_prefix() {
    let _turn = turn();
    let mut ended = logged(&CALLS[..6], End::Stop);
    let log = ended.log;
    let whole = ended.bytes().to_vec();
    // It says that all before it was fsynced.
    let last_line = whole.windows(4).rposition(|at| at == b"#PD:").unwrap();
    let memory = Memory::new();
    for at in 0..whole.len() {
        for mask in [0x01, 0x20, 0x80] {
            ended.files[log].1[at] ^= mask;
            memory.fill(&ended.files);
            ended.files[log].1[at] ^= mask;
            let place = format!("byte {at} of {}, mask {mask:02x}", whole.len());
            match memory.boot() {
                Ok(made) => {
                    assert!(at >= last_line, "{place}: not found");
                    let is_prefix = ended.states.iter().any(|(_, digest)| *digest == made);
                    assert!(is_prefix, "{place}: {made} is no state that ever was");
                }
                Err(error) => {
                    assert!(error.code.starts_with("AOF_"), "{place}: {error}");
                    assert!(!error.hint.is_empty(), "{place}: {error}");
                    assert!(error.context.iter().any(|(name, _)| *name == "path"), "{place}");
                }
            }
        }
    }
}
