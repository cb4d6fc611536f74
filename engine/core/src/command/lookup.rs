//! The one way from commands to keys: lazy expiry (a key past its time is deleted and logged as DEL
//! when somebody looks), hits and misses, idle times, and the words by which a handler says what
//! changed. While writes are paused an expired key is treated as missing but stays, since its DEL
//! could not be logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cx, texts};
use crate::effects::Effects;
use crate::keyspace::{Db, EntryRef, Expiry, Spot};
use crate::resp::{Args, Reply};
use crate::state::{Shared, State};
use crate::value::packing::Packing;
use crate::value::{HashRef, ListRef, NewValue, SetRef, Type, ValueMut, ValueRef, ZSetRef};

/// Keys of one command that are asked for at once, before the first of them is looked up.
const KEYS_AHEAD: usize = 16;

/// Count one event. Only for counters that are written under the engine lock: a plain add is then
/// enough.
pub fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Delete an expired key and log it. Not a change of the client's own: dirty does not grow, as in
/// Redis.
fn delete_expired(state: &mut State, shared: &Shared, db: usize, key: &[u8]) {
    state.keyspace.db_mut(db).remove(key);
    log_expired(&mut state.effects, db, key);
    count(&shared.stats.counters.expired_keys_total);
}

fn log_expired(effects: &mut Effects, db: usize, key: &[u8]) {
    effects.touch(db, key);
    effects.rewrite(db, &[b"DEL".as_slice(), key]);
}

/// Delete up to `max` keys whose time is over, in all databases; gives how many. The active half of
/// expiry, for `cron`. Does nothing while writes are paused.
pub fn expire_cycle(state: &mut State, shared: &Arc<Shared>, now_ms: i64, max: usize) -> usize {
    let mut deleted = 0;
    for db in 0..state.keyspace.databases() {
        if deleted >= max || state.is_data_held() {
            break;
        }
        for key in state.keyspace.db_mut(db).take_due(now_ms, max - deleted) {
            delete_expired(state, shared, db, &key);
            state.effects.end_unit();
            deleted += 1;
        }
    }
    deleted
}

