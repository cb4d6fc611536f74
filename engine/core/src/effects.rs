//! The propagation seam: a command does not log itself, it says what changed and what its effect is.
//! The log, the dirty counter, WATCH and (later) keyspace notifications and replicas hang on this one seam.
//!
//! A unit is one command, or one EXEC with all that it ran. Within a unit a handler calls [`Effects::changed`] for each
//! key it changed; if it calls [`Effects::rewrite`] the log gets those commands, else it gets the command as it was sent.
//! The log gets whole units: one by one, or those of a batch together ([`Effects::open_batch`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::aof::{Attached, FileLog, Log, LogPosition, Segment};
use crate::resp::Args;
use crate::value::integer::IntText;

/// What a unit of several commands is wrapped in.
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
/// The buffer of units is kept up to this size.
const UNITS_BYTES_KEPT: usize = 1024 * 1024;
/// From so many bytes on the log gets what a batch has collected: one append more costs next to
/// nothing then, and the bytes are still near the processor.
const COLLECTED_BYTES_MAX: usize = 16 * 1024;

/// Set when a watched key changed; shared by the session that watches and the table.
pub type WatchFlag = Arc<AtomicBool>;

/// What changed, and to whom that matters. Lives under the engine lock.
#[derive(Default)]
pub struct Effects {
    /// Changes since the last completed save (Redis `rdb_changes_since_last_save`).
    pub dirty: u64,
    log: Option<Arc<dyn Log>>,
    attached: Arc<Attached>,
    /// Units that have ended and that the log has not got yet, then the one under way.
    units: Vec<u8>,
    /// Where the unit under way begins, and how many commands it has.
    unit_at: usize,
    unit_commands: usize,
    is_collecting: bool,
    logged_db: Option<usize>,
    watched: HashMap<(usize, Vec<u8>), Vec<WatchFlag>>,
}

impl Effects {
    /// Nothing has changed; the log will also be put into `attached`.
    pub fn new(attached: Arc<Attached>) -> Self {
        Self { attached, ..Self::default() }
    }

    /// Attach the log that receives the effects; `None` means that nothing is logged.
    pub fn attach(&mut self, log: Option<Arc<dyn Log>>) {
        self.hand_over();
        if let Some(old) = &self.log {
            old.gate().end_log_epochs();
        }
        self.attached.put(log.clone(), None);
        self.log = log;
        self.logged_db = None;
    }

    /// [`Effects::attach`] the log in files.
    pub fn attach_file(&mut self, log: Arc<FileLog>) {
        self.hand_over();
        self.attached.put(Some(Arc::clone(&log) as _), Some(Arc::clone(&log)));
        self.log = Some(log);
        self.logged_db = None;
    }

    /// What follows goes to another file of the attached log ([`FileLog::switch_to`]), which begins
    /// with a SELECT: each file is replayed from database 0. Gives where it begins.
    pub fn switch_log(&mut self, log: &FileLog, segment: Segment) -> LogPosition {
        self.hand_over();
        self.logged_db = None;
        log.switch_to(segment)
    }

    /// Whether effects are logged.
    pub fn is_logging(&self) -> bool {
        self.log.is_some()
    }

    /// Say that `key` of database `db` changed: counts as one change and dirties those who watch it.
    pub fn changed(&mut self, db: usize, key: &[u8]) {
        self.changed_by(db, key, 1);
    }

    /// As [`Effects::changed`], for a command that counts as several changes; none is no change.
    pub fn changed_by(&mut self, db: usize, key: &[u8], changes: u64) {
        if changes > 0 {
            self.dirty += changes;
            self.touch(db, key);
        }
    }

    /// Dirty those who watch `key` without counting a change (a key that lazily expired).
    pub fn touch(&mut self, db: usize, key: &[u8]) {
        if self.watched.is_empty() {
            return;
        }
        if let Some(flags) = self.watched.get(&(db, key.to_vec())) {
            flags.iter().for_each(|flag| flag.store(true, Ordering::Release));
        }
    }

