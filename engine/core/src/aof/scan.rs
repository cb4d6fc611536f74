//! One pass over a log file that says how far it can be believed: the end of its last whole unit,
//! the first damage, what the `#PD:` lines promise. What that means for a start (cut or refuse) is
//! `recover`'s business; the commands are not looked at.
//!
//! Where a damaged log is cut, and what must not have been promised then:
//!
//! ```text
//! the file ends inside of a unit, or zeros stand    behind the last whole unit before; if the zeros
//! where one must go on (a page never reached        began earlier, inside of an argument, behind
//! the disk)                                         the last whole unit before them
//! a checksum differs: zeros before it that end      behind the last whole unit before them
//! where a sector ends
//! a checksum differs, for no reason to be seen      behind the last line whose checksum is right:
//!                                                   any byte after it may be wrong
//! other bytes, a `#PD:` line stands behind them     the same
//! other bytes, none does                            behind the last whole unit before; an
//!                                                   argument alone: before that one, which lost it
//! ```
//! A line that reads well and tells its own place is believed about what was fsynced before it,
//! whatever its checksum: so a doubt refuses a start, and never drops what was promised.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::annotation::{Annotation, Line};
use super::gate::LogPosition;
use super::probe::{self, Loss};
use super::units::{Flaw, FlawKind, Placed, Step, Units};
use crate::error::{EngineError, Result};

/// What is known before the pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// Where commands begin (behind an RDB preamble).
    pub from: u64,
    /// The machine went down while this epoch was written: behind the epoch's last checksum a page
    /// of zeros is a page that was lost, even if it stands inside of an argument.
    pub lost_power_in: Option<u64>,
}

/// How far a file can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Length of the file.
    pub size_bytes: u64,
    /// Behind the last whole unit or annotation before the damage: where to cut. Without damage,
    /// the file's end.
    pub end: u64,
    /// Commands and transactions before `end` (after damage: an upper bound).
    pub units: u64,
    /// Behind the last of them: what follows up to `end` is annotations.
    pub units_end: u64,
    /// The first damage.
    pub damage: Option<Damage>,
    /// The position of the file's first byte, as lines with a right checksum tell it.
    pub origin: Option<LogPosition>,
    /// Whether the file begins with such a line: another server's does not.
    pub is_ours: bool,
    /// The last line with a right checksum, and where it ends.
    pub last: Option<(Annotation, u64)>,
    /// How far the log was fsynced, by any believed line, behind the damage too.
    pub promised: Option<LogPosition>,
    /// The same as a place in this file (0: nothing of it).
    pub promised_here: u64,
    /// Bytes behind the damage whose checksums are right.
    pub true_after_bytes: u64,
}

/// Where a file is wrong first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The first byte that is wrong, or, where only a checksum tells, the first that may be.
    pub offset: u64,
    /// Zeros, too short a file, or anything else.
    pub kind: FlawKind,
    /// For a person.
    pub reason: &'static str,
}

impl Scan {
    /// Whether cutting at `end` would drop bytes that were promised.
    pub fn breaks_promise(&self) -> bool {
        self.damage.is_some() && self.promised_here > self.end
    }

    /// The position of `end`, if the file is one of an epoch.
    pub fn end_position(&self) -> Option<LogPosition> {
        let LogPosition { epoch, offset } = self.origin?;
        Some(LogPosition { epoch, offset: offset + self.end })
    }
}

/// Pass over a file.
///
/// # Errors
/// I/O codes. Damage is no error.
pub fn scan(path: &Path, known: Circumstances) -> Result<Scan> {
    let wrap = |error: std::io::Error| EngineError::from_io("read", path, &error);
    let file = File::open(path).map_err(wrap)?;
    let size_bytes = file.metadata().map_err(wrap)?.len();
    let units = Units::new(file.try_clone().map_err(wrap)?, known.from, size_bytes);
    let mut pass = Pass::new(file, size_bytes, known);
    pass.walk(units.map_err(wrap)?).map_err(wrap)?;
    let Scan { end, units_end, .. } = pass.scan;
    pass.scan.units_end = units_end.min(end);
    if end == known.from {
        pass.scan.units = 0;
    }
    Ok(pass.scan)
}

struct Pass {
    file: File,
    known: Circumstances,
    scan: Scan,
    /// Behind the last line with a right checksum.
    believed: u64,
    /// Where the last whole unit begins.
    before_last: u64,
}

/// What ended the walk.
enum Cause {
    Flaw(Flaw),
    /// The line's checksum is not that of the bytes before it.
    Checksum(Placed),
}

impl Pass {
    fn new(file: File, size_bytes: u64, known: Circumstances) -> Self {
        let scan = Scan {
            size_bytes,
            end: known.from,
            units: 0,
            units_end: known.from,
            damage: None,
            origin: None,
            is_ours: false,
            last: None,
            promised: None,
            promised_here: 0,
            true_after_bytes: 0,
        };
        Self { file, known, scan, believed: known.from, before_last: known.from }
    }

    fn walk(&mut self, mut units: Units) -> std::io::Result<()> {
        loop {
            match units.step()? {
                Step::Unit(end) => {
                    self.scan.units += 1;
                    self.before_last = self.scan.end;
                    (self.scan.end, self.scan.units_end) = (end, end);
                }
                Step::Annotation(placed) => {
                    if let Line::Position(annotation, _) = placed.line {
                        if !placed.is_true {
                            return self.judge(Cause::Checksum(placed));
                        }
                        self.believe(annotation, placed);
                    }
                    if !placed.is_inside {
                        self.scan.end = placed.end;
                    }
                }
                Step::End => return self.look_for_lost_page(),
                Step::Flaw(flaw) => return self.judge(Cause::Flaw(flaw)),
            }
        }
    }

