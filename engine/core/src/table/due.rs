//! The active expiry cycle: finding keys that have ended, in bounded steps.
//! Not here: lazy expiry (callers look at `EntryRef::is_expired`), deleting and logging (the
//! caller's, through `effects`). Every stripe knows an instant before which nothing in it ends, and
//! the table one for all: when nothing is due a step costs nothing, and else it opens only
//! stripes that hold something due, and in them only entries that have an expiry. Rejected: a
//! second table of expiries (memory, as in Redis); sampling at random (leaves a quarter behind).

use super::Table;
use super::hash::KeyHash;
use super::stripe::PREFETCH_DISTANCE;

/// Entries with an expiry that one step may read: about a millisecond.
const ENTRIES_PER_STEP_MAX: usize = 16 * 1024;

impl Table {
    /// One step of the expiry cycle: report up to `max` expired keys. The caller deletes and logs
    /// them; one that it does not delete is reported again. Goes on at `cursor`, a bound in hash
    /// space; a full answer means that there may be more.
    pub fn take_due(&mut self, cursor: &mut u64, now_ms: i64, max: usize) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        if max == 0 || now_ms <= self.next_due_ms {
            return due;
        }
        let mut entries_left = ENTRIES_PER_STEP_MAX;
        let mut place = self.directory.place_of(KeyHash(*cursor));
        while place < self.directory.places() {
            if entries_left == 0 {
                *cursor = self.directory.start_of(place);
                return due;
            }
            if self.directory.at_place(place).next_due_ms() < now_ms {
                let read = self.open_stripe(place, now_ms, max, &mut due);
                entries_left = entries_left.saturating_sub(read);
            }
            if due.len() >= max {
                // The same stripe again: it may hold more.
                *cursor = self.directory.start_of(place);
                return due;
            }
            place = self.directory.next_place(place);
        }
        *cursor = 0;
        self.next_due_ms = self.directory.next_due_ms();
        due
    }

    /// Mean time to live of the keys that have one, ms: of a sample, since keys stand in the order
    /// of their hashes, so that the first ones are as good as any. 0 without such keys.
    pub fn mean_ttl_ms(&self, now_ms: i64) -> i64 {
        const SAMPLED_MAX: i64 = 256;
        const SLOTS_MAX: usize = 16 * 1024;
        let (mut sum_ms, mut sampled, mut slots, mut place) = (0i64, 0i64, 0, 0);
        while place < self.directory.places() && slots < SLOTS_MAX && sampled < SAMPLED_MAX {
            let stripe = self.directory.at_place(place);
            for index in 0..stripe.slots_len() {
                let Some(entry) = stripe.expiring_entry_at(index) else { continue };
                let at_ms = entry.expire_at_ms().unwrap_or(now_ms);
                sum_ms = sum_ms.saturating_add(at_ms.saturating_sub(now_ms).max(0));
                sampled += 1;
            }
            slots += stripe.slots_len();
            place = self.directory.next_place(place);
        }
        sum_ms / sampled.max(1)
    }

    /// Collect what is due in one stripe and tighten its bound; gives how many entries were read.
    fn open_stripe(
        &mut self,
        place: usize,
        now_ms: i64,
        max: usize,
        due: &mut Vec<Vec<u8>>,
    ) -> usize {
        let stripe = self.directory.at_place_mut(place);
        let (mut soonest_ms, mut read) = (i64::MAX, 0);
        for index in 0..stripe.slots_len() {
            stripe.prefetch_expiring_at(index + PREFETCH_DISTANCE);
            let Some(entry) = stripe.expiring_entry_at(index) else { continue };
            read += 1;
            soonest_ms = soonest_ms.min(entry.expire_at_ms().unwrap_or(i64::MAX));
            if entry.is_expired(now_ms) && due.len() < max {
                due.push(entry.key().to_vec());
            }
        }
        // What was reported counts too, until it is deleted: a caller may have to wait with that.
        stripe.set_next_due_ms(soonest_ms);
        read
    }
}
