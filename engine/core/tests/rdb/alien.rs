//! Files that are not ours to read, and lengths that lie: refused by name, with db and key where
//! there is one.

use perdure_engine::rdb::{self, LoadOptions};

use crate::files::{Scratch, by_hand, context, key, load, refused, text, verify};

#[test]
fn versions_outside_1_to_12_are_refused_by_number() {
    let scratch = Scratch::new();
    for version in [0, 13, 99, 9999] {
        let bytes = [format!("REDIS{version:04}").as_bytes(), &[0xFF; 9]].concat();
        let error = refused(&scratch.file("v.rdb", &bytes), "RDB_VERSION_UNSUPPORTED");
        assert_eq!(context(&error, "version"), version.to_string());
    }
    for version in ["079", "081", "010"] {
        let bytes = [b"VALKEY", version.as_bytes(), &[0xFF; 9]].concat();
        let error = refused(&scratch.file("v.rdb", &bytes), "RDB_VERSION_UNSUPPORTED");
        assert!(error.message.contains("of Valkey"), "{error:?}");
    }
}

#[test]
fn what_is_no_rdb_file_is_alien() {
    let scratch = Scratch::new();
    for bytes in [
        &b"x"[..],
        b"\0\0\0\0",
        b"REDISxxxx",
        b"REDIX0010",
        b"VALUE",
        b"\x1f\x8b\x08",
        &[0; 100_000],
    ] {
        refused(&scratch.file("alien", bytes), "RDB_ALIEN");
    }
    refused(&scratch.0, "RDB_ALIEN");
    refused(&scratch.0.join("absent"), "FILE_MISSING");
    refused(&scratch.file("empty", b""), "RDB_TRUNCATED");
}

#[test]
fn a_named_pipe_is_refused_without_waiting_for_its_writer() {
    let scratch = Scratch::new();
    let pipe = scratch.0.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&pipe, "RDB_ALIEN");
}

#[test]
fn other_types_are_refused_with_their_key_and_database() {
    let scratch = Scratch::new();
    for (number, name) in [
        (6, "module"),
        (7, "module"),
        (15, "stream"),
        (19, "stream"),
        (21, "stream"),
        (22, "fields with expiry"),
        (23, "fields with expiry"),
        (24, "fields with expiry"),
        (25, "fields with expiry"),
    ] {
        let item = [&[0xFE, 3, number], text(b"the\nkey").as_slice(), &[1]].concat();
        let error = refused(&scratch.file("t.rdb", &by_hand(&[&item])), "RDB_TYPE_UNSUPPORTED");
        assert_eq!((context(&error, "key"), context(&error, "db")), ("the\\nkey", "3"));
        assert!(error.message.contains(name), "{error:?}");
        assert_eq!(error.hint.contains("HPERSIST"), number >= 22);
    }
    for number in [8, 26, 200] {
        let bytes = by_hand(&[&[number, 1, b'k']]);
        let unknown = refused(&scratch.file("t.rdb", &bytes), "RDB_CORRUPT");
        assert!(unknown.message.contains(&number.to_string()));
    }
}

#[test]
fn a_function_of_a_release_candidate_is_refused_rather_than_lost() {
    let scratch = Scratch::new();
    let item = [&[0xF6], text(b"f").as_slice()].concat();
    refused(&scratch.file("f.rdb", &by_hand(&[&item])), "RDB_FUNCTIONS_UNSUPPORTED");
}

#[test]
fn a_database_that_is_not_there_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("db.rdb", &by_hand(&[&[0xFE, 16], &key(b"k", &text(b"v"))]));
    let error = load(&path).expect_err("refused");
    assert_eq!(error.code, "RDB_DATABASE_OUT_OF_RANGE");
    assert_eq!(context(&error, "db"), "16");
    let progress = &mut |_, _| true;
    let wider = LoadOptions::new(17, progress);
    assert_eq!(rdb::load(&path, wider).unwrap().0.db(16).len(), 1);
}

