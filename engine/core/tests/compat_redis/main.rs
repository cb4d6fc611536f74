//! Our commands against a real redis-server 7.0: the same random calls to both, replies compared
//! byte by byte, then the data set (DEBUG DIGEST), the figures of INFO, and what both logs hold.
//! `PERDURE_TEST_SEED` repeats a run, `PERDURE_COMPAT_CALLS` makes it longer.

#![allow(clippy::unwrap_used)] // a test may fail so

mod generator;
#[path = "../harness/mod.rs"]
mod harness;
mod peer;

use generator::Generator;
use harness::{Client, Engine, Random, commands_of, shown};
use peer::{Connection, Peer};
use perdure_engine::clock::Clock;
use perdure_engine::config::{Access, Config};

const CALLS: usize = 20_000;
/// Calls shown before a difference, and differences shown (later ones may follow from earlier
/// ones).
const SHOWN_BEFORE: usize = 40;
const DIFFERENCES_MAX: usize = 10;
/// How far times may differ between the two servers, ms.
const TOLERANCE_MS: i64 = 30_000;

/// The same client on both sides.
struct Pair {
    real: Connection,
    ours: Client,
}

struct Arena {
    peer: Peer,
    engine: Engine,
    pairs: Vec<Pair>,
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Arena {
    fn new() -> Self {
        let peer = Peer::start();
        let mut config = Config::redis_defaults();
        config.save = Vec::new();
        config.enable_debug_command = Access::Yes;
        let engine = Engine::new(config, Clock::system());
        let pairs = (0..2)
            .map(|_| {
                let mut real = peer.connect();
                let id = String::from_utf8(real.call(&words("CLIENT ID"))).unwrap();
                let ours = engine.client(id[1..].trim_end().parse().unwrap());
                Pair { real, ours }
            })
            .collect();
        let mut arena = Self { peer, engine, pairs };
        arena.pairs[0].real.call(&words("DEBUG SET-ACTIVE-EXPIRE 0"));
        arena.pairs[0].real.call(&words("CONFIG RESETSTAT"));
        arena
    }
}

/// Both servers answer the same, as far as they can.
fn is_same(call: &[Vec<u8>], real: &[u8], ours: &[u8]) -> bool {
    if real == ours || are_near(real, ours) {
        return true;
    }
    let (mut real, mut ours) = (loosened(call, real), loosened(call, ours));
    let common: Vec<Vec<u8>> = real.extract_if(.., |line| take(&mut ours, line)).collect();
    drop(common);
    real.len() == ours.len() && are_near(&real.concat(), &ours.concat())
}

/// Remove one `line` from `lines`; give whether it was there.
fn take(lines: &mut Vec<Vec<u8>>, line: &[u8]) -> bool {
    let found = lines.iter().position(|other| other == line);
    found.map(|at| lines.remove(at)).is_some()
}

/// Sets of keys in any order: lines sorted. Encodings of whole numbers: Redis leaves what
/// INCRBYFLOAT makes as text.
fn loosened(call: &[Vec<u8>], reply: &[u8]) -> Vec<Vec<u8>> {
    let name = call[0].to_ascii_lowercase();
    // What stands here can be among the replies of a transaction too.
    if !matches!(name.as_slice(), b"keys" | b"scan" | b"exec" | b"config" | b"object") {
        return vec![reply.to_vec()];
    }
    let int = (b"$3\r\n".to_vec(), b"int\r\n".to_vec());
    let mut lines: Vec<Vec<u8>> =
        reply.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for at in 1..lines.len() {
        if lines[at - 1] == int.0 && lines[at] == int.1 {
            (lines[at - 1], lines[at]) = (b"$6\r\n".to_vec(), b"embstr\r\n".to_vec());
        }
    }
    lines.sort();
    lines
}

/// Replies that differ only in times: TTL and its kin, alone or in EXEC.
fn are_near(real: &[u8], ours: &[u8]) -> bool {
    let number = |line: &[u8]| -> Option<i64> {
        std::str::from_utf8(line.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
    };
    let (mut real, mut ours) = (real.split(|b| *b == b'\n'), ours.split(|b| *b == b'\n'));
    loop {
        match (real.next(), ours.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) if a > 60 && (a - b).abs() <= TOLERANCE_MS => {}
                _ => return false,
            },
            _ => return false,
        }
    }
}

