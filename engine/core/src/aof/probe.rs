//! Looks at a log's bytes without their structure, where that is lost or not to be believed: which
//! `#PD:` lines stand behind damage, and which bytes never reached the disk. Used by `scan` only
//! once something is wrong, so it may read the same bytes again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::annotation::{
    Annotation, Checksum, END, FIELD_BYTES, LINE_BYTES_MAX, Line, MARK, parse,
};

const PIECE_BYTES: usize = 1 << 20;
/// What a disk loses, it loses by pages of memory, or by sectors of its own; both stand aligned.
const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;
/// Fewer zeros at the end of a sector may be what was written.
const LOST_BYTES_MIN: u64 = 16;

/// A `#PD:` line in exact form, found by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its first byte in the file.
    pub start: u64,
    /// What it says.
    pub annotation: Annotation,
    /// Whether its checksum is that of the bytes since the line found before it.
    pub is_true: bool,
    /// Bytes of the file that the checksum covers.
    pub covers_bytes: u64,
}

/// Find the lines between `from` and `to` that `is_credible` takes, wherever they begin: the byte
/// before may be damaged. `from` is the file's begin or just behind a line: its checksum's field
/// ended two bytes before.
pub fn lines(
    file: &File,
    from: u64,
    to: u64,
    is_credible: &dyn Fn(&Annotation, u64) -> bool,
) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut checksum = Checksum::default();
    // The field of the line before ends before its own `\r\n`.
    let mut summed = if from == 0 { 0 } else { from - END.len() as u64 };
    let mut covered_from = summed;
    let mut piece = Vec::new();
    let mut looked = from;
    while looked < to {
        let begin = summed.min(looked);
        read_piece(file, begin, to, &mut piece)?;
        let end = begin + piece.len() as u64;
        let keep = if end >= to { end } else { end - LINE_BYTES_MAX as u64 };
        let within = |place: u64| (place - begin) as usize;
        while let Some(start) = next_mark(&piece, within(looked)) {
            let place = begin + start as u64;
            if place >= keep {
                break;
            }
            looked = place + 1;
            let Some((annotation, told, length)) = line_at(&piece[start..]) else { continue };
            if !is_credible(&annotation, place) {
                continue;
            }
            let field = place + (length - END.len() - FIELD_BYTES) as u64;
            checksum.update(&piece[within(summed)..within(field)]);
            let (is_true, covers_bytes) = (checksum.take() == told, field - covered_from);
            summed = field + FIELD_BYTES as u64;
            covered_from = summed;
            found.push(Found { start: place, annotation, is_true, covers_bytes });
        }
        let until = keep.max(summed);
        checksum.update(&piece[within(summed)..within(until)]);
        summed = until;
        looked = looked.max(until);
    }
    Ok(found)
}

/// The line of ours that bytes begin with, its checksum and its length.
fn line_at(bytes: &[u8]) -> Option<(Annotation, u64, usize)> {
    let bytes = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let length = 1 + bytes.iter().position(|byte| *byte == b'\n')?;
    match parse(&bytes[..length]) {
        Line::Position(annotation, told) => Some((annotation, told, length)),
        _ => None,
    }
}

/// Where the next line of ours may begin in `piece`, at `at` or after it.
fn next_mark(piece: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += piece.get(at..)?.iter().position(|byte| *byte == b'#')?;
        if piece[at..].starts_with(MARK) {
            return Some(at);
        }
        at += 1;
    }
}

/// What zeros must be like to be bytes that never reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// A whole page, as values seldom hold.
    Page,
    /// At least 16 of them, up to the end of a sector: a checksum says already that something is
    /// wrong. What was lost begins where the last write to the sector began.
    Sectors,
}

/// Whether bytes that are about to be written hold so many zeros that, behind the last checksum, they
/// would be taken for a page that was lost.
#[inline]
pub fn looks_lost(bytes: &[u8]) -> bool {
    // Every such run of zeros has one of these bytes.
    let mut places = (PAGE_BYTES - 1..bytes.len()).step_by(PAGE_BYTES);
    places.any(|at| {
        let zeros = |run: &mut dyn Iterator<Item = &u8>| run.take_while(|it| **it == 0).count();
        let (before, after) = bytes.split_at(at);
        bytes[at] == 0 && zeros(&mut before.iter().rev()) + zeros(&mut after.iter()) >= PAGE_BYTES
    })
}

/// Where the first zeros begin between `from` and `to` that are such a loss.
pub fn first_lost(file: &File, from: u64, to: u64, loss: Loss) -> io::Result<Option<u64>> {
    let (unit, least) = match loss {
        Loss::Page => (PAGE_BYTES, PAGE_BYTES as u64),
        Loss::Sectors => (SECTOR_BYTES, LOST_BYTES_MIN),
    };
    let mut piece = Vec::new();
    let mut begin = from;
    // Zeros just before `begin`.
    let mut run = 0_u64;
    while begin < to {
        let first_end = (begin + 1).next_multiple_of(unit as u64);
        let last_end = (begin + PIECE_BYTES as u64).min(to) / unit as u64 * unit as u64;
        if last_end < first_end {
            break;
        }
        read_piece(file, begin, last_end, &mut piece)?;
        let mut end = (first_end - begin) as usize;
        while end <= piece.len() {
            let zeros = piece[..end].iter().rev().take_while(|byte| **byte == 0).count();
            let zeros = zeros as u64 + if zeros == end { run } else { 0 };
            if zeros >= least {
                return Ok(Some(begin + end as u64 - zeros));
            }
            end += unit;
        }
        let zeros = piece.iter().rev().take_while(|byte| **byte == 0).count();
        run = zeros as u64 + if zeros == piece.len() { run } else { 0 };
        begin = last_end;
    }
    Ok(None)
}

/// Where the zeros begin that stand between `from` and the end of the file; its size if there are
/// none.
pub fn zeros_at_end(file: &File, from: u64, size_bytes: u64) -> io::Result<u64> {
    let mut end = size_bytes;
    let mut piece = Vec::new();
    while end > from {
        let begin = end.saturating_sub(PIECE_BYTES as u64).max(from);
        read_piece(file, begin, end, &mut piece)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(from)
}

fn read_piece(file: &File, from: u64, to: u64, piece: &mut Vec<u8>) -> io::Result<()> {
    let length = to.saturating_sub(from).min(PIECE_BYTES as u64) as usize;
    piece.resize(length, 0);
    file.read_exact_at(piece, from)
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