    /// Dirty those for whose watched key `is_affected(db, key)` holds (FLUSHDB, SWAPDB, restore).
    pub fn touch_where(&mut self, is_affected: impl Fn(usize, &[u8]) -> bool) {
        for ((db, key), flags) in &self.watched {
            if is_affected(*db, key) {
                flags.iter().for_each(|flag| flag.store(true, Ordering::Release));
            }
        }
    }

    /// Watch `key` for the owner of `flag`.
    pub fn watch(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        self.watched.entry((db, key.to_vec())).or_default().push(Arc::clone(flag));
    }

    /// Forget that the owner of `flag` watches `key`.
    pub fn unwatch(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        let place = (db, key.to_vec());
        if let Some(flags) = self.watched.get_mut(&place) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                self.watched.remove(&place);
            }
        }
    }

    /// Log one command as the effect on database `db`; a SELECT goes before it where needed.
    pub fn rewrite<A: AsRef<[u8]>>(&mut self, db: usize, args: &[A]) {
        if self.log.is_some() {
            self.begin_command(db);
            encode_command(&mut self.units, args);
        }
    }

    /// Log a command as it was sent: its very bytes, if it was sent in the form that a log has.
    pub fn log_sent(&mut self, db: usize, args: Args<'_>) {
        if self.log.is_none() {
            return;
        }
        self.begin_command(db);
        match args.request() {
            Some(request) => self.units.extend_from_slice(request),
            None => encode_args(&mut self.units, args.len(), args.iter()),
        }
    }

    fn begin_command(&mut self, db: usize) {
        if self.unit_commands == 1 {
            self.units.splice(self.unit_at..self.unit_at, MULTI.iter().copied());
        }
        if self.logged_db != Some(db) {
            let digits = IntText::new(i64::try_from(db).unwrap_or(0));
            encode_command(&mut self.units, &[b"SELECT".as_slice(), digits.as_bytes()]);
            self.logged_db = Some(db);
        }
        self.unit_commands += 1;
    }

    /// Number of effects in the unit under way.
    pub fn unit_commands(&self) -> usize {
        self.unit_commands
    }

    /// A batch of commands begins under one hold of the engine lock: the log gets its units
    /// together, since an append for each costs a SET of a pipeline 25 ns, of 450. Until
    /// [`Effects::close_batch`] the log's end, and the gate's, may stand before what was executed:
    /// whoever asks for it calls [`Effects::hand_over`] first, and no reply may be stamped.
    pub fn open_batch(&mut self) {
        self.is_collecting = true;
    }

    /// The batch has ended. Gives the log's new end, if something was appended.
    pub fn close_batch(&mut self) -> Option<u64> {
        self.is_collecting = false;
        self.hand_over()
    }

    /// End the unit, wrapped in MULTI/EXEC when it has more than one effect (an EXEC; a write to a
    /// key that had expired), so that a replay never sees half of it. The log gets it now, unless a
    /// batch collects. Gives the log's new end, if something was appended.
    pub fn end_unit(&mut self) -> Option<u64> {
        match std::mem::take(&mut self.unit_commands) {
            0 => return None,
            1 => {}
            _ => self.units.extend_from_slice(EXEC),
        }
        self.unit_at = self.units.len();
        if self.is_collecting && self.unit_at < COLLECTED_BYTES_MAX {
            return None;
        }
        self.hand_over()
    }

    /// Append to the log what has ended, so that its end and the gate's are those of what was
    /// executed. Gives the log's new end, if something was appended.
    pub fn hand_over(&mut self) -> Option<u64> {
        if self.unit_at == 0 {
            return None;
        }
        let end = self.log.as_ref().map(|log| log.append(&self.units[..self.unit_at]));
        self.units.drain(..self.unit_at);
        self.unit_at = 0;
        if self.units.capacity() > UNITS_BYTES_KEPT {
            self.units.shrink_to(UNITS_BYTES_KEPT);
        }
        end
    }
}

