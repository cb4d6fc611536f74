//! A file (an RDB, a log) as blocks in order: read, summed and digested ahead of the parser, by a
//! thread of its own when the file is long. What bytes mean is not known here (`rdb::reader`,
//! `aof::replay`). Its length is the one at its opening; what fails reaches the parser where the
//! bytes would have stood.
//!
//! ```text
//!  a block   │ headroom: free │ bytes of the file ... │
//! ```
//! The parser puts what it has left of one block into the headroom of the next, so that what lies
//! across the border is one piece and nothing else is copied. At most [`BLOCKS_AHEAD`] blocks wait.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use crate::rdb::Crc64;

/// One read asks for so much: small enough that a block is summed while it is in the cache.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes before a block's own.
pub(crate) const HEADROOM_BYTES: usize = 16 * 1024;
/// Blocks that are read and not parsed yet, at most.
const BLOCKS_AHEAD: usize = 8;
/// A file up to this length is read by the thread that parses it.
const READ_HERE_BYTES_MAX: u64 = 2 * BLOCK_BYTES as u64;

/// Bytes of the file, after the headroom.
pub(crate) struct Block {
    /// Headroom, then `len` bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: usize,
    /// The checksum of everything in the file before this block.
    pub(crate) crc_before: Crc64,
}

/// The blocks of one file, in order.
pub(crate) enum Blocks {
    /// Read when they are asked for, into a buffer that was given back.
    Here(Box<Pass>, Option<Vec<u8>>),
    /// Read ahead.
    Ahead(Ahead),
}

impl Blocks {
    /// The blocks of the first `size_bytes` of `file`. `is_digested`: take the SHA-256 on the way.
    pub(crate) fn of(file: File, size_bytes: u64, is_digested: bool) -> io::Result<Self> {
        let pass = Pass {
            file,
            left: size_bytes,
            crc: Crc64::new(),
            sha256: is_digested.then(Sha256::new),
        };
        if size_bytes <= READ_HERE_BYTES_MAX {
            return Ok(Self::Here(Box::new(pass), None));
        }
        Ahead::start(pass).map(Self::Ahead)
    }

    /// The next block; `None` at the end of the file, which may have come too soon.
    pub(crate) fn next(&mut self) -> io::Result<Option<Block>> {
        match self {
            Self::Here(pass, spare) => pass.read(spare.take()),
            Self::Ahead(ahead) => ahead.next(),
        }
    }

    /// Take the memory of a block that is done with.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>) {
        // A long string has made it grow: not to be kept.
        if bytes.capacity() > 2 * (HEADROOM_BYTES + BLOCK_BYTES) {
            return;
        }
        match self {
            Self::Here(_, spare) => *spare = Some(bytes),
            Self::Ahead(ahead) => drop(ahead.spares.send(bytes)), // nobody reads any more: fine
        }
    }

    /// The SHA-256 of all blocks, lower-case hex; empty if none was taken. After the last block.
    pub(crate) fn sha256(self) -> io::Result<String> {
        let pass = match self {
            Self::Here(pass, _) => *pass,
            Self::Ahead(mut ahead) => ahead.join()?,
        };
        let Some(sha256) = pass.sha256 else { return Ok(String::new()) };
        Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// One pass over a file.
pub(crate) struct Pass {
    file: File,
    /// Bytes still to come.
    left: u64,
    crc: Crc64,
    sha256: Option<Sha256>,
}

impl Pass {
    fn read(&mut self, spare: Option<Vec<u8>>) -> io::Result<Option<Block>> {
        let room = usize::try_from(self.left).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        if room == 0 {
            return Ok(None);
        }
        let mut bytes = spare.unwrap_or_default();
        bytes.resize(HEADROOM_BYTES + room, 0);
        let len = loop {
            match self.file.read(&mut bytes[HEADROOM_BYTES..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if len == 0 {
            return Ok(None); // shorter than when it was opened: somebody cut it meanwhile
        }
        self.left -= len as u64;
        let crc_before = self.crc;
        let read = &bytes[HEADROOM_BYTES..HEADROOM_BYTES + len];
        self.crc.update(read);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(read);
        }
        Ok(Some(Block { bytes, len, crc_before }))
    }
}

/// A thread that reads ahead. It ends when everything is read, at an error, or when this is
/// dropped.
pub(crate) struct Ahead {
    blocks: Option<Receiver<io::Result<Block>>>,
    spares: Sender<Vec<u8>>,
    thread: Option<JoinHandle<Pass>>,
}

impl Ahead {
    fn start(mut pass: Pass) -> io::Result<Self> {
        let (to_parser, blocks) = sync_channel(BLOCKS_AHEAD);
        let (spares, given_back) = channel();
        let thread =
            std::thread::Builder::new().name("perdure-read".to_owned()).spawn(move || {
                read_all(&mut pass, &to_parser, &given_back);
                pass
            })?;
        Ok(Self { blocks: Some(blocks), spares, thread: Some(thread) })
    }

    fn next(&mut self) -> io::Result<Option<Block>> {
        match self.blocks.as_ref().map(Receiver::recv) {
            Some(Ok(block)) => block.map(Some),
            // The thread has read all.
            _ => Ok(None),
        }
    }

    fn join(&mut self) -> io::Result<Pass> {
        self.blocks = None; // a thread that waits for room ends
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).ok_or_else(|| io::Error::other("the reading thread panicked"))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // The file is not touched any more once the parser is done with it.
        if self.thread.is_some() {
            drop(self.join());
        }
    }
}

fn read_all(
    pass: &mut Pass,
    to_parser: &SyncSender<io::Result<Block>>,
    given_back: &Receiver<Vec<u8>>,
) {
    while let Some(block) = pass.read(given_back.try_recv().ok()).transpose() {
        let is_failed = block.is_err();
        if to_parser.send(block).is_err() || is_failed {
            return;
        }
    }
}
