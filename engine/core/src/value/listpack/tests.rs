//! The listpack against a `Vec` of elements, against bytes that Redis 7.0 made, and against damage.

use super::*;
use crate::value::growable::Growable;
use crate::value::seeded::Seeded;

/// What `DUMP` of a hash of the integers below, pair by pair in this order, holds in Redis 7.0.15.
const REDIS_INTEGERS: &str = "7b000000160000017f01c08002dfff02cfff02d00002f1001003f1ffef03f1ff7f03\
    f1008003f200800004f2ff7fff04f2ffff7f04f200008004f30000800005f3ffff7fff05f3ffffff7f05f300000080\
    05f4000000800000000009f4ffffff7fffffffff09f4ffffffffffffff7f09f4000000000000008009ff";
/// Likewise of texts: 63 and 64 bytes, none, and what is nearly an integer.
const REDIS_TEXTS_TAIL: &str = "800182303103822d3003933932323333373230333638353437373538303814822b\
    3103f4000000000000008009ff";

const INTEGERS: [i64; 22] = [
    0,
    127,
    128,
    -1,
    4095,
    -4096,
    4096,
    -4097,
    32767,
    -32768,
    32768,
    -32769,
    8_388_607,
    -8_388_608,
    8_388_608,
    -8_388_609,
    2_147_483_647,
    -2_147_483_648,
    2_147_483_648,
    -2_147_483_649,
    i64::MAX,
    i64::MIN,
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn packed(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    for element in elements {
        push_back(&mut bytes, element);
    }
    bytes
}

fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
    Listpack::new(bytes).iter().map(|text| text.to_vec()).collect()
}

#[test]
fn integers_take_the_bytes_that_redis_gives_them() {
    let elements: Vec<_> = INTEGERS.iter().map(|value| value.to_string().into_bytes()).collect();
    let bytes = packed(&elements);
    assert_eq!(bytes, hex(REDIS_INTEGERS));
    let view = Listpack::new(&bytes);
    let ints: Vec<_> = view.entries().map(|(at, _)| view.get_int(at).unwrap()).collect();
    assert_eq!(ints, INTEGERS);
    assert_eq!(texts(&bytes), elements);
}

#[test]
fn texts_take_the_bytes_that_redis_gives_them() {
    let nearly: [&[u8]; 6] =
        [b"", b"01", b"-0", b"9223372036854775808", b"+1", b"-9223372036854775808"];
    let mut elements = vec![vec![b'a'; 63], vec![b'b'; 64]];
    elements.extend(nearly.map(<[u8]>::to_vec));
    let bytes = packed(&elements);
    let mut expected = vec![0xb8, 0, 0, 0, 8, 0, 0xbf];
    expected.extend(vec![b'a'; 63]);
    expected.extend([0x40, 0xe0, 0x40]);
    expected.extend(vec![b'b'; 64]);
    expected.push(0x42);
    expected.extend(hex(REDIS_TEXTS_TAIL));
    assert_eq!(bytes, expected);
    assert_eq!(texts(&bytes), elements);
}

/// Goal: a length at an element's end has the width that Redis computes, one short of the bits'
/// bound. Method: head and tail bytes as Redis 7.0.15 dumped a hash `f` -> `z` times the length.
#[test]
fn lengths_change_width_where_redis_changes_it() {
    let observed: [(usize, &str, &str); 12] = [
        (121, "816602e079", "7bff"),
        (125, "816602e07d", "7fff"),
        (126, "816602e07e", "0180ff"),
        (4095, "816602efff", "2081ff"),
        (4096, "816602f000100000", "2085ff"),
        (16_377, "816602f0f93f0000", "7ffeff"),
        (16_378, "816602f0fa3f0000", "00ffffff"),
        (16_379, "816602f0fb3f0000", "018080ff"),
        (2_097_145, "816602f0f9ff1f00", "7ffffeff"),
        (2_097_146, "816602f0faff1f00", "00ffffffff"),
        (2_097_147, "816602f0fbff1f00", "01808080ff"),
        (63, "816602bf", "40ff"),
    ];
    for (len, head, tail) in observed {
        let bytes = packed(&[b"f".to_vec(), vec![b'z'; len]]);
        let (head, tail) = (hex(head), hex(tail));
        let expected: Vec<u8> = [head, vec![b'z'; len], tail].concat();
        assert!(bytes[HEADER_BYTES..] == expected, "a text of {len} bytes");
        assert_eq!(encoded_bytes(&vec![b'z'; len]), bytes.len() - EMPTY.len() - 3);
        assert_eq!(check(&bytes), Ok(2));
        let view = Listpack::new(&bytes);
        assert_eq!(view.prev(view.last().unwrap()), view.first());
    }
}

