//! Redis's `DEBUG DIGEST` of the same data: the oracle that says whether two servers hold the same.
//! Independent of the order of keys (exclusive or over keys). Lengths, encodings, access times play no part.
//!
//! ```text
//!  mix(d, data):  d ^= sha1(data); d = sha1(d)
//!  for each database that has keys:  final = mix(final, its number, 32 bits big-endian)
//!    for each key:  d = 0; mix(d, key); mix(d, type number, 32 bits big-endian); mix(d, text of the string)
//!                   if it expires (whenever): d ^= sha1("!!expire!!")
//!                   final ^= d
//! ```

use sha1::{Digest, Sha1};

use super::Keyspace;
use crate::value::entry::EntryRef;

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
    let value = entry.value();
    mix_digest(&mut digest, entry.key());
    mix_digest(&mut digest, &(value.type_of() as u32).to_be_bytes());
    mix_digest(&mut digest, &value.text());
    if entry.expire_at_ms().is_some() {
        xor_digest(&mut digest, b"!!expire!!");
    }
    digest
}

impl Keyspace {
    /// Redis's `DEBUG DIGEST` of the same data.
    pub fn digest(&self) -> DatasetDigest {
        let mut digest = [0; 20];
        for (number, db) in self.dbs.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
            mix_digest(&mut digest, &(number as u32).to_be_bytes());
            for entry in db.iter() {
                let of_entry = entry_digest(entry);
                digest.iter_mut().zip(of_entry).for_each(|(byte, other)| *byte ^= other);
            }
        }
        digest
    }
}
