//! Reading an RDB file into a new keyspace (its framing: `parse`). All or nothing: what fails
//! leaves no keyspace. Bytes after the end are ignored, as redis-server does on loading; `verify`
//! refuses them. A small collection in a packed form that is also ours is taken as it is; any other
//! is built element by element in its final place, before anybody can see it, never beside itself.
//! Whole keys wait a moment before they are inserted, until the slots that they go to have arrived
//! in the cache.

use std::path::Path;

use super::packed::with_text;
use super::parse::{Form, Key, Sink, Taken, parse};
use super::reader::{Manner, Reader};
use super::strings::Loaded;
use super::{LoadOptions, Summary};
use crate::error::Result;
use crate::keyspace::{Draft, Expiry, KeyHash, Keyspace};
use crate::value::hash::HashMut;
use crate::value::list::ListMut;
use crate::value::packing::{Packing, SET_ENTRIES, SET_VALUE_BYTES};
use crate::value::set::SetMut;
use crate::value::zset::{Put, ZSetMut};
use crate::value::{Kind, NewValue, Type, ValueMut, ValueRef, listpack};

/// Parse a whole file into a new keyspace. Nothing is kept when it fails.
///
/// # Errors
/// `RDB_CORRUPT` (offset and reason), `RDB_TRUNCATED`, `RDB_VERSION_UNSUPPORTED`,
/// `RDB_TYPE_UNSUPPORTED` (names db and key), `RDB_FUNCTIONS_UNSUPPORTED`,
/// `RDB_DATABASE_OUT_OF_RANGE`, `RDB_ALIEN` (not an RDB file), `CANCELLED`, I/O codes.
pub fn load(path: &Path, options: LoadOptions<'_>) -> Result<(Keyspace, Summary)> {
    let LoadOptions { databases, packing, expire_before_ms, now_ms, is_digested, progress } =
        options;
    let now_ms = now_ms.or(expire_before_ms);
    let from = Reader::open(path, Manner { is_past_cache: false, is_digested }, progress)?;
    let keyspace = Keyspace::new(databases);
    let waiting = Vec::with_capacity(WAITING_MAX);
    let making = Making::Nothing;
    let mut sink = KeyspaceSink { keyspace, packing, expire_before_ms, now_ms, making, waiting };
    if let Some(now_ms) = now_ms {
        sink.keyspace.tick(now_ms); // keys begin to be idle when they are loaded
    }
    let summary = parse(from, &mut sink, false);
    sink.abandon_all();
    Ok((sink.keyspace, summary?))
}

struct KeyspaceSink {
    keyspace: Keyspace,
    packing: Packing,
    expire_before_ms: Option<i64>,
    now_ms: Option<i64>,
    making: Making,
    /// Keys with their values and databases, in the order of the file.
    waiting: Vec<(usize, KeyHash, Draft)>,
}

/// The collection that comes in parts.
enum Making {
    Nothing,
    /// Its time is over: its elements are let go.
    Expired,
    /// In this database, not yet to be seen; and its name, if the file says how long it was idle.
    Draft {
        db: usize,
        draft: Draft,
        idle: Option<(Vec<u8>, u64)>,
    },
}

impl KeyspaceSink {
    fn is_over(&self, key: Key<'_>) -> bool {
        let now_ms = self.expire_before_ms;
        key.expire_at_ms.is_some_and(|at_ms| now_ms.is_some_and(|now_ms| at_ms <= now_ms))
    }

    #[inline]
    fn put(&mut self, key: Key<'_>, value: NewValue<'_>) -> Taken {
        if self.is_over(key) {
            return Taken::Expired;
        }
        if let Some(seconds) = key.idle_seconds {
            return self.put_used(key, value, seconds);
        }
        let db = self.keyspace.db_mut(key.db);
        let (hash, draft) = db.draft_of(key.name, value, key.expire_at_ms);
        self.waiting.push((key.db, hash, draft));
        if self.waiting.len() < WAITING_MAX { Taken::Kept } else { self.insert_waiting() }
    }

    /// Insert what waits.
    fn insert_waiting(&mut self) -> Taken {
        let mut twice = None;
        for (number, hash, draft) in self.waiting.drain(..) {
            if let Err(name) = self.keyspace.db_mut(number).finish_hashed(hash, draft) {
                twice = twice.or(Some(Box::new((number, name))));
            }
        }
        twice.map_or(Taken::Kept, |found| Taken::Duplicate(Some(found)))
    }

