//! Writing a collection: a packed one as it is, any other element by element, never copied whole.
//! Runs in the fork child: no allocation, no panic (I1). The counterpart of `load_collection`.
//!
//! ```text
//! list     18  <length nodes> (2 <string: listpack>)...
//! set      11  <string: intset>      or   2  <length> <string>...
//! zset     17  <string: listpack>    or   5  <length> (<string> <8 bytes score>)...
//! hash     16  <string: listpack>    or   4  <length> (<string> <string>)...
//! ```

use super::format::*;
use super::save::Save;
use super::strings::{save_length, save_string};
use crate::value::{HashRef, ListRef, SetRef, ValueRef, ZSetRef};

/// The type number that `save_collection` writes after.
pub(super) fn type_saved(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Int(_) | ValueRef::Bytes(_) => TYPE_STRING,
        ValueRef::List(_) => TYPE_LIST_QUICKLIST_2,
        ValueRef::Set(SetRef::Ints(_)) => TYPE_SET_INTSET,
        ValueRef::Set(SetRef::Packed(_) | SetRef::Large(_)) => TYPE_SET,
        ValueRef::ZSet(ZSetRef::Packed(_)) => TYPE_ZSET_LISTPACK,
        ValueRef::ZSet(ZSetRef::Large(_)) => TYPE_ZSET_2,
        ValueRef::Hash(HashRef::Packed(_)) => TYPE_HASH_LISTPACK,
        ValueRef::Hash(HashRef::Large(_)) => TYPE_HASH,
    }
}

impl Save<'_, '_> {
    /// One string, which may be a large one of many.
    pub(super) fn string(&mut self, bytes: &[u8]) -> Result<(), i32> {
        save_string(&mut self.out, self.packer.as_deref_mut(), bytes)?;
        self.tell_if_due()
    }

    fn length(&mut self, length: usize) -> Result<(), i32> {
        save_length(&mut self.out, length as u64)
    }

    pub(super) fn list(&mut self, list: ListRef<'_>) -> Result<(), i32> {
        self.length(list.nodes_len())?;
        for node in list.nodes() {
            save_length(&mut self.out, CONTAINER_PACKED)?;
            self.string(node.bytes())?;
        }
        Ok(())
    }

    pub(super) fn set(&mut self, set: SetRef<'_>) -> Result<(), i32> {
        if let SetRef::Ints(ints) = set {
            return self.string(ints.bytes());
        }
        self.length(set.len())?;
        for member in set.iter() {
            self.string(&member)?;
        }
        Ok(())
    }

    pub(super) fn sorted_set(&mut self, zset: ZSetRef<'_>) -> Result<(), i32> {
        if let ZSetRef::Packed(packed) = zset {
            return self.string(packed.bytes());
        }
        self.length(zset.len())?;
        for (member, score) in zset.iter() {
            self.string(&member)?;
            self.out.put(&score.to_le_bytes())?;
        }
        Ok(())
    }

    pub(super) fn hash(&mut self, hash: HashRef<'_>) -> Result<(), i32> {
        if let HashRef::Packed(packed) = hash {
            return self.string(packed.bytes());
        }
        self.length(hash.len())?;
        for (field, value) in hash.iter() {
            self.string(&field)?;
            self.string(&value)?;
        }
        Ok(())
    }
}
