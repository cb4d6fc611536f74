//! A log's structure in one pass: where each unit (a command, or MULTI to EXEC) and each annotation
//! begins and ends. Arguments are jumped over, so memory is bounded whatever the log holds; what
//! commands mean is `replay`'s business, what damage means is `scan`'s. As strict as the parser
//! that replays, and stricter in the two places where that one skips bytes unseen.
//!
//! ```text
//! *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n    count, then so many length-prefixed arguments
//! #...\r\n                               an annotation, at most 1023 bytes with its end
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::annotation::{self, Checksum, END, FIELD_BYTES, Line};
use crate::limits::{BULK_BYTES_MAX, MULTIBULK_MAX};

/// One read asks for so much.
const READ_BYTES: usize = 1 << 20;
/// Redis reads no longer line.
const LINE_BYTES_MAX: usize = 1023;
/// A header line: its mark, ten digits, its end.
const HEADER_BYTES_MAX: usize = 13;

/// What comes next in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A command or a whole transaction; ends here.
    Unit(u64),
    /// An annotation.
    Annotation(Placed),
    /// The end.
    End,
    /// Nothing that could be read on.
    Flaw(Flaw),
}

/// An annotation and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its first byte.
    pub start: u64,
    /// Behind its end.
    pub end: u64,
    /// What it says.
    pub line: Line,
    /// For a `#PD:` line: whether its checksum is that of the bytes before.
    pub is_true: bool,
    /// Whether it stands between MULTI and EXEC.
    pub is_inside: bool,
}

/// Where a log cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// The first byte that is wrong.
    pub offset: u64,
    /// Of which kind.
    pub kind: FlawKind,
    /// For a person.
    pub reason: &'static str,
}

/// How a log is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// The file ends inside of a unit or an annotation.
    Ends,
    /// Zeros where something else must stand: a page that never reached the disk.
    Zeros,
    /// Anything else.
    Alien,
}

enum Stop {
    Flaw(Flaw),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Walked<T> = std::result::Result<T, Stop>;

/// What a command is to the structure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Multi,
    Exec,
    Plain,
}

/// The units of a file, in order.
pub struct Units {
    file: File,
    /// Where the file, or what was asked for, ends.
    to: u64,
    buffer: Vec<u8>,
    /// The next byte, in the buffer.
    at: usize,
    /// Where the buffer's first byte stands in the file.
    begins_at: u64,
    /// What stands before it in the buffer is summed.
    summed: usize,
    checksum: Checksum,
    in_transaction: bool,
}

