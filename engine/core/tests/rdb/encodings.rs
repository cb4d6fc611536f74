//! Every encoding of the five types: what the tests' own pen wrote is read as the data that the
//! same commands make, here and in a real redis-server.

use perdure_engine::rdb::{self, InspectOptions, Inspection, LoadOptions};
use perdure_engine::value::packing::Packing;

use crate::files::{Scratch, load, options, save_to, verify};
use crate::peer::{Peer, check_rdb};
use crate::redis::digest;
use crate::samples::{Sample, commands_of, file_of, samples, set_listpack};

fn inspect(path: &std::path::Path) -> Inspection {
    let progress = &mut |_, _| true;
    rdb::inspect(path, InspectOptions { top: 100, is_end_strict: true, progress }).unwrap()
}

/// All of them.
pub fn every_encoding() -> Vec<Sample> {
    let mut all = samples();
    all.push(set_listpack());
    all
}

#[test]
fn redis_server_reads_our_pen_as_the_same_data() {
    let scratch = Scratch::new();
    for version in [9, 10] {
        scratch.file("dump.rdb", &file_of(&samples(), version, true));
        let peer = Peer::start(&scratch.0);
        let read = peer.digest();
        let (loaded, _) = load(&scratch.0.join("dump.rdb")).unwrap();
        assert_eq!(digest(&loaded), read);
        for (number, sample) in samples().iter().enumerate() {
            let (db, name) = (number / 8, sample.name);
            let theirs = peer.run(&format!("SELECT {db}\nOBJECT ENCODING {name}\n"));
            let ours = loaded.db(db).get(name.as_bytes()).unwrap().encoding();
            assert_eq!(theirs.lines().last(), Some(ours), "{name}");
        }
        peer.run(&format!("FLUSHALL\n{}", commands_of(&samples())));
        assert_eq!(peer.digest(), read);
        assert_eq!(peer.run("DBSIZE\n").trim(), "8");
    }
}

#[test]
fn every_encoding_is_counted_by_type_and_database() {
    let scratch = Scratch::new();
    let all = every_encoding();
    let path = scratch.file("all.rdb", &file_of(&all, 12, true));
    let summary = verify(&path).unwrap();
    assert_eq!(summary.keys(), all.len() as u64);
    let inspection = inspect(&path);
    assert_eq!(inspection.summary, summary);
    let counted: u64 = inspection.encodings.iter().map(|counts| counts.keys).sum();
    assert_eq!(counted, all.len() as u64);
    for sample in &all {
        let key = inspection.largest.iter().find(|key| key.name == sample.name.as_bytes());
        let bytes = key.unwrap().bytes as usize;
        let least = 2 + sample.name.len() + sample.value.len();
        assert!((least..least + 12).contains(&bytes), "{}: {bytes} bytes", sample.name);
    }
    let lists = |key: &&rdb::BigKey| key.type_name == "list" && !key.name.ends_with(b"-int");
    assert!(inspection.longest.iter().filter(lists).all(|key| key.elements >= 14));
    let elements = |name: &[u8]| inspection.longest.iter().find(|key| key.name == name);
    assert_eq!(elements(b"l:one-int").map(|key| key.elements), Some(1));
}

#[test]
fn every_encoding_loads_as_the_data_that_commands_make() {
    let scratch = Scratch::new();
    let peer = Peer::start(&scratch.0);
    let all = every_encoding();
    peer.run(&commands_of(&all));
    for version in [1, 4, 9, 12] {
        let path = scratch.file("hand.rdb", &file_of(&all, version, true));
        let (loaded, summary) = load(&path).unwrap();
        assert_eq!(digest(&loaded), peer.digest(), "version {version}");
        assert_eq!((summary.keys(), summary.empty_skipped), (all.len() as u64, 0));
    }
    // And through our own pen: what redis-server reads of it is the same once more.
    let (loaded, _) = load(&scratch.file("hand.rdb", &file_of(&all, 12, false))).unwrap();
    let expected = peer.digest();
    drop(peer);
    let path = scratch.0.join("dump.rdb");
    save_to(&loaded, &options(), &path);
    let said = check_rdb(&path);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    assert_eq!(Peer::start(&scratch.0).digest(), expected);
    assert_eq!(load(&path).unwrap().0.digest(), loaded.digest());
}

#[test]
fn a_file_of_valkey_9_is_version_11_by_another_name() {
    let scratch = Scratch::new();
    let mut bytes = file_of(&every_encoding(), 11, false);
    let (same, _) = load(&scratch.file("redis.rdb", &bytes)).unwrap();
    bytes[..9].copy_from_slice(b"VALKEY080");
    let (loaded, summary) = load(&scratch.file("valkey.rdb", &bytes)).unwrap();
    assert_eq!((loaded.digest(), summary.rdb_version), (same.digest(), 80));
}

