//! Passing over what is not loaded: a module's data outside keys, and, for `inspect`, the values of
//! types that a load refuses. Only their framing is known here: where each part ends. Nothing is
//! kept. Every byte is hostile (I7): each step reads at least one byte of the file.

use super::format::*;
use super::reader::Reader;
use super::strings::{load_length, load_string};
use crate::error::Result;

/// Bytes of a stream entry's id.
const STREAM_ID_BYTES: usize = 16;

/// Pass over a value of a file of that version. Gives its number of elements (0: not known), or
/// `None`, with nothing read, when its format does not tell where it ends.
pub(super) fn pass_over_value(
    (number, version): (u8, u32),
    from: &mut Reader<'_>,
    unpacked: &mut Vec<u8>,
) -> Result<Option<u64>> {
    let mut pass = Pass { from, unpacked };
    Ok(Some(match number {
        TYPE_MODULE_2 => {
            pass.lengths(1)?;
            pass.module()?;
            0
        }
        TYPE_STREAM => pass.stream(1)?,
        TYPE_STREAM_2 => pass.stream(2)?,
        TYPE_STREAM_3 => pass.stream(3)?,
        TYPE_HASH_EXPIRING_VALKEY if version == VERSION_VALKEY => pass.expiring_hash_valkey()?,
        TYPE_HASH_EXPIRING => pass.expiring_hash()?,
        TYPE_HASH_EXPIRING_LISTPACK => {
            pass.from.array::<8>()?;
            pass.strings(1)?;
            0
        }
        _ => return Ok(None),
    }))
}

/// Pass over a module's data outside keys: `<length id> <length 2> <length when>`, then as a value.
pub(super) fn pass_over_module_aux(from: &mut Reader<'_>, unpacked: &mut Vec<u8>) -> Result<()> {
    let mut pass = Pass { from, unpacked };
    pass.lengths(1)?;
    if load_length(pass.from)? != MODULE_UINT {
        return Err(pass.from.corrupt("module data without the time it belongs to"));
    }
    pass.lengths(1)?;
    pass.module()
}

struct Pass<'p, 'r> {
    from: &'p mut Reader<'r>,
    unpacked: &'p mut Vec<u8>,
}

impl Pass<'_, '_> {
    fn lengths(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| load_length(self.from).map(drop))
    }

    fn strings(&mut self, count: u64) -> Result<()> {
        (0..count).try_for_each(|_| load_string(self.from, self.unpacked).map(drop))
    }

    /// `(<code> <value>)... 0`
    fn module(&mut self) -> Result<()> {
        loop {
            match load_length(self.from)? {
                MODULE_EOF => return Ok(()),
                MODULE_SINT | MODULE_UINT => self.lengths(1)?,
                MODULE_FLOAT => drop(self.from.array::<4>()?),
                MODULE_DOUBLE => drop(self.from.array::<8>()?),
                MODULE_STRING => self.strings(1)?,
                code => {
                    return Err(self.from.corrupt(&format!("unknown code {code} in module data")));
                }
            }
        }
    }

    /// `<length> (<id> <listpack>)... <length entries> <id as 2 lengths>`, from version 2 on two
    /// more ids and a count; then `<length> group...`.
    fn stream(&mut self, version: u8) -> Result<u64> {
        let nodes = load_length(self.from)?;
        for _ in 0..nodes {
            self.strings(2)?;
        }
        let entries = load_length(self.from)?;
        self.lengths(if version >= 2 { 7 } else { 2 })?;
        let groups = load_length(self.from)?;
        for _ in 0..groups {
            self.group(version)?;
        }
        Ok(entries)
    }

    /// `<name> <id as 2 lengths>`, from version 2 on a count; the pending entries, `<length>
    /// consumer...`.
    fn group(&mut self, version: u8) -> Result<()> {
        self.strings(1)?;
        self.lengths(if version >= 2 { 3 } else { 2 })?;
        let pending = load_length(self.from)?;
        for _ in 0..pending {
            // The id, when it was delivered, how often.
            self.from.take(STREAM_ID_BYTES + 8)?;
            self.lengths(1)?;
        }
        let consumers = load_length(self.from)?;
        for _ in 0..consumers {
            self.strings(1)?;
            // When it was seen; from version 3 on also when it was active.
            self.from.take(if version >= 3 { 16 } else { 8 })?;
            let pending = load_length(self.from)?;
            for _ in 0..pending {
                self.from.take(STREAM_ID_BYTES)?;
            }
        }
        Ok(())
    }

    /// `<length> (<field> <value> <8 bytes end>)...`
    fn expiring_hash_valkey(&mut self) -> Result<u64> {
        let fields = load_length(self.from)?;
        for _ in 0..fields {
            self.strings(2)?;
            self.from.array::<8>()?;
        }
        Ok(fields)
    }

    /// `<8 bytes first end> <length> (<length end> <field> <value>)...`
    fn expiring_hash(&mut self) -> Result<u64> {
        self.from.array::<8>()?;
        let fields = load_length(self.from)?;
        for _ in 0..fields {
            self.lengths(1)?;
            self.strings(2)?;
        }
        Ok(fields)
    }
}
