//! Redis's `DEBUG DIGEST` of the same data: the oracle that says whether two servers hold the same.
//! Independent of the order of keys (exclusive or over keys). Lengths, encodings, access times play
//! no part.
//!
//! ```text
//!  xor(d, data):  d ^= sha1(data)          mix(d, data):  xor(d, data); d = sha1(d)
//!  for each database that has keys:        mix(final, its number, 32 bits big-endian)
//!    for each key:  d = 0; mix(d, key); mix(d, type number, 32 bits big-endian)
//!                   string: mix(d, its text)
//!                   list: mix(d, element) for each, in order
//!                   set: xor(d, member) for each
//!                   hash: for each field e = 0; mix(e, field); mix(e, value); xor(d, e)
//!                   sorted set: for each element e = 0; mix(e, member); mix(e, score as
//!                               `%.17g`); xor(d, e)
//!                   if it expires, whenever:  xor(d, "!!expire!!")
//!                   xor(final, d)
//! ```

use sha1::{Digest, Sha1};

use super::Keyspace;
use crate::value::ValueRef;
use crate::value::entry_ref::EntryRef;
use crate::value::score::ScoreText;

/// A digest as Redis prints it, in 40 hexadecimal digits, is these bytes.
pub type DatasetDigest = [u8; 20];

fn xor_digest(digest: &mut DatasetDigest, data: &[u8]) {
    let hash: DatasetDigest = Sha1::digest(data).into();
    digest.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
}

fn mix_digest(digest: &mut DatasetDigest, data: &[u8]) {
    xor_digest(digest, data);
    *digest = Sha1::digest(*digest).into();
}

fn entry_digest(entry: EntryRef<'_>) -> DatasetDigest {
    let mut digest = [0; 20];
    mix_digest(&mut digest, entry.key());
    digest_value(digest, entry)
}

/// Go on with the value and whether it expires.
fn digest_value(mut digest: DatasetDigest, entry: EntryRef<'_>) -> DatasetDigest {
    let value = entry.value();
    mix_digest(&mut digest, &(value.type_of() as u32).to_be_bytes());
    match value {
        ValueRef::List(list) => list.iter().for_each(|text| mix_digest(&mut digest, &text)),
        ValueRef::Set(set) => set.iter().for_each(|member| xor_digest(&mut digest, &member)),
        ValueRef::Hash(hash) => hash.iter().for_each(|(field, value)| {
            let mut element = [0; 20];
            mix_digest(&mut element, &field);
            mix_digest(&mut element, &value);
            xor_digest(&mut digest, &element);
        }),
        ValueRef::ZSet(zset) => zset.iter().for_each(|(member, score)| {
            let mut element = [0; 20];
            mix_digest(&mut element, &member);
            mix_digest(&mut element, &ScoreText::new(score));
            xor_digest(&mut digest, &element);
        }),
        string => mix_digest(&mut digest, &string.text()),
    }
    if entry.expire_at_ms().is_some() {
        xor_digest(&mut digest, b"!!expire!!");
    }
    digest
}

