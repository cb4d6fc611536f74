//! What is saved comes back: every encoding of a string, every database, expiries; and the file's
//! own figures.

use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{self, LoadOptions, SaveOptions, SaveScratch};
use perdure_engine::value::NewValue;

use crate::files::{Scratch, by_hand, key, load, options, save_to, text, verify};

/// Integers on both sides of each border between encodings.
fn integers() -> Vec<i64> {
    let borders = [0, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, i64::MAX, i64::MIN];
    let around = |border: &i64| {
        [-2_i64, -1, 0, 1, 2]
            .map(|step| [*border, border.wrapping_neg()].map(|it| it.wrapping_add(step)))
    };
    borders.iter().flat_map(around).flatten().collect()
}

/// Strings that look like integers and are none, packable and unpackable ones, lengths on both
/// sides of each border.
fn strings() -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> =
        ["", "-", "-0", "00", "01", "+1", "1 ", "2147483648", "-2147483649"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
    made.push((0..=255).collect());
    made.push(b"\0\r\n\xff\xfe".to_vec());
    for size in [19, 20, 21, 63, 64, 65, 16_383, 16_384, 300_000, 3_000_000] {
        made.push(vec![b'a'; size]);
        let mut state = size as u64 | 1;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        made.push((0..size).map(|_| noise()).collect());
    }
    made
}

pub fn every_kind() -> Keyspace {
    let (mut keyspace, strings) = (Keyspace::new(16), strings());
    for index in 0..16 {
        let db = keyspace.db_mut(index);
        for value in integers() {
            db.set(format!("int:{value}").as_bytes(), NewValue::Int(value), Expiry::Never);
            db.set(value.to_string().as_bytes(), NewValue::Bytes(b"int as key"), Expiry::Never);
        }
        if index == 3 {
            continue; // One database without strings, one (5) without anything.
        }
        for (number, value) in strings.iter().enumerate() {
            if value.len() > 100_000 && index != 0 {
                continue; // Long ones once.
            }
            let name = format!("string:{number}");
            let expiry = match number % 3 {
                0 => Expiry::At(4_000_000_000_000 + number as i64),
                _ => Expiry::Never,
            };
            db.set(name.as_bytes(), NewValue::Bytes(value), expiry);
            if value.len() < 70_000 {
                db.set(value, NewValue::Bytes(value), Expiry::Never);
            }
        }
    }
    drop(keyspace.db_mut(5).take_all());
    keyspace
}

fn assert_same(left: &Keyspace, right: &Keyspace) {
    for index in 0..left.databases() {
        let (left, right) = (left.db(index), right.db(index));
        assert_eq!((left.len(), left.expires_len()), (right.len(), right.expires_len()));
        for entry in left.iter() {
            let found = right.get(entry.key()).expect("the key is there");
            assert!(found.value() == entry.value(), "db {index} {:?}", entry.key());
            assert_eq!(found.expire_at_ms(), entry.expire_at_ms());
        }
    }
    assert_eq!(left.digest(), right.digest());
}

#[test]
fn every_kind_of_string_comes_back_with_and_without_packing_and_checksum() {
    let (scratch, keyspace) = (Scratch::new(), every_kind());
    let mut sizes = Vec::new();
    for (is_compressed, is_checksummed) in [(true, true), (false, true), (true, false)] {
        let options = SaveOptions { is_compressed, is_checksummed, ..options() };
        let path = scratch.0.join("dump.rdb");
        let saved = save_to(&keyspace, &options, &path);
        let on_disk = std::fs::read(&path).unwrap();
        assert_eq!((saved.size_bytes, saved.keys), (on_disk.len() as u64, keyspace.len() as u64));
        let (loaded, summary) = load(&path).unwrap();
        assert_same(&keyspace, &loaded);
        assert_eq!(summary.is_checksummed, is_checksummed);
        assert_eq!(summary, verify(&path).unwrap());
        sizes.push(saved.size_bytes);
    }
    assert!(sizes[0] * 10 < sizes[1] * 6, "packing pays: {sizes:?}");
}

