//! redis.conf beside a real redis-server 7.0: defaults, syntax, CONFIG SET and CONFIG REWRITE. Each
//! file is given to both, and must be refused for the same reason or give the same directives.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail so

#[path = "../harness/mod.rs"]
mod harness;
mod peer;

use std::path::Path;

use harness::Engine;
use peer::{Folder, Peer, Values};
use perdure_engine::clock::Clock;
use perdure_engine::config::{Config, read_redis_conf};

/// Directives whose values differ on purpose: `bind` and `dir` have defaults of their own here (one
/// address, a folder for data); the rest is how the tests start the peer.
const OURS: [&str; 4] = ["bind", "dir", "port", "unixsocket"];

fn ours(conf: &Path) -> Result<Config, String> {
    let mut config = Config::redis_defaults();
    config.file = Some(conf.to_owned());
    let read = read_redis_conf(conf).and_then(|directives| config.apply(&directives));
    read.map(|()| config).map_err(|error| error.message)
}

fn values(config: &Config) -> Values {
    config.get(b"*").into_iter().collect()
}

/// Fail with the directives that differ, but for those in `names`.
fn assert_same(ours: &Values, theirs: &Values, names: &[&str], what: &str) {
    let all = ours.keys().chain(theirs.keys()).filter(|name| !names.contains(&name.as_str()));
    let different: Vec<_> = all
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| (name, ours.get(name), theirs.get(name)))
        .collect();
    assert!(different.is_empty(), "{what}: {different:?}");
}

#[test]
fn defaults_are_those_of_a_real_server() {
    let folder = Folder::new("defaults");
    let conf = folder.write("empty.conf", "");
    let theirs = Peer::start(&folder, &conf).unwrap().values();
    assert_same(&values(&ours(&conf).unwrap()), &theirs, &OURS, "");
}

/// Files that both read, or both refuse.
const FILES: &[&str] = &[
    "hz 20 # no comment\n",
    "hz 20 30\n",
    "hz\n",
    "hz \"20\"\n",
    "hz '2''0'\n",
    "  \thz\t20\r\n",
    "# a comment\n\n   # another\nHZ 30\nhz 40\n",
    "hz 1000\n",
    "hz 0\n",
    "hz +20\n",
    "hz 020\n",
    "save \"900 1\"\n",
    "save \"900 1 300 10\"\n",
    "save 900 1 300 10\n",
    "save 900 1\nSAVE 300 10\nsave 60 10000\n",
    "save \"\"\nsave 5 6\n",
    "save 5 6\nsave ''\n",
    "save \"\" 1\n",
    "save 0 6\n",
    "save 5 -1\n",
    "save 5 0\n",
    "save\n",
    "save 900\n",
    "save 900 1 300\n",
    "client-output-buffer-limit normal 1 2 3 pubsub 4kb 5 6\n",
    "client-output-buffer-limit replica 256mb 64mb 60\nclient-output-buffer-limit pubsub 1 2 3\n",
    "client-output-buffer-limit master 1 2 3\n",
    "client-output-buffer-limit normal x 2 3\n",
    "client-output-buffer-limit normal 1 2\n",
    "oom-score-adj-values 3 2 1\n",
    "oom-score-adj-values 3 2 10000\n",
    "oom-score-adj-values 3 2\n",
    "latency-tracking-info-percentiles 50 99.99\n",
    "latency-tracking-info-percentiles \"50 99\"\n",
    "latency-tracking-info-percentiles ''\n",
    "latency-tracking-info-percentiles 101\n",
    "latency-tracking-info-percentiles x\n",
    "hash-max-ziplist-value 1.5kb\n",
    "hash-max-ziplist-value 1tb\n",
    "hash-max-ziplist-value \" 1mb\"\n",
    "hash-max-ziplist-value 10B\n",
    "hash-max-listpack-entries 7\nhash-max-ziplist-entries 8\n",
    "list-max-ziplist-size -5\nlist-compress-depth 3\nset-max-intset-entries 9\n",
    "zset-max-ziplist-entries 5\nzset-max-listpack-value 1k\n",
    "list-max-listpack-size 9999999999\n",
    "save 5 6\ninclude /nonexistent*.conf\nhz 20\n",
    "no-such-directive x\n",
    "hz \"20\n",
    "hz \"20\"x\n",
    "logfile\n",
    "loglevel NOTICE\n",
    "loglevel loud\n",
    "rdbcompression true\n",
    "rdbcompression NO\n",
    "unixsocketperm 777\n",
    "unixsocketperm 1000\n",
    "unixsocketperm 9\n",
    "replicaof no one\n",
    "replicaof one\n",
    "user default on nopass ~* &* +@all\n",
    "proto-max-bulk-len 100mb\n",
    "proto-max-bulk-len 1000\n",
    "tcp-keepalive -1\n",
    "maxclients 100\n",
    "slave-priority 7\nrepl-backlog-size 3mb\nlua-time-limit 9\n",
    "appendfilename a/b\n",
    "appenddirname a/b\n",
    "appendfilename \"\"\n",
    "appenddirname ''\n",
    "appendfilename \"a b\"\nappenddirname logs\nappendfsync ALWAYS\n",
    "appendfsync sometimes\n",
    "auto-aof-rewrite-percentage -1\n",
    "auto-aof-rewrite-percentage 0\nauto-aof-rewrite-min-size 1gb\n",
    "aof-load-truncated no\naof-timestamp-enabled yes\naof-use-rdb-preamble no\n",
    "no-appendfsync-on-rewrite yes\naof-rewrite-incremental-fsync no\n",
    "dbfilename a/b\n",
    "dbfilename \"a \\x41\\\"b\"\n",
    "proc-title-template '{title} x'\n",
    "enable-debug-command LOCAL\n",
    "enable-debug-command maybe\n",
    "maxmemory-clients 101%\n",
    "oom-score-adj relative\nsyslog-facility LOCAL3\n",
];

