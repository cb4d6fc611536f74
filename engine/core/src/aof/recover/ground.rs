//! What is in the data dir, before anything is decided: state file, manifest, files that no
//! manifest names, the RDB file.

use std::path::PathBuf;

use serde_json::json;

use super::Note;
use super::settle::Repair;
use crate::aof::gate::LogPosition;
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::scan::{Circumstances, scan};
use crate::aof::state_file::{StateFile, boot_id};
use crate::config::Config;
use crate::error::{EngineError, Result};
use crate::rdb;

/// What is there.
pub struct Ground {
    pub layout: Layout,
    pub state: Option<StateFile>,
    pub rdb: Option<Rdb>,
    /// Files with names of the log's that the manifest does not know.
    pub strays: Vec<Stray>,
    /// `aof-load-truncated`.
    pub loads_truncated: bool,
    pub notes: Vec<Note>,
}

/// `dump.rdb`.
pub struct Rdb {
    pub path: PathBuf,
    /// Where the log stood when it was saved, if it says so.
    pub position: Option<LogPosition>,
}

/// A file that the manifest does not know.
pub struct Stray {
    pub path: PathBuf,
    pub name: String,
    pub is_base: bool,
    pub seq: u64,
    pub size_bytes: u64,
}

impl Ground {
    pub fn look(config: &Config) -> Result<Self> {
        let layout = Layout::of(config);
        let state = StateFile::read(&config.dir)?;
        let mut notes = Vec::new();
        let rdb = look_at_rdb(config.rdb_path(), &mut notes)?;
        let loads_truncated = config.aof_load_truncated;
        let mut ground = Self { layout, state, rdb, strays: Vec::new(), loads_truncated, notes };
        ground.strays = ground.look_for_strays()?;
        Ok(ground)
    }

    /// The manifest, if it names anything.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        let found = Manifest::read(&self.layout)?;
        Ok(found.filter(|it| it.base.is_some() || !it.incrs.is_empty()))
    }

    /// Whether the last acknowledgements here stood for a log.
    pub fn is_log_on(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.is_log_on)
    }

    /// Where the log stood when `dump.rdb` was saved.
    pub fn rdb_position(&self) -> Option<LogPosition> {
        self.rdb.as_ref()?.position
    }

    /// The epoch that was written when the machine went down, if it did.
    pub fn lost_power_in(&self) -> Option<u64> {
        let state = self.state.as_ref()?;
        let is_known = !state.boot_id.is_empty() && state.is_log_on && state.ended.is_none();
        (is_known && state.boot_id != boot_id()).then_some(state.last_epoch)
    }

    pub fn note_owner(&mut self, uid: &str) {
        let owner = self.state.as_ref().map_or("", |state| &state.server_uid);
        if !owner.is_empty() && !uid.is_empty() && owner != uid {
            let fields = json!({"server_uid": uid, "found": owner});
            self.notes.push(Note::warning("data_dir_of_another_server", fields));
        }
    }

    /// The log of Redis 6 and older, if it holds anything.
    pub fn has_single_file(&self) -> bool {
        self.layout.single_file().metadata().is_ok_and(|it| it.is_file() && it.len() > 0)
    }

    /// The manifest names the single file, which has not come into the directory yet.
    pub fn is_upgrade_unfinished(&self, manifest: &Manifest) -> bool {
        let is_named = manifest.base.as_ref().is_some_and(|it| it.name == self.layout.filename);
        let is_moved = self.layout.path(&self.layout.filename).exists();
        is_named && manifest.incrs.is_empty() && !is_moved && self.has_single_file()
    }

    /// Whether any file that the manifest names is missing (which is for others to refuse) or has
    /// bytes: a log of nothing but empty files is none.
    pub fn has_bytes(&self, manifest: &Manifest) -> bool {
        manifest.base.iter().chain(&manifest.incrs).any(|listed| {
            self.layout.path(&listed.name).metadata().map_or(true, |found| found.len() > 0)
        })
    }

    fn look_for_strays(&self) -> Result<Vec<Stray>> {
        let wrap = |error| EngineError::from_io("list", &self.layout.directory, &error);
        let items = match std::fs::read_dir(&self.layout.directory) {
            Ok(items) => items,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrap(error)),
        };
        // A manifest that cannot be read is refused where it is needed.
        let known = Manifest::read(&self.layout).unwrap_or_default().unwrap_or_default();
        let mut strays = Vec::new();
        for item in items {
            let item = item.map_err(wrap)?;
            let Ok(name) = item.file_name().into_string() else { continue };
            let Some((seq, is_base)) = self.layout.parse_name(&name) else { continue };
            let files = known.base.iter().chain(&known.incrs).chain(&known.history);
            let found = item.metadata().map_err(wrap)?;
            if found.is_file() && files.into_iter().all(|listed| listed.name != name) {
                let (path, size_bytes) = (item.path(), found.len());
                strays.push(Stray { path, name, is_base, seq, size_bytes });
            }
        }
        strays.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(strays)
    }

    /// Whether data may be in a file that no manifest names.
    pub fn strays_hold_data(&self) -> Result<bool> {
        for stray in &self.strays {
            if stray.is_base && stray.size_bytes > 0 {
                return Ok(true);
            }
            let found = scan(&stray.path, Circumstances::default())?;
            if found.units > 0 || found.damage.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What becomes of files that no manifest names: an unfinished base holds nothing that the log
    /// lacks, what is empty holds nothing at all, and the rest is kept for a person.
    pub fn stray_repairs(&self, manifest: Option<&Manifest>) -> Vec<Repair> {
        let base_seq = manifest.and_then(|it| it.base.as_ref()).map(|base| base.seq);
        let repair = |stray: &Stray| {
            let is_unfinished = stray.is_base && base_seq.is_some_and(|seq| stray.seq > seq);
            match is_unfinished || stray.size_bytes == 0 {
                true => Repair::Remove(stray.path.clone()),
                false => Repair::SetAside(stray.path.clone()),
            }
        };
        self.strays.iter().map(repair).collect()
    }
}

/// The RDB file; what it says of the log counts only as far as it can be read.
fn look_at_rdb(path: PathBuf, notes: &mut Vec<Note>) -> Result<Option<Rdb>> {
    match rdb::log_position_of(&path) {
        Ok(position) => Ok(Some(Rdb { path, position })),
        Err(error) if error.code == "FILE_MISSING" => Ok(None),
        Err(error) if error.code.starts_with("RDB_") => {
            notes.push(Note::warning("rdb_head_unreadable", error.to_json()));
            Ok(Some(Rdb { path, position: None }))
        }
        Err(error) => Err(error),
    }
}
