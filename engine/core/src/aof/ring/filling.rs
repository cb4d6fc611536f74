//! What the log's files lack of the ring, after a power cut: found, and filled in before anybody
//! reads the log. All is decided before the first byte is written, and a file that is not as a crash
//! of ours leaves it stays as it is: that is a refusal. Who asks is `recover` and `repair`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{RING_BYTES, Record, records};
use crate::aof::annotation::{LINE_BYTES_MAX, Line, parse};
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::recover::ring_differs;
use crate::error::{EngineError, Result};
use crate::failpoint;

/// Bytes that a file lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The file.
    pub path: PathBuf,
    /// Where the first of them stands in it.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What [`fill`] would fill in. A server may be at work: what its ring holds is in its files. `recent`
/// are the epochs that a file may be of whose first line has not reached the disk; if none is known, the
/// ring's newest.
///
/// # Errors
/// `AOF_RING_DIFFERS`, I/O codes.
pub fn missing(layout: &Layout, manifest: &Manifest, recent: &[u64]) -> Result<Vec<Filled>> {
    let ring = read(&layout.ring())?;
    let works = decide(layout, manifest, recent, &ring)?;
    Ok(works.iter().filter_map(Work::filled).collect())
}

/// Fill in what the log's files lack of the ring, and fsync all files that it holds something of:
/// then the ring holds nothing of them that the disk has not elsewhere. A crash in between leaves
/// some of it missing: the next call goes on.
///
/// # Errors
/// `AOF_RING_DIFFERS`, and then nothing was changed; I/O codes.
pub fn fill(layout: &Layout, manifest: &Manifest, recent: &[u64]) -> Result<Vec<Filled>> {
    let ring = read(&layout.ring())?;
    let works = decide(layout, manifest, recent, &ring)?;
    works.iter().try_for_each(Work::run)?;
    Ok(works.iter().filter_map(Work::filled).collect())
}

/// Whether the ring holds anything of what is behind `at` in an incremental, or of a later one: it
/// would be filled in again if it was cut off.
///
/// # Errors
/// I/O codes.
pub fn holds_behind(incremental: &Path, at: u64) -> Result<bool> {
    let Some((layout, seq)) = Layout::of_incremental(incremental) else { return Ok(false) };
    let is_behind = |it: &Record<'_>| it.seq > seq || (it.seq == seq && end_of(it) > at);
    Ok(records(&read(&layout.ring())?).iter().any(is_behind))
}

/// A ring's bytes; none if it is not there.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut ring = Vec::new();
    let found = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ring),
        opened => opened.and_then(|file| file.take(RING_BYTES as u64).read_to_end(&mut ring)),
    };
    found.map_err(|error| EngineError::from_io("read", path, &error))?;
    Ok(ring)
}

fn end_of(record: &Record<'_>) -> u64 {
    record.offset.saturating_add(record.payload.len() as u64)
}

/// What is to be done, by file.
fn decide<'a>(
    layout: &Layout,
    manifest: &Manifest,
    recent: &[u64],
    ring: &'a [u8],
) -> Result<Vec<Work<'a>>> {
    let mut records = records(ring);
    let newest: Vec<u64> = records.iter().map(|record| record.epoch).max().into_iter().collect();
    let recent = if recent.is_empty() { &newest } else { recent };
    records.sort_by_key(|record| (record.seq, record.offset));
    let mut works = Vec::new();
    for of_file in records.chunk_by(|a, b| a.seq == b.seq) {
        let name = layout.incr_name(of_file[0].seq);
        // Of a file that is history, or gone, nobody asks.
        if manifest.incrs.iter().any(|listed| listed.name == name) {
            works.extend(Work::decide(layout, layout.path(&name), recent, of_file)?);
        }
    }
    Ok(works)
}

/// One file, and what the ring holds of it.
struct Work<'a> {
    path: PathBuf,
    records: Vec<Record<'a>>,
    /// Where the first byte is that it lacks.
    lacks_at: Option<u64>,
    /// How many it lacks.
    bytes: u64,
}

