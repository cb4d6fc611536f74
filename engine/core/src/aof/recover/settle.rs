//! The repairs of a plan, once its data is loaded: what is cut or moved is kept in
//! `dir/quarantine`, and durable there before it goes from its place (a named exception of I4).
//! Every step may be interrupted: the next start finds the state before it or after it, and plans
//! the rest again.
//!
//! ```text
//! Cut       copy of the tail durable in quarantine │ file shorter, fsynced
//! Upgrade   directory │ manifest that names the single file │ file moved in │ both names durable
//! Manifest  replaced
//! SetAside  moved to quarantine, both names durable
//! Fsync     what is replayed is on the disk before a new epoch begins on top of it
//! Close     the line that a kill kept from being written: what is replayed is covered by a checksum
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Plan;
use crate::aof::annotation::{Annotation, Checksum, END, FIELD_BYTES};
use crate::aof::gate::LogPosition;
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::probe;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;

const QUARANTINE: &str = "quarantine";
const PIECE_BYTES: u64 = 1 << 20;

/// One repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Cut a torn tail.
    Cut { path: PathBuf, at: u64 },
    /// Move the log of Redis 6 into the directory, where this manifest names it.
    Upgrade { from: PathBuf, manifest: Manifest },
    /// Replace the manifest.
    Manifest(Manifest),
    /// Move a file that nobody reads to the quarantine.
    SetAside(PathBuf),
    /// Delete a file that holds nothing.
    Remove(PathBuf),
    /// What is replayed is to be on the disk.
    Fsync(Vec<PathBuf>),
    /// End a file as an orderly stop would have ended it.
    Close(Close),
}

/// A last line for a file that a kill left without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The file.
    pub path: PathBuf,
    /// Where it ends.
    pub at: u64,
    /// Where the last line with a right checksum ends.
    pub last_line_end: u64,
    /// The new line.
    pub line: Annotation,
}

impl Close {
    /// Where the log ends without the line, and with it.
    pub fn ends(&self) -> (LogPosition, LogPosition) {
        let Annotation { epoch, offset, .. } = self.line;
        let mut line = Vec::new();
        self.line.write(&mut line);
        let end = LogPosition { epoch, offset: offset + line.len() as u64 };
        (LogPosition { epoch, offset }, end)
    }

    /// Append the line and fsync it. A file that has another length by now stays as it is.
    fn write(&self) -> Result<()> {
        let wrap = |error: io::Error| EngineError::from_io("close", &self.path, &error);
        let opened = OpenOptions::new().read(true).append(true).open(&self.path);
        let file = opened.map_err(wrap)?;
        if file.metadata().map_err(wrap)?.len() != self.at {
            return Ok(());
        }
        let mut checksum = Checksum::default();
        let summed_from = self.last_line_end - END.len() as u64;
        each_piece(&file, summed_from, self.at, |piece| {
            checksum.update(piece);
            Ok(())
        })
        .map_err(wrap)?;
        let mut line = Vec::new();
        let field = self.line.write(&mut line);
        checksum.update(&line[..field]);
        line[field..field + FIELD_BYTES].copy_from_slice(&checksum.take_field());
        let written = durable::write_all(file.as_raw_fd(), &line);
        written.map_err(io::Error::from_raw_os_error).map_err(wrap)?;
        failpoint::hit("aof.closed").map_err(wrap)?;
        file.sync_all().map_err(wrap)
    }
}

impl Plan {
    /// Repair what the plan found, after its data was loaded and before a new epoch begins. Gives
    /// the files that are now in quarantine. Once only.
    ///
    /// # Errors
    /// I/O codes. What was not repaired stays: the next start plans it again.
    pub fn settle(&self, now_unix_ms: i64) -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for repair in &self.repairs {
            kept.extend(self.run(repair, now_unix_ms)?);
        }
        if self.layout.directory.is_dir() {
            durable::sweep_leftovers(&self.layout.directory)?;
        }
        Ok(kept)
    }

    fn run(&self, repair: &Repair, now_unix_ms: i64) -> Result<Option<PathBuf>> {
        match repair {
            Repair::Cut { path, at } => return cut(&self.layout, path, *at, now_unix_ms),
            Repair::Upgrade { from, manifest } => upgrade(&self.layout, from, manifest)?,
            Repair::Manifest(manifest) => manifest.replace(&self.layout)?,
            Repair::SetAside(path) => return set_aside(&self.layout, path, now_unix_ms),
            Repair::Remove(path) => remove(path)?,
            Repair::Fsync(paths) => paths.iter().try_for_each(|path| fsync(path))?,
            Repair::Close(close) => close.write()?,
        }
        Ok(None)
    }
}

