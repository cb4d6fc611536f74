//! From the query buffer to commands, without copying: arguments are ranges of the bytes that were
//! read. Multibulk and inline requests; every length is checked against `limits` (I7). A command
//! that is not whole yet keeps its place, so that no byte of it is looked at twice, however it is
//! split.
//!
//! ```text
//! *2\r\n $3\r\n GET\r\n $1\r\n k\r\n   multibulk: count, then so many length-prefixed arguments
//! GET k\r\n                          inline: words of a line (`inline`)
//! ```
//! Redis is lax in two places and so are we, since clients may rely on it: the `\n` of a header and
//! the `\r\n` after an argument are skipped unseen.

use super::args::{Args, Range};
use super::inline;
use crate::limits::{INLINE_BYTES_MAX, MULTIBULK_MAX, QUERY_BUFFER_BYTES_MAX};

/// Why a connection cannot go on. [`ProtocolError::text`] is Redis's error text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line without an end within the bound.
    TooBigInline,
    /// A `*` line without an end within the bound.
    TooBigMultibulkCount,
    /// A `$` line without an end within the bound.
    TooBigBulkCount,
    /// Not a number, or more arguments than the bound.
    InvalidMultibulkLength,
    /// Not a number, negative, or longer than the bound.
    InvalidBulkLength,
    /// Another byte where `$` must be.
    ExpectedDollar(u8),
    /// An inline request with broken quoting.
    UnbalancedQuotes,
    /// The command would not fit the largest query buffer: closed without an answer, as Redis does.
    QueryTooBig,
}

impl ProtocolError {
    /// What to answer before closing; `None` if nothing.
    pub fn text(self) -> Option<Vec<u8>> {
        let reason = match self {
            Self::TooBigInline => "too big inline request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::ExpectedDollar(got) => {
                let start = b"ERR Protocol error: expected '$', got '".as_slice();
                return Some([start, &[got], b"'"].concat());
            }
            Self::QueryTooBig => return None,
        };
        Some(format!("ERR Protocol error: {reason}").into_bytes())
    }
}

/// One parsed command: where its bytes begin and end in the input, and its arguments in [`Batch`].
#[derive(Debug, Clone, Copy)]
struct Command {
    start: usize,
    end: usize,
    ranges: (usize, usize),
    /// Begin of the unquoted words in `Batch::words`, for an inline request.
    words: Option<usize>,
}

/// Commands parsed from one buffer, in order. Reused: clearing keeps the memory.
#[derive(Default)]
pub struct Batch {
    commands: Vec<Command>,
    ranges: Vec<Range>,
    words: Vec<u8>,
}

/// Ranges kept allocated between batches; a giant MSET's are given back.
const RANGES_KEPT: usize = 16 * 1024;

impl Batch {
    /// Forget the commands.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.ranges.clear();
        self.ranges.shrink_to(RANGES_KEPT);
        self.words.clear();
        self.words.shrink_to(INLINE_BYTES_MAX);
    }
    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }
    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
    /// The arguments of command `index < len()`; `input` is what [`Parser::parse`] was given.
    pub fn args<'a>(&'a self, index: usize, input: &'a [u8]) -> Args<'a> {
        let command = &self.commands[index];
        let ranges = &self.ranges[command.ranges.0..command.ranges.1];
        match command.words {
            None => Args::new(&input[command.start..command.end], ranges),
            Some(at) => Args::new(&self.words[at..], ranges),
        }
    }
    /// Where command `index` ends in the input.
    pub fn end(&self, index: usize) -> usize {
        self.commands[index].end
    }
    /// Where command `index` begins in the input.
    pub fn start(&self, index: usize) -> usize {
        self.commands[index].start
    }
}

/// Why parsing stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The rest of the input is not a whole command.
    NeedsMore,
    /// The batch holds as many commands as it may.
    Full,
    /// A line begins that is no multibulk request ([`Parser::of_log`]).
    Line,
    /// The connection cannot go on after the commands in the batch.
    Broken(ProtocolError),
}