/// Commands of a log with the database they run in, the framing left out.
fn effects(log: &[u8]) -> Vec<(usize, Vec<Vec<u8>>)> {
    let mut db = 0;
    let mut effects = Vec::new();
    for words in commands_of(log) {
        match words[0].to_ascii_uppercase().as_slice() {
            b"SELECT" => db = String::from_utf8_lossy(&words[1]).parse().unwrap(),
            b"MULTI" | b"EXEC" => {}
            _ => effects.push((db, words)),
        }
    }
    effects
}

fn is_same_effect(real: &(usize, Vec<Vec<u8>>), ours: &(usize, Vec<Vec<u8>>)) -> bool {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
    real.0 == ours.0
        && real.1.len() == ours.1.len()
        && real.1.iter().zip(&ours.1).all(|(a, b)| {
            let is_near = |a: i64, b: i64| a.abs_diff(b) <= TOLERANCE_MS as u64;
            a == b || number(a).zip(number(b)).is_some_and(|(a, b)| is_near(a, b))
        })
}

/// The replies to calls in a row, and the state they leave, are those of a real server.
#[test]
fn random_calls_are_answered_as_by_a_real_server() {
    let calls = std::env::var("PERDURE_COMPAT_CALLS").ok().and_then(|text| text.parse().ok());
    let mut generator = Generator { random: Random::from_environment("compat_redis") };
    let mut arena = Arena::new();
    let (mut history, mut differences): (Vec<String>, Vec<String>) = Default::default();
    for turn in 0..calls.unwrap_or(CALLS) {
        let who = generator.random.below(2);
        let call = generator.next();
        if call[0].eq_ignore_ascii_case(b"WATCH") && call.len() > 1 {
            // Our WATCH deletes what has expired already; let both do so.
            let exists = [vec![b"EXISTS".to_vec()], call[1..].to_vec()].concat();
            arena.pairs[who].real.call(&exists);
            arena.pairs[who].ours.call(&exists);
        }
        let real = arena.pairs[who].real.call(&call);
        let ours = arena.pairs[who].ours.call(&call).1;
        history.push(format!("client {who}: {} -> {}", shown(&call), real.escape_ascii()));
        if !is_same(&call, &real, &ours) {
            differences.push(format!(
                "call {turn} by client {who}: {}\n  real: {}\n  ours: {}\nbefore it:\n{}",
                shown(&call),
                real.escape_ascii(),
                ours.escape_ascii(),
                history[history.len().saturating_sub(SHOWN_BEFORE)..].join("\n"),
            ));
            if differences.len() == DIFFERENCES_MAX {
                break;
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    compare_figures(&mut arena);
    compare_logs(&arena);
}

fn compare_figures(arena: &mut Arena) {
    let pair = &mut arena.pairs[0];
    for line in ["RESET", "DEBUG DIGEST"] {
        let real = pair.real.call(&words(line));
        assert_eq!(
            real.escape_ascii().to_string(),
            pair.ours.call(&words(line)).1.escape_ascii().to_string()
        );
    }
    let real = String::from_utf8(pair.real.call(&words("INFO everything"))).unwrap();
    let ours = String::from_utf8(pair.ours.call(&words("INFO everything")).1).unwrap();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::to_owned)
    };
    for name in [
        "rdb_changes_since_last_save",
        "keyspace_hits",
        "keyspace_misses",
        "expired_keys",
        "maxmemory",
    ] {
        assert_eq!(field(&real, name), field(&ours, name), "{name}");
    }
}

fn compare_logs(arena: &Arena) {
    let (real, ours) = (effects(&arena.peer.log()), effects(&arena.engine.log.bytes()));
    for (at, pair) in real.iter().zip(&ours).enumerate() {
        let before = |log: &[(usize, Vec<Vec<u8>>)]| {
            let lines = log[at.saturating_sub(4)..(at + 2).min(log.len())].iter();
            lines
                .map(|(db, words)| format!("{db}: {}", shown(words)))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(
            is_same_effect(pair.0, pair.1),
            "effect {at}\nreal:\n{}\nours:\n{}",
            before(&real),
            before(&ours)
        );
    }
    assert_eq!(real.len(), ours.len());
}
