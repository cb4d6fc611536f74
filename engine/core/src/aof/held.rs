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
    asked: u64,
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
        self.gate.advance_fsynced(end);
        self.gate.release(end);
    }

    /// Release up to a position that an append gave; goes on holding.
    pub fn release_to(&self, position: u64) {
        self.gate.advance_fsynced(position);
        self.gate.release(position);
    }

    /// Up to where somebody asked for an fsync.
    pub fn asked(&self) -> u64 {
        self.held.lock().asked
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
        self.gate.fail(libc::EIO);
    }

    /// A new base holds everything: what waited leaves, and the log releases at once again.
    pub fn recover(&self) {
        let mut held = self.held.lock();
        held.is_holding = false;
        let end = self.base + held.bytes.len() as u64;
        drop(held);
        self.gate.advance_fsynced(end);
        self.gate.recover(end);
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
            self.gate.advance_fsynced(end);
            self.gate.release(end);
        }
        end
    }

    fn ask_fsync(&self, offset: u64) {
        let mut held = self.held.lock();
        held.asked = held.asked.max(offset);
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::Position;

    fn lets_pass(gate: &Gate, offset: u64, is_write: bool) -> bool {
        gate.lets_pass(Position { epoch: 0, offset }, is_write)
    }

    #[test]
    fn replies_wait_while_the_log_holds_and_leave_in_order() {
        let gate = Arc::new(Gate::default());
        let log = HeldLog::new(Arc::clone(&gate));
        let first = log.append(b"abc");
        assert!(lets_pass(&gate, first, true));
        log.hold();
        let second = log.append(b"de");
        let third = log.append(b"f");
        assert!(!lets_pass(&gate, second, true) && !lets_pass(&gate, second, false));
        log.release_to(second);
        assert!(lets_pass(&gate, second, true) && !lets_pass(&gate, third, false));
        log.release_all();
        assert!(lets_pass(&gate, third, true));
        assert_eq!(log.bytes(), b"abcdef");
    }

    #[test]
    fn a_failed_log_lets_reads_pass_and_writes_wait_for_recovery() {
        let gate = Arc::new(Gate::default());
        let log = HeldLog::new(Arc::clone(&gate));
        log.fail();
        let position = log.append(b"abc");
        assert!(gate.has_failed());
        assert!(lets_pass(&gate, position, false) && !lets_pass(&gate, position, true));
        log.recover();
        assert!(!gate.has_failed() && lets_pass(&gate, position, true));
    }

    #[test]
    fn a_second_log_goes_on_where_the_first_ended() {
        let gate = Arc::new(Gate::default());
        HeldLog::new(Arc::clone(&gate)).append(b"abc");
        assert_eq!(HeldLog::new(Arc::clone(&gate)).append(b"d"), 4);
    }

    #[test]
    fn a_log_never_releases_what_a_commit_holds_back_nor_the_other_way_round() {
        let gate = Arc::new(Gate::default());
        let log = HeldLog::new(Arc::clone(&gate));
        log.append(b"abc");
        let old = gate.position();
        let epoch = gate.begin_epoch();
        log.append(b"written after the switch, released by the log at once");
        let new = gate.position();
        assert!(gate.lets_pass(old, true));
        assert!(!gate.lets_pass(new, true) && !gate.lets_pass(new, false));
        log.fail();
        assert!(!gate.lets_pass(new, false), "a failed log's exception is not the commit's");
        log.append(b"held");
        gate.end_epoch_wait(epoch);
        assert!(gate.lets_pass(new, true));
        assert!(!gate.lets_pass(gate.position(), true), "the log still holds");
        log.recover();
        assert!(gate.lets_pass(gate.position(), true));
    }
}
