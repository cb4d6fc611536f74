//! The propagation seam: a command does not log itself, it says what changed and what its effect is.
//! The log, the dirty counter, WATCH and (later) keyspace notifications and replicas hang on this one seam.
//!
//! A unit is one command, or one EXEC with all that it ran. Within a unit a handler calls [`Effects::changed`] for each
//! key it changed; if it calls [`Effects::rewrite`] the log gets those commands, else it gets the command as it was sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::aof::{Attached, FileLog, Log, LogPosition, Segment};
use crate::resp::Args;
use crate::value::integer::IntText;

/// What a unit of several commands is wrapped in. The first stands before every unit, so that
/// wrapping copies nothing.
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
/// The unit's buffer is kept up to this size.
const UNIT_BYTES_KEPT: usize = 1024 * 1024;

/// Set when a watched key changed; shared by the session that watches and the table.
pub type WatchFlag = Arc<AtomicBool>;

/// What changed, and to whom that matters. Lives under the engine lock.
#[derive(Default)]
pub struct Effects {
    /// Changes since the last completed save (Redis `rdb_changes_since_last_save`).
    pub dirty: u64,
    log: Option<Arc<dyn Log>>,
    attached: Arc<Attached>,
    unit: Vec<u8>,
    unit_commands: usize,
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
        if let Some(old) = &self.log {
            old.gate().end_log_epochs();
        }
        self.attached.put(log.clone(), None);
        self.log = log;
        self.logged_db = None;
    }

    /// [`Effects::attach`] the log in files.
    pub fn attach_file(&mut self, log: Arc<FileLog>) {
        self.attached.put(Some(Arc::clone(&log) as _), Some(Arc::clone(&log)));
        self.log = Some(log);
        self.logged_db = None;
    }

    /// What follows goes to another file of the attached log ([`FileLog::switch_to`]), which begins
    /// with a SELECT: each file is replayed from database 0. Gives where it begins.
    pub fn switch_log(&mut self, log: &FileLog, segment: Segment) -> LogPosition {
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
            encode_command(&mut self.unit, args);
        }
    }

    /// Log a command as it was sent: its very bytes, if it was sent in the form that a log has.
    pub fn log_sent(&mut self, db: usize, args: Args<'_>) {
        if self.log.is_none() {
            return;
        }
        self.begin_command(db);
        match args.request() {
            Some(request) => self.unit.extend_from_slice(request),
            None => encode_args(&mut self.unit, args.len(), args.iter()),
        }
    }

    fn begin_command(&mut self, db: usize) {
        if self.unit.is_empty() {
            self.unit.extend_from_slice(MULTI);
        }
        if self.logged_db != Some(db) {
            let digits = IntText::new(i64::try_from(db).unwrap_or(0));
            encode_command(&mut self.unit, &[b"SELECT".as_slice(), digits.as_bytes()]);
            self.logged_db = Some(db);
        }
        self.unit_commands += 1;
    }

    /// Number of effects in the unit under way.
    pub fn unit_commands(&self) -> usize {
        self.unit_commands
    }

    /// End the unit: hand its effects to the log, wrapped in MULTI/EXEC when there is more than one (an EXEC; a write to a
    /// key that had expired), so that a replay never sees half of it. Gives the log's new end, if something was appended.
    pub fn end_unit(&mut self) -> Option<u64> {
        let commands = std::mem::take(&mut self.unit_commands);
        if commands == 0 {
            return None;
        }
        let log = self.log.as_ref()?;
        let end = if commands > 1 {
            self.unit.extend_from_slice(EXEC);
            log.append(&self.unit)
        } else {
            log.append(&self.unit[MULTI.len()..])
        };
        self.unit.truncate(MULTI.len());
        if self.unit.capacity() > UNIT_BYTES_KEPT {
            self.unit.shrink_to(UNIT_BYTES_KEPT);
        }
        Some(end)
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
