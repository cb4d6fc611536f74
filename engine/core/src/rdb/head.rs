//! What a file says before its first key, and where its data ends, for those who choose between
//! files and will load one (`aof::recover`). Nothing is checked beyond what is read.

use std::path::Path;

use super::AUX_LOG_POSITION;
use super::format::{HEADER_BYTES, MAGIC, MAGIC_VALKEY, OP_AUX};
use super::parse::parse;
use super::reader::{Manner, Reader};
use super::strings::load_bytes;
use super::verify::Nothing;
use crate::aof::LogPosition;
use crate::error::Result;

/// Aux fields that are looked at.
const AUX_FIELDS_MAX: usize = 64;
const MANNER: Manner = Manner { is_past_cache: false, is_digested: false };

/// Whether bytes begin an RDB file.
pub fn is_rdb(start: &[u8]) -> bool {
    start.starts_with(MAGIC) || start.starts_with(MAGIC_VALKEY)
}

/// Where the log stood at the file's cut ([`AUX_LOG_POSITION`]); `None` when it does not say, as
/// another server's does not.
///
/// # Errors
/// As [`super::load`], as far as the aux fields go.
pub fn log_position_of(path: &Path) -> Result<Option<LogPosition>> {
    let mut untold = |_, _| true;
    let mut from = Reader::open(path, MANNER, &mut untold)?;
    let is_alien = !is_rdb(from.take(HEADER_BYTES)?);
    if is_alien {
        return Err(from.alien("it does not begin with REDIS or VALKEY"));
    }
    let (mut unpacked, mut name, mut value) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..AUX_FIELDS_MAX {
        if from.byte()? != OP_AUX {
            break;
        }
        load_bytes(&mut from, &mut unpacked, &mut name)?;
        load_bytes(&mut from, &mut unpacked, &mut value)?;
        if name == AUX_LOG_POSITION.as_bytes() {
            return Ok(parse_position(&value));
        }
    }
    Ok(None)
}

/// What [`AUX_LOG_POSITION`] says: `<epoch>:<offset>`.
pub fn parse_position(text: &[u8]) -> Option<LogPosition> {
    let (epoch, offset) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some(LogPosition { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
}

/// Where the data of an RDB file ends: commands may follow, in a log with a preamble. Parses all of
/// it.
///
/// # Errors
/// As [`super::load`].
pub fn data_end(path: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64> {
    let summary = parse(Reader::open(path, MANNER, progress)?, &mut Nothing::new(), false)?;
    Ok(summary.size_bytes - summary.trailing_bytes)
}