#[test]
fn files_are_read_or_refused_as_a_real_server_does() {
    let folder = Folder::new("files");
    for text in FILES {
        let conf = folder.write("x.conf", text);
        match (ours(&conf), Peer::start(&folder, &conf)) {
            (Ok(config), Ok(mut peer)) => {
                assert_same(&values(&config), &peer.values(), &OURS, text);
            }
            (Err(said), Err(reason)) => {
                let is_same = said.ends_with(&reason)
                    || (reason.starts_with("Unbalanced quotes") && said.contains("unbalanced"))
                    || (reason.starts_with("Bad directive") && said.ends_with("is unknown"));
                assert!(is_same, "{text:?}: {said:?}, there {reason:?}");
            }
            (ours, theirs) => {
                panic!("{text:?}: {:?}, there {:?}", ours.err(), theirs.err());
            }
        }
    }
}

#[test]
fn included_files_are_read_in_place_and_sorted() {
    let folder = Folder::new("include");
    folder.write("b.inc", "hz 20\ntimeout 2\n");
    folder.write("a.inc", "hz 30\nsave 5 5\n");
    folder.write(".hidden.inc", "hz 40\n");
    let pattern = folder.0.join("*.inc");
    for after in ["tcp-keepalive 3\n", "save 7 7\nsave 8 8\n", "hz 9\nsave ''\nsave 8 8\n"] {
        let text = format!("save 9 9\ntimeout 1\ninclude {}\n{after}", pattern.display());
        let conf = folder.write("x.conf", &text);
        let theirs = Peer::start(&folder, &conf).unwrap().values();
        assert_same(&values(&ours(&conf).unwrap()), &theirs, &OURS, &text);
    }
}

/// CONFIG SET calls, in order. What is not settable here (`port`, `bind`), or not supported, is in
/// the unit tests.
const SETS: &[&[&str]] = &[
    &["hz", "20"],
    &["hz", "20", "timeout", "-1"],
    &["hz", "20", "HZ", "30"],
    &["hz", "20", "timeout"],
    &["nosuch", "1", "hz", "x"],
    &["hz", "x", "nosuch", "1"],
    &["databases", "1", "nosuch", "2"],
    &["nosuch", "1", "databases", "2"],
    &["timeout", "1", "timeout", "2", "databases", "4"],
    &["dir", "/tmp"],
    &["dbfilename", "x", "nosuch", "1"],
    &["enable-debug-command", "yes"],
    &["hash-max-ziplist-entries", "x"],
    &["HASH-max-ziplist-entries", "x"],
    &["hash-max-listpack-entries", "5", "hash-max-ziplist-entries", "6"],
    &["hash-max-listpack-value", "-1"],
    &["hash-max-listpack-value", "2kb", "zset-max-ziplist-value", ""],
    &["save", "900 1 300 10"],
    &["save", "900"],
    &["save", "900 x", "timeout", "5"],
    &["SAVE", ""],
    &["client-output-buffer-limit", "replica 1mb 2mb 3 normal 4 5 6"],
    &["client-output-buffer-limit", "nobody 1 2 3"],
    &["client-output-buffer-limit", ""],
    &["oom-score-adj-values", "1 2"],
    &["latency-tracking-info-percentiles", "1 2.5 100"],
    &["latency-tracking-info-percentiles", "-1"],
    &["loglevel", "Warning"],
    &["loglevel", "x"],
    &["rdbcompression", "NO"],
    &["rdbcompression", "1"],
    &["repl-backlog-size", "3mb"],
    &["repl-backlog-size", "0"],
    &["slave-priority", "9"],
    &["list-max-listpack-size", "-99999999999"],
    &["proto-max-bulk-len", "100"],
    &["stop-writes-on-bgsave-error", "no", "tcp-keepalive", "0", "maxclients", "0"],
    &["cluster-announce-ip", "1.2.3.4"],
    &["maxmemory-policy", "random"],
    &["notify-keyspace-events", ""],
    &["requirepass", ""],
    &["activerehashing", "maybe"],
    &["lfu-log-factor", "2147483648"],
    &["latency-tracking", "no"],
    &["appendfsync", "sometimes"],
    &["appendfsync", "Always", "no-appendfsync-on-rewrite", "yes"],
    &["appendfsync", "no", "appendfilename", "x"],
    &["appenddirname", "x"],
    &["appendonly", "maybe"],
    &["appendonly", "no"],
    &["auto-aof-rewrite-percentage", "2147483648"],
    &["auto-aof-rewrite-percentage", "0", "auto-aof-rewrite-min-size", "0"],
    &["auto-aof-rewrite-min-size", "-1"],
    &["auto-aof-rewrite-min-size", "3gb"],
    &["aof-load-truncated", "no", "aof-timestamp-enabled", "yes"],
    &["aof-use-rdb-preamble", "1"],
    &["aof-use-rdb-preamble", "no", "aof-rewrite-incremental-fsync", "no"],
];

