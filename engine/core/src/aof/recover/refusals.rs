//! Why a start is refused: every error with what is wrong, where, and the command that resolves it.
//! All of them end `perdure serve` with exit code 11.

use std::path::Path;

use super::ground::{Rdb, Stray};
use crate::aof::gate::LogPosition;
use crate::aof::layout::Layout;
use crate::aof::ring::Filled;
use crate::aof::scan::{Damage, Scan};
use crate::error::EngineError;

/// The codes of this room.
pub const CODES: [&str; 9] = [
    "AOF_BASE_MISSING",
    "AOF_CORRUPT",
    "AOF_FILE_MISSING",
    "AOF_MANIFEST_MISSING",
    "AOF_MISSING",
    "AOF_NOT_ASKED",
    "AOF_RING_DIFFERS",
    "AOF_STALE",
    "AOF_TRUNCATED",
];

fn refuse(code: &'static str, path: &Path, what: String, hint: String) -> EngineError {
    let shown = path.display().to_string();
    EngineError::new(code, format!("{shown}: {what}"), hint).with("path", shown)
}

fn shown(position: LogPosition) -> String {
    format!("{}:{}", position.epoch, position.offset)
}

pub fn missing(layout: &Layout) -> EngineError {
    let what = "the log is not there, and the last acknowledgements here stood for it".to_owned();
    let hint = "Put the directory back, or set appenddirname and appendfilename back. To go on \
                from dump.rdb without it: `perdure serve -- --appendonly no`, then `CONFIG SET \
                appendonly yes`.";
    refuse("AOF_MISSING", &layout.directory, what, hint.to_owned())
}

pub fn manifest_missing(layout: &Layout, strays: &[Stray]) -> EngineError {
    let names: Vec<_> = strays.iter().map(|stray| stray.name.as_str()).collect();
    let what = format!("there is no manifest that names {}", names.join(", "));
    let hint = format!(
        "Put a copy of the manifest back: `file NAME seq NUMBER type b` for the base, then `type i` \
         for each incremental in order. To start from dump.rdb instead, move {} away.",
        layout.directory.display(),
    );
    refuse("AOF_MANIFEST_MISSING", &layout.manifest(), what, hint)
}

pub fn file_missing(manifest: &Path, file: &Path) -> EngineError {
    let what = format!("it names {}, which is not there", file.display());
    let hint = "Put that file back, or restore a snapshot. To start with what the other files hold, \
                take its line out of the manifest, then run `perdure aof check` on it.";
    refuse("AOF_FILE_MISSING", manifest, what, hint.to_owned())
        .with("file", file.display().to_string())
}

pub fn gap(manifest: &Path, file: &Path, cut: LogPosition, origin: LogPosition) -> EngineError {
    let what = format!(
        "between its base, cut at {}, and {}, which begins at {}, a file is missing",
        shown(cut),
        file.display(),
        shown(origin),
    );
    let hint = "Put the file back and its line into the manifest, or restore a snapshot.";
    refuse("AOF_FILE_MISSING", manifest, what, hint.to_owned())
        .with("file", file.display().to_string())
}

pub fn history_not_in_base(manifest: &Path, file: &Path, cut: LogPosition) -> EngineError {
    let what = format!(
        "it lists {} as history, which holds commands behind {}, where the base was cut",
        file.display(),
        shown(cut),
    );
    let hint = "That file belongs to the log: correct its line in the manifest (`type i`), or put a \
                copy of the manifest there.";
    refuse("AOF_MANIFEST_INVALID", manifest, what, hint.to_owned())
        .with("file", file.display().to_string())
}

pub fn base_empty(manifest: &Path, base: &Path) -> EngineError {
    let what = format!("its base {} has no bytes", base.display());
    let hint = "Put a copy of that file back, or restore a snapshot.".to_owned();
    refuse("AOF_BASE_MISSING", manifest, what, hint).with("file", base.display().to_string())
}

pub fn base_missing(manifest: &Path, stray: Option<&Path>) -> EngineError {
    let what = "it names no base, and the log does not go back to its beginning".to_owned();
    let hint = match stray {
        Some(stray) => format!(
            "{} may be the base: if it is, give it its line, `file NAME seq NUMBER type b`.",
            stray.display()
        ),
        None => "Put the base and its line back, or restore a snapshot.".to_owned(),
    };
    refuse("AOF_BASE_MISSING", manifest, what, hint)
}

/// Damage where bytes were promised, or where no crash of ours leaves any.
pub fn corrupt(path: &Path, scan: &Scan, damage: Damage) -> EngineError {
    let behind = scan.size_bytes - scan.end;
    let what = format!("offset {}: {}, and it is not a torn tail", damage.offset, damage.reason);
    let hint = format!(
        "Restore a snapshot, or a copy of the file. `perdure aof check {0}` looks at it; `perdure \
         aof check --fix {0}` cuts it at offset {1}, which drops the {2} bytes behind it ({3} of \
         them have right checksums).",
        path.display(),
        scan.end,
        behind,
        scan.true_after_bytes,
    );
    located(refuse("AOF_CORRUPT", path, what, hint), scan, damage)
}

