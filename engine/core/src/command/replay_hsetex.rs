//! HSETEX in a log: Redis 8 writes HINCRBYFLOAT as `HSETEX key KEEPTTL FIELDS n field value ...`. Here
//! no field has a time of its own, so that is HSET. A call that gives one is refused, as an RDB file
//! with such a hash is.

use super::replay::shown;
use crate::resp::{Args, Range};

/// The command, and whose name stands for it.
pub(super) const NAME: &[u8] = b"hsetex";
pub(super) const STANDS_FOR: &[u8] = b"hset";
/// Where the fields begin.
const FIELDS_AT: usize = 5;

/// The arguments of the HSET that a call of HSETEX is.
///
/// # Errors
/// Why it is none.
#[cold]
pub(super) fn as_hset(args: Args<'_>) -> Result<Vec<Range>, String> {
    let is_word = |at: usize, word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
    if !is_word(2, "keepttl") || !is_word(3, "fields") {
        let how = shown(args.get(2));
        return Err(format!("'HSETEX' with '{how}': a field cannot have a time of its own"));
    }
    let count = std::str::from_utf8(args.get(4)).ok().and_then(|text| text.parse::<usize>().ok());
    let given = args.len().saturating_sub(FIELDS_AT);
    if given == 0 || count.is_none_or(|count| count.checked_mul(2) != Some(given)) {
        return Err(format!("'HSETEX' with {} arguments", args.len() - 1));
    }
    let ranges = args.ranges();
    Ok([&ranges[..2], &ranges[FIELDS_AT..]].concat())
}
