//! Sets against std's set: random changes across the thresholds, in every form.

use std::collections::HashSet;

use super::*;
use crate::alloc;
use crate::keyspace::Db;
use crate::value::Type;
use crate::value::seeded::Seeded;

const KEY: &[u8] = b"key";

fn edit<R>(db: &mut Db, packing: Packing, change: impl FnOnce(&mut SetMut<'_, '_>) -> R) -> R {
    db.edit_or_make(KEY, Type::Set, |value| change(&mut SetMut::of(value, packing)))
}

fn held(db: &Db) -> Option<SetRef<'_>> {
    match db.get(KEY)?.value() {
        ValueRef::Set(set) => Some(set),
        other => panic!("a set became {other:?}"),
    }
}

/// Its form in one word.
fn form(set: SetRef<'_>) -> &'static str {
    match set {
        SetRef::Ints(_) => "ints",
        SetRef::Packed(_) => "packed",
        SetRef::Large(_) => "large",
    }
}

#[test]
fn random_changes_agree_with_a_set_across_every_form() {
    let mut random = Seeded::from_environment("set");
    let before = alloc::live_bytes();
    let mut forms = HashSet::new();
    for _ in 0..120 {
        let mut db = Db::new();
        let mut model: HashSet<Vec<u8>> = HashSet::new();
        let set_int_entries = [0, 10, 512, usize::MAX][random.below(4)];
        let packing = Packing { set_int_entries, ..Packing::default() };
        let is_short = random.below(2) == 0;
        let ints_only = 1 + random.below(400);
        let count = 1 + random.below(300);
        let members: Vec<Vec<u8>> = (0..count)
            .map(|number| match (is_short, number < ints_only) {
                (_, true) => random.int().to_string().into_bytes(),
                (true, _) => format!("m{}", random.below(10_000)).into_bytes(),
                _ => random.element(),
            })
            .collect();
        for step in 0..400 {
            let member = &members[random.below(members.len().min(1 + step))];
            if random.below(3) == 0 {
                let was_there = edit(&mut db, packing, |set| set.remove(member));
                assert_eq!(was_there, model.remove(member));
            } else {
                let is_new = edit(&mut db, packing, |set| set.add(member));
                assert_eq!(is_new, model.insert(member.clone()));
            }
            forms.extend(held(&db).map(form));
        }
        assert_eq!(db.check_invariants(), Ok(()));
        let set = held(&db);
        let read: HashSet<Vec<u8>> =
            set.into_iter().flat_map(SetRef::iter).map(|member| member.to_vec()).collect();
        assert_eq!((set.map_or(0, SetRef::len), &read), (model.len(), &model));
        assert!(members.iter().all(|member| {
            set.is_some_and(|set| set.contains(member)) == model.contains(member)
        }));
    }
    assert_eq!(forms.len(), 3, "every form was met");
    assert_eq!(alloc::live_bytes(), before, "what a database held is freed with it");
}

#[test]
fn each_form_is_left_for_good_when_something_does_not_fit() {
    let packing = Packing { set_int_entries: 4, ..Packing::default() };
    let mut db = Db::new();
    edit(&mut db, packing, |set| {
        (0..4).for_each(|int| assert!(set.add(int.to_string().as_bytes())));
        assert_eq!(form(set.view()), "ints");
        assert!(set.add(b"4"));
        assert_eq!(form(set.view()), "packed", "too many integers");
        (0..5).for_each(|int| assert!(set.remove(int.to_string().as_bytes())));
        assert!(set.add(b"1"));
        assert_eq!(form(set.view()), "packed", "what is left does not matter");
        (0..127).for_each(|int| assert!(set.add(format!("m{int}").as_bytes())));
        assert_eq!((form(set.view()), set.view().len()), ("packed", 128));
        assert!(set.add(b"one more"));
        assert_eq!((form(set.view()), set.view().len()), ("large", 129));
    });
    assert!(db.remove(KEY));
    edit(&mut db, packing, |set| {
        assert!(set.add(b"01"));
        assert_eq!((form(set.view()), set.view().encoding()), ("packed", "hashtable"));
        assert!(set.add(&[b'x'; 64]));
        assert_eq!(form(set.view()), "packed");
        assert!(set.add(&[b'y'; 65]));
        assert_eq!(form(set.view()), "large");
    });
    assert_eq!(db.check_invariants(), Ok(()));
}

#[test]
fn a_reservation_chooses_the_form_that_will_fit() {
    for (members, expected) in [(128, "packed"), (129, "large"), (100, "ints")] {
        let set_int_entries = if expected == "ints" { 100 } else { 99 };
        let packing = Packing { set_int_entries, ..Packing::default() };
        let mut db = Db::new();
        edit(&mut db, packing, |set| {
            set.add(b"7");
            set.reserve(members);
            assert_eq!(form(set.view()), expected, "{members}");
            assert!(!set.add(b"7"));
        });
        assert_eq!(db.check_invariants(), Ok(()));
    }
}