/// The bounds of one batch.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Commands in a batch.
    pub commands_max: usize,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
}

/// An incremental parser of one connection's input: it remembers how far the command under way has
/// come.
#[derive(Debug, Default)]
pub struct Parser {
    /// Offset, from the command's start, of the first byte not looked at.
    at: usize,
    /// Arguments still to come, 0 before a command's count is known.
    missing: usize,
    /// Length of the argument under way, once its header was read.
    bulk: Option<usize>,
    /// Arguments found before the input ended.
    partial: Vec<Range>,
    /// Lines are not taken for inline requests.
    is_of_log: bool,
}

enum Step {
    /// A whole command of so many bytes.
    Done(usize),
    /// Nothing to execute in so many bytes (an empty line, `*0`).
    Nothing(usize),
    More,
}

impl Parser {
    /// A parser of a log: no inline requests, it stops at any other line (an annotation).
    pub fn of_log() -> Self {
        Self { is_of_log: true, ..Self::default() }
    }

    /// Append whole commands of `input` to `batch`. Gives how many bytes they take and why it
    /// stopped. The next call must be given the input from there on (and what has arrived
    /// since).
    pub fn parse(&mut self, input: &[u8], batch: &mut Batch, bounds: Bounds) -> (usize, Stop) {
        let mut start = 0;
        while start < input.len() {
            if batch.commands.len() >= bounds.commands_max {
                return (start, Stop::Full);
            }
            let first = batch.ranges.len();
            let words = batch.words.len();
            let is_inline = self.missing == 0 && input[start] != b'*';
            if is_inline && self.is_of_log {
                return (start, Stop::Line);
            }
            let step = if is_inline {
                parse_inline(&input[start..], batch)
            } else {
                self.parse_multibulk(&input[start..], &mut batch.ranges, bounds.bulk_bytes_max)
            };
            match step {
                Ok(Step::More) => break,
                Ok(Step::Nothing(length)) => start += length,
                Ok(Step::Done(length)) => {
                    batch.commands.push(Command {
                        start,
                        end: start + length,
                        ranges: (first, batch.ranges.len()),
                        words: is_inline.then_some(words),
                    });
                    start += length;
                }
                Err(error) => {
                    batch.ranges.truncate(first);
                    return (start, Stop::Broken(error));
                }
            }
        }
        (start, Stop::NeedsMore)
    }

    /// Bytes that the command under way takes at least, from its start: how large the buffer must
    /// become.
    pub fn needed_bytes(&self) -> usize {
        self.bulk.map_or(0, |length| self.at + length + 2)
    }

    /// Forget the command under way: it will be given again from its start.
    pub fn reset(&mut self) {
        *self = Self { is_of_log: self.is_of_log, ..Self::default() };
    }

    fn parse_multibulk(
        &mut self,
        input: &[u8],
        ranges: &mut Vec<Range>,
        bulk_bytes_max: usize,
    ) -> Result<Step, ProtocolError> {
        if self.missing == 0 {
            match read_header(input, 0) {
                Header::More => return more_header(input, ProtocolError::TooBigMultibulkCount),
                Header::Number(count, next) if count <= MULTIBULK_MAX as i64 => {
                    if count <= 0 {
                        return Ok(Step::Nothing(next));
                    }
                    (self.at, self.missing) = (next, count as usize);
                }
                _ => return Err(ProtocolError::InvalidMultibulkLength),
            }
        }
        if self.partial.is_empty() {
            let first = ranges.len();
            let is_whole = self.take_bulks(input, ranges, bulk_bytes_max)?;
            if !is_whole {
                self.partial.extend(ranges.drain(first..));
                return Ok(Step::More);
            }
        } else {
            // Resumed: the list grows in place and is copied once, when the command is whole.
            let mut partial = std::mem::take(&mut self.partial);
            let is_whole = self.take_bulks(input, &mut partial, bulk_bytes_max)?;
            if !is_whole {
                self.partial = partial;
                return Ok(Step::More);
            }
            ranges.append(&mut partial);
        }
        Ok(Step::Done(std::mem::take(&mut self.at)))
    }