/// Keep the tail of `path` in quarantine, then cut it. Zeros at its end are not kept.
pub fn cut(layout: &Layout, path: &Path, at: u64, now_unix_ms: i64) -> Result<Option<PathBuf>> {
    let wrap = |error: io::Error| EngineError::from_io("cut", path, &error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(wrap)?;
    let size_bytes = file.metadata().map_err(wrap)?.len();
    if size_bytes <= at {
        return Ok(None);
    }
    let to = probe::zeros_at_end(&file, at, size_bytes).map_err(wrap)?;
    let mut kept = None;
    if to > at {
        let place = place_for(layout, path, &format!("{at}-{size_bytes}.{now_unix_ms}"))?;
        let mut fill = |fd| copy(&file, at, to, fd).map_err(|error| errno_of(&error));
        durable::prepare_file(&place, false, &mut fill)?.commit()?;
        kept = Some(place);
    }
    failpoint::hit("aof.tail_kept").map_err(wrap)?;
    file.set_len(at).map_err(wrap)?;
    failpoint::hit("aof.tail_cut").map_err(wrap)?;
    file.sync_all().map_err(wrap)?;
    failpoint::hit("aof.tail_fsynced").map_err(wrap)?;
    Ok(kept)
}

fn copy(file: &File, from: u64, to: u64, fd: RawFd) -> io::Result<u64> {
    each_piece(file, from, to, |piece| {
        durable::write_all(fd, piece).map_err(io::Error::from_raw_os_error)
    })?;
    Ok(to - from)
}

fn each_piece(
    file: &File,
    from: u64,
    to: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut at = from;
    while at < to {
        piece.resize((to - at).min(PIECE_BYTES) as usize, 0);
        file.read_exact_at(&mut piece, at)?;
        take(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The manifest names the file before it stands in the directory: a start in between finds it
/// where it was (as in Redis 7).
fn upgrade(layout: &Layout, from: &Path, manifest: &Manifest) -> Result<()> {
    let to = layout.path(&layout.filename);
    let wrap = |error: io::Error| EngineError::from_io("upgrade", from, &error);
    layout.create_directory()?;
    manifest.replace(layout)?;
    failpoint::hit("aof.upgrade_listed").map_err(wrap)?;
    if from.exists() {
        std::fs::rename(from, &to).map_err(wrap)?;
    }
    failpoint::hit("aof.upgrade_moved").map_err(wrap)?;
    durable::fsync_directory(&to)?;
    durable::fsync_directory(from)
}

pub fn set_aside(layout: &Layout, path: &Path, now_unix_ms: i64) -> Result<Option<PathBuf>> {
    let wrap = |error: io::Error| EngineError::from_io("set aside", path, &error);
    let place = place_for(layout, path, &now_unix_ms.to_string())?;
    match std::fs::rename(path, &place) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrap(error)),
    }
    failpoint::hit("aof.set_aside").map_err(wrap)?;
    durable::fsync_directory(&place)?;
    durable::fsync_directory(path)?;
    Ok(Some(place))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::from_io("delete", path, &error))
        }
        _ => Ok(()),
    }
}

fn fsync(path: &Path) -> Result<()> {
    let wrap = |error: io::Error| EngineError::from_io("fsync", path, &error);
    File::open(path).and_then(|file| file.sync_all()).map_err(wrap)
}

/// Where something of `path` is kept: a name that is not taken, in a directory that is durable.
fn place_for(layout: &Layout, path: &Path, suffix: &str) -> Result<PathBuf> {
    let dir = layout.directory.parent().unwrap_or(Path::new(""));
    let quarantine = dir.join(QUARANTINE);
    if !quarantine.is_dir() {
        std::fs::create_dir_all(&quarantine)
            .map_err(|error| EngineError::from_io("create", &quarantine, &error))?;
        durable::fsync_directory(&quarantine)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let free = (0..).map(|number| match number {
        0 => quarantine.join(format!("{name}.{suffix}")),
        more => quarantine.join(format!("{name}.{suffix}.{more}")),
    });
    let mut free = free.filter(|place| !place.exists());
    Ok(free.next().unwrap_or_else(|| quarantine.join(&*name)))
}
