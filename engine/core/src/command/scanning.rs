//! What SCAN, HSCAN, SSCAN and ZSCAN share: the cursor as Redis reads it, the options, the frame of
//! the answer. Not here: walking (`table`), which keys count (`generic::scan`).

use super::{glob_matches, texts};
use crate::resp::{Args, Reply};
use crate::value::integer::parse_i64;

/// What a command of the family was asked for.
pub struct Scanning<'a> {
    /// Only of this type (SCAN alone).
    pub type_name: Option<&'a [u8]>,
    /// About how many to look at.
    pub count: usize,
    pattern: Option<&'a [u8]>,
}

/// Which command asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// SCAN, which has one option more: TYPE.
    Keys,
    /// HSCAN, SSCAN, ZSCAN.
    Elements,
}

impl<'a> Scanning<'a> {
    /// Read the options from argument `from` on.
    ///
    /// # Errors
    /// Redis's text.
    pub fn read(args: Args<'a>, from: usize, over: Over) -> Result<Self, &'static str> {
        const COUNT_DEFAULT: usize = 10;
        let mut read = Self { pattern: None, type_name: None, count: COUNT_DEFAULT };
        let mut at = from;
        while at < args.len() {
            if at + 1 >= args.len() {
                return Err(texts::SYNTAX);
            }
            let value = args.get(at + 1);
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"count" => {
                    let count = parse_i64(value).ok_or(texts::NOT_INTEGER)?;
                    read.count = usize::try_from(count)
                        .ok()
                        .filter(|&count| count > 0)
                        .ok_or(texts::SYNTAX)?;
                }
                b"match" => read.pattern = Some(value),
                b"type" if over == Over::Keys => read.type_name = Some(value),
                _ => return Err(texts::SYNTAX),
            }
            at += 2;
        }
        Ok(read)
    }

    /// Whether MATCH takes that name.
    pub fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| is_wanted(pattern, name))
    }
}

/// A lone star takes every name, the empty one too (which no other pattern with a star does).
pub fn is_wanted(pattern: &[u8], name: &[u8]) -> bool {
    pattern == b"*" || glob_matches(pattern, name, false)
}

/// A cursor as C's `strtoul` reads it (a sign, and nothing at all, included).
///
/// # Errors
/// Redis's text.
pub fn parse_cursor(text: &[u8]) -> Result<u64, &'static str> {
    const INVALID: &str = "ERR invalid cursor";
    let (is_negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(INVALID);
    }
    let value = digits.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    });
    let value = value.ok_or(INVALID)?;
    Ok(if is_negative { value.wrapping_neg() } else { value })
}

/// Begin the answer: the next cursor, and the head of an array of `words` that follow (a field and
/// its value are two).
pub fn reply_head(reply: &mut Reply, cursor: u64, words: usize) {
    reply.array(2);
    reply.bulk_unsigned(cursor);
    reply.array(words);
}
