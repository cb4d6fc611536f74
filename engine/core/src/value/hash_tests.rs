//! Hashes against std's map: random changes across the thresholds, in every form.

use std::collections::HashMap;

use super::*;
use crate::alloc;
use crate::keyspace::Db;
use crate::value::Type;
use crate::value::seeded::Seeded;

const KEY: &[u8] = b"key";

fn edit<R>(db: &mut Db, packing: Packing, change: impl FnOnce(&mut HashMut<'_, '_>) -> R) -> R {
    db.edit_or_make(KEY, Type::Hash, |value| change(&mut HashMut::of(value, packing)))
}

fn held(db: &Db) -> Option<HashRef<'_>> {
    match db.get(KEY)?.value() {
        ValueRef::Hash(hash) => Some(hash),
        other => panic!("a hash became {other:?}"),
    }
}

fn assert_same(db: &Db, model: &HashMap<Vec<u8>, Vec<u8>>) {
    assert_eq!(db.check_invariants(), Ok(()));
    let Some(hash) = held(db) else { return assert!(model.is_empty()) };
    assert_eq!(hash.len(), model.len());
    let read: HashMap<Vec<u8>, Vec<u8>> =
        hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
    assert_eq!(&read, model);
    for (field, value) in model {
        assert_eq!(hash.get(field).as_deref(), Some(&value[..]));
    }
}

#[test]
fn random_changes_agree_with_a_map_across_promotion() {
    let mut random = Seeded::from_environment("hash");
    let before = alloc::live_bytes();
    for round in 0..60 {
        let mut db = Db::new();
        let mut model = HashMap::new();
        let packing = Packing {
            hash_entries: [0, 3, 40, 512][random.below(4)],
            hash_value_bytes: [5, 64, 10_000][random.below(3)],
            ..Packing::default()
        };
        let fields: Vec<Vec<u8>> = (0..1 + random.below(80)).map(|_| random.element()).collect();
        for _ in 0..200 {
            let field = &fields[random.below(fields.len())];
            if random.below(3) == 0 {
                let was_there = edit(&mut db, packing, |hash| hash.remove(field));
                assert_eq!(was_there, model.remove(field).is_some());
            } else {
                let value = random.element();
                let is_new = edit(&mut db, packing, |hash| hash.put(field, &value));
                assert_eq!(is_new, model.insert(field.clone(), value).is_none());
            }
        }
        assert_same(&db, &model);
        assert!(round > 0 || alloc::live_bytes() >= before);
    }
    assert_eq!(alloc::live_bytes(), before, "what a database held is freed with it");
}

#[test]
fn each_threshold_promotes_once_it_is_passed_and_for_good() {
    let packing = Packing { hash_entries: 2, hash_value_bytes: 4, ..Packing::default() };
    let encoding = |db: &Db| held(db).map(HashRef::encoding);
    for (fields, expected) in [
        (vec!["a", "b"], "listpack"),
        (vec!["a", "b", "c"], "hashtable"),
        (vec!["abcd"], "listpack"),
        (vec!["abcde"], "hashtable"),
    ] {
        for is_value in [false, true] {
            let mut db = Db::new();
            for (number, text) in fields.iter().enumerate() {
                let plain = number.to_string();
                let (field, value) = if is_value { (&*plain, *text) } else { (*text, &*plain) };
                edit(&mut db, packing, |hash| hash.put(field.as_bytes(), value.as_bytes()));
            }
            assert_eq!(encoding(&db), Some(expected), "{fields:?}");
            let keep =
                held(&db).and_then(|hash| hash.iter().next()).map(|(field, _)| field.to_vec());
            edit(&mut db, packing, |hash| {
                let fields: Vec<_> = hash.view().iter().map(|(field, _)| field.to_vec()).collect();
                for field in fields.iter().filter(|field| Some(*field) != keep.as_ref()) {
                    assert!(hash.remove(field));
                }
            });
            assert_eq!(encoding(&db), Some(expected), "removing does not pack again");
        }
    }
}

#[test]
fn a_reservation_past_the_threshold_is_a_table_at_once() {
    let mut db = Db::new();
    edit(&mut db, Packing::default(), |hash| {
        hash.put(b"a", b"1");
        hash.reserve(512);
        assert_eq!(hash.view().encoding(), "listpack");
        hash.reserve(513);
        assert_eq!(hash.view().encoding(), "hashtable");
        assert_eq!(hash.view().get(b"a").as_deref(), Some(&b"1"[..]));
        hash.reserve(100_000);
    });
    assert_eq!(db.check_invariants(), Ok(()));
}

/// Buffer and entry: a key that was once long must not keep its memory for good.
#[test]
fn a_packed_hash_that_shrinks_gives_memory_back() {
    let mut fresh = Db::new();
    edit(&mut fresh, Packing::default(), |hash| hash.put(b"field:0", &[b'v'; 20]));
    for fields in [20, 500] {
        let mut db = Db::new();
        edit(&mut db, Packing::default(), |hash| {
            (0..fields).for_each(|at| {
                hash.put(format!("field:{at}").as_bytes(), &[b'v'; 20]);
            });
        });
        let (full, goal) = (db.memory_bytes(), fresh.memory_bytes() + 512);
        assert!(full > goal || fields < 500);
        for at in 1..fields {
            edit(&mut db, Packing::default(), |hash| hash.remove(format!("field:{at}").as_bytes()));
            assert_eq!(db.check_invariants(), Ok(()));
        }
        assert_eq!(
            held(&db).and_then(|hash| hash.get(b"field:0")).as_deref(),
            Some(&[b'v'; 20][..])
        );
        assert!(matches!(held(&db), Some(HashRef::Packed(_))));
        let left = db.memory_bytes();
        assert!(left <= goal, "{left} bytes of {full} for one field of {fields}");
    }
}