impl Cx<'_> {
    /// Whether the time that a command gives a key is over, so that the key goes at once. Not in a
    /// replay: the key may be given another time by what follows.
    pub fn is_past(&self, at_ms: i64) -> bool {
        at_ms <= self.now_ms && !self.state.is_replaying
    }

    /// Where `key` of `db` stands, after deleting it if its time is over.
    #[inline]
    fn spot(&mut self, db: usize, key: &[u8]) -> Option<Spot> {
        let found = self.state.keyspace.db(db);
        let spot = found.find(key)?;
        if found.entry_at(spot)?.is_expired(self.now_ms) && !self.state.is_replaying {
            if !self.state.is_data_held() {
                delete_expired(self.state, self.shared, db, key);
            }
            return None;
        }
        Some(spot)
    }

    /// Whether `key` of `db` is there, after deleting it if its time is over.
    pub fn is_there(&mut self, db: usize, key: &[u8]) -> bool {
        self.spot(db, key).is_some()
    }

    /// The entry of `key` for a command that changes it: an access, but neither a hit nor a miss.
    pub fn find(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let db = self.session.db;
        let spot = self.spot(db, key)?;
        self.note_access(db, spot);
        self.state.keyspace.db(db).entry_at(spot)
    }

    /// As [`Cx::find`] for a command that reads: counts a hit or a miss, does not count as an
    /// access.
    pub fn peek(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let db = self.session.db;
        let spot = self.spot(db, key);
        self.count_read(spot.is_some());
        self.state.keyspace.db(db).entry_at(spot?)
    }

    /// The value of `key` for a command that reads, with where its answer goes: a hit or a miss, and
    /// an access.
    pub fn read_any(&mut self, key: &[u8]) -> (Option<ValueRef<'_>>, &mut Reply) {
        let db = self.session.db;
        let spot = self.spot(db, key);
        self.count_read(spot.is_some());
        let Some(spot) = spot else { return (None, self.reply) };
        self.note_access(db, spot);
        (self.state.keyspace.db(db).entry_at(spot).map(EntryRef::value), self.reply)
    }

    /// A note writes to the entry's page: not while a child would make the kernel copy it.
    fn note_access(&mut self, db: usize, spot: Spot) {
        if self.state.save.child.is_none() {
            self.state.keyspace.db_mut(db).note_access_at(spot, self.now_ms);
        }
    }

    /// As [`Cx::read_any`], when the answer does not show the value.
    pub fn read(&mut self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.read_any(key).0
    }

    /// As [`Cx::read_any`] for a command on one type. `None`: something else is there, and that has
    /// been answered.
    pub fn read_typed(
        &mut self,
        key: &[u8],
        wanted: Type,
    ) -> Option<(Option<ValueRef<'_>>, &mut Reply)> {
        match self.read_any(key) {
            (Some(value), reply) if value.type_of() != wanted => {
                reply.error(texts::WRONG_TYPE);
                None
            }
            found => Some(found),
        }
    }

    /// [`Cx::read_typed`] of a list.
    pub fn read_list(&mut self, key: &[u8]) -> Option<(Option<ListRef<'_>>, &mut Reply)> {
        let (value, reply) = self.read_typed(key, Type::List)?;
        let list = value.and_then(|it| if let ValueRef::List(it) = it { Some(it) } else { None });
        Some((list, reply))
    }

    /// [`Cx::read_typed`] of a hash.
    pub fn read_hash(&mut self, key: &[u8]) -> Option<(Option<HashRef<'_>>, &mut Reply)> {
        let (value, reply) = self.read_typed(key, Type::Hash)?;
        let hash = value.and_then(|it| if let ValueRef::Hash(it) = it { Some(it) } else { None });
        Some((hash, reply))
    }

    /// [`Cx::read_typed`] of a set.
    pub fn read_set(&mut self, key: &[u8]) -> Option<(Option<SetRef<'_>>, &mut Reply)> {
        let (value, reply) = self.read_typed(key, Type::Set)?;
        let set = value.and_then(|it| if let ValueRef::Set(it) = it { Some(it) } else { None });
        Some((set, reply))
    }

    /// [`Cx::read_typed`] of a sorted set.
    pub fn read_zset(&mut self, key: &[u8]) -> Option<(Option<ZSetRef<'_>>, &mut Reply)> {
        let (value, reply) = self.read_typed(key, Type::ZSet)?;
        let zset = value.and_then(|it| if let ValueRef::ZSet(it) = it { Some(it) } else { None });
        Some((zset, reply))
    }

    /// Whether `key` is there for a command that changes a value of that type: neither a hit nor a
    /// miss. `None`: something else is there, and that has been answered.
    pub fn is_there_typed(&mut self, key: &[u8], wanted: Type) -> Option<bool> {
        match self.find(key).map(EntryRef::type_of) {
            None => Some(false),
            Some(found) if found == wanted => Some(true),
            Some(_) => {
                self.reply.error(texts::WRONG_TYPE);
                None
            }
        }
    }

    /// The string at `key` for a command that changes it, as [`Cx::is_there_typed`].
    pub fn find_string(&mut self, key: &[u8]) -> Option<Option<ValueRef<'_>>> {
        self.is_there_typed(key, Type::String)?;
        Some(self.state.keyspace.db(self.session.db).get(key).map(EntryRef::value))
    }

    /// Change the collection at `key`, which is made when it is not there, and deleted when it is
    /// empty afterwards. The caller says what changed ([`Cx::changed`]). `None`: another type is
    /// there, and that has been answered.
    pub fn edit<R>(
        &mut self,
        key: &[u8],
        wanted: Type,
        change: impl FnOnce(&mut ValueMut<'_>, &Packing) -> R,
    ) -> Option<R> {
        let db = self.session.db;
        let packing = self.state.config.packing;
        match self.spot_typed(key, wanted)? {
            Some(spot) => {
                let db = self.state.keyspace.db_mut(db);
                Some(db.edit_at(spot, |value| change(value, &packing)))
            }
            None => {
                let db = self.state.keyspace.db_mut(db);
                Some(db.make_and_edit(key, wanted, |value| change(value, &packing)))
            }
        }
    }

    /// As [`Cx::edit`], but a key that is not there is left so: `Some(None)`.
    pub fn edit_present<R>(
        &mut self,
        key: &[u8],
        wanted: Type,
        change: impl FnOnce(&mut ValueMut<'_>, &Packing) -> R,
    ) -> Option<Option<R>> {
        self.edit_answering(key, wanted, |value, packing, _| change(value, packing))
    }

    /// As [`Cx::edit_present`], with where the answer goes: for what is answered and then removed.
    pub fn edit_answering<R>(
        &mut self,
        key: &[u8],
        wanted: Type,
        change: impl FnOnce(&mut ValueMut<'_>, &Packing, &mut Reply) -> R,
    ) -> Option<Option<R>> {
        let packing = self.state.config.packing;
        let Some(spot) = self.spot_typed(key, wanted)? else { return Some(None) };
        let db = self.state.keyspace.db_mut(self.session.db);
        let reply = &mut *self.reply;
        Some(Some(db.edit_at(spot, |value| change(value, &packing, reply))))
    }

    fn spot_typed(&mut self, key: &[u8], wanted: Type) -> Option<Option<Spot>> {
        let db = self.session.db;
        let Some(spot) = self.spot(db, key) else { return Some(None) };
        let entry = self.state.keyspace.db(db).entry_at(spot);
        if entry.is_some_and(|entry| entry.type_of() != wanted) {
            self.reply.error(texts::WRONG_TYPE);
            return None;
        }
        Some(Some(spot))
    }

    /// Put the collection that was made under `key` in a database of its own in place of what is
    /// there, and say that it changed so often; without one what is there is deleted. Gives the
    /// number of elements.
    pub fn put_made(&mut self, key: &[u8], mut made: Db, changes: usize) -> usize {
        let Some(count) = made.get(key).and_then(|entry| entry.value().elements()) else {
            self.delete(key);
            return 0;
        };
        self.is_there(self.session.db, key); // an expired one is logged as deleted first
        self.state.keyspace.db_mut(self.session.db).take_over(key, &mut made);
        self.changed(key, changes);
        count
    }

    /// Say that a command changed `key` of the selected database, in so many elements (Redis's
    /// dirty count); 0 is no change.
    pub fn changed(&mut self, key: &[u8], changes: usize) {
        self.state.effects.changed_by(self.session.db, key, changes as u64);
    }

    /// Run `act` for the index of each key of a call that names many, from argument 1 on, `step`
    /// apart; what the next ones will touch is asked for first.
    pub fn for_each_key(
        &mut self,
        args: Args<'_>,
        step: usize,
        mut act: impl FnMut(&mut Self, usize),
    ) {
        for first in (1..args.len()).step_by(step * KEYS_AHEAD) {
            let keys = || (first..args.len()).step_by(step).take(KEYS_AHEAD);
            if args.len() > 1 + step {
                let db = self.state.keyspace.db(self.session.db);
                let mut hashes = [None; KEYS_AHEAD];
                keys().zip(&mut hashes).for_each(|(at, hash)| {
                    *hash = Some(db.prefetch(args.get(at)));
                });
                hashes.iter().flatten().for_each(|hash| db.prefetch_entry(*hash));
            }
            keys().for_each(|at| act(self, at));
        }
    }

    /// Count a read that found its key, or did not.
    pub fn count_read(&self, is_hit: bool) {
        let counters = &self.shared.stats.counters;
        count(if is_hit { &counters.keyspace_hits_total } else { &counters.keyspace_misses_total });
    }

    /// Set a string in the selected database and say so.
    pub fn store(&mut self, key: &[u8], value: NewValue<'_>, expiry: Expiry) {
        let db = self.session.db;
        self.state.keyspace.db_mut(db).set(key, value, expiry);
        self.state.effects.changed(db, key);
    }

    /// As [`Cx::store`], for a command that has not looked at the key: one whose time is over is
    /// logged as deleted first.
    pub fn overwrite(&mut self, key: &[u8], value: NewValue<'_>, expiry: Expiry) {
        let db = self.session.db;
        match self.spot(db, key) {
            Some(spot) => self.state.keyspace.db_mut(db).set_at(spot, value, expiry),
            None => drop(self.state.keyspace.db_mut(db).set(key, value, expiry)),
        }
        self.state.effects.changed(db, key);
    }

    /// Delete a key of the selected database and say so, if it is there. Expiry is the caller's
    /// business.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        let db = self.session.db;
        let was_there = self.state.keyspace.db_mut(db).remove(key);
        if was_there {
            self.state.effects.changed(db, key);
        }
        was_there
    }

    /// Log `args` in place of the command as it was sent.
    pub fn rewrite<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.is_rewritten = true;
        self.state.effects.rewrite(self.session.db, args);
    }
}
