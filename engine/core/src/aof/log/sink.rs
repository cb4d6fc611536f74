//! From pieces of memory to the file: checksums filled in, written in order, the file changed only
//! when the one before is fsynced. Every way in which a disk fails ends here in one of two states:
//!
//! ```text
//! write failed   bytes stay in memory, tried again each second from where the file's end is
//! fsync failed   what the file holds is unknown: nothing more is written, never tried again; a new
//!                base in a new epoch takes its place
//! ```
//! When to write, when to fsync and what that releases is `writer`'s business. File calls go through
//! libc, so that a fault-injection shim sees them.

#![allow(unsafe_code)] // system calls: write, fdatasync

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Segment;
use super::page_cache::{PageCache, drop_pages};
use super::ring_side::{Group, Opening, RingSide};
use super::tail::{Piece, Tail};
use crate::aof::annotation::{Checksum, FIELD_BYTES};
use crate::error::Result;
use crate::failpoint;

/// A buffer up to this size is filled again after it was written.
const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A write that failed is tried again this often.
const RETRY: Duration = Duration::from_secs(1);

/// How writing ended.
#[derive(Debug)]
pub enum Written {
    /// All that was there.
    All,
    /// The file is to be changed, and what it holds must be fsynced before.
    NeedsFsync,
    /// Not now: an error is known and its time has not come.
    Waits,
    /// An error, the first of its kind or again.
    Failed(io::Error),
}

/// An fsync that is to be made without the sink.
#[derive(Debug)]
pub struct Fsync {
    file: Arc<File>,
    epoch: u64,
    /// Up to where the log is fsynced if it succeeds.
    pub upto: u64,
    /// When the oldest byte was written that it makes durable.
    pub since: Option<Instant>,
    /// When it began.
    pub started: Instant,
    /// The ring makes it durable, and the file follows later; `None`: the file.
    group: Option<Group>,
    /// Why the ring did not, and the file was fsynced all the same.
    ring_error: Option<io::Error>,
    opening: Opening,
    /// What of the file leaves memory once it is on the disk.
    surplus: Range<u64>,
}

/// The file, and what waits for it.
pub struct Sink {
    file: Arc<File>,
    path: PathBuf,
    epoch: u64,
    queue: VecDeque<Piece>,
    /// Bytes of the first piece that the file has.
    sent: usize,
    checksum: Checksum,
    spare: Vec<u8>,
    /// Gate offsets: what files have, what of it is durable (in the file, or in the ring), and what is
    /// in the file.
    pub written: u64,
    /// See `written`.
    pub fsynced: u64,
    file_fsynced: u64,
    ring: RingSide,
    /// When the oldest byte was written that no fsync holds or is about to hold; while one runs:
    /// the oldest since it began.
    pub unsynced_since: Option<Instant>,
    /// The same of the fsync that runs.
    pub syncing_since: Option<Instant>,
    /// When the last fsync of the file began.
    pub synced_at: Option<Instant>,
    /// The last write failed; when to try again.
    retry_at: Option<Instant>,
    /// An fsync failed in this epoch.
    is_lost: bool,
    /// Replies wait for the fsync that runs, and that was counted.
    is_delay_noted: bool,
    file_begins_at: u64,
    page_cache: PageCache,
}

impl Sink {
    /// A sink for a file that is empty; the log begins at gate offset `end`.
    pub fn new(segment: Segment, end: u64) -> Self {
        Self {
            ring: RingSide::new(&segment, end),
            file: Arc::new(segment.file),
            path: segment.path,
            epoch: segment.epoch,
            queue: VecDeque::new(),
            sent: 0,
            checksum: Checksum::default(),
            spare: Vec::new(),
            written: end,
            fsynced: end,
            file_fsynced: end,
            unsynced_since: None,
            syncing_since: None,
            synced_at: None,
            retry_at: None,
            is_lost: false,
            is_delay_noted: false,
            file_begins_at: end,
            page_cache: PageCache::default(),
        }
    }

    /// The file that is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the last write failed.
    pub fn is_write_failing(&self) -> bool {
        self.retry_at.is_some()
    }

    /// When a write that failed is to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether an fsync failed, and no base has taken the place of what it left.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether the next bytes go to another file.
    pub fn is_at_switch(&self) -> bool {
        self.queue.front().is_some_and(|piece| piece.segment.is_some())
    }

