//! What the data dir itself knows of its log (`perdure.state`): whether there must be one, and which
//! is its last epoch. Without it, a log that vanished could not be told from one that never was.
//! What follows from it is `recover`'s business.
//!
//! ```text
//! perdure-state 1                    the format's version
//! server-uid 4f0c...                 whose data dir this is
//! log on                             on: the last acknowledgements stood for this log. off
//! last-epoch 1795000000000           the last epoch that was begun
//! parent 1794000000000:5120          where the log before that epoch ended; none
//! boot 6b1f...                       the machine's, when the server started
//! ended 1795000000000:812            where the log ended at an orderly stop; none
//! checksum 0123456789abcdef          CRC64 of all bytes before this line
//! ```
//! Order: an epoch's first line is fsynced, the manifest that names its file is durable, then this
//! file says so, and only then is anything acknowledged. Before a log is switched on, the file
//! stands here and says `off`: so what a kill leaves of an unfinished first log is told from a log
//! whose manifest was lost.

use std::path::{Path, PathBuf};

use super::annotation::Checksum;
use super::gate::LogPosition;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;

const NAME: &str = "perdure.state";
const MAGIC: &str = "perdure-state ";
const VERSION: &str = "1";
/// Far longer than the file ever is.
const BYTES_MAX: u64 = 4096;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The state file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateFile {
    /// Whose data dir this is; empty if nobody said.
    pub server_uid: String,
    /// Whether the last acknowledgements stood for the log.
    pub is_log_on: bool,
    /// The last epoch that was begun; 0 if none ever was.
    pub last_epoch: u64,
    /// Where the log before that epoch ended.
    pub parent: Option<LogPosition>,
    /// The machine's boot in which the server started; empty if the system does not say.
    pub boot_id: String,
    /// Where the log ended, if it was ended in order.
    pub ended: Option<LogPosition>,
}

