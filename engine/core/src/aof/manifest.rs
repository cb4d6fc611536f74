//! The manifest: which files make up the log. The format, and what is taken and refused, is
//! redis-server 7.0's; replacing it (I4) is the commit point of a rewrite, of switching on and of a
//! restore.
//!
//! ```text
//! # a comment
//! file <name> seq <number> type <b|h|i>      base, history (to be deleted), incremental
//! ```
//! A line ends with `\n` and takes 1024 bytes at most, words are quoted as in redis.conf, names of
//! fields are in any case, unknown fields are skipped, of a field given twice the last counts. At
//! most one base; the numbers of incrementals grow. Refused here and taken there: a name that
//! stands twice (it would be replayed twice), a name that is no UTF-8.

use std::path::Path;

use super::layout::Layout;
use crate::config::{quote, split_words};
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;

/// Longest line with its end: Redis reads no longer one.
const LINE_BYTES_MAX: usize = 1024;
/// A manifest is a few lines; this one would name a hundred thousand files.
const BYTES_MAX: u64 = 8 << 20;

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the log's directory.
    pub name: String,
    /// Its number among its kind.
    pub seq: u64,
}

/// The files of the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Everything up to a cut.
    pub base: Option<Listed>,
    /// What followed, in order.
    pub incrs: Vec<Listed>,
    /// What a newer base holds: to be deleted.
    pub history: Vec<Listed>,
    /// The highest numbers that were ever given, so that no name is used again.
    base_seq_max: u64,
    incr_seq_max: u64,
}

/// A line that cannot be read: its number from 1 (0: the file as a whole) and why.
pub type Flaw = (u64, &'static str);

impl Manifest {
    /// Read the text of a manifest.
    ///
    /// # Errors
    /// The first line that Redis would refuse, too.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, Flaw> {
        if bytes.is_empty() {
            return Err((0, "it is empty"));
        }
        let mut manifest = Self::default();
        for (number, line) in (1_u64..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if line.len() > LINE_BYTES_MAX {
                return Err((number, "the line is longer than 1024 bytes"));
            }
            if line.starts_with(b"#") {
                continue;
            }
            let (kind, listed) = parse_line(line).map_err(|reason| (number, reason))?;
            manifest.take(kind, listed).map_err(|reason| (number, reason))?;
        }
        Ok(manifest)
    }

    /// Add what a line says.
    fn take(&mut self, kind: u8, listed: Listed) -> std::result::Result<(), &'static str> {
        if kind != b'h' && self.names().any(|known| known.name == listed.name) {
            return Err("the file stands in the manifest twice");
        }
        match kind {
            b'b' if self.base.is_some() => return Err("there is a base already"),
            b'i' if self.incrs.last().is_some_and(|last| last.seq >= listed.seq) => {
                return Err("the numbers of incrementals do not grow");
            }
            b'b' => {
                self.base_seq_max = self.base_seq_max.max(listed.seq);
                self.base = Some(listed);
            }
            b'i' => {
                self.incr_seq_max = self.incr_seq_max.max(listed.seq);
                self.incrs.push(listed);
            }
            b'h' => self.retire(listed),
            _ => return Err("the type is none of b, h and i"),
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &Listed> {
        self.base.iter().chain(&self.incrs)
    }

    /// The text, as Redis writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kinds = [(self.base.as_slice(), 'b'), (&self.history, 'h'), (&self.incrs, 'i')];
        let mut text = String::new();
        for (files, kind) in kinds {
            for Listed { name, seq } in files {
                let needs_quotes =
                    name.bytes().any(|byte| !byte.is_ascii_graphic() || b"\"\\'".contains(&byte));
                let name = if needs_quotes { &quote(name) } else { name };
                text.push_str(&format!("file {name} seq {seq} type {kind}\n"));
            }
        }
        text.into_bytes()
    }

    /// Read the manifest of a log; `None` when there is none.
    ///
    /// # Errors
    /// `AOF_MANIFEST_INVALID` with the line, I/O codes.
    pub fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.manifest();
        match durable::read_bounded(&path, BYTES_MAX) {
            Ok(Some(bytes)) => match Self::parse(&bytes) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(flaw) => Err(invalid(&path, flaw)),
            },
            Ok(None) => Err(invalid(&path, (0, "it is far too long"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::from_io("read", &path, &error)),
        }
    }

    /// Put this manifest in place of the one on the disk (I4). The directory must be there, and
    /// the files that it names durable.
    ///
    /// # Errors
    /// I/O codes. Then the old one stands, unless the directory's fsync failed, which is for the
    /// caller to treat as unknown: both must be whole until a later replacement succeeds.
    pub fn replace(&self, layout: &Layout) -> Result<()> {
        let path = layout.manifest();
        let wrap = |error| EngineError::from_io("replace", &path, &error);
        failpoint::hit("aof.before_manifest").map_err(wrap)?;
        durable::replace_file(&path, &self.to_bytes())?;
        failpoint::hit("aof.after_manifest").map_err(wrap)
    }

    /// The number of the next incremental.
    pub fn next_incr(&self) -> u64 {
        self.incr_seq_max.saturating_add(1)
    }

    /// The number of the next base.
    pub fn next_base(&self) -> u64 {
        self.base_seq_max.saturating_add(1)
    }

    /// What is logged from now on goes to another file.
    pub fn add_incr(&mut self, incr: Listed) {
        self.incr_seq_max = self.incr_seq_max.max(incr.seq);
        self.incrs.push(incr);
    }

    /// A new base holds everything up to where `incrs[keep_from..]` begin.
    pub fn rebase(&mut self, base: Listed, keep_from: usize) {
        self.base_seq_max = self.base_seq_max.max(base.seq);
        let kept = self.incrs.split_off(keep_from.min(self.incrs.len()));
        let retired = std::mem::replace(&mut self.incrs, kept);
        let old = self.base.replace(base);
        old.into_iter().chain(retired).for_each(|listed| self.retire(listed));
    }

    /// Incrementals of which `is_idle` holds are not part of the log any more: nothing is in them.
    /// Without a base all stay, since the log goes back to the beginning of all.
    pub fn retire_incrs(&mut self, is_idle: impl Fn(&Listed) -> bool) {
        if self.base.is_some() {
            let (idle, kept) = std::mem::take(&mut self.incrs).into_iter().partition(is_idle);
            self.incrs = kept;
            Vec::into_iter(idle).for_each(|listed| self.retire(listed));
        }
    }

    /// A number of a file in history is taken, too. Only its name can tell which kind it was; where
    /// it does not, the number counts for both.
    fn retire(&mut self, listed: Listed) {
        if !listed.name.contains(".incr.") {
            self.base_seq_max = self.base_seq_max.max(listed.seq);
        }
        if !listed.name.contains(".base.") {
            self.incr_seq_max = self.incr_seq_max.max(listed.seq);
        }
        self.history.push(listed);
    }

    /// Delete the files of the history, then forget them. A crash in between leaves names of files
    /// that are gone: nobody reads those, and the next call forgets them.
    ///
    /// # Errors
    /// I/O codes; what could not be deleted stays listed.
    pub fn delete_history(&mut self, layout: &Layout) -> Result<()> {
        if self.history.is_empty() {
            return Ok(());
        }
        for listed in &self.history {
            let path = layout.path(&listed.name);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(EngineError::from_io("delete", &path, &error)),
            }
            failpoint::hit("aof.history_deleted")
                .map_err(|error| EngineError::from_io("delete", &path, &error))?;
        }
        let forgetting = Self { history: Vec::new(), ..self.clone() };
        forgetting.replace(layout)?;
        *self = forgetting;
        Ok(())
    }
}