    /// Whether bytes were written that nothing holds yet.
    pub fn is_unsynced(&self) -> bool {
        self.fsynced < self.written
    }

    /// Whether the file has bytes that are not fsynced in it.
    pub fn is_file_behind(&self) -> bool {
        self.file_fsynced < self.written
    }

    /// Whether something is durable that the file does not hold: the ring does.
    pub fn is_ring_ahead(&self) -> bool {
        self.file_fsynced < self.fsynced
    }

    /// Whether groups are to go into a ring.
    pub fn want_ring(&mut self, is_wanted: bool) {
        self.ring.want(is_wanted);
    }

    /// Since when there is something that no fsync holds.
    pub fn oldest_unsynced(&self) -> Option<Instant> {
        self.syncing_since.or(self.unsynced_since)
    }

    /// Take what was appended. Gives what [`Sink::seal`] needs, which the tail need not wait for.
    pub fn take(&mut self, tail: &mut Tail) -> usize {
        let before = self.queue.len();
        tail.take(&mut self.queue, &mut self.spare);
        before
    }

    /// Fill in the checksums of what was taken.
    pub fn seal(&mut self, before: usize) {
        for piece in self.queue.iter_mut().skip(before) {
            seal(piece, &mut self.checksum);
        }
    }

    /// Replies wait for the fsync that runs; whether that is news.
    pub fn note_delay(&mut self) -> bool {
        !std::mem::replace(&mut self.is_delay_noted, true)
    }

    /// Bytes that the file has.
    pub fn file_bytes(&self) -> u64 {
        self.written - self.file_begins_at
    }

    /// Write what waits, up to where the file changes. `is_last` tries at once what failed.
    pub fn write(&mut self, now: Instant, is_last: bool) -> Written {
        if self.is_lost() || self.retry_at.is_some_and(|at| now < at && !is_last) {
            return Written::Waits;
        }
        while let Some(piece) = self.queue.front() {
            if piece.segment.is_some() {
                if self.is_file_behind() {
                    return Written::NeedsFsync;
                }
                if let Err(error) = failpoint::hit("aof.switch") {
                    self.retry_at = Some(now + RETRY);
                    return Written::Failed(error);
                }
                self.open_next();
                continue;
            }
            let rest = &piece.bytes[self.sent..];
            let (sent, error) = write_some(&self.file, rest);
            self.written += sent as u64;
            self.ring.note(&rest[..sent], self.written);
            self.sent += sent;
            if sent > 0 && self.unsynced_since.is_none() {
                self.unsynced_since = Some(now);
            }
            if let Some(error) = error {
                self.retry_at = Some(now + RETRY);
                return Written::Failed(error);
            }
            self.retry_at = None;
            self.drop_first();
        }
        Written::All
    }

    /// The first piece is written: its buffer may be filled again.
    fn drop_first(&mut self) {
        self.sent = 0;
        let Some(mut piece) = self.queue.pop_front() else { return };
        let capacity = piece.bytes.capacity();
        if capacity <= SPARE_BYTES_MAX && capacity > self.spare.capacity() {
            piece.bytes.clear();
            self.spare = piece.bytes;
        }
    }

    /// The first piece's file is written to from now on.
    fn open_next(&mut self) {
        let Some(piece) = self.queue.front_mut() else { return };
        if let Some(segment) = piece.segment.take() {
            self.file_begins_at = piece.start;
            self.page_cache = PageCache::default();
            self.ring.go_on_in(&segment, piece.start);
            self.file = Arc::new(segment.file);
            self.path = segment.path;
            self.epoch = segment.epoch;
        }
    }

    /// Begin to make all durable that is written: in the ring if that will do, else in the file.
    pub fn begin_fsync(&mut self, now: Instant, may_use_ring: bool) -> Fsync {
        let group = match may_use_ring && self.is_unsynced() {
            true => self.ring.take_group(self.fsynced, self.epoch, self.file_begins_at),
            false => None,
        };
        let (mut opening, mut surplus) = (Opening::Not, 0..0);
        if group.is_none() {
            self.synced_at = Some(now);
            surplus = self.page_cache.take_surplus(self.file_bytes());
            self.ring.forget(self.written);
            opening = self.ring.opening();
        }
        self.syncing_since = self.unsynced_since.take();
        Fsync {
            file: Arc::clone(&self.file),
            epoch: self.epoch,
            upto: self.written,
            since: self.syncing_since,
            started: now,
            group,
            ring_error: None,
            opening,
            surplus,
        }
    }