#[test]
fn a_key_that_stands_there_twice_is_corrupt_and_named_however_far_apart() {
    let scratch = Scratch::new();
    let list = [&[1], text(b"twin").as_slice(), &[1], &text(b"element")].concat();
    let string = key(b"twin", &text(b"value"));
    let others: Vec<_> = (0..80).map(|n| key(format!("k{n}").as_bytes(), &text(b"v"))).collect();
    for apart in [0, 1, 30, 31, 32, 33, 63, 64, 65, 80] {
        for after in [0, 1, 40] {
            for (one, other) in [(&string, &string), (&list, &string), (&string, &list)] {
                let mut items: Vec<&[u8]> = vec![&[0xFE, 5], one];
                items.extend(others[..apart].iter().map(Vec::as_slice));
                items.extend([other.as_slice(), &[0xFE, 6]]);
                items.extend(others[..after].iter().map(Vec::as_slice));
                let error =
                    load(&scratch.file("twice.rdb", &by_hand(&items))).expect_err("refused");
                assert!(error.code == "RDB_CORRUPT" && error.message.contains("twice"));
                assert_eq!((context(&error, "key"), context(&error, "db")), ("twin", "5"));
            }
        }
    }
}

#[test]
fn bytes_after_the_end_are_ignored_by_load_and_refused_by_verify() {
    let scratch = Scratch::new();
    let mut bytes = by_hand(&[&key(b"k", &text(b"v"))]);
    bytes.extend_from_slice(b"garbage");
    let path = scratch.file("tail.rdb", &bytes);
    let (loaded, summary) = load(&path).unwrap();
    assert_eq!((loaded.len(), summary.trailing_bytes), (1, 7));
    assert_eq!(verify(&path).unwrap_err().code, "RDB_CORRUPT");
}

#[test]
fn a_wrong_checksum_is_corrupt_at_the_end() {
    let scratch = Scratch::new();
    let mut bytes = by_hand(&[&key(b"k", &text(b"v"))]);
    *bytes.last_mut().unwrap() = 1;
    let error = refused(&scratch.file("crc.rdb", &bytes), "RDB_CORRUPT");
    assert!(error.message.contains("checksum"));
}

/// Claims of huge lengths in tiny files: each must fail before memory is made for it.
#[test]
fn lengths_that_the_file_cannot_hold_are_refused() {
    let scratch = Scratch::new();
    let huge32 = [0x80, 0xFF, 0xFF, 0xFF, 0xFF];
    let huge64 = [&[0x81], [0xFF; 8].as_slice()].concat();
    let half_gib = [0x80, 0x20, 0, 0, 0];
    let lzf = |packed: &[u8], size: &[u8], bytes: &[u8]| [&[0xC3], packed, size, bytes].concat();
    let cases: [(&str, Vec<u8>); 10] = [
        ("RDB_CORRUPT", huge32.to_vec()),
        ("RDB_CORRUPT", huge64.clone()),
        ("RDB_TRUNCATED", half_gib.to_vec()),
        ("RDB_CORRUPT", lzf(&[3], &half_gib, &[0xE0, 0xFF, 0])),
        ("RDB_CORRUPT", lzf(&[3], &huge64, &[0xE0, 0xFF, 0])),
        ("RDB_TRUNCATED", lzf(&half_gib, &half_gib, &[1])),
        ("RDB_CORRUPT", lzf(&[2], &[40], &[0x20, 0])),
        ("RDB_CORRUPT", lzf(&[0], &[1], &[])),
        ("RDB_CORRUPT", vec![0x82]),
        ("RDB_CORRUPT", vec![0xC4]),
    ];
    for (code, value) in &cases {
        refused(&scratch.file("long.rdb", &by_hand(&[&key(b"k", value)])), code);
        refused(&scratch.file("long.rdb", &by_hand(&[&[0], value])), code);
    }
    let sizes = [&[0xFB], huge64.as_slice(), &huge64].concat();
    let lying = [sizes.as_slice(), &[0xFE, 1], &sizes, &key(b"k", &text(b"v"))].concat();
    assert_eq!(load(&scratch.file("sizes.rdb", &by_hand(&[&lying]))).unwrap().0.len(), 1);
}