    /// A key of which the file says how long ago it was used.
    fn put_used(&mut self, key: Key<'_>, value: NewValue<'_>, idle_seconds: u64) -> Taken {
        let expiry = key.expire_at_ms.map_or(Expiry::Never, Expiry::At);
        if self.keyspace.db_mut(key.db).set(key.name, value, expiry) {
            return Taken::Duplicate(None);
        }
        self.note_idle(key.db, key.name, idle_seconds);
        Taken::Kept
    }

    /// The key was used last so long ago.
    fn note_idle(&mut self, db: usize, name: &[u8], seconds: u64) {
        if let Some(now_ms) = self.now_ms {
            let ago_ms = seconds.min(IDLE_SECONDS_MAX) as i64 * 1000;
            let used_ms = now_ms.saturating_sub(ago_ms);
            let _ = self.keyspace.db_mut(db).get_and_note(name, used_ms);
        }
    }

    /// Change the draft; `none` while there is none.
    #[inline]
    fn edit<T>(&mut self, none: T, change: impl FnOnce(&mut ValueMut<'_>, Packing) -> T) -> T {
        match &mut self.making {
            Making::Draft { db, draft, .. } => {
                change(&mut self.keyspace.db_mut(*db).draft_mut(draft), self.packing)
            }
            Making::Expired | Making::Nothing => none,
        }
    }

    /// Give up what was begun and not ended.
    fn abandon(&mut self) {
        if let Making::Draft { db, draft, .. } =
            std::mem::replace(&mut self.making, Making::Nothing)
        {
            self.keyspace.db_mut(db).abandon(draft);
        }
    }

    /// Give up what waits, too.
    fn abandon_all(&mut self) {
        self.abandon();
        for (db, _, draft) in self.waiting.drain(..) {
            self.keyspace.db_mut(db).abandon(draft);
        }
    }
}

impl Sink for KeyspaceSink {
    fn databases(&self) -> usize {
        self.keyspace.databases()
    }

    fn reserve(&mut self, db: usize, keys: usize) {
        self.keyspace.db_mut(db).reserve(keys);
    }

    fn function(&mut self, source: &[u8]) {
        self.keyspace.add_function(source);
    }

    #[inline]
    fn string(&mut self, key: Key<'_>, value: Loaded<'_>) -> Taken {
        let value = match value {
            Loaded::Int(value) => NewValue::Int(value),
            Loaded::Bytes(bytes) => NewValue::Bytes(bytes),
        };
        self.put(key, value)
    }

    fn whole(&mut self, key: Key<'_>, made: Type, form: Form<'_>) -> Option<Taken> {
        let kind = kind_of(made, form, self.packing)?;
        let (Form::Listpack(bytes, _) | Form::Intset(bytes, _)) = form;
        Some(self.put(key, NewValue::Packed(kind, bytes)))
    }

    fn begin(&mut self, key: Key<'_>, made: Type, elements: usize) {
        self.abandon();
        if self.is_over(key) {
            self.making = Making::Expired;
            return;
        }
        let draft = self.keyspace.db_mut(key.db).draft(key.name, made, key.expire_at_ms);
        let idle = key.idle_seconds.map(|seconds| (key.name.to_vec(), seconds));
        self.making = Making::Draft { db: key.db, draft, idle };
        self.edit((), |value, packing| match made {
            Type::String | Type::List => {}
            Type::Set => SetMut::of(value, packing).reserve(elements),
            // Large at first, whatever its size: a packed form has no minus zero, and one that left
            // it again for a long member would have lost the sign.
            Type::ZSet => ZSetMut::of(value, packing).reserve_for(elements, usize::MAX),
            Type::Hash => HashMut::of(value, packing).reserve(elements),
        });
    }

    fn node(&mut self, form: Form<'_>) -> bool {
        let Form::Listpack(bytes, _) = form else { return false };
        let is_taken = bytes.len() <= NODE_BYTES_MAX;
        if is_taken {
            self.edit((), |value, packing| ListMut::of(value, packing).adopt(bytes));
        }
        is_taken
    }

    fn element(&mut self, element: Loaded<'_>) -> bool {
        self.edit(true, |value, packing| {
            with_text(element, |text| match value.value().type_of() {
                Type::Set => SetMut::of(value, packing).add(text),
                _ => {
                    ListMut::of(value, packing).push_back(text);
                    true
                }
            })
        })
    }