    /// A line with a right checksum.
    fn believe(&mut self, annotation: Annotation, placed: Placed) {
        if placed.is_inside {
            return; // none of ours: nothing is cut inside of a transaction
        }
        let Annotation { epoch, offset, .. } = annotation;
        self.believed = placed.end;
        // One that stands in another place than it tells was moved here by hand: it promises
        // nothing.
        let Some(begins_at) = offset.checked_sub(placed.start) else { return };
        let origin = LogPosition { epoch, offset: begins_at };
        if *self.scan.origin.get_or_insert(origin) != origin {
            return;
        }
        self.scan.is_ours |= placed.start == 0;
        self.scan.last = Some((annotation, placed.end));
        self.promise(annotation, placed.start);
    }

    fn promise(&mut self, annotation: Annotation, start: u64) {
        let Annotation { epoch, offset, fsynced, .. } = annotation;
        let here = start.saturating_sub(offset.saturating_sub(fsynced));
        self.scan.promised_here = self.scan.promised_here.max(here);
        let told = LogPosition { epoch, offset: fsynced };
        self.scan.promised = self.scan.promised.max(Some(told));
    }

    /// The structure is whole. After a power cut a lost page may stand inside of an argument that
    /// no checksum covers yet.
    fn look_for_lost_page(&mut self) -> std::io::Result<()> {
        if self.may_have_lost_pages() {
            self.cut_at_loss(self.scan.end, Loss::Page)?;
        }
        Ok(())
    }

    fn may_have_lost_pages(&self) -> bool {
        let epoch = self.scan.origin.map(|origin| origin.epoch);
        epoch.is_some() && epoch == self.known.lost_power_in
    }

    /// Cut before the first bytes up to `to` that never reached the disk; whether there are any.
    /// None are lost where a checksum is right, or of what was fsynced.
    fn cut_at_loss(&mut self, to: u64, loss: Loss) -> std::io::Result<bool> {
        let from = self.believed.max(self.scan.promised_here);
        let Some(lost) = probe::first_lost(&self.file, from, to, loss)? else {
            return Ok(false);
        };
        self.scan.end = self.last_end_before(lost)?;
        self.scan.damage = Some(Damage {
            offset: lost,
            kind: FlawKind::Zeros,
            reason: "zeros inside of a command, as of a write that never reached the disk",
        });
        Ok(true)
    }

    /// The end of the last whole unit before `limit`.
    fn last_end_before(&self, limit: u64) -> std::io::Result<u64> {
        let mut end = self.believed;
        let mut units = Units::new(self.file.try_clone()?, self.believed, self.scan.size_bytes)?;
        loop {
            match units.step()? {
                Step::Unit(next) if next <= limit => end = next,
                Step::Annotation(placed) if placed.end <= limit => {
                    if !placed.is_inside {
                        end = placed.end;
                    }
                }
                _ => return Ok(end),
            }
        }
    }

    /// Something is wrong: say where, and look at what stands behind it.
    fn judge(&mut self, cause: Cause) -> std::io::Result<()> {
        let is_followed = self.look_behind(&cause)?;
        match cause {
            Cause::Checksum(placed) => {
                let to = placed.start;
                if !(self.cut_at_loss(to, Loss::Page)? || self.cut_at_loss(to, Loss::Sectors)?) {
                    self.distrust(FlawKind::Alien, self.believed, "a checksum is wrong");
                }
            }
            Cause::Flaw(Flaw { offset, kind: FlawKind::Alien, reason }) if is_followed => {
                self.distrust(FlawKind::Alien, offset, reason);
            }
            Cause::Flaw(Flaw { offset, kind, reason }) => {
                // The unit before has fewer arguments than it was written with.
                let is_stray_argument = kind == FlawKind::Alien && self.byte_at(offset)? == b'$';
                let is_ours = self.scan.origin.is_some();
                let has_lost = self.may_have_lost_pages() || (is_ours && kind == FlawKind::Zeros);
                if !(has_lost && self.cut_at_loss(self.scan.end, Loss::Page)?) {
                    self.scan.damage = Some(Damage { offset, kind, reason });
                }
                if is_stray_argument {
                    self.scan.end = self.before_last;
                }
            }
        }
        Ok(())
    }

    fn byte_at(&self, offset: u64) -> std::io::Result<u8> {
        let mut byte = [0];
        self.file.read_at(&mut byte, offset)?;
        Ok(byte[0])
    }

    /// Nothing behind the last right checksum can be believed.
    fn distrust(&mut self, kind: FlawKind, offset: u64, reason: &'static str) {
        self.scan.end = self.believed;
        self.scan.damage = Some(Damage { offset, kind, reason });
    }

    /// Heed the lines from the last believed one on; whether one stands behind the damage.
    fn look_behind(&mut self, cause: &Cause) -> std::io::Result<bool> {
        let origin = self.scan.origin;
        let is_credible = |annotation: &Annotation, start: u64| {
            annotation.fsynced <= annotation.offset
                && origin.is_none_or(|origin| {
                    origin.epoch == annotation.epoch && origin.offset + start == annotation.offset
                })
        };
        let size_bytes = self.scan.size_bytes;
        let lines = probe::lines(&self.file, self.believed, size_bytes, &is_credible)?;
        let damaged_at = match cause {
            Cause::Flaw(flaw) => flaw.offset,
            Cause::Checksum(placed) => placed.start,
        };
        for line in &lines {
            self.promise(line.annotation, line.start);
            if line.is_true && line.start > damaged_at {
                self.scan.true_after_bytes += line.covers_bytes;
            }
        }
        // A length that is wrong makes the structure end far behind the damage.
        let suspect = self.scan.end.min(damaged_at);
        Ok(lines.iter().any(|line| line.start >= suspect))
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
