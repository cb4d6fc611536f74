//! The keyspace against a model: random operations on it and on std's maps, which must agree.
//! Every test prints its seed; `PERDURE_TEST_SEED=<n>` repeats one.

use std::collections::HashMap;

use super::*;
use crate::alloc;
use crate::table::KeyHasher;
use crate::value::seeded::Seeded;
use crate::value::{NewValue, ValueRef, integer};

/// Random values of the kinds that keys hold.
pub(super) struct Random(Seeded);

impl Random {
    /// Seeded from `PERDURE_TEST_SEED` or the clock; prints the seed.
    pub fn from_environment(test: &str) -> Self {
        Self(Seeded::from_environment(test))
    }

    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.draw() as u8).collect()
    }

    /// Any sort of string: empty, integer, short, around the bounds of the encodings, long.
    fn value(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => Vec::new(),
            1 | 2 => (self.draw() as i64 >> self.below(64)).to_string().into_bytes(),
            3 => vec![b'x'; 40 + self.below(10) as usize],
            4 => vec![b'y'; 1000 + self.below(50) as usize],
            5 => {
                let len = self.below(5000) as usize;
                self.bytes(len)
            }
            _ => {
                let len = self.below(100) as usize;
                self.bytes(len)
            }
        }
    }
}

#[derive(Default, Debug, Clone, PartialEq)]
struct Modelled {
    value: Vec<u8>,
    expire_at_ms: Option<i64>,
}

type Model = HashMap<Vec<u8>, Modelled>;

pub(super) fn test_db(seed: u64) -> Db {
    Db::with_hasher(KeyHasher::of_seed(seed))
}

fn assert_same(db: &Db, model: &Model) {
    assert_eq!(db.check_invariants(), Ok(()));
    assert_eq!(db.len(), model.len());
    assert_eq!(db.expires_len(), model.values().filter(|it| it.expire_at_ms.is_some()).count());
    assert_eq!(db.iter().count(), model.len());
    for entry in db.iter() {
        let modelled = &model[entry.key()];
        assert_eq!(&*entry.value().text(), &modelled.value[..]);
        assert_eq!(entry.expire_at_ms(), modelled.expire_at_ms);
    }
    for key in model.keys() {
        assert_eq!(db.get(key).map(EntryRef::key), Some(&key[..]));
    }
}

fn expiry_of(random: &mut Random) -> Option<i64> {
    (random.below(3) == 0).then(|| random.below(1 << 40) as i64)
}

fn set_both(random: &mut Random, key: &[u8], db: &mut Db, model: &mut Model) {
    let value = random.value();
    let expiry = match random.below(3) {
        0 => Expiry::Keep,
        1 => Expiry::Never,
        _ => Expiry::At(random.below(1 << 40) as i64),
    };
    assert_eq!(db.set(key, NewValue::Bytes(&value), expiry), model.contains_key(key));
    let modelled = model.entry(key.to_vec()).or_default();
    modelled.value = value;
    match expiry {
        Expiry::Keep => {}
        Expiry::Never => modelled.expire_at_ms = None,
        Expiry::At(at_ms) => modelled.expire_at_ms = Some(at_ms),
    }
}

fn extend_both(random: &mut Random, key: &[u8], db: &mut Db, model: &mut Model) {
    let bytes = random.value();
    if random.below(2) == 0 {
        let modelled = model.entry(key.to_vec()).or_default();
        modelled.value.extend_from_slice(&bytes);
        assert_eq!(db.append(key, &bytes), modelled.value.len());
        return;
    }
    let offset = random.below(3000) as usize;
    if !bytes.is_empty() {
        let value = &mut model.entry(key.to_vec()).or_default().value;
        value.resize(value.len().max(offset + bytes.len()), 0);
        value[offset..offset + bytes.len()].copy_from_slice(&bytes);
    }
    let len = model.get(key).map_or(0, |modelled| modelled.value.len());
    assert_eq!(db.set_range(key, offset, &bytes), len);
}

