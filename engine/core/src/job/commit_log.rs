//! The log's side of a restore's commit: the staged data becomes the base of a log in a new epoch.
//! With a log on, the manifest's replacement is the commit point, and `dump.rdb` follows it, so
//! that both agree. What a crash leaves, line by line:
//!
//! ```text
//! base, incr get names    old log; two leftovers
//! manifest renamed        THE COMMIT POINT, under the lock; killed: new log, power cut: either
//! directory fsynced       new log; then the gate lets replies out
//! dump.rdb renamed        new log; dump.rdb old or new
//! history deleted         new log; what a stop left is deleted by the next
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rewrite::note_epoch;
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::segment::{create_incr, next_base, next_epoch};
use crate::aof::{FileLog, LogPosition, Segment};
use crate::durable::{self, Prepared};
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::rdb::SaveOptions;
use crate::state::{Shared, State};

/// Attempts to make the manifest's name durable.
const FSYNC_ATTEMPTS: u32 = 3;

/// A log that is on, and the epoch in which it will go on.
pub(super) struct LogSide {
    log: Arc<FileLog>,
    layout: Layout,
    /// `dir`.
    dir: PathBuf,
    epoch: u64,
}

/// The new log, all but listed.
pub(super) struct NewLog {
    side: LogSide,
    manifest: Manifest,
    leftovers: Leftovers,
    /// The manifest's replacement; gone once it is made.
    listed: Option<Prepared>,
    segment: Option<Segment>,
    base_bytes: u64,
    /// What will be `dump.rdb`.
    dump: Option<Prepared>,
}

impl LogSide {
    /// `None` without a log (under the engine lock).
    pub fn of(state: &State, shared: &Shared) -> Option<Self> {
        let log = shared.log.file()?;
        let last = shared.gate.log_position(shared.gate.appended()).map_or(0, |end| end.epoch);
        let epoch = next_epoch(last, shared.clock.unix_ms());
        let dir = state.config.dir.clone();
        Some(Self { log, layout: Layout::of(&state.config), dir, epoch })
    }

    /// A name beside which the base is written; its own is chosen when nobody else makes bases.
    pub fn base_beside(&self) -> Result<PathBuf> {
        let manifest = Manifest::read(&self.layout)?.unwrap_or_default();
        Ok(self.layout.path(&next_base(&self.layout, &manifest, true).name))
    }

    /// How the base is written.
    pub fn stamp(&self, options: SaveOptions) -> SaveOptions {
        let log_position = Some(LogPosition { epoch: self.epoch, offset: 0 });
        SaveOptions { is_log_base: true, log_position, ..options }
    }

    /// Name the base, make the incremental that follows it, and all that remains is renaming. No
    /// other work on the log may be under way. `rewritten` writes the data once more, for a
    /// `dump.rdb` on a file system that knows no second names.
    ///
    /// # Errors
    /// I/O codes; `COMMIT_TARGET_CHANGED` when the log has gone on in another epoch meanwhile. What
    /// is left then is not listed.
    pub fn make_ready(
        self,
        mut base: Prepared,
        dump: &Path,
        rewritten: &mut dyn FnMut() -> Result<Prepared>,
    ) -> Result<NewLog> {
        if self.log.position().epoch >= self.epoch {
            return Err(log_changed());
        }
        let mut manifest = Manifest::read(&self.layout)?.unwrap_or_default();
        let listed_base = next_base(&self.layout, &manifest, true);
        let path = self.layout.path(&listed_base.name);
        base.target.clone_from(&path);
        base.is_replacing = false;
        base.commit()?;
        let mut leftovers = Leftovers { paths: vec![path.clone()] };
        hit("commit.base_named", &path)?;
        let base_bytes = std::fs::metadata(&path)
            .map_err(|error| EngineError::from_io("stat", &path, &error))?
            .len();
        let (incr, file) = create_incr(&self.layout, &manifest)?;
        let incr_path = self.layout.path(&incr.name);
        leftovers.paths.push(incr_path.clone());
        let segment = Some(Segment { file, path: incr_path, epoch: self.epoch });
        manifest.add_incr(incr);
        manifest.rebase(listed_base, manifest.incrs.len() - 1);
        let dump = durable::prepare_link(&path, dump).or_else(|_| rewritten())?;
        let text = manifest.to_bytes();
        let listed = Some(durable::prepare_bytes(&self.layout.manifest(), &text)?);
        Ok(NewLog {
            side: self,
            manifest,
            leftovers,
            listed,
            segment,
            base_bytes,
            dump: Some(dump),
        })
    }
}

impl NewLog {
    /// The commit point (under the engine lock).
    ///
    /// # Errors
    /// I/O codes; the old log stands.
    pub fn rename(&mut self) -> Result<()> {
        self.listed.take().map_or(Ok(()), Prepared::rename)?;
        self.leftovers.paths.clear();
        Ok(())
    }

    /// What is logged from now on goes to the new epoch (under the engine lock, with the switch of
    /// the data).
    pub fn switch(&mut self, state: &mut State) {
        if let Some(segment) = self.segment.take() {
            state.effects.switch_log(&self.side.log, segment);
        }
        state.growth.settled_bytes = self.base_bytes;
        state.growth.base_bytes = self.base_bytes;
    }

    /// The manifest's name becomes durable, and the state file names the epoch: until then no reply
    /// leaves.
    ///
    /// # Errors
    /// I/O codes, after several attempts.
    pub fn make_durable(&self) -> Result<()> {
        let path = self.side.layout.manifest();
        let mut attempts = 1;
        while let Err(error) = durable::fsync_directory(&path) {
            if attempts == FSYNC_ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
            // A failed fsync may have forgotten what it was to write: another file, another rename.
            durable::prepare_bytes(&path, &self.manifest.to_bytes()).and_then(Prepared::rename)?;
        }
        note_epoch(&self.side.dir, self.side.epoch)?;
        self.side.log.replaced_by(self.side.epoch);
        Ok(())
    }

    /// `dump.rdb` shows the same data, and the old log's files go.
    ///
    /// # Errors
    /// I/O codes: the log is whole, `dump.rdb` may be the old one.
    pub fn finish(mut self) -> Result<()> {
        self.dump.take().map_or(Ok(()), Prepared::commit)?;
        self.manifest.delete_history(&self.side.layout)
    }
}

/// Files that nobody lists are deleted again.
struct Leftovers {
    paths: Vec<PathBuf>,
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn hit(name: &str, path: &Path) -> Result<()> {
    failpoint::hit(name).map_err(|error| EngineError::from_io("commit", path, &error))
}

fn log_changed() -> EngineError {
    EngineError::new(
        "COMMIT_TARGET_CHANGED",
        "the append-only file was replaced while the restored data was being written",
        "The old data serves. Restore again.",
    )
    .retryable()
}
