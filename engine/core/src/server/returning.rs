//! Clients that come back after the gate has opened for many of them at once (`always`: a group's
//! fsync). They do so one after the other, the loop is faster than they are, and would sleep and
//! wake for each few. So it rests a moment instead, once a group (a second rest costs more rate than
//! it saves processor), while most of them are still to come: what it executed sooner would wait for the
//! next fsync all the same. Nothing here decides what leaves when: that is the gate's business.
//!
//! ```text
//! gate opens │ replies leave │ few are back: rest │ most are │ the next fsync
//! ```

use std::time::Duration;

/// So long a rest is asked for; the kernel adds up to 50 µs to it, in which a client takes up some
/// twenty replies.
const REST: Duration = Duration::from_micros(20);
/// Fewer clients are not waited for, and as many at once are not too few.
const CLIENTS_MIN: usize = 8;

/// Who is still to come.
#[derive(Debug, Default)]
pub(super) struct Returning {
    expected: usize,
    may_rest: bool,
}

impl Returning {
    /// The gate has opened for so many clients.
    pub(super) fn release(&mut self, clients: usize) {
        if clients >= CLIENTS_MIN {
            *self = Self { expected: clients, may_rest: true };
        }
    }

    /// A turn has taken `came` events: how long to rest before the next.
    pub(super) fn pause(&mut self, came: usize) -> Option<Duration> {
        self.expected = self.expected.saturating_sub(came);
        if !self.may_rest || came >= CLIENTS_MIN || self.expected < CLIENTS_MIN {
            return None;
        }
        self.may_rest = false;
        Some(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_waited_for_once() {
        let mut returning = Returning::default();
        returning.release(40);
        let rests: Vec<bool> = (0..5).map(|_| returning.pause(1).is_some()).collect();
        assert_eq!(rests, [true, false, false, false, false]);
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