fn step(random: &mut Random, keys: u64, db: &mut Db, model: &mut Model) {
    let key = format!("key:{}", random.below(keys)).into_bytes();
    match random.below(12) {
        0..5 => set_both(random, &key, db, model),
        5 => extend_both(random, &key, db, model),
        6..9 => assert_eq!(db.remove(&key), model.remove(&key).is_some()),
        9 => {
            let expire_at_ms = expiry_of(random);
            let modelled = model.get_mut(&key);
            assert_eq!(db.set_expire(&key, expire_at_ms), modelled.is_some());
            modelled.into_iter().for_each(|modelled| modelled.expire_at_ms = expire_at_ms);
        }
        10 => {
            let to = format!("key:{}", random.below(keys)).into_bytes();
            let value = model.remove(&key);
            assert_eq!(db.rename(&key, &to), value.is_some());
            value.into_iter().for_each(|value| {
                model.insert(to.clone(), value);
            });
        }
        _ => {
            let found = db.get(&key).map(|entry| entry.value().text().to_vec());
            assert_eq!(found, model.get(&key).map(|modelled| modelled.value.clone()));
        }
    }
}

#[test]
fn random_operations_agree_with_a_model_and_leave_no_memory() {
    let mut random = Random::from_environment("model");
    let before = alloc::live_bytes();
    for keys in [3, 200, 20_000] {
        let (mut db, mut model) = (test_db(random.draw()), Model::new());
        for _ in 0..4 {
            (0..20_000).for_each(|_| step(&mut random, keys, &mut db, &mut model));
            assert_same(&db, &model);
        }
        let names: Vec<_> = model.keys().cloned().collect();
        names.iter().for_each(|key| assert!(db.remove(key)));
        assert_same(&db, &Model::new());
        assert_eq!(
            db.table.ledger_mut().bytes(),
            0,
            "an empty database holds no entry and no slots"
        );
    }
    assert_eq!(alloc::live_bytes(), before);
}

#[test]
fn moves_and_copies_between_databases_keep_the_counts() {
    let before = alloc::live_bytes();
    let mut keyspace = Keyspace::new(3);
    let long = vec![7; 100_000];
    for (key, value) in [(&b"short"[..], &b"v"[..]), (b"long", &long), (b"int", b"42")] {
        keyspace.db_mut(0).set(key, NewValue::Bytes(value), Expiry::At(1 << 41));
        assert!(keyspace.copy_key((0, key), (1, b"copy")), "the copy replaces the one before");
        assert!(keyspace.copy_key((0, key), (0, b"twin")));
        assert!(keyspace.move_key(key, 0, 2));
        assert!(!keyspace.move_key(key, 0, 2), "gone");
        assert!(!keyspace.move_key(b"twin", 0, 0) && !keyspace.copy_key((0, key), (1, b"copy")));
        let moved =
            keyspace.db(2).get(key).map(|it| (it.value().text().to_vec(), it.expire_at_ms()));
        assert_eq!(moved, Some((value.to_vec(), Some(1 << 41))));
        for (db, name) in [(1, &b"copy"[..]), (0, b"twin")] {
            let text = keyspace.db(db).get(name).map(|entry| entry.value().text().to_vec());
            assert_eq!(text.as_deref(), Some(value));
        }
    }
    assert!(!keyspace.move_key(b"int", 2, 2));
    keyspace.db_mut(0).set(b"int", NewValue::Int(1), Expiry::Never);
    assert!(!keyspace.move_key(b"int", 2, 0), "already there");
    keyspace.swap(0, 2);
    assert_eq!((keyspace.db(0).len(), keyspace.db(2).len(), keyspace.len()), (3, 2, 6));
    (0..3).for_each(|index| assert_eq!(keyspace.db(index).check_invariants(), Ok(())));
    assert!(keyspace.memory_bytes() > 100_000);
    drop(keyspace);
    assert_eq!(alloc::live_bytes(), before);
}

