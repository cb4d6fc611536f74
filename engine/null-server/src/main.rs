//! The null server: parses pipelined RESP, answers, stores nothing. One thread, one epoll loop, one
//! read and one write a turn. What it spends is what kernel and parser cost any server, so it is
//! the limit that the rows of `make bench` are measured against; with `--fsync FILE` its answers wait
//! for a disk as well (`durable`).
//!
//! `perdure-null-server` prints the loopback port that it took, and ends with its standard input.

mod durable;
mod epoll;
mod reply;
mod request;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

use durable::Durable;
use epoll::Epoll;

/// One read takes at most this much: 64 commands of a pipeline are about 8 KiB.
const READ_BYTES: usize = 64 << 10;

/// A client: its socket, and the bytes that are no whole command yet.
struct Connection {
    socket: TcpStream,
    pending: Vec<u8>,
}

/// Clients, and where their answers wait if they do.
struct Server {
    connections: HashMap<RawFd, Connection>,
    durable: Option<Durable>,
    chunk: Vec<u8>,
    answer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let durable = fsynced_file()?.map(|path| Durable::start(&path)).transpose()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    let epoll = Epoll::new()?;
    let (door, parent) = (listener.as_raw_fd(), io::stdin().as_raw_fd());
    let bell = durable.as_ref().map(Durable::bell);
    for descriptor in [door, parent].into_iter().chain(bell) {
        epoll.watch(descriptor)?;
    }
    let (chunk, answer) = (vec![0; READ_BYTES], Vec::new());
    let mut server = Server { connections: HashMap::new(), durable, chunk, answer };
    loop {
        for descriptor in epoll.wait()? {
            if descriptor == parent {
                return Ok(()); // its other end is closed, or somebody typed: the bench is over
            }
            if descriptor == door {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                let fresh = socket.as_raw_fd();
                server.connections.insert(fresh, Connection { socket, pending: Vec::new() });
                epoll.watch(fresh)?;
            } else if Some(descriptor) == bell {
                server.send_durable()?;
            } else {
                server.serve(descriptor);
            }
        }
        server.durable.iter_mut().for_each(Durable::begin);
    }
}

/// The file that answers wait for, if the command line names one.
fn fsynced_file() -> io::Result<Option<PathBuf>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        ["--fsync", path] => Ok(Some(PathBuf::from(path))),
        _ => Err(io::Error::other("usage: perdure-null-server [--fsync FILE]")),
    }
}

impl Server {
    /// Read once, answer every whole command, write once, or let the answer wait. Sockets block:
    /// `redis-benchmark` always reads, and another client that does not would stop this server, which
    /// only measures.
    fn serve(&mut self, descriptor: RawFd) {
        let Some(connection) = self.connections.get_mut(&descriptor) else { return };
        self.answer.clear();
        let done = connection.read(&mut self.chunk, &mut self.answer).and_then(|bytes| {
            match &mut self.durable {
                Some(durable) => durable.wait((descriptor, self.answer.clone()), bytes),
                None => connection.socket.write_all(&self.answer)?,
            }
            Ok(())
        });
        if done.is_err() {
            self.connections.remove(&descriptor); // closing takes it out of the epoll set
        }
    }

    /// A group is durable: send its answers. Who has gone meanwhile gets none.
    fn send_durable(&mut self) -> io::Result<()> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        for (descriptor, answer) in durable.take()? {
            if let Some(connection) = self.connections.get_mut(&descriptor) {
                drop(connection.socket.write_all(&answer)); // one that is closed is seen by its read
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Read once and put the answers to every whole command in `answer`; gives how much was read.
    fn read(&mut self, chunk: &mut [u8], answer: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.socket.read(chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let fresh = chunk.get(..count).unwrap_or_default();
        if self.pending.is_empty() {
            let used = reply::answer_all(fresh, answer)?;
            self.pending.extend_from_slice(fresh.get(used..).unwrap_or_default());
        } else {
            self.pending.extend_from_slice(fresh);
            let used = reply::answer_all(&self.pending, answer)?;
            self.pending.drain(..used);
        }
        Ok(count)
    }
}
