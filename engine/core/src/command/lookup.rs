//! The one way from commands to keys: lazy expiry (a key past its time is deleted and logged as DEL
//! when somebody looks), hits and misses, idle times, and the words by which a handler says what
//! changed. While writes are paused an expired key is treated as missing but stays, since its DEL
//! could not be logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Cx;
use crate::effects::Effects;
use crate::keyspace::{EntryRef, Expiry};
use crate::state::{Shared, State};
use crate::value::{NewValue, ValueRef};

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
        if deleted >= max || state.are_writes_paused {
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
    /// Whether `key` of `db` is there, after deleting it if its time is over.
    pub fn is_there(&mut self, db: usize, key: &[u8]) -> bool {
        match self.state.keyspace.db(db).get(key) {
            None => false,
            Some(entry) if entry.is_expired(self.now_ms) => {
                if !self.state.are_writes_paused {
                    delete_expired(self.state, self.shared, db, key);
                }
                false
            }
            Some(_) => true,
        }
    }

    /// The entry of `key` for a command that changes it: neither a hit nor a miss.
    pub fn find(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let db = self.session.db;
        if self.is_there(db, key) { self.state.keyspace.db(db).get(key) } else { None }
    }

    /// As [`Cx::find`] for a command that reads: counts a hit or a miss, does not count as an
    /// access.
    pub fn peek(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let db = self.session.db;
        let is_there = self.is_there(db, key);
        self.count_read(is_there);
        if is_there { self.state.keyspace.db(db).get(key) } else { None }
    }

    /// The value of `key` for a command that reads: a hit or a miss, and an access.
    pub fn read(&mut self, key: &[u8]) -> Option<ValueRef<'_>> {
        let db = self.session.db;
        let now_ms = self.now_ms;
        self.peek(key)?;
        // A note writes to the entry's page: not while a child would make the kernel copy it.
        if self.state.save.child.is_none() {
            self.state.keyspace.db_mut(db).note_access(key, now_ms);
        }
        self.state.keyspace.db(db).get(key).map(EntryRef::value)
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
