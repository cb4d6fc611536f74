//! SCAN's guarantee and RANDOMKEY's fairness, under random change. Seeds as in `model_tests`.

use std::collections::{HashMap, HashSet};

use super::model_tests::{Random, test_db};
use super::*;
use crate::value::NewValue;

fn key_of(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn set(db: &mut Db, number: u64) {
    db.set(&key_of(number), NewValue::Int(1), Expiry::Never);
}

/// One whole iteration, with `between` changing the database after every call; gives how often each
/// key was visited.
fn iterate(
    db: &mut Db,
    random: &mut Random,
    mut between: impl FnMut(&mut Db, &mut Random),
) -> HashMap<Vec<u8>, usize> {
    let mut visits = HashMap::new();
    let mut cursor = 0;
    loop {
        let count = 1 + random.below(50) as usize;
        let next = db.scan(cursor, count, &mut |entry| {
            *visits.entry(entry.key().to_vec()).or_default() += 1;
        });
        assert!(next < 1 << 48 && (next == 0 || next > cursor), "cursors rise to the end");
        if next == 0 {
            return visits;
        }
        cursor = next;
        between(db, random);
    }
}

#[test]
fn scan_visits_every_key_that_stays_while_others_come_and_go() {
    let mut random = Random::from_environment("scan");
    for keys in [1, 50, 3000, 10_000] {
        let mut db = test_db(random.draw());
        (0..keys).for_each(|number| set(&mut db, number));
        let visits = iterate(&mut db, &mut random, |db, random| {
            for _ in 0..random.below(400) {
                // Even numbers of the first ones stay; everything else comes and goes, so stripes
                // split and shrink.
                let number = random.below(keys * 8);
                match random.below(3) {
                    _ if number < keys && number % 2 == 0 => {}
                    0 => {
                        db.remove(&key_of(number));
                    }
                    _ => set(db, number),
                }
            }
        });
        for number in (0..keys).step_by(2) {
            assert_eq!(visits.get(&key_of(number)), Some(&1), "key {number} of {keys}");
        }
        assert_eq!(db.check_invariants(), Ok(()));
    }
}

#[test]
fn scan_survives_emptying_and_refilling_the_database() {
    let mut random = Random::from_environment("refill");
    let mut db = test_db(random.draw());
    (0..20_000).for_each(|number| set(&mut db, number));
    let mut calls = 0;
    let visits = iterate(&mut db, &mut random, |db, _| {
        calls += 1;
        if calls == 20 {
            (0..20_000).for_each(|number| {
                db.remove(&key_of(number));
            });
            (0..20_000).for_each(|number| set(db, number));
        }
    });
    assert!((0..20_000).all(|number| visits.contains_key(&key_of(number))));
}

#[test]
fn scan_of_an_unchanged_database_visits_each_key_once_about_count_at_a_time() {
    let mut random = Random::from_environment("unchanged");
    let mut db = test_db(random.draw());
    assert_eq!(db.scan(0, 10, &mut |_| {}), 0, "an empty database ends at once");
    (0..5000).for_each(|number| set(&mut db, number));
    let mut visited = 0;
    let cursor = db.scan(0, 100, &mut |_| visited += 1);
    assert!((100..110).contains(&visited) && cursor != 0, "{visited} visited");
    assert_eq!(db.scan(u64::MAX, usize::MAX, &mut |_| {}), 0, "any cursor ends");
    let visits = iterate(&mut db, &mut random, |_, _| {});
    assert_eq!((visits.len(), visits.values().max()), (5000, Some(&1)));
}

#[test]
fn random_draws_reach_every_key_about_equally() {
    let mut random = Random::from_environment("random");
    let mut db = test_db(random.draw());
    assert!(db.random(1).is_none());
    (0..3000).for_each(|number| set(&mut db, number));
    (20..3000).for_each(|number| {
        db.remove(&key_of(number));
    });
    let mut draws: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..20_000 {
        let entry = db.random(random.draw()).map(|entry| entry.key().to_vec());
        *draws.entry(entry.unwrap_or_default()).or_default() += 1;
    }
    let expected: HashSet<_> = (0..20).map(key_of).collect();
    assert_eq!(draws.keys().cloned().collect::<HashSet<_>>(), expected);
    // Uniform would be 1000 each; only a stripe with four times the mean could fall behind.
    assert!(draws.values().all(|count| (400..2000).contains(count)), "{draws:?}");
}
