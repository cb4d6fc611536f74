//! A damaged file: cut at every byte, flipped at every byte, with and without a checksum that would
//! notice. Never a panic, a hang or memory that the file does not warrant; the error names the
//! place.

use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::value::NewValue;

use crate::files::{Scratch, context, load, options, save_to, verify};
use perdure_engine::rdb::SaveOptions;

/// A small file that has every encoding in it.
fn small(is_checksummed: bool) -> Vec<u8> {
    let scratch = Scratch::in_memory();
    let mut keyspace = Keyspace::new(16);
    let values: [&[u8]; 8] = [
        b"",
        b"7",
        b"-30000",
        b"1000000",
        b"123456789012345678",
        b"raw \0 bytes",
        &[b'p'; 100],
        &[b'q'; 20_000],
    ];
    for (number, value) in values.iter().enumerate() {
        let expiry = if number % 2 == 0 { Expiry::At(4_000_000_000_000) } else { Expiry::Never };
        let name = format!("key:{number}");
        keyspace.db_mut(number % 3).set(name.as_bytes(), NewValue::Bytes(value), expiry);
    }
    keyspace.db_mut(15).set(
        b"12345",
        NewValue::Bytes(&(0..100).collect::<Vec<u8>>()),
        Expiry::Never,
    );
    let path = scratch.0.join("small.rdb");
    let options = SaveOptions { is_checksummed, ..options() };
    save_to(&keyspace, &options, &path);
    std::fs::read(path).unwrap()
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

#[test]
fn any_byte_value_at_any_place_does_no_harm_without_a_checksum() {
    let (scratch, whole) = (Scratch::in_memory(), small(false));
    let interesting =
        [0x00, 0x01, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xF5, 0xFB, 0xFE, 0xFF];
    let mut loaded = 0;
    for at in 0..whole.len() {
        for byte in interesting {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            match load(&scratch.file("set.rdb", &bytes)) {
                Ok(_) => loaded += 1,
                Err(error) => assert!(error.code.starts_with("RDB_"), "{error:?}"),
            }
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
        for error in [load(&path).err(), verify(&path).err()].into_iter().flatten() {
            assert!(error.code.starts_with("RDB_"), "{error:?}");
            let offset: usize = context(&error, "offset").parse().unwrap();
            assert!(offset <= bytes.len());
        }
    }
}