#[test]
fn encodings_have_the_names_that_redis_gives() {
    let mut db = test_db(1);
    let encoding = |db: &Db| db.get(b"k").map(EntryRef::encoding);
    for (value, name) in [(44, "embstr"), (45, "raw"), (1024, "raw"), (1025, "raw"), (0, "embstr")]
    {
        db.set(b"k", NewValue::Bytes(&vec![b'a'; value]), Expiry::Never);
        assert_eq!(encoding(&db), Some(name), "{value} bytes");
    }
    db.set(b"k", NewValue::Bytes(b"-12"), Expiry::Never);
    assert_eq!(encoding(&db), Some("int"));
    assert_eq!(db.get(b"k").map(EntryRef::value), Some(ValueRef::Int(-12)));
    assert_eq!(db.append(b"k", b"3"), 4);
    assert_eq!(encoding(&db), Some("raw"), "appended");
    assert_eq!(db.get(b"k").map(EntryRef::value), Some(ValueRef::Bytes(b"-123")));
    assert_eq!(db.get(b"k").and_then(|it| it.value().as_int()), Some(-123));
    assert_eq!(db.set_range(b"new", 2, b"1"), 3);
    assert_eq!(
        db.get(b"new").map(|it| (it.value(), it.encoding())),
        Some((ValueRef::Bytes(b"\0\x001"), "raw"))
    );
    assert_eq!(db.set_range(b"none", 2, b""), 0);
    assert!(db.get(b"none").is_none());
}

#[test]
fn long_keys_and_values_of_any_bytes_are_kept() {
    let before = alloc::live_bytes();
    let mut db = test_db(2);
    let long_key = vec![0xFF; 3 << 20];
    for key in [&b""[..], b"\0", b"\r\n", &long_key] {
        let value: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
        assert!(!db.set(key, NewValue::Bytes(&value), Expiry::At(5)));
        assert_eq!(db.get(key).map(EntryRef::value), Some(ValueRef::Bytes(&value)));
        assert!(db.rename(key, b"other") && db.rename(b"other", key));
        assert!(db.set(key, NewValue::Bytes(b"x"), Expiry::Keep));
        assert_eq!(db.get(key).and_then(EntryRef::expire_at_ms), Some(5));
        assert!(db.set_expire(key, None) && db.expires_len() == 0);
    }
    assert_eq!(db.check_invariants(), Ok(()));
    drop(db);
    assert_eq!(alloc::live_bytes(), before);
}

#[test]
fn appending_reallocates_rarely() {
    let mut db = test_db(3);
    let mut moves = 0;
    let mut start = std::ptr::null();
    for _ in 0..100_000 {
        db.append(b"log", b"0123456789");
        if let Some(ValueRef::Bytes(bytes)) = db.get(b"log").map(EntryRef::value)
            && bytes.as_ptr() != start
        {
            start = bytes.as_ptr();
            moves += 1;
        }
    }
    assert_eq!(db.get(b"log").map(|entry| entry.value().text().len()), Some(1_000_000));
    assert!(moves < 60, "{moves} moves");
}

#[test]
fn a_million_keys_grow_the_table_and_stay_small() {
    let mut db = test_db(4);
    for number in 0..1_000_000_u32 {
        let key = format!("key:{number:012}");
        assert!(!db.set(key.as_bytes(), NewValue::Bytes(&[b'v'; 64]), Expiry::Never));
    }
    assert_eq!(db.check_invariants(), Ok(()));
    let bytes_a_key = db.memory_bytes() as f64 / 1e6;
    assert!(bytes_a_key < 107.5, "{bytes_a_key} bytes a key");
    for number in (0..1_000_000_u32).step_by(997) {
        assert!(db.get(format!("key:{number:012}").as_bytes()).is_some());
        assert!(db.get(format!("kex:{number:012}").as_bytes()).is_none());
    }
    let old = db.take_all();
    assert_eq!((db.len(), db.table.ledger_mut().bytes(), old.len()), (0, 0, 1_000_000));
}