impl<'a> Work<'a> {
    /// `None`: the file is not there, which is for others to refuse, or is of another log.
    fn decide(
        layout: &Layout,
        path: PathBuf,
        recent: &[u64],
        records: &[Record<'a>],
    ) -> Result<Option<Self>> {
        let wrap = |error: io::Error| EngineError::from_io("read", &path, &error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(wrap)?,
        };
        let size_bytes = file.metadata().map_err(wrap)?.len();
        let head = Head::read(&file, size_bytes).map_err(wrap)?;
        let is_of_file = |record: &&Record<'_>| head.may_be_of(record.epoch, recent);
        let mut records = records.iter().filter(is_of_file).peekable();
        if records.peek().is_none() {
            return Ok(None);
        }
        let mut work = Self { path: path.clone(), records: Vec::new(), lacks_at: None, bytes: 0 };
        let mut end = size_bytes;
        for record in records {
            match work.compare(&file, record, size_bytes, end).map_err(wrap)? {
                None => end = end.max(end_of(record)),
                Some(at) => return Err(ring_differs(layout, &path, &layout.ring(), at)),
            }
        }
        Ok(Some(work))
    }

    /// Add what the file lacks of a record, given where it ends, and will end with those before.
    /// Gives the first place that is not as a crash leaves it.
    fn compare(
        &mut self,
        file: &File,
        record: &Record<'a>,
        size_bytes: u64,
        end: u64,
    ) -> io::Result<Option<u64>> {
        let Record { offset, payload, .. } = *record;
        if offset > end {
            return Ok(Some(end));
        }
        let there = size_bytes.saturating_sub(offset).min(payload.len() as u64) as usize;
        let mut found = vec![0; there];
        file.read_exact_at(&mut found, offset)?;
        let mut lacks_at = None;
        for (at, (found, told)) in found.iter().zip(payload).enumerate() {
            if found == told {
                continue;
            }
            if *found != 0 {
                return Ok(Some(offset + at as u64));
            }
            lacks_at.get_or_insert(at);
            self.bytes += 1;
        }
        if there < payload.len() {
            lacks_at.get_or_insert(there);
            self.bytes += end_of(record).saturating_sub(end);
        }
        self.lacks_at = self.lacks_at.or(lacks_at.map(|at| offset + at as u64));
        self.records.push(*record);
        Ok(None)
    }

    fn filled(&self) -> Option<Filled> {
        let offset = self.lacks_at?;
        Some(Filled { path: self.path.clone(), offset, bytes: self.bytes })
    }

    fn run(&self) -> Result<()> {
        self.write().map_err(|error| EngineError::from_io("fill", &self.path, &error))
    }

    /// What is there is written once more: after an fsync that failed the kernel may hold bytes that the
    /// disk has not, and would not write them again.
    fn write(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let modified = file.metadata()?.modified()?;
        for record in &self.records {
            file.write_all_at(record.payload, record.offset)?;
        }
        // A log that is written to long after its last line is taken for another server's.
        let _ = file.set_modified(modified);
        failpoint::hit("aof.ring_filled")?;
        file.sync_all()
    }
}

/// Whose a file is, by its first line.
enum Head {
    /// Not told: there is none, or not all of it has reached the disk.
    Unfinished,
    Of(u64),
    Another,
}

impl Head {
    fn read(file: &File, size_bytes: u64) -> io::Result<Self> {
        let mut head = vec![0; size_bytes.min(LINE_BYTES_MAX as u64) as usize];
        file.read_exact_at(&mut head, 0)?;
        let end = head.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let line = &head[..end.unwrap_or(head.len())];
        let ends_inside = end.is_none() && head.len() < LINE_BYTES_MAX;
        Ok(match parse(line) {
            Line::Position(annotation, _) => Self::Of(annotation.epoch),
            _ if ends_inside || line.contains(&0) => Self::Unfinished,
            _ => Self::Another,
        })
    }

    fn may_be_of(&self, epoch: u64, recent: &[u64]) -> bool {
        match self {
            Self::Unfinished => recent.contains(&epoch),
            Self::Of(told) => *told == epoch,
            Self::Another => false,
        }
    }
}

#[cfg(test)]
#[path = "filling_tests.rs"]
mod tests;
