//! Where the log's files stand and what they are called, as in Redis 7. What is in them is
//! `manifest` (the list), `scan` (a log) and `rdb` (a base of that form).
//!
//! ```text
//! dir/appenddirname/appendonly.aof.manifest      which files make up the log, and their order
//!                   appendonly.aof.1.base.rdb    the data set at a cut (`.aof`: as plain commands)
//!                   appendonly.aof.1.incr.aof    what followed, several of them in order
//!                   appendonly.aof.ring          see `ring`
//! ```

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;

/// The names of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `dir` and `appenddirname`.
    pub directory: PathBuf,
    /// `appendfilename`: what every name begins with.
    pub filename: String,
}

impl Layout {
    /// The names that the directives in force ask for.
    pub fn of(config: &Config) -> Self {
        let directory = config.dir.join(&config.appenddirname);
        Self { directory, filename: config.appendfilename.clone() }
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.filename))
    }

    /// The log of Redis 6 and older: one file, beside the directory.
    pub fn single_file(&self) -> PathBuf {
        self.directory.parent().unwrap_or(Path::new("")).join(&self.filename)
    }

    /// A file of the log.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The name of the base with that number.
    pub fn base_name(&self, seq: u64, is_rdb: bool) -> String {
        format!("{}.{seq}.base.{}", self.filename, if is_rdb { "rdb" } else { "aof" })
    }

    /// The name of the incremental with that number.
    pub fn incr_name(&self, seq: u64) -> String {
        format!("{}.{seq}.incr.aof", self.filename)
    }

    /// Number and kind (whether a base) of a name that one of the two above gave.
    pub fn parse_name(&self, name: &str) -> Option<(u64, bool)> {
        let rest = name.strip_prefix(&self.filename)?.strip_prefix('.')?;
        let (seq, kind) = rest.split_once('.')?;
        let is_base = match kind {
            "base.rdb" | "base.aof" => true,
            "incr.aof" => false,
            _ => return None,
        };
        seq.parse().ok().map(|seq| (seq, is_base))
    }

    /// The log of which `incremental` is one, and the number of that.
    pub fn of_incremental(incremental: &Path) -> Option<(Self, u64)> {
        let directory = incremental.parent()?.to_owned();
        let name = incremental.file_name()?.to_str()?;
        let (filename, seq) = name.strip_suffix(".incr.aof")?.rsplit_once('.')?;
        Some((Self { directory, filename: filename.to_owned() }, seq.parse().ok()?))
    }

    /// The [commit ring](super::ring).
    pub fn ring(&self) -> PathBuf {
        self.path(&format!("{}.ring", self.filename))
    }

    /// Make the directory, and its name durable. Nothing happens when it is there.
    ///
    /// # Errors
    /// I/O codes.
    pub fn create_directory(&self) -> Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        let wrap = |error| EngineError::from_io("create", &self.directory, &error);
        std::fs::create_dir_all(&self.directory).map_err(wrap)?;
        failpoint::hit("aof.directory_created").map_err(wrap)?;
        durable::fsync_directory(&self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Directive;

    #[test]
    fn names_are_redis_own() {
        let mut config = Config::redis_defaults();
        config.dir = "/data".into();
        let layout = Layout::of(&config);
        assert_eq!(layout.manifest(), Path::new("/data/appendonlydir/appendonly.aof.manifest"));
        assert_eq!(layout.single_file(), Path::new("/data/appendonly.aof"));
        assert_eq!(layout.base_name(1, true), "appendonly.aof.1.base.rdb");
        assert_eq!(layout.base_name(2, false), "appendonly.aof.2.base.aof");
        assert_eq!(layout.incr_name(30), "appendonly.aof.30.incr.aof");
        for (seq, is_rdb) in [(1, true), (20, false)] {
            assert_eq!(layout.parse_name(&layout.base_name(seq, is_rdb)), Some((seq, true)));
        }
        assert_eq!(layout.parse_name(&layout.incr_name(7)), Some((7, false)));
        for other in ["appendonly.aof", "appendonly.aof.manifest", "appendonly.aof.x.incr.aof"] {
            assert_eq!(layout.parse_name(other), None);
        }
        let (found, seq) =
            Layout::of_incremental(&layout.path("appendonly.aof.12.incr.aof")).unwrap();
        assert_eq!((&found, seq), (&layout, 12));
        assert_eq!(found.ring(), Path::new("/data/appendonlydir/appendonly.aof.ring"));
        for other in ["appendonly.aof", "a.1.base.aof", "a.x.incr.aof", "incr.aof"] {
            assert_eq!(Layout::of_incremental(&layout.path(other)), None, "{other}");
        }
        let directive = |name, value: &str| Directive::new(name, vec![value.into()], "test");
        let set = [directive("appenddirname", "logs"), directive("appendfilename", "my log")];
        config.apply(&set).unwrap();
        let layout = Layout::of(&config);
        assert_eq!(layout.path(&layout.incr_name(1)), Path::new("/data/logs/my log.1.incr.aof"));
    }
}