/// Type and file of a line that is no comment.
fn parse_line(line: &[u8]) -> std::result::Result<(u8, Listed), &'static str> {
    const FORM: &str = "the line is not in the form `file <name> seq <number> type <b|h|i>`";
    let Some(text) = line.strip_suffix(b"\n") else { return Err("the line has no end") };
    if text.contains(&0) {
        return Err("the line holds a NUL byte");
    }
    let words = split_words(text).ok_or("a quote is not closed")?;
    if words.len() < 6 || words.len() % 2 == 1 {
        return Err(FORM);
    }
    let (mut name, mut seq, mut kind) = (None, None, None);
    for pair in words.chunks_exact(2) {
        match pair[0].to_ascii_lowercase().as_slice() {
            b"file" => name = Some(&pair[1]),
            b"seq" => seq = Some(leading_number(&pair[1])),
            b"type" => kind = pair[1].first().copied(),
            _ => {}
        }
    }
    let (Some(name), Some(seq), Some(kind)) = (name, seq, kind) else { return Err(FORM) };
    let name = String::from_utf8(name.clone()).map_err(|_| "the name is not UTF-8")?;
    if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
        return Err("the name is not one of a file in the log's directory");
    }
    if seq == 0 {
        return Err("the number is not above 0");
    }
    Ok((kind, Listed { name, seq }))
}

/// The digits that a word begins with, as C's `atoll` reads them.
fn leading_number(word: &[u8]) -> u64 {
    let word = word.trim_ascii_start();
    let digits = word.strip_prefix(b"+").unwrap_or(word);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(i64::MAX as u64)
    })
}

fn invalid(path: &Path, (line, reason): Flaw) -> EngineError {
    let place = if line == 0 { String::new() } else { format!(" line {line}:") };
    EngineError::new(
        "AOF_MANIFEST_INVALID",
        format!("{}:{place} {reason}", path.display()),
        "Correct that line, or put a copy of the manifest there: it names the base and the \
         incrementals in the order of their numbers. To start from dump.rdb instead, move the \
         whole directory away.",
    )
    .with("path", path.display().to_string())
    .with("line", line.to_string())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