    fn field(&mut self, field: Loaded<'_>, content: Loaded<'_>) -> bool {
        self.edit(true, |value, packing| {
            let mut hash = HashMut::of(value, packing);
            with_text(field, |field| with_text(content, |content| hash.put(field, content)))
        })
    }

    fn member(&mut self, member: Loaded<'_>, score: f64) -> bool {
        self.edit(true, |value, packing| {
            let mut zset = ZSetMut::of(value, packing);
            with_text(member, |member| zset.put(member, score) == Put::Added)
        })
    }

    fn finish(&mut self) -> Taken {
        self.insert_waiting()
    }

    fn end(&mut self) -> Taken {
        let (number, mut draft, idle) = match std::mem::replace(&mut self.making, Making::Nothing) {
            Making::Draft { db, draft, idle } => (db, draft, idle),
            Making::Expired | Making::Nothing => return Taken::Expired,
        };
        let db = self.keyspace.db_mut(number);
        let mut value = db.draft_mut(&mut draft);
        pack_if_small(&mut value, self.packing);
        let is_empty = value.value().is_empty_collection();
        value.finish();
        if is_empty {
            db.abandon(draft);
            return Taken::Empty;
        }
        if !db.finish(draft) {
            return Taken::Duplicate(None);
        }
        if let Some((name, seconds)) = idle {
            self.note_idle(number, &name, seconds);
        }
        Taken::Kept
    }
}

/// Pack a sorted set that was read member by member, if the thresholds allow it.
fn pack_if_small(value: &mut ValueMut<'_>, packing: Packing) {
    let ValueRef::ZSet(zset) = value.value() else { return };
    let is_small = zset.len() <= packing.zset_entries
        && zset.iter().all(|(member, _)| member.len() <= packing.zset_value_bytes);
    if !is_small || zset.is_empty() {
        return;
    }
    let elements: Vec<(Vec<u8>, f64)> =
        zset.iter().map(|(member, score)| (member.to_vec(), score)).collect();
    value.set_packed(Kind::ZSet, &listpack::EMPTY);
    for (member, score) in &elements {
        ZSetMut::of(value, packing).put(member, *score);
    }
}

/// Keys that wait: enough to hide memory latency, few enough to stay in the nearest cache.
const WAITING_MAX: usize = 32;
/// The access clock goes round after 2^24 seconds.
const IDLE_SECONDS_MAX: u64 = (1 << 24) - 1;
/// Larger nodes of lists are taken apart: no `list-max-listpack-size` makes them.
const NODE_BYTES_MAX: usize = 64 * 1024;
/// A listpack up to this size is kept, however long its elements are.
const KEPT_BYTES: usize = 64 * 1024;

/// What a packed form becomes as it is, if the thresholds allow it. As in redis-server it is the
/// number of elements that counts; their lengths only in a large one, as far as all of them
/// together go.
fn kind_of(made: Type, form: Form<'_>, packing: Packing) -> Option<Kind> {
    let fits = |bytes: usize, elements: usize, elements_max: usize, text_bytes: usize| {
        let element_bytes = text_bytes.saturating_add(listpack::ELEMENT_OVERHEAD_BYTES);
        let most = elements_max.saturating_add(1).saturating_mul(element_bytes);
        elements <= elements_max && bytes <= most.max(KEPT_BYTES)
    };
    match (made, form) {
        (Type::Set, Form::Intset(_, members)) => {
            (members <= packing.ints_max()).then_some(Kind::IntSet)
        }
        (Type::Set, Form::Listpack(bytes, members)) => {
            fits(bytes.len(), members, SET_ENTRIES, SET_VALUE_BYTES).then_some(Kind::Set)
        }
        (Type::Hash, Form::Listpack(bytes, elements)) => {
            let (entries, text_bytes) = (packing.hash_entries, packing.hash_value_bytes);
            fits(bytes.len(), elements, entries.saturating_mul(2), text_bytes).then_some(Kind::Hash)
        }
        (Type::ZSet, Form::Listpack(bytes, elements)) => {
            let (entries, text_bytes) = (packing.zset_entries, packing.zset_value_bytes);
            fits(bytes.len(), elements, entries.saturating_mul(2), text_bytes).then_some(Kind::ZSet)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