/// A torn file that is not the end of the log, or is a base, which is whole before it is named.
pub fn torn_not_last(path: &Path, scan: &Scan, damage: Damage, is_base: bool) -> EngineError {
    let why = match is_base {
        true => "a base is never torn by a crash",
        false => "the log goes on behind this file",
    };
    let what = format!("offset {}: {}, and {why}", damage.offset, damage.reason);
    let hint = format!(
        "Restore a snapshot, or a copy of the file. `perdure aof check --fix {}` cuts it at offset \
         {}: what the later files hold may then not fit.",
        path.display(),
        scan.end,
    );
    located(refuse("AOF_TRUNCATED", path, what, hint), scan, damage)
}

/// A torn tail that the configuration wants to hear of.
pub fn torn_not_allowed(path: &Path, scan: &Scan, damage: Damage) -> EngineError {
    let what = format!("offset {}: {}; aof-load-truncated is no", damage.offset, damage.reason);
    let hint = format!(
        "`perdure aof check --fix {}` cuts the file at offset {}; with `aof-load-truncated yes` a \
         start does that by itself.",
        path.display(),
        scan.end,
    );
    located(refuse("AOF_TRUNCATED", path, what, hint), scan, damage)
}

fn located(error: EngineError, scan: &Scan, damage: Damage) -> EngineError {
    error.with("offset", damage.offset.to_string()).with("cut", scan.end.to_string())
}

pub fn older_than_rdb(layout: &Layout, saved: LogPosition, end: LogPosition) -> EngineError {
    let what = format!(
        "the log ends at {}, before the place {} where dump.rdb was saved",
        shown(end),
        shown(saved)
    );
    let hint = "Put the newer log back. To go on from dump.rdb: `perdure serve -- --appendonly \
                no`, then `CONFIG SET appendonly yes`; to go on from the older log, move dump.rdb \
                away.";
    refuse("AOF_STALE", &layout.directory, what, hint.to_owned())
}

pub fn older_than_state(layout: &Layout, last_epoch: u64, end: Option<LogPosition>) -> EngineError {
    let end = end.map_or("has no position".to_owned(), |end| format!("ends at {}", shown(end)));
    let what = format!("the log {end}, and epoch {last_epoch} was begun here after that");
    let hint = "Put the newer log back. To go on from this one, move perdure.state away, then start \
                again: what was acknowledged since is lost.";
    refuse("AOF_STALE", &layout.directory, what, hint.to_owned())
}

pub fn log_was_off(layout: &Layout) -> EngineError {
    let what = "the log was off when the server last ran, and dump.rdb may be newer".to_owned();
    let hint = "To go on from dump.rdb: `perdure serve -- --appendonly no`, then `CONFIG SET \
                appendonly yes`; to go on from the log, move dump.rdb away.";
    refuse("AOF_STALE", &layout.directory, what, hint.to_owned())
}

pub fn log_not_asked(layout: &Layout, rdb: Option<&Rdb>) -> EngineError {
    let instead = rdb.map_or("there is no dump.rdb".to_owned(), |rdb| {
        let saved = rdb.position.map_or("an unknown place".to_owned(), shown);
        format!("dump.rdb was saved at {saved}")
    });
    let what = format!(
        "the last acknowledgements stood for this log, appendonly is no now, and {instead}"
    );
    let hint = "Start with the log: `perdure serve -- --appendonly yes`; `CONFIG SET appendonly \
                no` then switches it off in order. To go on without what it holds, move the \
                directory away.";
    refuse("AOF_NOT_ASKED", &layout.directory, what, hint.to_owned())
}

/// A file lacks what the ring holds, and the kernel cannot have lost it.
pub fn cut_under_power(layout: &Layout, lacking: &Filled) -> EngineError {
    let Filled { path, offset, bytes } = lacking;
    let ring = layout.ring();
    let what = format!(
        "offset {offset}: {bytes} bytes are missing that {} holds, and the machine has not lost its \
         power since they were written: somebody cut the file, or its storage was taken away",
        ring.display(),
    );
    let hint = format!(
        "`perdure aof check --fix {}` fills them in again. To go on with the log as it was cut, move \
         {} away.",
        layout.manifest().display(),
        ring.display(),
    );
    refuse("AOF_RING_DIFFERS", path, what, hint)
        .with("offset", offset.to_string())
        .with("ring", ring.display().to_string())
}

/// A file that the ring does not fit: no crash of ours leaves that.
pub fn ring_differs(layout: &Layout, file: &Path, ring: &Path, at: u64) -> EngineError {
    let what = format!(
        "offset {at}: not what was fsynced to {}, nor lost by a power cut: another server wrote to \
         the log since, or it was cut or put back by hand",
        ring.display(),
    );
    let hint = format!(
        "Put the file back as it was. To go on with the log as it stands: `perdure aof check --fix \
         {}` moves the ring to the quarantine, and what only that holds is given up.",
        layout.manifest().display(),
    );
    refuse("AOF_RING_DIFFERS", file, what, hint)
        .with("offset", at.to_string())
        .with("ring", ring.display().to_string())
}