#[test]
fn a_listpack_that_does_not_say_its_count_is_counted() {
    let scratch = Scratch::new();
    let elements: [&[u8]; 4] = [b"a", b"1", b"b", b"2"];
    for (type_number, elements_in) in [(16, 2), (17, 2), (20, 4), (18, 4)] {
        let mut blob = crate::encoder::listpack(&elements);
        blob[4..6].copy_from_slice(&[0xFF, 0xFF]);
        let mut value = crate::encoder::string(&blob);
        if type_number == 18 {
            value = [&[1, 2], value.as_slice()].concat();
        }
        let mut file = crate::encoder::File::new(12);
        let path = scratch.file("uncounted.rdb", &file.key(type_number, "k", &value).end(true));
        let (loaded, _) = load(&path).unwrap();
        let found = loaded.db(0).get(b"k").unwrap().value().elements();
        assert_eq!(found, Some(elements_in), "type {type_number}");
    }
}

/// A packed sorted set of Redis 7.0 has no minus zero, a large one has: what a member's length
/// makes large is large from its first member on.
#[test]
fn a_minus_zero_keeps_its_sign_where_redis_keeps_it() {
    let scratch = Scratch::new();
    for (times, encoding) in [(3, "skiplist"), (1, "listpack")] {
        let name = "longer than a packed form takes".repeat(times);
        let members = [(b"zero".as_slice(), -0.0), (name.as_bytes(), 1.0)];
        let mut file = crate::encoder::File::new(10);
        let bytes = file.key(5, "z", &crate::encoder::scores_binary(&members)).end(true);
        let path = scratch.file("dump.rdb", &bytes);
        let (loaded, _) = load(&path).unwrap();
        assert_eq!(loaded.db(0).get(b"z").unwrap().encoding(), encoding);
        assert_eq!(digest(&loaded), Peer::start(&scratch.0).digest(), "{encoding}");
    }
}

#[test]
fn thresholds_change_the_form_and_not_the_data() {
    let scratch = Scratch::new();
    let path = scratch.file("all.rdb", &file_of(&every_encoding(), 12, true));
    let (packed, _) = load(&path).unwrap();
    let packing = Packing {
        hash_entries: 1,
        hash_value_bytes: 1, // as in redis-server, no matter for a packed form that is loaded
        zset_entries: 0,
        set_int_entries: 1,
        list_node: 2,
        ..Packing::default()
    };
    let progress = &mut |_, _| true;
    let options_small = LoadOptions { packing, ..LoadOptions::new(16, progress) };
    let (large, _) = rdb::load(&path, options_small).unwrap();
    assert_eq!(digest(&large), digest(&packed));
    let encoding = |keyspace: &perdure_engine::keyspace::Keyspace, name: &str| {
        (0..16).find_map(|db| keyspace.db(db).get(name.as_bytes()).map(|entry| entry.encoding()))
    };
    for (name, small, grown) in [
        ("h:listpack", "listpack", "hashtable"),
        ("h:lzf", "listpack", "listpack"),
        ("z:listpack", "listpack", "skiplist"),
        ("z:text", "listpack", "skiplist"),
        ("t:int32", "intset", "hashtable"),
        ("t:ints", "intset", "hashtable"),
        ("t:listpack", "hashtable", "hashtable"),
        ("l:quick2", "quicklist", "quicklist"),
    ] {
        assert_eq!(encoding(&packed, name), Some(small), "{name}");
        assert_eq!(encoding(&large, name), Some(grown), "{name}");
    }
    let saved = scratch.0.join("large.rdb");
    save_to(&large, &options(), &saved);
    assert_eq!(load(&saved).unwrap().0.digest(), packed.digest());
}

#[test]
fn idle_time_is_the_access_time_of_what_is_loaded() {
    let scratch = Scratch::new();
    let mut file = crate::encoder::File::new(9);
    file.idle(1000).key(0, "s", &crate::encoder::string(b"v"));
    file.idle(2000).key(4, "h", &crate::encoder::strings(1, &[b"f", b"v"]));
    file.freq(7).key(0, "new", &crate::encoder::string(b"v"));
    let path = scratch.file("idle.rdb", &file.end(true));
    let (now_ms, progress) = (1_800_000_000_000, &mut |_: u64, _: u64| true);
    let options_now =
        LoadOptions { expire_before_ms: Some(now_ms), ..LoadOptions::new(16, progress) };
    let (loaded, _) = rdb::load(&path, options_now).unwrap();
    let idle = |name: &[u8]| loaded.db(0).get(name).unwrap().idle_seconds(now_ms);
    assert_eq!((idle(b"s"), idle(b"h"), idle(b"new")), (1000, 2000, 0));
}
