//! A log in memory that tests hold, release, fail and recover: it proves the reply gate (I10)
//! without a disk. Not a product feature: nothing outside tests attaches it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Gate, Log};

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    is_holding: bool,
}

/// Collects what is appended. Releases at once, until told to hold.
pub struct HeldLog {
    gate: Arc<Gate>,
    /// Gate position of the first byte: positions go on from what the gate has seen.
    base: u64,
    held: Mutex<Held>,
}

impl HeldLog {
    /// A log that opens `gate`; attach it with `state.effects.attach`.
    pub fn new(gate: Arc<Gate>) -> Arc<Self> {
        let base = gate.appended();
        Arc::new(Self { gate, base, held: Mutex::default() })
    }

    /// From now on nothing is released by itself.
    pub fn hold(&self) {
        self.held.lock().is_holding = true;
    }

    /// Release all that was appended, and go on releasing at once.
    pub fn release_all(&self) {
        let mut held = self.held.lock();
        held.is_holding = false;
        let end = self.base + held.bytes.len() as u64;
        drop(held);
        self.gate.release(end);
    }

    /// Release up to a position that an append gave; goes on holding.
    pub fn release_to(&self, position: u64) {
        self.gate.release(position);
    }

    /// Release all from another thread after `delay`, as a slow disk would.
    pub fn release_after(self: &Arc<Self>, delay: Duration) -> std::thread::JoinHandle<()> {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            log.release_all();
        })
    }

    /// The disk failed: nothing is released until [`HeldLog::recover`].
    pub fn fail(&self) {
        self.held.lock().is_holding = true;
        self.gate.fail();
    }

    /// A new base holds everything: what waited leaves, and the log releases at once again.
    pub fn recover(&self) {
        self.held.lock().is_holding = false;
        self.gate.recover();
    }

    /// Everything appended so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.held.lock().bytes.clone()
    }
}

impl Log for HeldLog {
    fn append(&self, effects: &[u8]) -> u64 {
        let mut held = self.held.lock();
        held.bytes.extend_from_slice(effects);
        let end = self.base + held.bytes.len() as u64;
        // First appended, then released: a reader of the gate never sees a release that runs ahead.
        self.gate.advance(end);
        let is_holding = held.is_holding;
        drop(held);
        if !is_holding {
            self.gate.release(end);
        }
        end
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_wait_while_the_log_holds_and_leave_in_order() {
        let gate = Arc::new(Gate::default());
        let log = HeldLog::new(Arc::clone(&gate));
        let first = log.append(b"abc");
        assert!(gate.lets_pass(first, true));
        log.hold();
        let second = log.append(b"de");
        let third = log.append(b"f");
        assert!(!gate.lets_pass(second, true) && !gate.lets_pass(second, false));
        log.release_to(second);
        assert!(gate.lets_pass(second, true) && !gate.lets_pass(third, false));
        log.release_all();
        assert!(gate.lets_pass(third, true));
        assert_eq!(log.bytes(), b"abcdef");
    }

    #[test]
    fn a_failed_log_lets_reads_pass_and_writes_wait_for_recovery() {
        let gate = Arc::new(Gate::default());
        let log = HeldLog::new(Arc::clone(&gate));
        log.fail();
        let position = log.append(b"abc");
        assert!(gate.has_failed());
        assert!(gate.lets_pass(position, false) && !gate.lets_pass(position, true));
        log.recover();
        assert!(!gate.has_failed() && gate.lets_pass(position, true));
    }

    #[test]
    fn a_second_log_goes_on_where_the_first_ended() {
        let gate = Arc::new(Gate::default());
        HeldLog::new(Arc::clone(&gate)).append(b"abc");
        assert_eq!(HeldLog::new(Arc::clone(&gate)).append(b"d"), 4);
    }
}
