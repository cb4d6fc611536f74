//! Both ways with a real redis-server 7.0: it loads what we save, we load what it saves, and the
//! digests of the whole data set are equal; redis-check-rdb accepts our files.

use std::fmt::Write as _;

use perdure_engine::keyspace::Keyspace;
use perdure_engine::rdb::SaveOptions;

use crate::files::{Scratch, context, load, options, refused, save_to, verify};
use crate::peer::{Peer, check_rdb};
use crate::round_trip::every_kind;

fn digest(keyspace: &Keyspace) -> String {
    keyspace.digest().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn redis_server_loads_our_file_to_an_equal_digest() {
    let keyspace = every_kind();
    for (is_compressed, is_checksummed) in [(true, true), (false, false)] {
        let scratch = Scratch::new();
        let path = scratch.0.join("dump.rdb");
        save_to(&keyspace, &SaveOptions { is_compressed, is_checksummed, ..options() }, &path);
        let checked = check_rdb(&path);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("RDB looks OK"), "{said}");
        let peer = Peer::start(&scratch.0);
        assert_eq!(peer.digest(), digest(&keyspace));
        let sizes: String = (0..16).map(|db| peer.run(&format!("SELECT {db}\nDBSIZE\n"))).collect();
        let found: usize =
            sizes.split_whitespace().filter_map(|word| word.parse::<usize>().ok()).sum();
        assert_eq!(found, keyspace.len());
    }
}

#[test]
fn we_load_what_redis_server_saves_to_an_equal_digest() {
    let scratch = Scratch::new();
    let peer = Peer::start(&scratch.0);
    let mut lines = String::new();
    for number in -300_i64..300 {
        let power = number.pow(5) * 11;
        let size = number.unsigned_abs() as usize;
        let _ = writeln!(lines, "SET int:{number} {power}");
        let _ = writeln!(lines, "SET {power} {number} PX 100000000");
        let _ =
            writeln!(lines, "SET long:{number} {}", "repeat me ".repeat(size).replace(' ', "_"));
        let _ = writeln!(lines, "SELECT {}", number.rem_euclid(16));
    }
    lines.push_str("SET \"bin\\x00\\xff\" \"\\r\\n\\x00\"\nSET empty \"\"\nAPPEND raw 123\n");
    lines.push_str("EXPIREAT raw 4000000000\nSELECT 0\nDEBUG POPULATE 20000 bulk 64\n");
    for (commands, is_checksummed) in [("", true), ("CONFIG SET rdbcompression no\n", true)] {
        peer.run(&lines);
        let said = peer.run(&format!("{commands}SAVE\n"));
        assert!(said.trim().ends_with("OK"), "{said}");
        let (loaded, summary) = load(&scratch.0.join("dump.rdb")).unwrap();
        assert_eq!(digest(&loaded), peer.digest());
        assert_eq!((summary.rdb_version, summary.is_checksummed), (10, is_checksummed));
        assert_eq!(summary.keys(), loaded.len() as u64);
        assert_eq!(summary, verify(&scratch.0.join("dump.rdb")).unwrap());
        // And once more through our own pen.
        let ours = scratch.0.join("ours.rdb");
        save_to(&loaded, &options(), &ours);
        assert_eq!(load(&ours).unwrap().0.digest(), loaded.digest());
    }
}

#[test]
fn packing_is_about_as_tight_as_redis_own() {
    let scratch = Scratch::new();
    let peer = Peer::start(&scratch.0);
    let prose = "the quick brown fox jumps over the lazy dog and then does it again, ";
    let mut lines = String::new();
    for number in 0..200 {
        let _ = writeln!(lines, "SET prose:{number} \"{number} {}\"", prose.repeat(number % 40));
    }
    peer.run(&lines);
    peer.run("SAVE\n");
    let (loaded, theirs) = load(&scratch.0.join("dump.rdb")).unwrap();
    let ours = save_to(&loaded, &options(), &scratch.0.join("ours.rdb")).size_bytes;
    assert!(ours * 100 < theirs.size_bytes * 110, "{ours} bytes, redis {}", theirs.size_bytes);
}

#[test]
fn each_other_type_that_redis_saves_is_refused_with_its_key() {
    let scratch = Scratch::new();
    let peer = Peer::start(&scratch.0);
    for (command, name) in [
        ("RPUSH k a", "list"),
        ("SADD k 1", "set"),
        ("SADD k a", "set"),
        ("ZADD k 1 a", "sorted set"),
        ("HSET k f v", "hash"),
        ("XADD k * f v", "stream"),
    ] {
        let said = peer.run(&format!("FLUSHALL\nSELECT 7\nSET s v\n{command}\nSAVE\n"));
        assert!(said.trim().ends_with("OK"), "{said}");
        let path = scratch.0.join("dump.rdb");
        let error = refused(&path, "RDB_TYPE_UNSUPPORTED");
        assert_eq!(context(&error, "key"), "k");
        assert_eq!((context(&error, "db"), context(&error, "type")), ("7", name));
    }
    peer.run("FLUSHALL\n");
    let library = "FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f', function() end)\"\n";
    peer.run(&format!("{library}SAVE\n"));
    refused(&scratch.0.join("dump.rdb"), "RDB_FUNCTIONS_UNSUPPORTED");
}