/// Do one random edit to both.
fn edit(random: &mut Seeded, bytes: &mut Vec<u8>, model: &mut Vec<Vec<u8>>) {
    let element = random.element();
    let place = (!model.is_empty()).then(|| random.below(model.len()));
    let at = place.and_then(|place| Listpack::new(bytes).seek(place as i64));
    match (random.below(9), place, at) {
        (0, Some(place), Some(at)) => {
            assert_eq!(insert_before(bytes, at, &element), at);
            model.insert(place, element);
        }
        (1, Some(place), Some(at)) => {
            let made = insert_after(bytes, at, &element);
            assert_eq!(*Listpack::new(bytes).get(made), *element);
            model.insert(place + 1, element);
        }
        (2 | 3, Some(place), Some(at)) => {
            replace(bytes, at, &element);
            model[place] = element;
        }
        (4, Some(place), Some(at)) => {
            let count = random.below(4);
            let follows = remove(bytes, at, count);
            model.drain(place..(place + count).min(model.len()));
            assert_eq!(follows.is_some(), place < model.len());
        }
        (5, Some(place), Some(at)) => {
            let int = random.int();
            insert_all(bytes, Some(at), [Encoded::of(&element), Encoded::int(int)]);
            model.splice(place..place, [element, int.to_string().into_bytes()]);
        }
        (6, ..) => {
            push_front(bytes, &element);
            model.insert(0, element);
        }
        (7, ..) => {
            remove_last(bytes);
            model.pop();
        }
        _ => {
            push_back(bytes, &element);
            model.push(element);
        }
    }
}

fn compare(random: &mut Seeded, bytes: &[u8], model: &[Vec<u8>]) {
    assert_eq!(check(bytes), Ok(model.len()));
    let view = Listpack::new(bytes);
    assert_eq!((view.len(), view.is_empty()), (model.len(), model.is_empty()));
    assert!(view.iter().map(|text| text.to_vec()).eq(model.iter().cloned()));
    assert!(view.iter().rev().map(|text| text.to_vec()).eq(model.iter().rev().cloned()));
    let count = model.len() as i64;
    for index in [0, -1, count - 1, -count, count, -count - 1, random.below(50) as i64 - 25] {
        let place = if index < 0 { index + count } else { index };
        let expected = usize::try_from(place).ok().and_then(|place| model.get(place));
        let found = view.seek(index).map(|at| view.get(at).to_vec());
        assert_eq!(found.as_ref(), expected, "index {index} of {count}");
    }
    if let Some(first) = view.first() {
        let needle = &model[random.below(model.len())];
        for skip in 0..3 {
            let expected = model.iter().step_by(skip + 1).position(|element| element == needle);
            let expected = expected.and_then(|step| view.seek((step * (skip + 1)) as i64));
            assert_eq!(view.find(first, needle, skip), expected);
        }
        let middle = view.seek(random.below(model.len()) as i64).unwrap();
        let (upper, lower) = (view.entries_from(middle), view.entries_up_to(middle).rev());
        assert_eq!(upper.count() + lower.count(), model.len() + 1);
    }
}

#[test]
fn random_edits_agree_with_a_vector_of_elements() {
    let mut random = Seeded::from_environment("listpack edits");
    for _ in 0..60 {
        let (mut bytes, mut model) = (EMPTY.to_vec(), Vec::new());
        for _ in 0..120 {
            edit(&mut random, &mut bytes, &mut model);
            compare(&mut random, &bytes, &model);
        }
    }
}