/// Append `args` to `out` as a RESP array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    encode_args(out, args.len(), args.iter().map(AsRef::as_ref));
}

fn encode_args<'a>(out: &mut Vec<u8>, count: usize, args: impl Iterator<Item = &'a [u8]>) {
    encode_header(out, b'*', count);
    for arg in args {
        encode_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Append `*<count>` or `$<length>` and its line end.
pub(crate) fn encode_header(out: &mut Vec<u8>, mark: u8, count: usize) {
    out.push(mark);
    out.extend_from_slice(IntText::new(i64::try_from(count).unwrap_or(i64::MAX)).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::Gate;
    use crate::aof::held::HeldLog;

    fn set_up() -> (Effects, Arc<HeldLog>) {
        let mut effects = Effects::default();
        let log = HeldLog::new(Arc::new(Gate::default()));
        effects.attach(Some(log.clone()));
        (effects, log)
    }

    fn logged(log: &HeldLog) -> String {
        let text = String::from_utf8(log.bytes()).unwrap();
        let is_word = |line: &&str| !line.starts_with(['*', '$']);
        text.lines().filter(is_word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn units_of_a_batch_reach_the_log_together_and_otherwise_each_by_itself() {
        let (mut effects, log) = set_up();
        effects.open_batch();
        for key in ["a", "b"] {
            effects.rewrite(0, &["DEL", key]);
            assert_eq!(effects.end_unit(), None);
        }
        assert_eq!(logged(&log), "");
        assert_eq!(effects.close_batch(), Some(log.bytes().len() as u64));
        assert_eq!(logged(&log), "SELECT 0 DEL a DEL b");
        effects.rewrite(0, &["DEL", "c"]);
        assert_eq!(effects.end_unit(), Some(log.bytes().len() as u64));
        assert_eq!(logged(&log), "SELECT 0 DEL a DEL b DEL c");
        assert_eq!((effects.end_unit(), effects.hand_over()), (None, None));
    }

    #[test]
    fn a_unit_of_several_commands_is_wrapped_wherever_it_stands_in_a_batch() {
        let (mut effects, log) = set_up();
        effects.open_batch();
        effects.rewrite(0, &["DEL", "a"]);
        effects.end_unit();
        for key in ["b", "c", "d"] {
            effects.rewrite(1, &["DEL", key]);
        }
        effects.end_unit();
        effects.rewrite(1, &["DEL", "e"]);
        effects.end_unit();
        effects.close_batch();
        let whole = "SELECT 0 DEL a MULTI SELECT 1 DEL b DEL c DEL d EXEC DEL e";
        assert_eq!(logged(&log), whole);
    }

    #[test]
    fn what_is_handed_over_or_goes_to_another_log_are_whole_units() {
        let (mut effects, log) = set_up();
        effects.open_batch();
        effects.rewrite(0, &["DEL", "a"]);
        effects.end_unit();
        effects.rewrite(0, &["DEL", "b"]);
        assert_eq!(effects.hand_over(), Some(log.bytes().len() as u64));
        assert_eq!(logged(&log), "SELECT 0 DEL a");
        effects.end_unit();
        let next = HeldLog::new(Arc::new(Gate::default()));
        effects.attach(Some(next.clone()));
        effects.rewrite(0, &["DEL", "c"]);
        effects.end_unit();
        effects.close_batch();
        assert_eq!(logged(&log), "SELECT 0 DEL a DEL b");
        assert_eq!(logged(&next), "SELECT 0 DEL c");
    }

    #[test]
    fn a_batch_collects_no_more_than_its_bound() {
        let (mut effects, log) = set_up();
        effects.open_batch();
        let value = "x".repeat(COLLECTED_BYTES_MAX / 2);
        effects.rewrite(0, &["SET", "a", &value]);
        assert_eq!(effects.end_unit(), None);
        effects.rewrite(0, &["SET", "b", &value]);
        assert_eq!(effects.end_unit(), Some(log.bytes().len() as u64));
        assert_eq!(effects.close_batch(), None);
    }
}