#[test]
fn a_reserved_table_does_not_split_and_a_lying_hint_is_cheap() {
    let mut db = test_db(5);
    db.reserve(100_000);
    let heads = db.table.heads_bytes();
    (0..100_000).for_each(|number| {
        db.set(&integer::IntText::new(number), NewValue::Int(number), Expiry::Never);
    });
    assert_eq!(db.table.heads_bytes(), heads);
    db.reserve(400_000);
    assert_eq!(db.check_invariants(), Ok(()));
    let mut empty = test_db(6);
    empty.reserve(usize::MAX);
    assert!(empty.memory_bytes() < 32 << 20, "{} bytes", empty.memory_bytes());
    assert_eq!(empty.check_invariants(), Ok(()));
}

#[test]
fn an_expected_growth_splits_what_is_there_and_a_wrong_guess_is_cheap() {
    let mut db = test_db(7);
    let put = |db: &mut Db, from: u32, to: u32| {
        for number in from..to {
            let key = format!("key:{number:012}");
            db.set(key.as_bytes(), NewValue::Bytes(&[b'v'; 64]), Expiry::Never);
        }
    };
    put(&mut db, 0, 2000);
    db.expect(64_000);
    assert_eq!(db.check_invariants(), Ok(()));
    let heads = db.table.heads_bytes();
    put(&mut db, 2000, 56_000);
    assert_eq!((db.table.heads_bytes(), db.len()), (heads, 56_000), "nothing split");
    let usual = db.memory_bytes();
    db.expect(10); // fewer: nothing happens
    assert_eq!(db.memory_bytes(), usual);
    db.expect(500_000);
    assert_eq!(db.check_invariants(), Ok(()));
    assert!(db.memory_bytes() < usual + 56_000 * 8, "{} of {usual}", db.memory_bytes());
}

#[test]
fn the_cycle_reports_each_ended_key_and_no_other() {
    let mut random = Random::from_environment("cycle");
    let mut db = test_db(random.draw());
    let ends: HashMap<Vec<u8>, i64> =
        (0..30_000).map(|n| (format!("k{n}").into_bytes(), random.below(1000) as i64)).collect();
    for (key, at_ms) in &ends {
        db.set(key, NewValue::Int(1), Expiry::At(*at_ms));
        db.set(&[&b"stays"[..], key].concat(), NewValue::Int(1), Expiry::Never);
    }
    for now_ms in (0..=1200).step_by(100) {
        let mut idle = 0;
        while idle < 2 {
            let due = db.take_due(now_ms, 300);
            assert!(due.len() <= 300);
            idle = if due.is_empty() { idle + 1 } else { 0 };
            for key in due {
                assert!(ends[&key] < now_ms);
                assert!(db.remove(&key), "reported once");
            }
            if idle == 0 {
                continue;
            }
        }
        let left = ends.values().filter(|at_ms| **at_ms >= now_ms).count();
        assert_eq!((db.expires_len(), db.len()), (left, left + 30_000));
        assert_eq!(db.check_invariants(), Ok(()));
    }
}

#[test]
fn idle_time_counts_from_the_last_set_or_note() {
    let mut keyspace = Keyspace::new(1);
    keyspace.tick(1_000_000);
    let db = keyspace.db_mut(0);
    db.set(b"k", NewValue::Int(1), Expiry::Never);
    assert_eq!(db.get(b"k").map(|entry| entry.idle_seconds(1_009_999)), Some(9));
    assert!(db.get_and_note(b"k", 1_005_000).is_some());
    assert_eq!(db.get(b"k").map(|entry| entry.idle_seconds(1_009_999)), Some(4));
    assert_eq!(db.get(b"k").map(|entry| entry.value()), Some(ValueRef::Int(1)));
}
