//! The null server: parses pipelined RESP, answers, stores nothing. One thread, one epoll loop, one
//! read and one write a turn. What it spends is what kernel and parser cost any server, so it is
//! the limit that the rows of `make bench` are measured against.
//!
//! `perdure-null-server` prints the loopback port that it took, and ends with its standard input.

mod epoll;
mod reply;
mod request;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use epoll::Epoll;

/// One read takes at most this much: 64 commands of a pipeline are about 8 KiB.
const READ_BYTES: usize = 64 << 10;

/// A client: its socket, and the bytes that are no whole command yet.
struct Connection {
    socket: TcpStream,
    pending: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    let epoll = Epoll::new()?;
    let (door, parent) = (listener.as_raw_fd(), io::stdin().as_raw_fd());
    epoll.watch(door)?;
    epoll.watch(parent)?;
    let mut connections = HashMap::new();
    let mut chunk = vec![0; READ_BYTES];
    let mut answer = Vec::new();
    loop {
        for descriptor in epoll.wait()? {
            if descriptor == parent {
                return Ok(()); // its other end is closed, or somebody typed: the bench is over
            }
            if descriptor == door {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                let fresh = socket.as_raw_fd();
                connections.insert(fresh, Connection { socket, pending: Vec::new() });
                epoll.watch(fresh)?;
            } else if let Some(connection) = connections.get_mut(&descriptor) {
                answer.clear();
                if serve(connection, &mut chunk, &mut answer).is_err() {
                    connections.remove(&descriptor); // closing takes it out of the epoll set
                }
            }
        }
    }
}

/// Read once, answer every whole command, write once. The socket blocks: `redis-benchmark` always
/// reads, and another client that does not would stop this server, which only measures.
fn serve(connection: &mut Connection, chunk: &mut [u8], answer: &mut Vec<u8>) -> io::Result<()> {
    let count = connection.socket.read(chunk)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let fresh = chunk.get(..count).unwrap_or_default();
    if connection.pending.is_empty() {
        let used = reply::answer_all(fresh, answer)?;
        connection.pending.extend_from_slice(fresh.get(used..).unwrap_or_default());
    } else {
        connection.pending.extend_from_slice(fresh);
        let used = reply::answer_all(&connection.pending, answer)?;
        connection.pending.drain(..used);
    }
    connection.socket.write_all(answer)
}