#[test]
fn a_summary_tells_versions_aux_fields_counts_and_sha256() {
    let scratch = Scratch::new();
    let mut keyspace = Keyspace::new(16);
    keyspace.db_mut(0).set(b"a", NewValue::Bytes(b"1"), Expiry::Never);
    keyspace.db_mut(9).set(b"b", NewValue::Bytes(b"x"), Expiry::At(4_000_000_000_000));
    let path = scratch.0.join("dump.rdb");
    save_to(&keyspace, &options(), &path);
    let summary = verify(&path).unwrap();
    assert_eq!(summary.rdb_version, 10);
    assert_eq!(summary.aux_value("redis-ver"), Some("7.0.15"));
    assert_eq!(summary.aux_value("ctime"), Some("1790000000"));
    assert_eq!(summary.aux_value("used-mem"), Some("1234567"));
    assert_eq!(summary.aux_value("perdure-version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!((summary.keys(), summary.expires()), (2, 1));
    let counts = |index| {
        let found = summary.databases.iter().find(|db| db.index == index).unwrap();
        (found.keys, found.expires, found.types.clone())
    };
    assert_eq!(counts(0), (1, 0, vec![("string", 1)]));
    assert_eq!(counts(9), (1, 1, vec![("string", 1)]));
    let said = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    assert_eq!(summary.sha256, String::from_utf8_lossy(&said.stdout)[..64]);
}

#[test]
fn an_empty_keyspace_is_a_whole_file() {
    let (scratch, keyspace) = (Scratch::new(), Keyspace::new(16));
    let path = scratch.0.join("dump.rdb");
    let saved = save_to(&keyspace, &options(), &path);
    assert_eq!(saved.keys, 0);
    assert!(load(&path).unwrap().0.is_empty());
}

#[test]
fn keys_whose_time_is_over_are_left_out_and_counted() {
    let scratch = Scratch::new();
    let mut keyspace = Keyspace::new(16);
    for at_ms in [999, 1000, 1001] {
        let name = at_ms.to_string();
        keyspace.db_mut(2).set(name.as_bytes(), NewValue::Int(at_ms), Expiry::At(at_ms));
    }
    keyspace.db_mut(2).set(b"forever", NewValue::Int(1), Expiry::Never);
    let path = scratch.0.join("dump.rdb");
    save_to(&keyspace, &options(), &path);
    let progress = &mut |_, _| true;
    let at_1000 = LoadOptions { expire_before_ms: Some(1000), ..LoadOptions::new(16, progress) };
    let (loaded, summary) = rdb::load(&path, at_1000).unwrap();
    assert_eq!((loaded.len(), summary.expired_skipped, summary.keys()), (2, 2, 4));
    assert!(loaded.db(2).get(b"1001").is_some() && loaded.db(2).get(b"forever").is_some());
    assert_eq!(load(&path).unwrap().0.len(), 4);
}

#[test]
fn old_versions_and_optional_opcodes_are_read() {
    let scratch = Scratch::new();
    let seconds =
        [&[0xFD], 2_000_000_000_i32.to_le_bytes().as_slice(), &key(b"s", &text(b"v"))].concat();
    let idle = [&[0xF8, 0x40, 0x80], key(b"idle", &text(b"v")).as_slice()].concat();
    let freq = [&[0xF9, 200], key(b"freq", &text(b"v")).as_slice()].concat();
    let module = [
        &[0xF7, 0x81],
        [7; 8].as_slice(),
        &[2, 2],
        &[2, 9, 1, 9, 3, 1, 2, 3, 4],
        &[4; 9],
        &[5],
        &text(b"abc"),
        &[0],
    ]
    .concat();
    let slots = [0xF4, 1, 2, 3];
    let all = by_hand(&[&seconds, &idle, &freq, &module, &slots, &[0xFB, 3, 1]]);
    let (loaded, summary) = load(&scratch.file("all.rdb", &all)).unwrap();
    assert_eq!((loaded.len(), summary.expires()), (3, 1));
    let ends = loaded.db(0).get(b"s").unwrap().expire_at_ms();
    assert_eq!(ends, Some(2_000_000_000_000));
    for version in 1..=12 {
        let mut old = [format!("REDIS{version:04}").as_bytes(), &seconds, &[0xFF]].concat();
        if version >= 5 {
            old.extend_from_slice(&[0; 8]);
        }
        let (loaded, summary) = load(&scratch.file("old.rdb", &old)).unwrap();
        assert_eq!((loaded.len(), summary.rdb_version), (1, version));
    }
}

#[test]
fn progress_is_told_and_can_cancel_both_ways() {
    let scratch = Scratch::new();
    let mut keyspace = Keyspace::new(16);
    for number in 0..20_000 {
        let name = format!("key:{number}");
        keyspace.db_mut(0).set(name.as_bytes(), NewValue::Bytes(&[7; 200]), Expiry::Never);
    }
    let options = SaveOptions { is_compressed: false, ..options() };
    let path = scratch.0.join("dump.rdb");
    let saved = save_to(&keyspace, &options, &path);
    let mut told = Vec::new();
    let mut note = |read, total| {
        told.push((read, total));
        true
    };
    rdb::verify(&path, &mut note).unwrap();
    assert!(told.len() >= 4 && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(saved.size_bytes, saved.size_bytes)));
    let error = rdb::verify(&path, &mut |read, total| read == total).unwrap_err();
    assert_eq!(error.code, "CANCELLED");

    let file = std::fs::File::create(scratch.0.join("cancelled.rdb")).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let mut save = SaveScratch::new(&options);
    let stopped = rdb::save(&keyspace, &options, &mut save, fd, &mut |keys| keys < 10_000);
    assert_eq!(stopped, Err(libc::ECANCELED));
}

#[test]
fn a_failing_write_gives_its_error_number() {
    let keyspace = every_kind();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&full);
    let mut scratch = SaveScratch::new(&options());
    let failed = rdb::save(&keyspace, &options(), &mut scratch, fd, &mut |_| true);
    assert_eq!(failed, Err(libc::ENOSPC));
}
