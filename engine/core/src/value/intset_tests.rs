//! The intset against a `BTreeSet`, against bytes that Redis 7.0 made, and against damage.

use std::collections::BTreeSet;

use super::*;
use crate::value::seeded::Seeded;

fn made(members: &[i64]) -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    for member in members {
        assert!(add(&mut bytes, *member));
    }
    bytes
}

/// The expected bytes are what `DUMP` of such a set gave in Redis 7.0.15.
#[test]
fn bytes_are_those_of_redis() {
    let narrow = made(&[5, -3, 32767, -32768, 0]);
    assert_eq!(narrow, *b"\x02\0\0\0\x05\0\0\0\x00\x80\xfd\xff\x00\x00\x05\x00\xff\x7f");
    let middle = made(&[1, 2, -5, -70_000]);
    assert_eq!(
        middle,
        *b"\x04\0\0\0\x04\0\0\0\x90\xee\xfe\xff\xfb\xff\xff\xff\x01\0\0\0\x02\0\0\0"
    );
    let mut wide = made(&[1, 2, 70_000, 1 << 40, 3]);
    assert!(remove(&mut wide, 1 << 40));
    let mut expected = b"\x08\0\0\0\x04\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0".to_vec();
    expected.extend(b"\x03\0\0\0\0\0\0\0\x70\x11\x01\0\0\0\0\0");
    assert_eq!(wide, expected);
}

#[test]
fn random_edits_agree_with_a_sorted_set() {
    let mut random = Seeded::from_environment("intset edits");
    for _ in 0..100 {
        let (mut bytes, mut model) = (EMPTY.to_vec(), BTreeSet::new());
        let shift = random.below(64);
        for _ in 0..300 {
            let member = random.draw() as i64 >> shift >> random.below(8);
            if random.below(3) == 0 {
                assert_eq!(remove(&mut bytes, member), model.remove(&member));
            } else {
                assert_eq!(add(&mut bytes, member), model.insert(member));
            }
            let view = Intset::new(&bytes);
            assert_eq!(view.contains(member), model.contains(&member));
            assert_eq!(check(&bytes), Ok(model.len()));
        }
        let view = Intset::new(&bytes);
        assert_eq!((view.len(), view.is_empty()), (model.len(), model.is_empty()));
        assert!(view.iter().eq(model.iter().copied()));
        assert!(view.iter().rev().eq(model.iter().rev().copied()));
        assert_eq!(view.get(model.len()), None);
    }
}

#[test]
fn every_width_takes_its_bounds() {
    let bounds = [
        i64::from(i16::MIN),
        i64::from(i16::MAX),
        i64::from(i32::MIN),
        i64::from(i32::MAX),
        i64::MIN,
        i64::MAX,
    ];
    for (place, widths) in [(0, 2), (2, 4), (4, 8)] {
        let bytes = made(&bounds[..place + 2]);
        assert_eq!(bytes[0], widths);
        let sorted: BTreeSet<_> = bounds[..place + 2].iter().copied().collect();
        assert!(Intset::new(&bytes).iter().eq(sorted));
    }
}

#[test]
fn damage_is_refused_or_harmless() {
    let bytes = made(&[-40_000, -2, 0, 7, 40_000]);
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            let view = Intset::new(&damaged);
            let _ = (view.iter().count(), view.contains(7), view.get(usize::MAX));
            let is_refused = check(&damaged).is_err();
            assert!(is_refused || place >= HEADER_BYTES, "byte {place} bit {bit}");
            add(&mut damaged, i64::MAX);
            remove(&mut damaged, 7);
        }
        assert!(check(&bytes[..place]).is_err(), "cut at {place}");
        let _ = Intset::new(&bytes[..place]).iter().count();
    }
    assert!(check(&[&bytes[..], &[0]].concat()).is_err());
    let mut unsorted = made(&[1, 2]);
    unsorted.swap(8, 10);
    assert!(check(&unsorted).is_err_and(|reason| reason.contains("rising")));
    let twice = *b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0";
    assert!(check(&twice).is_err());
}