/// A digest in hexadecimal digits.
pub fn digest_text(digest: &DatasetDigest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Redis's `DEBUG DIGEST-VALUE`: of one entry, whatever its key.
pub fn value_digest(entry: EntryRef<'_>) -> DatasetDigest {
    digest_value([0; 20], entry)
}

impl Keyspace {
    /// Redis's `DEBUG DIGEST` of the same data.
    pub fn digest(&self) -> DatasetDigest {
        let mut digest = [0; 20];
        for (number, db) in self.dbs.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
            mix_digest(&mut digest, &(number as u32).to_be_bytes());
            for entry in db.iter() {
                xor_digest(&mut digest, &entry_digest(entry));
            }
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expiry, Keyspace};
    use super::digest_text;
    use crate::value::packing::Packing;
    use crate::value::{HashMut, NewValue, SetMut, Type, ZSetMut};

    fn hex(keyspace: &Keyspace) -> String {
        digest_text(&keyspace.digest())
    }

    fn set(keyspace: &mut Keyspace, db: usize, key: &[u8], value: &[u8]) {
        keyspace.db_mut(db).set(key, NewValue::Bytes(value), Expiry::Never);
    }

    /// The digests were read from redis-server 7.0.15 after the same commands.
    #[test]
    fn digest_is_what_redis_answers_for_the_same_data() {
        let mut keyspace = Keyspace::new(16);
        assert_eq!(hex(&keyspace), "0000000000000000000000000000000000000000");
        set(&mut keyspace, 0, b"a", b"hello");
        assert_eq!(hex(&keyspace), "7bba0c6c0ba7cf343554878a513cce31a28c4abb");
        set(&mut keyspace, 0, b"a", b"12345");
        assert_eq!(hex(&keyspace), "4fc990aaa2dea1f86cceff91093436e70465dc5d");
        set(&mut keyspace, 0, b"b", b"\x00\xff\r\n");
        set(&mut keyspace, 0, b"", b"");
        assert_eq!(hex(&keyspace), "1e920b85fd60a9abf0f700900394d95c64dc33e3");
        assert!(keyspace.db_mut(0).set_expire(b"a", Some(4_102_444_800_000)));
        assert_eq!(hex(&keyspace), "4e20f00f70484a82faad5b182885915499fd7f2a");
        set(&mut keyspace, 3, b"a", &[b'x'; 2000]);
        set(&mut keyspace, 15, b"n", b"-7");
        keyspace.db_mut(15).append(b"n", b"1");
        assert_eq!(hex(&keyspace), "f077332f7a188f411c109331bf45cdb179dbebf9");
    }

    /// Likewise read from redis-server 7.0.15; each form of a collection has the same digest.
    #[test]
    fn digest_of_hashes_and_sets_is_what_redis_answers_in_every_form() {
        let large = Packing { hash_entries: 0, set_int_entries: 0, ..Packing::default() };
        for packing in [Packing::default(), large] {
            let mut keyspace = Keyspace::new(16);
            keyspace.db_mut(0).edit_or_make(b"h", Type::Hash, |value| {
                let mut hash = HashMut::of(value, packing);
                hash.put(b"f", b"v");
                hash.put(b"", b"-12");
                hash.put(b"7", &[b'x'; 70]);
            });
            assert_eq!(hex(&keyspace), "c44b45068330b6055ad4ac50c05f7a1c2dad8a69");
            keyspace.db_mut(0).edit_or_make(b"s", Type::Set, |value| {
                let mut set = SetMut::of(value, packing);
                ["1", "-70000", "3"].iter().for_each(|int| assert!(set.add(int.as_bytes())));
            });
            assert_eq!(hex(&keyspace), "7a6da564e94331a0fba3fe1c91908d539b9f02e0");
            keyspace.db_mut(0).edit_or_make(b"s", Type::Set, |value| {
                let mut set = SetMut::of(value, packing);
                set.add(b"");
                set.add(b"text");
            });
            assert_eq!(hex(&keyspace), "6c595197981c26e47c3cb6cdc6c156498b092f63");
        }
    }

    #[test]
    fn digest_of_a_sorted_set_is_that_of_redis_in_either_form() {
        let mut keyspace = Keyspace::new(1);
        let put = |keyspace: &mut Keyspace, member: &[u8], score: f64| {
            keyspace.db_mut(0).edit_or_make(b"z", Type::ZSet, |value| {
                ZSetMut::of(value, Packing::default()).put(member, score);
            });
        };
        let elements: [(&[u8], f64); 5] =
            [(b"a", 0.1), (b"b", 3.0), (b"c", -0.0), (b"d", f64::INFINITY), (b"17", 1e21)];
        elements.into_iter().for_each(|(member, score)| put(&mut keyspace, member, score));
        assert_eq!(hex(&keyspace), "a2343f57ecc8155dbac09a56069e3d90869fc5b8");
        put(&mut keyspace, &[b'x'; 65], 1.0);
        assert_eq!(hex(&keyspace), "724281ac4a50f978c3cebc84a22187c22e8a0d5f");
    }
}
