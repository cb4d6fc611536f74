//! A damaged file: cut at every byte, flipped at every byte, with and without a checksum that would
//! notice. Never a panic, a hang or memory that the file does not warrant; the error names the
//! place.

use perdure_engine::keyspace::Keyspace;

use crate::encodings::every_encoding;
use crate::files::{Scratch, context, load, verify};
use crate::samples::file_of;

/// A small file that has every encoding in it.
fn small(is_checksummed: bool) -> Vec<u8> {
    file_of(&every_encoding(), 12, is_checksummed)
}

#[test]
fn a_file_cut_at_any_byte_is_truncated_at_that_place() {
    let (scratch, whole) = (Scratch::in_memory(), small(true));
    for size in 0..whole.len() {
        let path = scratch.file("cut.rdb", &whole[..size]);
        for error in [load(&path).err(), verify(&path).err()] {
            let error = error.unwrap_or_else(|| panic!("cut at {size} loads"));
            assert_eq!(error.code, "RDB_TRUNCATED", "cut at {size}: {error:?}");
            let offset: usize = context(&error, "offset").parse().unwrap();
            assert!(offset <= size, "cut at {size}, said at {offset}");
            assert!(!context(&error, "path").is_empty() && !error.hint.is_empty());
        }
    }
}

#[test]
fn a_flip_of_any_bit_is_noticed_where_there_is_a_checksum() {
    let (scratch, whole) = (Scratch::in_memory(), small(true));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let path = scratch.file("flipped.rdb", &bytes);
            let error = load(&path).err().unwrap_or_else(|| panic!("byte {at} bit {bit} loads"));
            assert!(error.code.starts_with("RDB_"), "{error:?}");
        }
    }
}

/// What was loaded is whole: it can be walked, saved and looked at.
fn assert_unharmed(keyspace: &Keyspace) {
    (0..keyspace.databases()).for_each(|db| keyspace.db(db).check_invariants().unwrap());
    let keys: usize = (0..keyspace.databases()).map(|db| keyspace.db(db).iter().count()).sum();
    assert_eq!(keys, keyspace.len());
    keyspace.digest();
}

/// Load a damaged file: whole, or refused with a place and a reason. Gives whether it loads.
fn load_damaged(path: &std::path::Path, what: &str) -> bool {
    match load(path) {
        Ok((keyspace, _)) => {
            assert_unharmed(&keyspace);
            true
        }
        Err(error) => {
            assert!(error.code.starts_with("RDB_"), "{what}: {error:?}");
            let names = |name: &str| error.context.iter().any(|(found, _)| *found == name);
            assert!(names("offset") && !error.message.is_empty(), "{what}: {error:?}");
            false
        }
    }
}

#[test]
fn any_flip_and_many_values_at_any_place_do_no_harm_without_a_checksum() {
    let (scratch, whole) = (Scratch::in_memory(), small(false));
    let interesting = [0x00, 0x3F, 0x40, 0x81, 0xC3, 0xF5, 0xFB, 0xFD, 0xFE, 0xFF];
    let mut loaded = 0;
    for at in 0..whole.len() {
        let flipped = (0..8).map(|bit| whole[at] ^ (1 << bit));
        for byte in flipped.chain(interesting) {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let path = scratch.file("set.rdb", &bytes);
            loaded += u64::from(load_damaged(&path, &format!("byte {at} is {byte:#04x}")));
        }
    }
    assert!(loaded > 0, "changes in a value's bytes load");
}

/// xorshift64, seeded by `PERDURE_TEST_SEED` or the clock; the seed is printed.
fn seeded() -> impl FnMut(usize) -> usize {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let from_environment = std::env::var("PERDURE_TEST_SEED").ok();
    let seed = from_environment.map_or(now.as_nanos() as u64 | 1, |text| text.parse().unwrap());
    println!("PERDURE_TEST_SEED={seed}");
    let mut state = seed;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % bound
    }
}

#[test]
fn random_edits_do_no_harm_without_a_checksum() {
    let (scratch, whole, mut draw) = (Scratch::in_memory(), small(false), seeded());
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=draw(6) {
            // The header stays, so that the damage is met further inside.
            let at = 9 + draw(bytes.len() - 20);
            match draw(4) {
                0 => bytes[at] = draw(256) as u8,
                1 => bytes.insert(at, [0, 0x80, 0x81, 0xC3, 0xFA, 0xFB, 0xFC, 0xFE][draw(8)]),
                2 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + draw(40)).min(bytes.len());
                    let copied = bytes[at..end].to_vec();
                    let place = 9 + draw(bytes.len() - 20);
                    bytes.splice(place..place, copied);
                }
            }
        }
        let path = scratch.file("edited.rdb", &bytes);
        load_damaged(&path, "edited");
        if let Err(error) = verify(&path) {
            assert!(error.code.starts_with("RDB_"), "{error:?}");
            let offset: usize = context(&error, "offset").parse().unwrap();
            assert!(offset <= bytes.len());
        }
    }
}
