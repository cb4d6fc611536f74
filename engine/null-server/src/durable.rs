//! Answers that wait for a disk: a thread writes as many bytes as a group of commands has into a small
//! file, over and over, and calls fdatasync; then the group may be answered. One group at a time; who
//! comes meanwhile is in the next. That is the least that any server does which keeps what it has
//! answered, so what a client gets from it is the limit of the rows under `always`.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

/// The file's length: its blocks are there before the first group.
const FILE_BYTES: usize = 1 << 20;
/// Groups begin at multiples of this, as a disk writes no less.
const BLOCK_BYTES: usize = 512;

/// An answer and whose it is.
pub type Answer = (RawFd, Vec<u8>);

/// Answers on their way through the disk.
pub struct Durable {
    order: Sender<usize>,
    bell: PipeReader,
    /// Of the group that is being written.
    running: Vec<Answer>,
    /// Of the next one, and how many bytes of commands that has.
    waiting: Vec<Answer>,
    waiting_bytes: usize,
}

impl Durable {
    /// Make the file, and start the thread.
    pub fn start(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(&vec![b'x'; FILE_BYTES], 0)?;
        file.sync_all()?;
        let ((order, orders), (bell, done)) = (channel(), io::pipe()?);
        std::thread::Builder::new().spawn(move || write_groups(&file, &orders, done))?;
        Ok(Self { order, bell, running: Vec::new(), waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// What becomes readable when a group is durable.
    pub fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Keep an answer to commands of so many bytes.
    pub fn wait(&mut self, answer: Answer, command_bytes: usize) {
        self.waiting.push(answer);
        self.waiting_bytes += command_bytes;
    }

    /// The bell rang: give the answers that may leave.
    pub fn take(&mut self) -> io::Result<Vec<Answer>> {
        self.bell.read_exact(&mut [0])?;
        Ok(std::mem::take(&mut self.running))
    }

    /// Begin the next group, unless one is being written.
    pub fn begin(&mut self) {
        if self.running.is_empty() && !self.waiting.is_empty() {
            std::mem::swap(&mut self.running, &mut self.waiting);
            let bytes = std::mem::take(&mut self.waiting_bytes);
            let _ = self.order.send(bytes); // the thread lives as long as this
        }
    }
}

/// Write and fsync each group that is ordered. A disk that fails ends the process: nothing is measured
/// on it.
fn write_groups(file: &File, orders: &Receiver<usize>, mut done: PipeWriter) {
    let bytes = vec![b'x'; FILE_BYTES];
    let mut at = 0;
    while let Ok(wanted) = orders.recv() {
        let length = wanted.next_multiple_of(BLOCK_BYTES).min(FILE_BYTES);
        at = if at + length > FILE_BYTES { 0 } else { at };
        let group = bytes.get(..length).unwrap_or_default();
        let written = file.write_all_at(group, at as u64).and_then(|()| file.sync_data());
        at += length;
        if let Err(error) = written.and_then(|()| done.write_all(&[0])) {
            eprintln!("cannot make a group durable: {error}");
            std::process::exit(1);
        }
    }
}
