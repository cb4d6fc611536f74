//! The end of the log that only memory holds: appended under the engine lock, not yet taken by who
//! writes it. Annotations are put in here, between units, so that offsets are exact at once; only
//! their checksums are filled in later (`sink`). Nothing here touches a disk.

use std::collections::VecDeque;

use super::Segment;
use crate::aof::LogPosition;
use crate::aof::annotation::{Annotation, write_time};

/// A position is annotated about this often while something is appended.
const ANNOTATED_EVERY_MS: i64 = 1000;

/// Bytes for one file.
#[derive(Debug, Default)]
pub struct Piece {
    /// The file that these bytes begin; `None`: they go on in the file of the piece before.
    pub segment: Option<Segment>,
    /// Whole units and annotations.
    pub bytes: Vec<u8>,
    /// Where in `bytes` the checksums of annotations are to be filled in.
    pub fields: Vec<usize>,
    /// The gate offset of the first byte.
    pub start: u64,
}

impl Piece {
    /// The gate offset after the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn is_nothing(&self) -> bool {
        self.segment.is_none() && self.bytes.is_empty()
    }
}

/// The appended bytes that nobody has taken.
#[derive(Debug)]
pub struct Tail {
    closed: Vec<Piece>,
    open: Piece,
    epoch: u64,
    epoch_begins_at: u64,
    file_begins_at: u64,
    /// After the last `#PD:` line, and when that was.
    annotated_at: u64,
    annotated_unix_ms: i64,
    /// That line said that all before it was fsynced.
    is_proven: bool,
    /// The second that the last `#TS:` line of the file names; `due_s`: the one to name before the
    /// next unit.
    named_s: i64,
    due_s: Option<i64>,
}

impl Tail {
    /// Nothing is appended yet; the log begins at gate offset `end`.
    pub fn new(epoch: u64, end: u64) -> Self {
        Self {
            closed: Vec::new(),
            open: Piece { start: end, ..Piece::default() },
            epoch,
            epoch_begins_at: end,
            file_begins_at: end,
            annotated_at: end,
            annotated_unix_ms: 0,
            is_proven: false,
            named_s: 0,
            due_s: None,
        }
    }

    /// The gate offset after the last byte.
    pub fn end(&self) -> u64 {
        self.open.end()
    }

    /// The epoch, and the gate offset of its first byte.
    pub fn epoch(&self) -> (u64, u64) {
        (self.epoch, self.epoch_begins_at)
    }

    /// Where the end stands in the log.
    pub fn position(&self) -> LogPosition {
        LogPosition { epoch: self.epoch, offset: self.end() - self.epoch_begins_at }
    }

    /// Bytes that the newest file has or will have.
    pub fn file_bytes(&self) -> u64 {
        self.end() - self.file_begins_at
    }

    /// Append whole units.
    #[inline]
    pub fn append(&mut self, units: &[u8]) {
        if let Some(unix_s) = self.due_s.take() {
            self.named_s = unix_s;
            write_time(unix_s, &mut self.open.bytes);
        }
        self.open.bytes.extend_from_slice(units);
    }

    /// Annotate the position. `fsynced` is a gate offset.
    pub fn annotate(&mut self, fsynced: u64, unix_ms: i64) {
        let annotation = Annotation {
            epoch: self.epoch,
            offset: self.end() - self.epoch_begins_at,
            fsynced: fsynced.saturating_sub(self.epoch_begins_at),
            unix_ms: unix_ms.max(0),
        };
        let field = annotation.write(&mut self.open.bytes);
        self.open.fields.push(field);
        self.annotated_at = self.end();
        self.annotated_unix_ms = unix_ms;
        self.is_proven = annotation.fsynced == annotation.offset;
    }

    /// Whether something stands behind the last annotation.
    pub fn is_annotation_missing(&self) -> bool {
        self.end() > self.annotated_at
    }

    /// Whether no line at the end says that all before it was fsynced.
    pub fn is_proof_missing(&self) -> bool {
        self.is_annotation_missing() || !self.is_proven
    }

    /// Whether something does, and has for a while (or the clock was set back).
    pub fn is_annotation_due(&self, unix_ms: i64) -> bool {
        let age_ms = unix_ms.saturating_sub(self.annotated_unix_ms);
        self.is_annotation_missing() && !(0..ANNOTATED_EVERY_MS).contains(&age_ms)
    }

    /// Name this second before the next unit, unless the file names it or a later one already.
    pub fn want_time(&mut self, unix_s: i64) {
        if unix_s > self.named_s {
            self.due_s = Some(unix_s);
        }
    }

    /// What follows goes to `segment`.
    pub fn switch_to(&mut self, segment: Segment) {
        let end = self.end();
        if segment.epoch != self.epoch {
            self.epoch = segment.epoch;
            self.epoch_begins_at = end;
        }
        self.file_begins_at = end;
        self.named_s = 0;
        self.due_s = None;
        let next = Piece { segment: Some(segment), start: end, ..Piece::default() };
        self.closed.push(std::mem::replace(&mut self.open, next));
    }

    /// Move all that is here to the end of `queue`; `spare`, empty, is filled from now on.
    pub fn take(&mut self, queue: &mut VecDeque<Piece>, spare: &mut Vec<u8>) {
        queue.extend(self.closed.drain(..).filter(|piece| !piece.is_nothing()));
        if self.open.is_nothing() {
            return;
        }
        let next = Piece { bytes: std::mem::take(spare), start: self.end(), ..Piece::default() };
        queue.push_back(std::mem::replace(&mut self.open, next));
    }
}