    /// An fsync has ended. Of an epoch that a base took the place of meanwhile, nobody asks.
    ///
    /// # Errors
    /// The ring's: the file alone is fsynced from now on. Nothing is lost by that.
    pub fn end_fsync(&mut self, fsync: Fsync, is_durable: bool) -> Result<()> {
        let is_of_the_file = !fsync.is_of_the_ring();
        let returned = fsync.group.map(|it| self.ring.give_back(it, fsync.ring_error.as_ref()));
        let opened = self.ring.take_opened(fsync.opening);
        if fsync.epoch == self.epoch {
            self.is_delay_noted = false;
            if is_durable {
                self.fsynced = self.fsynced.max(fsync.upto);
                self.syncing_since = None;
            } else {
                self.is_lost = true;
            }
            if is_durable && is_of_the_file {
                self.file_fsynced = self.file_fsynced.max(fsync.upto);
                self.ring.restart();
            }
        }
        returned.unwrap_or(Ok(())).and(opened)
    }

    /// A base holds all before `epoch`: go on there. What waits for files of earlier epochs is
    /// dropped. Gives where the epoch begins, unless the sink is in it already, or beyond.
    pub fn skip_to(&mut self, epoch: u64) -> Option<u64> {
        let is_begin =
            |piece: &Piece| piece.segment.as_ref().is_some_and(|segment| segment.epoch == epoch);
        if epoch <= self.epoch {
            return None;
        }
        let at = self.queue.iter().position(is_begin)?;
        self.queue.drain(..at);
        let start = self.queue.front()?.start;
        self.open_next();
        self.sent = 0;
        (self.written, self.fsynced, self.file_fsynced) = (start, start, start);
        self.ring.forget(start);
        (self.unsynced_since, self.syncing_since) = (None, None);
        (self.retry_at, self.is_lost) = (None, false);
        Some(start)
    }
}

impl Fsync {
    /// Whether the ring made it durable.
    pub fn is_of_the_ring(&self) -> bool {
        self.group.is_some() && self.ring_error.is_none()
    }

    /// Make it: in the ring, or by an fdatasync of the file, which its length is part of. The file is
    /// fsynced as well when the ring fails.
    ///
    /// # Errors
    /// The operating system's, of the file. What is on the disk is unknown then, and asking again
    /// would be told that all is well.
    pub fn run(&mut self) -> io::Result<()> {
        failpoint::hit("aof.fsync")?;
        if let Some(group) = &mut self.group {
            match group.commit() {
                Ok(()) => return failpoint::hit("aof.fsynced"),
                Err(error) => self.ring_error = Some(error),
            }
        }
        fdatasync(&self.file)?;
        drop_pages(&self.file, &self.surplus);
        self.opening.run();
        failpoint::hit("aof.fsynced")
    }
}

fn fdatasync(file: &File) -> io::Result<()> {
    loop {
        // SAFETY: a system call on our own descriptor, no memory involved.
        if unsafe { libc::fdatasync(file.as_raw_fd()) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Fill in the checksums of a piece's annotations.
fn seal(piece: &mut Piece, checksum: &mut Checksum) {
    if piece.segment.is_some() {
        *checksum = Checksum::default();
    }
    let mut from = 0;
    for field in piece.fields.drain(..) {
        checksum.update(&piece.bytes[from..field]);
        from = field + FIELD_BYTES;
        piece.bytes[field..from].copy_from_slice(&checksum.take_field());
    }
    checksum.update(&piece.bytes[from..]);
}

/// Write until all is written or an error comes; gives how much the file took before it.
fn write_some(file: &File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    if let Err(error) = failpoint::hit("aof.write") {
        return (0, Some(error));
    }
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        // SAFETY: the bytes live through the call.
        let written = unsafe { libc::write(file.as_raw_fd(), rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(0) => return (sent, Some(io::Error::from_raw_os_error(libc::EIO))),
            Ok(written) => sent += written,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return (sent, Some(error));
                }
            }
        }
    }
    (sent, failpoint::hit("aof.written").err())
}