    /// Take arguments until none is missing (true) or the input ends (false).
    fn take_bulks(
        &mut self,
        input: &[u8],
        ranges: &mut Vec<Range>,
        bulk_bytes_max: usize,
    ) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.read_bulk_length(input, bulk_bytes_max)? {
                    Some(length) => length,
                    None => return Ok(false),
                },
            };
            if input.len() - self.at < length + 2 {
                self.bulk = Some(length);
                return Ok(false);
            }
            // Both fit: the end of an argument is below QUERY_BUFFER_BYTES_MAX.
            ranges.push((self.at as u32, length as u32));
            self.at += length + 2;
            self.missing -= 1;
            self.bulk = None;
        }
        Ok(true)
    }

    fn read_bulk_length(
        &mut self,
        input: &[u8],
        bulk_bytes_max: usize,
    ) -> Result<Option<usize>, ProtocolError> {
        let (length, next) = match read_header(input, self.at) {
            Header::More => {
                more_header(&input[self.at..], ProtocolError::TooBigBulkCount)?;
                return Ok(None);
            }
            _ if input[self.at] != b'$' => {
                return Err(ProtocolError::ExpectedDollar(input[self.at]));
            }
            Header::Number(length, next) => (length, next),
            Header::Invalid => return Err(ProtocolError::InvalidBulkLength),
        };
        let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidBulkLength)?;
        if length > bulk_bytes_max {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if next + length + 2 > QUERY_BUFFER_BYTES_MAX {
            return Err(ProtocolError::QueryTooBig);
        }
        self.at = next;
        Ok(Some(length))
    }
}

/// A header line without its end: wait, unless it is already too long.
fn more_header(line: &[u8], error: ProtocolError) -> Result<Step, ProtocolError> {
    if line.len() > INLINE_BYTES_MAX { Err(error) } else { Ok(Step::More) }
}

fn parse_inline(input: &[u8], batch: &mut Batch) -> Result<Step, ProtocolError> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return more_header(input, ProtocolError::TooBigInline);
    };
    if end > INLINE_BYTES_MAX {
        return Err(ProtocolError::TooBigInline);
    }
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let first = batch.ranges.len();
    inline::split(line, &mut batch.words, &mut batch.ranges)
        .map_err(|_| ProtocolError::UnbalancedQuotes)?;
    let has_words = batch.ranges.len() > first;
    Ok(if has_words { Step::Done(end + 1) } else { Step::Nothing(end + 1) })
}

enum Header {
    /// The number, and the offset after `\r\n`.
    Number(i64, usize),
    Invalid,
    More,
}

/// Read the number of the header line whose mark stands at `at`: canonical decimal, as Redis reads
/// lengths.
fn read_header(input: &[u8], at: usize) -> Header {
    let digits = at + 1;
    let mut next = digits;
    let mut value = 0_i64;
    // Ten digits hold every length that is allowed; longer ones are told apart below.
    while let Some(digit) = input.get(next).map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 || next - digits >= 10 {
            break;
        }
        value = value * 10 + i64::from(digit);
        next += 1;
    }
    let is_canonical = next > digits && (input[digits] != b'0' || next == digits + 1);
    if is_canonical && input.get(next) == Some(&b'\r') && input.len() > next + 1 {
        return Header::Number(value, next + 2);
    }
    read_odd_header(input, digits)
}

/// What is not a plain number: incomplete, negative (only its sign matters) or invalid.
#[cold]
fn read_odd_header(input: &[u8], digits: usize) -> Header {
    let rest = input.get(digits..).unwrap_or_default();
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else { return Header::More };
    if rest.len() < end + 2 {
        return Header::More;
    }
    let number = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<i64>().ok());
    match number {
        Some(value) if value.to_string().as_bytes() == &rest[..end] => {
            Header::Number(value, digits + end + 2)
        }
        _ => Header::Invalid,
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
