//! Collections that no sound server writes: refused with place, reason and key, or passed over as
//! redis-server 7.0 does. What it does was tried on it, with these very files.

use perdure_engine::value::ValueRef;

use crate::encoder::{self as pen, File, Node};
use crate::files::{Scratch, context, load, refused, verify};

/// A file of one key `k` in db 2 and one string behind it.
fn with(type_number: u8, value: &[u8]) -> Vec<u8> {
    let mut file = File::new(12);
    file.select(2).key(type_number, "k", value);
    file.key(0, "after", &pen::string(b"v")).end(true)
}

fn double(value: f64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// What is wrong, the type, the value, and a word of the reason.
fn flaws() -> Vec<(&'static str, u8, Vec<u8>, &'static str)> {
    let twice: &[&[u8]] = &[b"a", b"1", b"a", b"2"];
    let odd: &[&[u8]] = &[b"a", b"1", b"b"];
    let twin_int = [pen::length(2), pen::string(b"5"), pen::integer(5)].concat();
    let scored = |score: &[u8]| [pen::length(1), pen::string(b"a"), score.to_vec()].concat();
    let node = |container: u64, bytes: &[u8]| {
        [pen::length(1), pen::length(container), pen::string(bytes)].concat()
    };
    let mut miscounted = pen::listpack(&[b"a", b"b"]);
    miscounted[4] = 3;
    vec![
        ("member twice", 2, pen::strings(2, &[b"a", b"a"]), "twice"),
        ("integer twice", 2, twin_int, "twice"),
        ("field twice", 4, pen::strings(2, twice), "twice"),
        ("scored twice", 5, pen::scores_binary(&[(b"a", 1.0), (b"a", 2.0)]), "twice"),
        ("scored twice, text", 3, pen::scores_text(&[(b"a", "1"), (b"a", "2")]), "twice"),
        ("ziplist hash twice", 13, pen::string(&pen::ziplist(twice)), "twice"),
        ("ziplist zset twice", 12, pen::string(&pen::ziplist(twice)), "twice"),
        ("listpack hash twice", 16, pen::string(&pen::listpack(twice)), "twice"),
        ("listpack zset twice", 17, pen::string(&pen::listpack(twice)), "twice"),
        ("listpack set twice", 20, pen::string(&pen::listpack(&[b"a", b"b", b"a"])), "twice"),
        ("zipmap twice", 9, pen::string(&pen::zipmap(&[(b"a", b"1"), (b"a", b"2")], 0)), "twice"),
        ("intset twice", 11, pen::string(&pen::intset(2, &[5, 5])), "rising order"),
        ("intset out of order", 11, pen::string(&pen::intset(2, &[5, 1])), "rising order"),
        ("intset of odd width", 11, pen::string(&pen::intset(3, &[1, 2])), "width"),
        ("half a pair", 13, pen::string(&pen::ziplist(odd)), "half a pair"),
        ("half a pair, zset", 12, pen::string(&pen::ziplist(odd)), "half a pair"),
        ("half a pair, listpack", 16, pen::string(&pen::listpack(odd)), "half a pair"),
        ("half a pair, scored", 17, pen::string(&pen::listpack(odd)), "half a pair"),
        ("NaN, binary", 5, scored(&double(f64::NAN)), "not a number"),
        ("NaN, length", 3, scored(&[253]), "not a number"),
        ("NaN, text", 3, scored(b"\x03nan"), "not a number"),
        ("no number", 3, scored(b"\x03abc"), "not a number"),
        ("half a number", 3, scored(b"\x031.x"), "not a number"),
        ("empty score", 3, scored(b"\x00"), "not a number"),
        ("NaN, packed", 17, pen::string(&pen::listpack(&[b"a", b"nan"])), "not a number"),
        ("no number, packed", 17, pen::string(&pen::listpack(&[b"a", b"x"])), "not a number"),
        ("no number, ziplist", 12, pen::string(&pen::ziplist(&[b"a", b"x"])), "not a number"),
        ("node in an unknown container", 18, node(3, b"abc"), "kind 3"),
        ("empty plain node", 18, node(1, b""), "empty"),
        ("node without bytes", 18, node(2, b""), "listpack"),
        ("miscounted", 16, pen::string(&miscounted), "header says"),
        ("an integer as a ziplist", 10, pen::integer(300), "integer"),
        ("a listpack as a ziplist", 10, pen::string(&pen::listpack(&[b"a"])), "ziplist"),
    ]
}

#[test]
fn flaws_are_refused_with_place_reason_and_key() {
    let scratch = Scratch::new();
    for (what, type_number, value, reason) in flaws() {
        let path = scratch.file("flaw.rdb", &with(type_number, &value));
        let error = refused(&path, "RDB_CORRUPT");
        assert!(context(&error, "reason").contains(reason), "{what}: {error:?}");
        assert_eq!((context(&error, "key"), context(&error, "db")), ("k", "2"), "{what}");
        let offset: usize = context(&error, "offset").parse().unwrap();
        assert!((12..=15 + value.len()).contains(&offset), "{what}: {error:?}");
    }
}

#[test]
fn empty_collections_are_passed_over_and_counted() {
    let scratch = Scratch::new();
    let empty_list = pen::string(&pen::ziplist(&[]));
    let empty_pack = pen::string(&pen::listpack(&[]));
    let nodes = pen::quicklist_2(&[Node::Packed(&[]), Node::Packed(&[])]);
    for (type_number, value) in [
        (1, pen::length(0)),
        (2, pen::length(0)),
        (3, pen::length(0)),
        (4, pen::length(0)),
        (5, pen::length(0)),
        (9, pen::string(&pen::zipmap(&[], 0))),
        (10, empty_list.clone()),
        (11, pen::string(&pen::intset(2, &[]))),
        (12, empty_list.clone()),
        (13, empty_list.clone()),
        (14, pen::length(0)),
        (14, [pen::length(1), empty_list].concat()),
        (16, empty_pack.clone()),
        (17, empty_pack.clone()),
        (18, pen::length(0)),
        (18, nodes),
        (20, empty_pack),
    ] {
        let path = scratch.file("empty.rdb", &with(type_number, &value));
        let (loaded, summary) = load(&path).unwrap();
        assert!(loaded.db(2).get(b"k").is_none(), "type {type_number}");
        assert_eq!((loaded.len(), summary.keys(), summary.empty_skipped), (1, 1, 1));
        assert_eq!(verify(&path).unwrap(), summary);
    }
}

#[test]
fn a_packed_sorted_set_out_of_order_comes_into_order() {
    let scratch = Scratch::new();
    let wrong: &[&[u8]] = &[b"c", b"2", b"a", b"2", b"b", b"1"];
    for (type_number, value) in [(17, pen::listpack(wrong)), (12, pen::ziplist(wrong))] {
        let path = scratch.file("order.rdb", &with(type_number, &pen::string(&value)));
        let (loaded, _) = load(&path).unwrap();
        let ValueRef::ZSet(zset) = loaded.db(2).get(b"k").unwrap().value() else {
            panic!("no sorted set");
        };
        let members: Vec<Vec<u8>> = zset.iter().map(|(member, _)| member.to_vec()).collect();
        assert_eq!(members, [b"b", b"a", b"c"], "type {type_number}");
    }
}

#[test]
fn an_expired_collection_is_left_out_whatever_its_form() {
    let scratch = Scratch::new();
    for sample in crate::encodings::every_encoding() {
        let mut file = File::new(12);
        file.ends_at_ms(1000).key(sample.type_number, sample.name, &sample.value);
        let path = scratch.file("over.rdb", &file.end(true));
        let progress = &mut |_, _| true;
        let at_1000 = perdure_engine::rdb::LoadOptions {
            expire_before_ms: Some(1000),
            ..perdure_engine::rdb::LoadOptions::new(16, progress)
        };
        let (loaded, summary) = perdure_engine::rdb::load(&path, at_1000).unwrap();
        assert_eq!((loaded.len(), summary.expired_skipped), (0, 1), "{}", sample.name);
        assert_eq!(
            loaded.memory_bytes(),
            perdure_engine::keyspace::Keyspace::new(16).memory_bytes()
        );
    }
}