/// Goal: past 65534 elements the count is found by walking, and comes back when they are fewer.
#[test]
fn count_that_the_header_cannot_hold_is_walked() {
    let mut bytes = EMPTY.to_vec();
    for value in 0..65_540 {
        push_back_all(&mut bytes, [Encoded::int(value)]);
    }
    assert_eq!(bytes[4..6], [0xFF, 0xFF]);
    assert_eq!(check(&bytes), Ok(65_540));
    let view = Listpack::new(&bytes);
    assert_eq!(view.len(), 65_540);
    for index in [0, 65_539, 40_000] {
        assert_eq!(view.seek(index).and_then(|at| view.get_int(at)), Some(index));
        let from_end = view.seek(index - 65_540);
        assert_eq!(from_end.and_then(|at| view.get_int(at)), Some(index));
    }
    assert_eq!(view.seek(65_540), None);
    assert_eq!(view.seek(-65_541), None);
    let first = view.first().unwrap();
    remove(&mut bytes, first, 5);
    assert_eq!(bytes[4..6], [0xFF, 0xFF]);
    remove_last(&mut bytes);
    assert_eq!(bytes[4..6], [0xFE, 0xFF]);
    assert_eq!(check(&bytes), Ok(65_534));
}

/// Use every view on bytes that may be wrong: nothing may panic, and every walk must end.
fn walk(bytes: &[u8]) {
    let view = Listpack::new(bytes);
    let count = view.entries().count().max(view.entries().rev().count()) as i64;
    assert!(count <= bytes.len() as i64);
    let _ = (view.len(), view.is_empty(), view.last().map(|at| view.get(at).len()));
    for index in [0, 1, count, -1, -count] {
        if let Some(at) = view.seek(index) {
            let _ = (view.get(at).len(), view.next(at), view.prev(at), view.get_int(at));
            let _ = (view.find(at, b"17", 1), view.entries_up_to(at).count());
        }
    }
    let mut copy = bytes.to_vec();
    if let Some(at) = view.seek(1) {
        replace(&mut copy, at, b"another");
        remove(&mut copy, at, 2);
        insert_after(&mut copy, at, b"1");
    }
    push_front(&mut copy, b"one");
    push_back(&mut copy, b"more");
    remove_last(&mut copy);
}

#[test]
fn damage_is_refused_or_harmless() {
    let mut elements: Vec<_> =
        INTEGERS.iter().map(|value| value.to_string().into_bytes()).collect();
    elements.extend([vec![], vec![b'a'; 63], vec![b'b'; 200], vec![b'c'; 5000], b"end".to_vec()]);
    let bytes = packed(&elements);
    let mut accepted = 0;
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            // A flip in an element's data makes another element, of the same length.
            accepted += usize::from(check(&damaged) == Ok(elements.len()));
            walk(&damaged);
        }
        assert!(check(&bytes[..place]).is_err(), "cut at {place}");
        walk(&bytes[..place]);
    }
    assert!(accepted < bytes.len() * 8);
    let longer = [&bytes[..], &[END]].concat();
    assert!(check(&longer).is_err());
    let mut random = Seeded::from_environment("listpack damage");
    for _ in 0..5000 {
        let len = random.below(40);
        let mut noise: Vec<u8> = (0..len).map(|_| random.draw() as u8).collect();
        let size = (len as u32).to_le_bytes();
        noise.overwrite(0, &size);
        walk(&noise);
        let _ = check(&noise);
    }
}

#[test]
fn each_lie_has_its_own_refusal() {
    let bytes = packed(&[b"abc".to_vec(), b"7".to_vec()]);
    let refused = |place: usize, byte: u8| {
        let mut damaged = bytes.clone();
        damaged[place] = byte;
        check(&damaged).unwrap_err()
    };
    let last = bytes.len() - 1;
    assert!(refused(0, 1).contains("size"));
    assert!(refused(4, 3).contains("as many elements"));
    assert!(refused(6, 0xF7).contains("no known encoding"));
    assert!(refused(6, 0xBF).contains("runs past the end"));
    assert!(refused(10, 5).contains("length does not match"));
    assert!(refused(last, 0).contains("end byte"));
}
