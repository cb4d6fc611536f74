//! Clients that come back after the gate has opened for many of them at once (`always`: a group's
//! fsync). They do so one after the other, the loop is faster than they are, and would sleep and
//! wake for each few. So it rests a moment instead, once or twice a group, while most of them are
//! still to come: what it executed sooner would wait for the next fsync all the same. Nothing here
//! decides what leaves when: that is the gate's business.
//!
//! ```text
//! gate opens │ replies leave │ few are back: rest │ many are │ few: rest │ ... │ the next fsync
//! ```

use std::time::Duration;

/// So long a rest is asked for; the kernel adds up to 50 µs to it, in which a client takes up some
/// twenty replies.
const REST: Duration = Duration::from_micros(20);
/// Rests for one group: no client that is not of it waits longer for its sake.
const RESTS_MAX: u32 = 2;
/// Fewer clients are not waited for, and as many at once are not too few.
const CLIENTS_MIN: usize = 8;

/// Who is still to come.
#[derive(Debug, Default)]
pub(super) struct Returning {
    expected: usize,
    rests: u32,
}

impl Returning {
    /// The gate has opened for so many clients.
    pub(super) fn release(&mut self, clients: usize) {
        if clients >= CLIENTS_MIN {
            *self = Self { expected: clients, rests: RESTS_MAX };
        }
    }

    /// A turn has taken `came` events: how long to rest before the next.
    pub(super) fn pause(&mut self, came: usize) -> Option<Duration> {
        self.expected = self.expected.saturating_sub(came);
        if self.rests == 0 || came >= CLIENTS_MIN || self.expected < CLIENTS_MIN {
            return None;
        }
        self.rests -= 1;
        Some(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_waited_for_twice_at_the_most() {
        let mut returning = Returning::default();
        returning.release(40);
        let rests: Vec<bool> = (0..5).map(|_| returning.pause(1).is_some()).collect();
        assert_eq!(rests, [true, true, false, false, false]);
        returning.release(40);
        assert!(returning.pause(0).is_some(), "the next group");
    }

    #[test]
    fn nobody_is_waited_for_while_many_come_or_few_are_missing() {
        let mut returning = Returning::default();
        returning.release(40);
        assert_eq!(returning.pause(25), None);
        assert_eq!(returning.pause(CLIENTS_MIN - 1), Some(REST));
        assert_eq!(returning.pause(1), None, "7 are missing");
    }

    #[test]
    fn few_clients_never_wait() {
        let mut returning = Returning::default();
        assert_eq!(returning.pause(0), None);
        returning.release(CLIENTS_MIN - 1);
        assert_eq!(returning.pause(0), None);
    }
}
