//! Packed and large sorted sets through [`ZSetMut`] and [`ZSetRef`]: the same answers in both forms,
//! Redis's bytes in the packed one.

use super::{LexBound, LexRange, Put, ScoreRange, ZSetMut, ZSetRef};
use crate::keyspace::Db;
use crate::value::packing::Packing;
use crate::value::seeded::Seeded;
use crate::value::{Type, ValueRef};

fn edit<R>(db: &mut Db, packing: Packing, change: impl FnOnce(&mut ZSetMut<'_, '_>) -> R) -> R {
    db.edit_or_make(b"z", Type::ZSet, |value| change(&mut ZSetMut::of(value, packing)))
}

fn read(db: &Db) -> ZSetRef<'_> {
    match db.get(b"z").map(|entry| entry.value()) {
        Some(ValueRef::ZSet(zset)) => zset,
        _ => panic!("no sorted set"),
    }
}

fn all(db: &Db) -> Vec<(Vec<u8>, f64)> {
    read(db).iter().map(|(member, score)| (member.to_vec(), score)).collect()
}

/// The bytes were read with DUMP from redis-server 7.0.15 after the same calls.
#[test]
fn packed_bytes_are_those_of_redis() {
    let mut db = Db::new();
    for (member, score) in [
        ("a", 0.1),
        ("b", 1e300),
        ("c", 3.0),
        ("d", -0.0),
        ("e", f64::INFINITY),
        ("f", 1e21),
        ("i", 4_611_686_018_427_387_904.0),
        ("j", 4_611_686_018_427_388_928.0),
        ("17", -4_611_686_018_427_387_904.0),
        ("c", 2.5),
    ] {
        edit(&mut db, Packing::default(), |zset| zset.put(member.as_bytes(), score));
    }
    let ZSetRef::Packed(packed) = read(&db) else { panic!("not packed") };
    let expected = GOLDEN.split_whitespace().collect::<String>();
    let bytes: String = packed.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(bytes, expected);
    assert_eq!(super::check_packed(packed), Ok(()));
}

const GOLDEN: &str = "\
    8e00000012001101f400000000000000c009816402000181610293302e3130303030303030303030 \
    3030303030311481630283322e3504816902f4000000000000004009816a0296342e363131363836 \
    30313834323733383839652b3138178166028531652b32310681620297312e303030303030303030 \
    30303030303031652b3330301881650283696e6604ff";

#[test]
fn packed_and_large_answer_alike() {
    let mut random = Seeded::from_environment("zset");
    let small = Packing { zset_entries: 0, ..Packing::default() };
    let big = Packing { zset_entries: 4000, ..Packing::default() };
    for round in 0..60 {
        let (mut packed, mut large) = (Db::new(), Db::new());
        let scores = 1 + random.below(20);
        for _ in 0..random.below(200) {
            let member = random.below(60).to_string();
            let score = random.below(scores) as f64 / 4.0;
            let is_put = random.below(4) > 0;
            let change = |db: &mut Db, packing| {
                edit(db, packing, |zset| match is_put {
                    true => Ok(zset.put(member.as_bytes(), score)),
                    false => Err(zset.remove(member.as_bytes())),
                })
            };
            assert_eq!(change(&mut packed, big), change(&mut large, small));
            if !packed.is_empty() {
                assert_eq!(all(&packed), all(&large), "round {round}");
            }
        }
        edit(&mut packed, big, |zset| zset.put(b"last", 1.0));
        edit(&mut large, small, |zset| zset.put(b"last", 1.0));
        let (one, other) = (read(&packed), read(&large));
        assert_eq!((one.encoding(), other.encoding()), ("listpack", "skiplist"));
        let range = ScoreRange {
            min: random.below(scores) as f64 / 4.0,
            max: random.below(scores) as f64 / 3.0,
            is_min_exclusive: random.below(2) == 0,
            is_max_exclusive: random.below(2) == 0,
        };
        let (from, to) = one.ranks_of_scores(&range);
        assert_eq!((from, to.max(from)), other.ranks_of_scores(&range), "{range:?}");
        let members = |zset: ZSetRef<'_>| -> Vec<Vec<u8>> {
            zset.range(from, to).rev().map(|(member, _)| member.to_vec()).collect()
        };
        assert_eq!(members(one), members(other));
        for rank in 0..one.len() {
            let (member, score) = one.range(rank, rank + 1).next().unwrap();
            assert_eq!(one.rank(&member), Some((rank, score)));
            assert_eq!(other.rank(&member), Some((rank, score)));
            assert_eq!(one.score(&member), other.score(&member));
        }
        let (from, to) = (random.below(one.len()), random.below(one.len() + 3));
        let removed = edit(&mut packed, big, |zset| zset.remove_range(from, to));
        assert_eq!(edit(&mut large, small, |zset| zset.remove_range(from, to)), removed);
        if !packed.is_empty() {
            assert_eq!(all(&packed), all(&large));
        }
        large.check_invariants().unwrap();
    }
}

#[test]
fn ranges_of_members_are_alike_where_scores_are_equal() {
    let (mut packed, mut large) = (Db::new(), Db::new());
    let small = Packing { zset_entries: 0, ..Packing::default() };
    for member in ["a", "b", "bb", "c", "", "17", "d"] {
        edit(&mut packed, Packing::default(), |zset| zset.put(member.as_bytes(), 0.0));
        edit(&mut large, small, |zset| zset.put(member.as_bytes(), 0.0));
    }
    let texts: [&[u8]; 6] = [b"", b"17", b"b", b"ba", b"d", b"zz"];
    let mut bounds = vec![LexBound::First, LexBound::Last];
    bounds.extend(texts.map(LexBound::Inclusive));
    bounds.extend(texts.map(LexBound::Exclusive));
    let sorted = all(&packed);
    for min in &bounds {
        for max in &bounds {
            let range = LexRange { min: *min, max: *max };
            let is_in = |it: &[u8]| range.is_past_min(it) && range.is_within_max(it);
            let expected: Vec<_> = sorted.iter().filter(|(it, _)| is_in(it)).collect();
            for (db, is_reverse) in
                [(&packed, false), (&packed, true), (&large, false), (&large, true)]
            {
                let (from, to) = read(db).ranks_of_members(&range, is_reverse, 0);
                assert_eq!(sorted[from..to].iter().collect::<Vec<_>>(), expected, "{range:?}");
            }
        }
    }
}

#[test]
fn a_set_becomes_large_past_either_threshold_and_stays_so() {
    let mut db = Db::new();
    let packing = Packing { zset_entries: 4, zset_value_bytes: 8, ..Packing::default() };
    for member in ["a", "b", "c", "d"] {
        assert_eq!(edit(&mut db, packing, |zset| zset.put(member.as_bytes(), 1.0)), Put::Added);
    }
    assert_eq!(edit(&mut db, packing, |zset| zset.put(b"a", 7.0)), Put::Updated);
    assert_eq!(read(&db).encoding(), "listpack");
    edit(&mut db, packing, |zset| zset.put(b"e", 1.0));
    assert_eq!(read(&db).encoding(), "skiplist");
    assert_eq!(read(&db).len(), 5);
    edit(&mut db, packing, |zset| zset.remove_range(1, 5));
    assert_eq!(read(&db).encoding(), "skiplist");
    edit(&mut db, packing, |zset| zset.remove(b"b"));
    assert!(db.is_empty());
    edit(&mut db, packing, |zset| zset.put(b"nine bytes", 1.0));
    assert_eq!(read(&db).encoding(), "skiplist");
    db.check_invariants().unwrap();
}
