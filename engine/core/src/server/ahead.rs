//! Looking ahead in a batch: what the next commands will touch is asked for before the first of
//! them runs, so that the processor waits for many cache lines at once and not for each in turn.
//! Waves over a window of commands, each of which needs what the one before has asked for:
//!
//! ```text
//!  the key's slot ► the key's entry ► the member's slot ► the member's entry
//! ```
//! A member is what a command names inside a large collection (a field of a hash). Tried and slower:
//! waves that roll a fixed number of commands ahead of the one that runs. Hints only: a key that
//! another command of the window moves is looked for in vain.

use crate::command::Known;
use crate::keyspace::{Db, KeyHash};
use crate::resp::Batch;
use crate::table::Table;

/// Commands looked at ahead: enough to hide memory latency, few enough to stay in the nearest
/// cache.
pub const WINDOW: usize = 16;

/// The commands that run next, looked up once.
#[derive(Default)]
pub struct Ahead {
    seen: [Seen; WINDOW],
    /// How many of them are there.
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    known: Known,
    key: Option<KeyHash>,
}

impl Ahead {
    /// What the command at `index` calls; its window was opened.
    pub fn known(&self, index: usize) -> Known {
        self.seen[index % WINDOW].known
    }

    /// Look at the commands of the window that begins at `first`, and begin to load what they will
    /// touch.
    pub fn open(&mut self, first: usize, db: &Db, batch: &Batch, input: &[u8]) {
        let count = batch.len().min(first + WINDOW) - first;
        self.count = count;
        let mut has_members = false;
        for (place, seen) in self.seen.iter_mut().take(count).enumerate() {
            let args = batch.args(first + place, input);
            let known = Known::look_up(args.get(0));
            let key = known.first_key_index().filter(|at| count > 1 && *at < args.len());
            *seen = Seen { known, key: key.map(|at| db.prefetch(args.get(at))) };
            has_members |= key.is_some() && known.first_member_index().is_some();
        }
        let keys = self.seen.iter().take(count).filter_map(|seen| seen.key);
        keys.for_each(|hash| db.prefetch_entry(hash));
        if has_members {
            self.ask_for_members(first, db, batch, input);
        }
    }

    fn ask_for_members(&self, first: usize, db: &Db, batch: &Batch, input: &[u8]) {
        let mut asked: [Option<(&Table, KeyHash)>; WINDOW] = [None; WINDOW];
        let mut last: Option<(&[u8], Option<&Table>)> = None;
        for (place, seen) in self.seen.iter().take(self.count).enumerate() {
            let (Some(key_at), Some(at)) =
                (seen.known.first_key_index(), seen.known.first_member_index())
            else {
                continue;
            };
            let args = batch.args(first + place, input);
            let (Some(hash), true) = (seen.key, at < args.len()) else { continue };
            // One collection after the other is the rule.
            let key = args.get(key_at);
            let members = match last {
                Some((last_key, members)) if last_key == key => members,
                _ => db.members_of(hash, key),
            };
            last = Some((key, members));
            asked[place] = members.map(|table| (table, table.prefetch(args.get(at))));
        }
        asked.iter().flatten().for_each(|(table, hash)| table.prefetch_entry(*hash));
    }
}