impl Units {
    /// Begin at `from`; what stands at `to` and after it is not there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(mut file: File, from: u64, to: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self {
            file,
            to,
            buffer: Vec::with_capacity(READ_BYTES),
            at: 0,
            begins_at: from,
            summed: 0,
            checksum: Checksum::default(),
            in_transaction: false,
        })
    }

    /// Where the next byte stands in the file.
    pub fn offset(&self) -> u64 {
        self.begins_at + self.at as u64
    }

    /// The next unit or annotation. After [`Step::End`] and [`Step::Flaw`] there is none.
    ///
    /// # Errors
    /// Those of the system.
    pub fn step(&mut self) -> io::Result<Step> {
        match self.walk() {
            Ok(step) => Ok(step),
            Err(Stop::Flaw(flaw)) => Ok(Step::Flaw(flaw)),
            Err(Stop::Io(error)) => Err(error),
        }
    }

    fn walk(&mut self) -> Walked<Step> {
        loop {
            let Some(first) = self.ahead(1)?.first().copied() else {
                return if self.in_transaction {
                    Err(self.flaw(FlawKind::Ends, "the file ends before EXEC"))
                } else {
                    Ok(Step::End)
                };
            };
            match first {
                b'#' => return self.annotation().map(Step::Annotation),
                b'*' => {}
                _ => return Err(self.alien(0, "neither a command nor an annotation begins here")),
            }
            match (self.command()?, self.in_transaction) {
                (Frame::Plain, false) => return Ok(Step::Unit(self.offset())),
                (Frame::Plain, true) => {}
                (Frame::Multi, false) => self.in_transaction = true,
                (Frame::Exec, true) => {
                    self.in_transaction = false;
                    return Ok(Step::Unit(self.offset()));
                }
                (Frame::Multi, true) => {
                    return Err(self.flaw(FlawKind::Alien, "MULTI before EXEC of the one before"));
                }
                (Frame::Exec, false) => {
                    return Err(self.flaw(FlawKind::Alien, "EXEC without its MULTI"));
                }
            }
        }
    }

    fn command(&mut self) -> Walked<Frame> {
        let count = self.header(b'*', MULTIBULK_MAX as u64)?;
        if count == 0 {
            return Err(self.flaw(FlawKind::Alien, "a command without a name"));
        }
        let mut frame = Frame::Plain;
        for _ in 0..count {
            let length = self.header(b'$', BULK_BYTES_MAX as u64)?;
            if count == 1 && (length == 4 || length == 5) {
                let word = self.ahead(length as usize)?;
                if word.eq_ignore_ascii_case(b"multi") {
                    frame = Frame::Multi;
                } else if word.eq_ignore_ascii_case(b"exec") {
                    frame = Frame::Exec;
                }
            }
            self.jump(length)?;
            self.expect_end()?;
        }
        Ok(frame)
    }

    /// The number of a header line, read over.
    fn header(&mut self, mark: u8, most: u64) -> Walked<u64> {
        let bytes = self.ahead(HEADER_BYTES_MAX)?;
        let mut number = 0_u64;
        let mut next = 1;
        if bytes.first() == Some(&mark) {
            while let Some(digit @ b'0'..=b'9') = bytes.get(next) {
                number = number * 10 + u64::from(digit - b'0');
                next += 1;
            }
        } else {
            return Err(self.alien(0, "another byte where an argument must begin"));
        }
        let is_plain = next > 1 && (bytes.get(1) != Some(&b'0') || next == 2);
        if is_plain && bytes.get(next..next + 2) == Some(END) && number <= most {
            self.at += next + 2;
            return Ok(number);
        }
        let is_cr = bytes.get(next) == Some(&b'\r');
        Err(self.alien(next + usize::from(is_cr), "not a length as the log has them"))
    }

    /// The `\r\n` after an argument.
    fn expect_end(&mut self) -> Walked<()> {
        let bytes = self.ahead(END.len())?;
        if bytes == END {
            self.at += END.len();
            return Ok(());
        }
        let wrong = bytes.iter().zip(END).take_while(|(found, wanted)| found == wanted).count();
        Err(self.alien(wrong, "an argument is longer or shorter than its length says"))
    }

    fn annotation(&mut self) -> Walked<Placed> {
        let start = self.offset();
        let mut bytes = self.ahead(64)?;
        if !bytes.contains(&b'\n') {
            bytes = self.ahead(LINE_BYTES_MAX)?;
        }
        let length = bytes.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
        let zero = bytes.iter().take(length.unwrap_or(bytes.len())).position(|byte| *byte == 0);
        let whole = bytes.len();
        let (Some(length), None) = (length, zero) else {
            return Err(self.alien(zero.unwrap_or(whole), "an annotation without its end"));
        };
        let line = annotation::parse(bytes.get(..length).unwrap_or_default());
        let mut is_true = false;
        if let Line::Position(_, told) = line {
            let field = self.at + length - END.len() - FIELD_BYTES;
            is_true = self.sum_up_to(field) == told;
            self.summed = field + FIELD_BYTES;
        }
        self.at += length;
        let is_inside = self.in_transaction;
        Ok(Placed { start, end: self.offset(), line, is_true, is_inside })
    }

    /// The checksum up to there; begins anew.
    fn sum_up_to(&mut self, place: usize) -> u64 {
        self.checksum.update(self.buffer.get(self.summed..place).unwrap_or_default());
        self.summed = place;
        self.checksum.take()
    }

    // ------------------------------------------------------------------------------------ bytes

    /// At least `wanted` bytes from here on, fewer at the end.
    #[inline]
    fn ahead(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < wanted {
            self.fill(wanted)?;
        }
        let rest = &self.buffer[self.at..];
        Ok(rest.get(..wanted).unwrap_or(rest))
    }

    /// Read on, keeping what was not passed yet.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        self.checksum.update(self.buffer.get(self.summed..self.at).unwrap_or_default());
        self.begins_at += self.at as u64;
        self.buffer.drain(..self.at);
        (self.at, self.summed) = (0, 0);
        while self.buffer.len() < wanted {
            let left = self.to.saturating_sub(self.begins_at + self.buffer.len() as u64);
            let asked = left.min(READ_BYTES as u64);
            let read = Read::by_ref(&mut self.file).take(asked).read_to_end(&mut self.buffer)?;
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Pass over `length` bytes.
    fn jump(&mut self, mut length: u64) -> Walked<()> {
        if self.offset() + length > self.to {
            let flaw = Flaw {
                offset: self.to,
                kind: FlawKind::Ends,
                reason: "the file ends inside of an argument",
            };
            return Err(Stop::Flaw(flaw));
        }
        loop {
            let step = length.min((self.buffer.len() - self.at) as u64);
            self.at += step as usize;
            length -= step;
            if length == 0 {
                return Ok(());
            }
            self.fill(1)?;
            if self.buffer.is_empty() {
                return Err(self.flaw(FlawKind::Ends, "the file became shorter"));
            }
        }
    }

    // ------------------------------------------------------------------------------------ flaws

    fn flaw(&self, kind: FlawKind, reason: &'static str) -> Stop {
        Stop::Flaw(Flaw { offset: self.offset(), kind, reason })
    }

    /// The byte `ahead` of here is not what must stand there, if there is one.
    #[cold]
    fn alien(&self, ahead: usize, reason: &'static str) -> Stop {
        let offset = self.offset() + ahead as u64;
        let (kind, reason) = match self.buffer.get(self.at + ahead) {
            None if offset >= self.to => (FlawKind::Ends, "the file ends inside of a unit"),
            Some(0) => (FlawKind::Zeros, "zeros where a unit must go on"),
            _ => (FlawKind::Alien, reason),
        };
        Stop::Flaw(Flaw { offset, kind, reason })
    }
}