impl StateFile {
    /// Where it stands.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// The epoch that was begun last, and the one before it.
    pub fn recent_epochs(&self) -> Vec<u64> {
        [Some(self.last_epoch), self.parent.map(|parent| parent.epoch)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Read it; `None` when there is none.
    ///
    /// # Errors
    /// `STATE_FILE_DAMAGED`, `STATE_FILE_TOO_NEW`, I/O codes.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        let too_long = Flaw::Damaged("it is too long");
        match durable::read_bounded(&path, BYTES_MAX) {
            Ok(Some(bytes)) => Self::parse(&bytes).map(Some).map_err(|flaw| refuse(&path, flaw)),
            Ok(None) => Err(refuse(&path, too_long)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::from_io("read", &path, &error)),
        }
    }

    /// Put this in place of what is there (I4).
    ///
    /// # Errors
    /// I/O codes.
    pub fn replace(&self, dir: &Path) -> Result<()> {
        Self::commit(self.prepare(dir)?)
    }

    /// The first half of [`StateFile::replace`], which takes what room the disk must have.
    ///
    /// # Errors
    /// I/O codes.
    pub fn prepare(&self, dir: &Path) -> Result<durable::Prepared> {
        durable::prepare_bytes(&Self::path(dir), &self.to_bytes())
    }

    /// The second half.
    ///
    /// # Errors
    /// I/O codes.
    pub fn commit(prepared: durable::Prepared) -> Result<()> {
        let path = prepared.target.clone();
        let wrap = |error| EngineError::from_io("replace", &path, &error);
        failpoint::hit("aof.before_state").map_err(wrap)?;
        prepared.commit()?;
        failpoint::hit("aof.after_state").map_err(wrap)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self { server_uid, is_log_on, last_epoch, parent, boot_id, ended } = self;
        let mut text = format!(
            "{MAGIC}{VERSION}\nserver-uid {server_uid}\nlog {}\nlast-epoch {last_epoch}\n\
             parent {}\nboot {boot_id}\nended {}\n",
            if *is_log_on { "on" } else { "off" },
            shown(*parent),
            shown(*ended),
        );
        let checksum = checksum_of(text.as_bytes());
        text.push_str(&format!("checksum {checksum:016x}\n"));
        text.into_bytes()
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, Flaw> {
        let damaged = |reason| Flaw::Damaged(reason);
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
        let rest = text.strip_prefix(MAGIC).ok_or(damaged("it does not begin as one"))?;
        let (version, _) = rest.split_once('\n').ok_or(damaged("it is cut off"))?;
        let start = text.rfind("checksum ").ok_or(damaged("it has no checksum"))?;
        let (body, last) = text.split_at(start);
        if last != format!("checksum {:016x}\n", checksum_of(body.as_bytes())) {
            return Err(damaged("its checksum is wrong"));
        }
        // Only now: a flipped digit is damage, no newer version.
        if version != VERSION {
            return Err(Flaw::TooNew);
        }
        Self::parse_body(body).ok_or(damaged("a line is not in its form"))
    }

    fn parse_body(body: &str) -> Option<Self> {
        let mut lines = body.lines().skip(1);
        let mut value = |name: &str| {
            let (found, value) = lines.next()?.split_once(' ')?;
            (found == name).then(|| value.to_owned())
        };
        let server_uid = value("server-uid")?;
        let is_log_on = match value("log")?.as_str() {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        let last_epoch = value("last-epoch")?.parse().ok()?;
        let parent = parse_position(&value("parent")?)?;
        let boot_id = value("boot")?;
        let ended = parse_position(&value("ended")?)?;
        Some(Self { server_uid, is_log_on, last_epoch, parent, boot_id, ended })
    }
}

/// The machine's boot; empty if the system does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

enum Flaw {
    Damaged(&'static str),
    TooNew,
}

fn checksum_of(bytes: &[u8]) -> u64 {
    let mut checksum = Checksum::default();
    checksum.update(bytes);
    checksum.take()
}

fn shown(position: Option<LogPosition>) -> String {
    position.map_or("none".to_owned(), |it| format!("{}:{}", it.epoch, it.offset))
}

/// `None` if the text is none of a position.
fn parse_position(text: &str) -> Option<Option<LogPosition>> {
    if text == "none" {
        return Some(None);
    }
    let (epoch, offset) = text.split_once(':')?;
    Some(Some(LogPosition { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? }))
}

fn refuse(path: &Path, flaw: Flaw) -> EngineError {
    let shown = path.display().to_string();
    match flaw {
        Flaw::Damaged(reason) => EngineError::new(
            "STATE_FILE_DAMAGED",
            format!("{shown} cannot be believed: {reason}"),
            "It says whether a log must be here. Look that the log's directory is whole (`perdure \
             aof check`), then move this file away and start again.",
        ),
        Flaw::TooNew => EngineError::new(
            "STATE_FILE_TOO_NEW",
            format!("{shown} was written by a newer Perdure"),
            "Start that version, or a newer one.",
        ),
    }
    .with("path", shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StateFile {
        StateFile {
            server_uid: "4f0c".to_owned(),
            is_log_on: true,
            last_epoch: 1_795_000_000_000,
            parent: Some(LogPosition { epoch: 7, offset: 5120 }),
            boot_id: boot_id(),
            ended: None,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = std::env::temp_dir().join(format!("perdure-state-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(StateFile::read(&dir).unwrap(), None);
        let ended = Some(LogPosition { epoch: u64::MAX, offset: u64::MAX });
        for state in [sample(), StateFile::default(), StateFile { ended, ..sample() }] {
            state.replace(&dir).unwrap();
            assert_eq!(StateFile::read(&dir).unwrap(), Some(state));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn every_flip_and_every_truncation_is_damage() {
        let bytes = sample().to_bytes();
        for at in 0..bytes.len() {
            assert!(matches!(StateFile::parse(&bytes[..at]), Err(Flaw::Damaged(_))), "cut {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let parsed = StateFile::parse(&flipped);
                assert!(matches!(parsed, Err(Flaw::Damaged(_))), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_named_as_such() {
        let body = "perdure-state 2\nsomething else\n";
        let text = format!("{body}checksum {:016x}\n", checksum_of(body.as_bytes()));
        assert!(matches!(StateFile::parse(text.as_bytes()), Err(Flaw::TooNew)));
        let error = refuse(Path::new("/data/perdure.state"), Flaw::TooNew);
        assert!(error.code == "STATE_FILE_TOO_NEW" && !error.hint.is_empty());
    }
}
