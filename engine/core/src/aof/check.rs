//! Looks at a log without a server: ours, another server's, a manifest with its files or one file
//! alone. What a start would do is `recover`'s business; here every file is read to its end, and
//! what is wrong is told by file and offset. `repair` cuts. Only reads; memory is bounded.
//!
//! A file is read once for its structure and checksums (`scan`), and once for its commands, which
//! are counted and not executed (`command::Survey`): whether each exists here and belongs in a log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::manifest::Manifest;
use super::replay::{Stretch, replay};
use super::scan::{Circumstances, Damage, Scan, scan};
use super::units::FlawKind;
use crate::command::Survey;
use crate::error::{EngineError, Result};
use crate::rdb::{self, InspectOptions, Summary};

/// Bytes read so far and in all; answering `false` cancels.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// What a file is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The manifest's base.
    Base,
    /// One of its incrementals.
    Incr,
    /// Given by itself: a log of one file, or a part of another.
    Alone,
}

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The manifest and where it stands, unless one file was given.
    pub manifest: Option<(Layout, Manifest)>,
    /// Its files in order.
    pub files: Vec<CheckedFile>,
}

/// One file.
#[derive(Debug)]
pub struct CheckedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is to the log.
    pub role: Role,
    /// Its length; 0 if it cannot be read.
    pub size_bytes: u64,
    /// The RDB that it begins with.
    pub rdb: Option<Summary>,
    /// Where commands begin.
    pub from: u64,
    /// The structure of what follows the RDB; none if nothing may follow, or it cannot be read.
    pub scan: Option<Scan>,
    /// Commands by name, as far as they could be read.
    pub commands: BTreeMap<&'static str, u64>,
    /// Why it cannot be used, if not for what `scan` says: the file is not there, the RDB is
    /// damaged, it holds what is not loaded here.
    pub error: Option<EngineError>,
}

impl CheckedFile {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.error.is_none() && self.scan.is_none_or(|scan| scan.damage.is_none())
    }
}

impl Checked {
    /// Whether nothing is wrong, or only the end of the last log: a start cuts that.
    pub fn is_sound_to_last(&self) -> bool {
        let Some((last, others)) = self.files.split_last() else { return true };
        others.iter().all(CheckedFile::is_sound) && last.error.is_none()
    }

    /// The first file of which something is wrong.
    pub fn first_damaged(&self) -> Option<usize> {
        self.files.iter().position(|file| !file.is_sound())
    }
}

/// Look at what `path` names: a manifest, a directory with one, or one file.
///
/// # Errors
/// `AOF_NOT_FOUND` (a directory without a log, or with several), `AOF_MANIFEST_INVALID`,
/// `CANCELLED`, I/O codes of `path` itself. What is wrong with a file is no error.
pub fn check(path: &Path, progress: Progress<'_>) -> Result<Checked> {
    let manifest = find(path)?;
    let listed: Vec<(PathBuf, Role)> = match &manifest {
        None => vec![(path.to_path_buf(), Role::Alone)],
        Some((layout, manifest)) => {
            let bases = manifest.base.iter().map(|it| (layout.path(&it.name), Role::Base));
            let incrs = manifest.incrs.iter().map(|it| (layout.path(&it.name), Role::Incr));
            bases.chain(incrs).collect()
        }
    };
    let sizes = listed.iter().map(|(path, _)| path.metadata().map_or(0, |found| found.len()));
    let total = sizes.sum::<u64>().saturating_mul(2); // each is read twice
    let mut told = Told { progress, before: 0, total };
    let mut files = Vec::with_capacity(listed.len());
    for (path, role) in listed {
        files.push(check_file(path, role, &mut told)?);
    }
    for index in 1..files.len() {
        let (before, behind) = files.split_at_mut(index);
        if let (Some(file), Some(next)) = (before.last_mut(), behind.first()) {
            look_for_lost_end(file, next);
        }
    }
    Ok(Checked { manifest, files })
}

/// A file must end where the next one of its epoch begins: a tail that was lost behind a whole unit
/// leaves no other trace.
fn look_for_lost_end(file: &mut CheckedFile, next: &CheckedFile) {
    let Some(scan) = file.scan.as_mut().filter(|scan| scan.damage.is_none()) else { return };
    let (Some(end), Some(origin)) = (scan.end_position(), next.scan.and_then(|it| it.origin))
    else {
        return;
    };
    if origin.epoch == end.epoch && origin.offset > end.offset {
        scan.damage = Some(Damage {
            offset: scan.end,
            kind: FlawKind::Ends,
            reason: "the file ends before the place where the next one begins",
        });
    }
}

/// Progress over all files.
struct Told<'a> {
    progress: Progress<'a>,
    before: u64,
    total: u64,
}

impl Told<'_> {
    fn tell(&mut self, done: u64) -> bool {
        (self.progress)(self.before.saturating_add(done).min(self.total), self.total)
    }
}

fn check_file(path: PathBuf, role: Role, told: &mut Told<'_>) -> Result<CheckedFile> {
    let mut file = CheckedFile {
        role,
        size_bytes: 0,
        rdb: None,
        from: 0,
        scan: None,
        commands: BTreeMap::new(),
        error: None,
        path,
    };
    let read = read_file(&mut file, told);
    told.before = told.before.saturating_add(file.size_bytes.saturating_mul(2));
    match read {
        Err(error) if error.code == "CANCELLED" || role == Role::Alone && is_of_path(&error) => {
            Err(error)
        }
        Err(error) => {
            file.error = Some(error);
            Ok(file)
        }
        Ok(()) => Ok(file),
    }
}

