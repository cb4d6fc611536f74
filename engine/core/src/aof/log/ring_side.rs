//! The log's half of the commit ring: the bytes of the group that the next fsync is for, kept
//! beside the file while a ring may take them, and the ring between two fsyncs. Which of the two is
//! fsynced is decided here; that it is done, in `sink`.
//!
//! ```text
//! file  ──────────────────────────┬ fsynced ────────────┬ written
//! ring                            └── records ──┬─ bytes ┘
//!                                               └ durable: replies have left up to here
//! ```

use std::io;
use std::path::PathBuf;

use super::Segment;
use super::failures::ring_failed;
use crate::aof::layout::Layout;
use crate::aof::ring::{Record, Ring};
use crate::error::{EngineError, Result};

/// A larger group has the file fsynced: a few of them would fill the ring.
const GROUP_BYTES_MAX: usize = 128 * 1024;

/// The ring, and what it is to take.
pub struct RingSide {
    /// Where it stands, and the number of the file that is written; `None`: that has no ring.
    place: Option<(PathBuf, u64)>,
    is_wanted: bool,
    /// It failed: not again before the next file.
    is_broken: bool,
    /// Not while an fsync has it.
    ring: Option<Ring>,
    /// What was written from the gate offset `from` on.
    bytes: Vec<u8>,
    from: u64,
}

/// Bytes that go into the ring, with it.
#[derive(Debug)]
pub struct Group {
    ring: Ring,
    bytes: Vec<u8>,
    epoch: u64,
    seq: u64,
    offset: u64,
}

/// Whether a ring is opened behind an fsync of the file.
#[derive(Debug)]
pub enum Opening {
    /// There is nothing to open.
    Not,
    /// Open it once the file is fsynced.
    Due(PathBuf),
    /// It was.
    Done(Result<Ring>),
}

/// Where the ring of a file stands, and the number of that.
fn place_of(segment: &Segment) -> Option<(PathBuf, u64)> {
    Layout::of_incremental(&segment.path).map(|(layout, seq)| (layout.ring(), seq))
}

impl RingSide {
    /// The side of a log that is at gate offset `end`, in an empty file.
    pub fn new(segment: &Segment, end: u64) -> Self {
        Self {
            place: place_of(segment),
            is_wanted: false,
            is_broken: false,
            ring: None,
            bytes: Vec::new(),
            from: end,
        }
    }

    /// Whether groups are to go into a ring.
    pub fn want(&mut self, is_wanted: bool) {
        self.is_wanted = is_wanted;
    }

    /// The file got bytes, and ends at the gate offset `end` now.
    pub fn note(&mut self, bytes: &[u8], end: u64) {
        let is_kept = self.is_wanted && !self.is_broken && self.place.is_some();
        if is_kept && self.bytes.len() + bytes.len() <= GROUP_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.forget(end);
        }
    }

    /// What stands before the gate offset `end` is the file's business.
    pub fn forget(&mut self, end: u64) {
        self.bytes.clear();
        self.from = end;
    }

    /// All that is written is durable in the file, and the next bytes go into `segment`'s.
    pub fn go_on_in(&mut self, segment: &Segment, end: u64) {
        let place = place_of(segment);
        let stays = |ring: &Ring| place.as_ref().is_some_and(|(path, _)| path == ring.path());
        self.ring = self.ring.take().filter(stays);
        self.place = place;
        self.is_broken = false;
        self.restart();
        self.forget(end);
    }

    /// All that the ring holds is durable in the file.
    pub fn restart(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.restart();
        }
    }

    /// Take the group that makes all durable that is not, if the ring can: `durable` is the gate
    /// offset up to which all is. `file_begins_at` is that of the file's first byte.
    pub fn take_group(&mut self, durable: u64, epoch: u64, file_begins_at: u64) -> Option<Group> {
        let (_, seq) = self.place.as_ref().filter(|_| self.is_wanted)?;
        let is_whole = self.from == durable && !self.bytes.is_empty();
        let ring = self.ring.take_if(|ring| is_whole && ring.has_room(self.bytes.len()))?;
        let offset = self.from - file_begins_at;
        self.from += self.bytes.len() as u64;
        let bytes = std::mem::take(&mut self.bytes);
        Some(Group { ring, bytes, epoch, seq: *seq, offset })
    }

    /// The group's fsync has ended, with this error of the ring.
    ///
    /// # Errors
    /// That, as the operator is told. The ring is not used any more.
    pub fn give_back(&mut self, mut group: Group, error: Option<&io::Error>) -> Result<()> {
        if let Some(error) = error {
            self.is_broken = true;
            return Err(ring_failed(EngineError::from_io("write", group.ring.path(), error)));
        }
        if self.place.as_ref().is_some_and(|(path, _)| path == group.ring.path()) {
            self.ring = Some(group.ring);
        }
        if self.bytes.is_empty() {
            group.bytes.clear();
            self.bytes = group.bytes;
        }
        Ok(())
    }

    /// Whether a ring is to be opened, once the file is fsynced.
    pub fn opening(&self) -> Opening {
        let is_missing = self.is_wanted && !self.is_broken && self.ring.is_none();
        match self.place.as_ref().filter(|_| is_missing) {
            Some((path, _)) => Opening::Due(path.clone()),
            None => Opening::Not,
        }
    }

    /// Take the ring that was opened.
    ///
    /// # Errors
    /// It could not be.
    pub fn take_opened(&mut self, opening: Opening) -> Result<()> {
        let Opening::Done(opened) = opening else { return Ok(()) };
        self.is_broken = opened.is_err();
        self.ring = Some(opened.map_err(ring_failed)?);
        Ok(())
    }
}

impl Group {
    /// Make it durable in the ring.
    ///
    /// # Errors
    /// The operating system's.
    pub fn commit(&mut self) -> io::Result<()> {
        let Self { epoch, seq, offset, .. } = *self;
        self.ring.commit(&Record { epoch, seq, offset, payload: &self.bytes })
    }
}

impl Opening {
    /// Do it, if it is due.
    pub fn run(&mut self) {
        if let Self::Due(path) = self {
            *self = Self::Done(Ring::open(path));
        }
    }
}
