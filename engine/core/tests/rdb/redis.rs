//! Both ways with a real redis-server 7.0: it loads what we save, we load what it saves, and the
//! digests of the whole data set are equal; redis-check-rdb accepts our files.

use std::fmt::Write as _;

use perdure_engine::keyspace::Keyspace;
use perdure_engine::rdb::SaveOptions;

use crate::files::{Scratch, context, load, options, refused, save_to, verify};
use crate::peer::{Peer, check_rdb};
use crate::round_trip::every_kind;

pub fn digest(keyspace: &Keyspace) -> String {
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
    let said = peer.run("SELECT 7\nSET s v\nXADD k * f v\nSAVE\n");
    assert!(said.trim().ends_with("OK"), "{said}");
    let error = refused(&scratch.0.join("dump.rdb"), "RDB_TYPE_UNSUPPORTED");
    assert_eq!(context(&error, "key"), "k");
    assert_eq!((context(&error, "db"), context(&error, "type")), ("7", "stream"));
}

#[test]
fn function_libraries_are_kept_and_written_back() {
    let scratch = Scratch::new();
    let path = scratch.0.join("dump.rdb");
    let peer = Peer::start(&scratch.0);
    let library = |name: &str| {
        let body = "redis.register_function('f_NAME', function() return 'NAME' end)";
        let source = format!("#!lua name=NAME\\n{body}\\n{}", "-- padding\\n".repeat(20));
        format!("FUNCTION LOAD \"{}\"\n", source.replace("NAME", name))
    };
    peer.run(&format!("{}{}SET s v\nSAVE\n", library("one"), library("two")));
    let listed = peer.run("FUNCTION LIST WITHCODE\n");
    drop(peer);
    let (loaded, summary) = load(&path).unwrap();
    assert_eq!((loaded.functions().count(), summary.functions), (2, 2));
    assert_eq!(verify(&path).unwrap().functions, 2);
    save_to(&loaded, &options(), &path);
    assert!(check_rdb(&path).status.success());
    let peer = Peer::start(&scratch.0);
    assert_eq!(peer.run("FCALL f_one 0\nFCALL f_two 0\n"), "one\ntwo\n");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&peer.run("FUNCTION LIST WITHCODE\n")), sorted(&listed));
}
