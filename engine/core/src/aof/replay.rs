//! A log's bytes to commands: read ahead, parsed by the socket's parser, executed in its batches
//! (`command::Replayer`) or counted (`command::Survey`). What was read is of no use when anything
//! fails; which files there are and how far they count is `recover`'s business. Every byte is
//! hostile (I7).
//!
//! ```text
//! *3\r\n$3\r\nSET\r\n...   a command            #...\r\n   an annotation, passed over
//! ```

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use crate::command::Reader;
use crate::error::{EngineError, Result};
use crate::limits::{BATCH_COMMANDS_MAX, BULK_BYTES_MAX, INLINE_BYTES_MAX};
use crate::read_ahead::{Block, Blocks, HEADROOM_BYTES};
use crate::resp::Batch;
use crate::resp::parse::{Bounds, Parser, ProtocolError, Stop};

/// The bytes of one file that are to be replayed.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// The file.
    pub path: &'a Path,
    /// Where its commands begin (behind an RDB preamble).
    pub from: u64,
    /// Where they end: behind a whole command or transaction.
    pub to: u64,
}

/// Replay one file. Gives the number of commands. `progress` is told bytes done of the stretch;
/// answering `false` cancels.
///
/// # Errors
/// `AOF_COMMAND_REFUSED` (unknown, failing, not for a log), `AOF_CORRUPT` (not a command),
/// `AOF_TRUNCATED` (the stretch ends inside of one), each with path and offset; `CANCELLED`, I/O
/// codes. What was taken in is then of no use.
pub fn replay(
    reader: &mut impl Reader,
    stretch: Stretch<'_>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<u64> {
    let wrap = |error: std::io::Error| EngineError::from_io("read", stretch.path, &error);
    let mut file = File::open(stretch.path).map_err(wrap)?;
    file.seek(SeekFrom::Start(stretch.from)).map_err(wrap)?;
    let size = stretch.to.saturating_sub(stretch.from);
    let blocks = Blocks::of(file, size, false).map_err(wrap)?;
    let mut input = Input { blocks, buffer: Vec::new(), at: 0, end: 0, read_bytes: 0 };
    reader.begin_file();
    let mut work = Work { stretch, parser: Parser::of_log(), batch: Batch::default(), commands: 0 };
    while let Some(block) = input.blocks.next().map_err(wrap)? {
        input.adopt(block, work.parser.needed_bytes());
        let start = input.start();
        input.at += work.run(reader, &input.buffer[input.at..input.end], start)?;
        reader.note_progress(input.start(), size);
        if !progress(input.read_bytes) {
            return Err(cancelled(stretch.path));
        }
    }
    work.end(reader, &input)?;
    Ok(work.commands)
}

/// What was read and not executed yet.
struct Input {
    blocks: Blocks,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of the stretch read so far.
    read_bytes: u64,
}

impl Input {
    /// Where the next byte stands in the stretch.
    fn start(&self) -> u64 {
        self.read_bytes - (self.end - self.at) as u64
    }

    /// Go on in `block`, after what is left of the one before.
    fn adopt(&mut self, mut block: Block, needed: usize) {
        let left = self.end - self.at;
        self.read_bytes += block.len as u64;
        if left <= HEADROOM_BYTES {
            let start = HEADROOM_BYTES - left;
            block.bytes[start..HEADROOM_BYTES].copy_from_slice(&self.buffer[self.at..self.end]);
            let spent = std::mem::replace(&mut self.buffer, block.bytes);
            self.blocks.give_back(spent);
            (self.at, self.end) = (start, HEADROOM_BYTES + block.len);
            return;
        }
        // A long argument: gathered.
        let read = &block.bytes[HEADROOM_BYTES..HEADROOM_BYTES + block.len];
        self.buffer.copy_within(self.at..self.end, 0);
        self.buffer.truncate(left);
        self.buffer.reserve_exact(needed.max(left + read.len()) - left);
        self.buffer.extend_from_slice(read);
        (self.at, self.end) = (0, self.buffer.len());
        self.blocks.give_back(block.bytes);
    }
}

struct Work<'a> {
    stretch: Stretch<'a>,
    parser: Parser,
    batch: Batch,
    commands: u64,
}

const BOUNDS: Bounds = Bounds { commands_max: BATCH_COMMANDS_MAX, bulk_bytes_max: BULK_BYTES_MAX };

impl Work<'_> {
    /// Execute what is whole in `input`, which begins at `start` of the stretch; gives how much
    /// that was.
    fn run(&mut self, reader: &mut impl Reader, input: &[u8], start: u64) -> Result<usize> {
        let mut at = 0;
        loop {
            self.batch.clear();
            let rest = &input[at..];
            let (consumed, stop) = self.parser.parse(rest, &mut self.batch, BOUNDS);
            if let Err(flaw) = reader.run(&self.batch, rest) {
                let place = start + (at + self.batch.start(flaw.index)) as u64;
                return Err(self.refuse("AOF_COMMAND_REFUSED", place, &flaw.reason));
            }
            self.commands += self.batch.len() as u64;
            at += consumed;
            match stop {
                Stop::Full => {}
                Stop::NeedsMore => return Ok(at),
                Stop::Line => match line(&input[at..]) {
                    Line::Annotation(length) => at += length,
                    Line::More => return Ok(at),
                    Line::Alien => {
                        let reason = "neither a command nor an annotation begins here";
                        return Err(self.refuse("AOF_CORRUPT", start + at as u64, reason));
                    }
                },
                Stop::Broken(error) => {
                    return Err(self.refuse("AOF_CORRUPT", start + at as u64, &broken(error)));
                }
            }
        }
    }

    /// Nothing may be left of the stretch.
    fn end(&self, reader: &impl Reader, input: &Input) -> Result<()> {
        let size = self.stretch.to.saturating_sub(self.stretch.from);
        let (start, reason) = match input.start() {
            start if input.read_bytes < size => (start, "the file is shorter than it was"),
            start if start < size => (start, "the log ends inside a command"),
            start if reader.is_in_transaction() => (start, "the log ends inside a transaction"),
            _ => return Ok(()),
        };
        Err(self.refuse("AOF_TRUNCATED", start, reason))
    }

    #[cold]
    fn refuse(&self, code: &'static str, place: u64, reason: &str) -> EngineError {
        let (path, offset) = (self.stretch.path.display(), self.stretch.from + place);
        let hint = format!("`perdure aof check {path}` looks at it. Nothing was changed.");
        EngineError::new(code, format!("{path}, offset {offset}: {reason}"), hint)
            .with("path", path.to_string())
            .with("offset", offset.to_string())
            .with("reason", reason)
    }
}

enum Line {
    /// Of so many bytes.
    Annotation(usize),
    More,
    Alien,
}

fn line(input: &[u8]) -> Line {
    match input.first() {
        Some(b'#') => match input.iter().take(INLINE_BYTES_MAX).position(|byte| *byte == b'\n') {
            Some(end) => Line::Annotation(end + 1),
            None if input.len() < INLINE_BYTES_MAX => Line::More,
            None => Line::Alien,
        },
        None => Line::More,
        Some(_) => Line::Alien,
    }
}

fn broken(error: ProtocolError) -> String {
    let text = error.text().unwrap_or_else(|| b"a command of more than 1 GiB".to_vec());
    String::from_utf8_lossy(text.strip_prefix(b"ERR ").unwrap_or(&text)).into_owned()
}

fn cancelled(path: &Path) -> EngineError {
    let text = format!("replaying {} was cancelled", path.display());
    EngineError::new("CANCELLED", text, "Start it again when it is wanted.")
        .with("path", path.display().to_string())
}