/// Whether the file itself could not be opened or read.
fn is_of_path(error: &EngineError) -> bool {
    matches!(error.code, "FILE_MISSING" | "PERMISSION_DENIED" | "IO_ERROR")
}

fn read_file(file: &mut CheckedFile, told: &mut Told<'_>) -> Result<()> {
    let path = file.path.clone();
    let wrap = |error: std::io::Error| EngineError::from_io("read", &path, &error);
    let found = std::fs::metadata(&path).map_err(wrap)?;
    file.size_bytes = found.len();
    if file.role != Role::Incr && begins_as_rdb(&path)? {
        let summary = read_rdb(&path, told)?;
        file.from = summary.size_bytes - summary.trailing_bytes;
        file.rdb = Some(summary);
        if file.from == file.size_bytes {
            return Ok(());
        }
    }
    let known = Circumstances { from: file.from, ..Circumstances::default() };
    let scan = scan(&path, known)?;
    file.scan = Some(scan);
    let half = file.size_bytes;
    if !told.tell(half) {
        return Err(cancelled(&path));
    }
    let mut survey = Survey::default();
    let stretch = Stretch { path: &path, from: file.from, to: scan.end };
    let counted = replay(&mut survey, stretch, &mut |done| told.tell(half + done));
    file.commands = survey.counts().collect();
    counted.map(|_| ())
}

fn read_rdb(path: &Path, told: &mut Told<'_>) -> Result<Summary> {
    let mut progress = |done: u64, _total: u64| told.tell(done);
    let options = InspectOptions { top: 0, is_end_strict: false, progress: &mut progress };
    let found = rdb::inspect(path, options)?;
    match found.unsupported_first {
        None => Ok(found.summary),
        Some(first) => {
            let key = first.name.escape_ascii().to_string();
            let text = format!(
                "{}: sound, but {} of its keys are of types that are not loaded here, first \
                 '{key}' in db {}, a {}",
                path.display(),
                found.unsupported,
                first.db,
                first.type_name
            );
            let hint = "Delete or convert them on the server that wrote it.";
            Err(EngineError::new("RDB_TYPE_UNSUPPORTED", text, hint)
                .with("path", path.display().to_string()))
        }
    }
}

/// Whether a file begins with what every RDB file does.
///
/// # Errors
/// I/O codes.
pub fn begins_as_rdb(path: &Path) -> Result<bool> {
    use std::io::Read;
    let wrap = |error: std::io::Error| EngineError::from_io("read", path, &error);
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(wrap)?.take(6).read_to_end(&mut start).map_err(wrap)?;
    Ok(start.starts_with(b"REDIS") || start.starts_with(b"VALKEY"))
}

/// The manifest that a path means; `None`: the path is one file of a log.
///
/// # Errors
/// As [`check`].
pub fn find(path: &Path) -> Result<Option<(Layout, Manifest)>> {
    let wrap = |error: std::io::Error| EngineError::from_io("read", path, &error);
    let at = if std::fs::metadata(path).map_err(wrap)?.is_dir() {
        manifest_in(path)?
    } else if is_manifest(path) {
        path.to_path_buf()
    } else {
        return find_listing(path);
    };
    let layout = layout_of(&at);
    let manifest = Manifest::read(&layout)?.ok_or_else(|| not_found(path, "no manifest"))?;
    Ok(Some((layout, manifest)))
}

/// The manifest beside a file that lists it: a part of a log is looked at with the others.
fn find_listing(path: &Path) -> Result<Option<(Layout, Manifest)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    for at in manifests_in(folder.unwrap_or(Path::new(".")))? {
        let layout = layout_of(&at);
        let Ok(Some(manifest)) = Manifest::read(&layout) else { continue };
        let mut listed = manifest.base.iter().chain(&manifest.incrs);
        if listed.any(|it| path.file_name().is_some_and(|name| *name == *it.name)) {
            return Ok(Some((layout, manifest)));
        }
    }
    Ok(None)
}

fn layout_of(manifest: &Path) -> Layout {
    let filename = manifest.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Layout { directory: manifest.parent().unwrap_or(Path::new("")).to_path_buf(), filename }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "manifest")
}

/// The one manifest in a directory, or in one below it (a data dir).
fn manifest_in(folder: &Path) -> Result<PathBuf> {
    let mut found = manifests_in(folder)?;
    if found.is_empty() {
        for below in entries(folder)?.into_iter().filter(|it| it.is_dir()) {
            found.append(&mut manifests_in(&below).unwrap_or_default());
        }
    }
    match found.len() {
        1 => found.pop().ok_or_else(|| not_found(folder, "no manifest")),
        0 => Err(not_found(folder, "no manifest of a log")),
        _ => Err(not_found(folder, "more than one manifest")),
    }
}

fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|it| is_manifest(it) && !it.is_dir()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrap = |error: std::io::Error| EngineError::from_io("read", folder, &error);
    let listed = std::fs::read_dir(folder).map_err(wrap)?;
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(wrap)).collect()
}

fn not_found(path: &Path, what: &str) -> EngineError {
    let text = format!("{}: {what}", path.display());
    let hint = "Name the manifest (appendonlydir/*.manifest), its directory, or one file.";
    EngineError::new("AOF_NOT_FOUND", text, hint).with("path", path.display().to_string())
}

fn cancelled(path: &Path) -> EngineError {
    let text = format!("reading {} was cancelled", path.display());
    EngineError::new("CANCELLED", text, "Start it again when it is wanted.")
        .with("path", path.display().to_string())
}
