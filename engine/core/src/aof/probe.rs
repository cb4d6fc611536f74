//! Looks at a log's bytes without their structure, where that is lost or not to be believed: which
//! `#PD:` lines stand behind damage, and which page never reached the disk. Used by `scan` only
//! once something is wrong, so it may read the same bytes again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::annotation::{
    Annotation, Checksum, END, FIELD_BYTES, LINE_BYTES_MAX, Line, MARK, parse,
};

const PIECE_BYTES: usize = 1 << 20;
/// What a disk loses, it loses by pages; files hold them aligned.
const PAGE_BYTES: usize = 4096;

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

/// The first page between `from` and `to` that is all zeros.
pub fn first_lost_page(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut begin = from.next_multiple_of(PAGE_BYTES as u64);
    let mut piece = Vec::new();
    while begin + PAGE_BYTES as u64 <= to {
        read_piece(file, begin, to, &mut piece)?;
        let pages = piece.chunks_exact(PAGE_BYTES);
        let count = pages.len() as u64;
        for (number, page) in (0_u64..).zip(pages) {
            if page.iter().all(|byte| *byte == 0) {
                return Ok(Some(begin + number * PAGE_BYTES as u64));
            }
        }
        if count == 0 {
            break;
        }
        begin += count * PAGE_BYTES as u64;
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