#[test]
fn config_set_answers_as_a_real_server_does() {
    let folder = Folder::new("set");
    let conf = folder.write("x.conf", "hz 10\n");
    let mut peer = Peer::start(&folder, &conf).unwrap();
    let engine = Engine::new(ours(&conf).unwrap(), Clock::system());
    let mut client = engine.client(1);
    for set in SETS {
        let call = [&["CONFIG", "SET"], *set].concat();
        let words: Vec<Vec<u8>> = call.iter().map(|word| word.as_bytes().to_vec()).collect();
        let reply = String::from_utf8(client.call(&words).1).unwrap();
        assert_eq!(reply.trim_end(), peer.call(&call)[0], "{set:?}");
    }
    let found = values(&engine.shared.state.lock().config);
    assert_same(&found, &peer.values(), &OURS, "");
}

/// A file with a bit of everything.
const LONG: &str = "# Ours\nport 0\nbind 127.0.0.1\n\n\ndir DIR\nsave 900 1\n# again\nSAVE 300 10\n\
    hz 10\nhz 25\nslave-priority 50\nproto-max-bulk-len 100mb\ndbfilename \"my \\\"dump\\\".rdb\"\n\
    client-output-buffer-limit normal 1mb 0 0\nhash-max-ziplist-entries 100\nloglevel VERBOSE\n\
    include /nonexistent*.conf\nlatency-tracking-info-percentiles 50 99.9\ntimeout 5\n";
/// What changes before the rewrite.
const CHANGES: &[(&str, &str)] = &[
    ("timeout", "0"),
    ("save", "5 6 7 8 9 10"),
    ("maxclients", "123"),
    ("repl-backlog-size", "20kb"),
    ("list-max-ziplist-size", "-4"),
    ("rdbcompression", "no"),
    ("appendfsync", "always"),
    ("auto-aof-rewrite-min-size", "5mb"),
    ("aof-timestamp-enabled", "yes"),
    ("proc-title-template", "{title} \"quoted\""),
];

fn long_file(folder: &Folder) -> std::path::PathBuf {
    let text = LONG.replace("DIR", folder.0.to_str().unwrap());
    folder.write("x.conf", &text)
}

#[test]
fn a_real_server_reads_what_config_rewrite_wrote() {
    let folder = Folder::new("rewrite");
    let conf = long_file(&folder);
    let mut config = ours(&conf).unwrap();
    for (name, value) in CHANGES {
        config.set(&[((*name).to_owned(), value.as_bytes().to_vec())], false).unwrap();
    }
    assert!(config.rewrite().unwrap());
    let text = std::fs::read_to_string(&conf).unwrap();
    assert_same(&values(&ours(&conf).unwrap()), &values(&config), &[], &text);
    let theirs = Peer::start(&folder, &conf).unwrap().values();
    assert_same(&values(&config), &theirs, &["unixsocket"], &text);
}

#[test]
fn what_a_real_server_rewrote_is_read() {
    let folder = Folder::new("rewritten");
    let conf = long_file(&folder);
    let mut peer = Peer::start(&folder, &conf).unwrap();
    for (name, value) in CHANGES {
        assert_eq!(peer.call(&["CONFIG", "SET", name, value]), ["+OK"]);
    }
    assert_eq!(peer.call(&["CONFIG", "REWRITE"]), ["+OK"]);
    let text = std::fs::read_to_string(&conf).unwrap();
    assert!(text.contains("\nuser default on nopass"), "{text}");
    // It wrote its socket too, which is refused here.
    let text: String = text.split_inclusive('\n').filter(|it| !it.starts_with("unix")).collect();
    folder.write("x.conf", &text);
    drop(peer);
    let theirs = Peer::start(&folder, &conf).unwrap().values();
    assert_same(&values(&ours(&conf).unwrap()), &theirs, &["unixsocket"], &text);
}
