//! As much of HTTP/2 as a caller of gRPC needs: one header block for all calls (literals that touch no
//! table), data within the server's windows, answers counted by their frames. Headers of answers are
//! not decoded: an answer without a message is a failed call.
//!
//! ```text
//! length(3) type(1) flags(1) stream(4) payload
//! ```

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Why a run ended early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const HEAD_BYTES: usize = 9;
const INITIAL_WINDOW: i64 = 65_535;
const FRAME_BYTES_MAX: usize = 16_384;
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// The connection's window towards us is opened again when so much of it is used.
const WINDOW_STEP: u32 = 1 << 29;

/// A call under way.
struct Call {
    began: Instant,
    has_message: bool,
}

/// A frame that came.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// One connection.
pub struct Connection {
    socket: TcpStream,
    headers: Vec<u8>,
    out: Vec<u8>,
    input: Vec<u8>,
    /// Calls by stream: `(stream - first) / 2`; finished ones at the front are gone.
    calls: VecDeque<Option<Call>>,
    first: u32,
    next: u32,
    outstanding: usize,
    window: i64,
    stream_window: i64,
    initial_window: i64,
    received: u32,
    /// Of the one long call: what is missing of the message that comes, and when each was sent.
    stream: Option<Stream>,
}

struct Stream {
    id: u32,
    sent: VecDeque<Instant>,
    head: Vec<u8>,
    missing: usize,
}

impl Connection {
    /// Connect and greet; all calls go to `path`.
    pub fn open(port: u16, path: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        let mut connection = Self {
            socket,
            headers: header_block(path, port),
            out: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            input: Vec::new(),
            calls: VecDeque::new(),
            first: 1,
            next: 1,
            outstanding: 0,
            window: INITIAL_WINDOW,
            stream_window: INITIAL_WINDOW,
            initial_window: INITIAL_WINDOW,
            received: 0,
            stream: None,
        };
        let mut settings = vec![0, 2, 0, 0, 0, 0]; // no pushes
        settings.extend([0, 4]);
        settings.extend(WINDOW_MAX.to_be_bytes());
        connection.frame(SETTINGS, 0, 0, &settings);
        let more = WINDOW_MAX - INITIAL_WINDOW as u32;
        connection.frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Ok(connection)
    }

    /// Calls, or messages of the long call, that are not answered.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Begin a call with one message; not when the server's window is full.
    pub fn call(&mut self, message: &[u8]) -> bool {
        let size = message.len() as i64 + 5;
        if self.window < size || self.initial_window < size {
            return false;
        }
        let id = self.next;
        self.next += 2;
        let headers = std::mem::take(&mut self.headers);
        self.frame(HEADERS, END_HEADERS, id, &headers);
        self.headers = headers;
        self.message(id, message, END_STREAM);
        self.calls.push_back(Some(Call { began: Instant::now(), has_message: false }));
        self.outstanding += 1;
        true
    }

    /// Begin the long call.
    pub fn open_stream(&mut self) {
        let headers = self.headers.clone();
        self.frame(HEADERS, END_HEADERS, self.next, &headers);
        let (sent, head) = (VecDeque::new(), Vec::new());
        self.stream = Some(Stream { id: self.next, sent, head, missing: 0 });
        self.next += 2;
    }

    /// Send a message on the long call; not when the server's windows are full.
    pub fn send_on_stream(&mut self, message: &[u8]) -> bool {
        let size = message.len() as i64 + 5;
        let Some(stream) = &mut self.stream else { return false };
        if self.window < size || self.stream_window < size {
            return false;
        }
        stream.sent.push_back(Instant::now());
        let id = stream.id;
        self.stream_window -= size;
        self.message(id, message, 0);
        self.outstanding += 1;
        true
    }

    fn message(&mut self, id: u32, message: &[u8], flags: u8) {
        let mut payload = Vec::with_capacity(message.len() + 5);
        payload.push(0);
        payload.extend((message.len() as u32).to_be_bytes());
        payload.extend_from_slice(message);
        self.window -= payload.len() as i64;
        let mut chunks = payload.chunks(FRAME_BYTES_MAX).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_none() { flags } else { 0 };
            self.frame(DATA, flags, id, chunk);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.out.extend([length[1], length[2], length[3], kind, flags]);
        self.out.extend(stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// Send what is to be sent, wait for something to come, and take all of it. Gives how many calls
    /// were answered, and notes how long each took.
    pub fn exchange(&mut self, microseconds: &mut Vec<u32>) -> Result<u64, Failure> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        let mut chunk = [0; 64 * 1024];
        let count = self.socket.read(&mut chunk)?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(&chunk[..count]);
        let (mut at, mut answered) = (0, 0);
        while input.len() - at >= HEAD_BYTES {
            let head = &input[at..at + HEAD_BYTES];
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & WINDOW_MAX;
            let end = at + HEAD_BYTES + length;
            if input.len() < end {
                break;
            }
            let (kind, flags) = (head[3], head[4]);
            let payload = &input[at + HEAD_BYTES..end];
            let frame = Frame { kind, flags, stream, payload };
            answered += self.take(&frame, microseconds)?;
            at = end;
        }
        input.drain(..at);
        self.input = input;
        if self.received > WINDOW_STEP {
            let more = std::mem::take(&mut self.received).to_be_bytes();
            self.frame(WINDOW_UPDATE, 0, 0, &more);
            if let Some(id) = self.stream.as_ref().map(|stream| stream.id) {
                self.frame(WINDOW_UPDATE, 0, id, &more);
            }
        }
        Ok(answered)
    }

    fn take(&mut self, frame: &Frame<'_>, microseconds: &mut Vec<u32>) -> Result<u64, Failure> {
        let Frame { kind, flags, stream, payload } = *frame;
        match kind {
            DATA | HEADERS => {
                if kind == DATA {
                    self.received += payload.len() as u32;
                }
                return self.take_answer(frame, microseconds);
            }
            SETTINGS if flags & ACK == 0 => self.take_settings(payload),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            WINDOW_UPDATE => {
                let more = i64::from(number(payload));
                match stream {
                    0 => self.window += more,
                    _ => self.stream_window += more, // matters for the long call alone
                }
            }
            RST_STREAM => return Err(format!("a call was reset: {}", number(payload)).into()),
            GOAWAY => return Err("the server is going away".into()),
            _ => {}
        }
        Ok(0)
    }

    fn take_settings(&mut self, payload: &[u8]) {
        for setting in payload.chunks_exact(6) {
            if setting[..2] == [0, 4] {
                let initial = i64::from(number(&setting[2..]));
                self.stream_window += initial - self.initial_window;
                self.initial_window = initial;
            }
        }
        self.frame(SETTINGS, ACK, 0, &[]);
    }

    fn take_answer(
        &mut self,
        frame: &Frame<'_>,
        microseconds: &mut Vec<u32>,
    ) -> Result<u64, Failure> {
        let Frame { kind, flags, stream: id, payload } = *frame;
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id) {
            if flags & END_STREAM != 0 {
                return Err("the long call ended early".into());
            }
            let answered = if kind == DATA { stream.take(payload, microseconds) } else { 0 };
            self.outstanding -= answered as usize;
            return Ok(answered);
        }
        let place = (id.wrapping_sub(self.first) / 2) as usize;
        let Some(slot @ Some(_)) = self.calls.get_mut(place) else { return Ok(0) };
        if let Some(call) = slot {
            call.has_message |= kind == DATA && !payload.is_empty();
        }
        if flags & END_STREAM == 0 {
            return Ok(0);
        }
        let Some(call) = slot.take() else { return Ok(0) };
        if !call.has_message {
            return Err("a call was refused".into());
        }
        microseconds.push(call.began.elapsed().as_micros() as u32);
        self.outstanding -= 1;
        while let Some(None) = self.calls.front() {
            self.calls.pop_front();
            self.first += 2;
        }
        Ok(1)
    }
}

impl Stream {
    /// Count the messages that end in `payload`.
    fn take(&mut self, mut payload: &[u8], microseconds: &mut Vec<u32>) -> u64 {
        let mut answered = 0;
        while !payload.is_empty() {
            if self.missing == 0 {
                let wanted = 5 - self.head.len();
                let (head, rest) = payload.split_at(wanted.min(payload.len()));
                self.head.extend_from_slice(head);
                payload = rest;
                if self.head.len() < 5 {
                    break;
                }
                self.missing = number(&self.head[1..]) as usize;
                self.head.clear();
            }
            let taken = self.missing.min(payload.len());
            self.missing -= taken;
            payload = &payload[taken..];
            if self.missing == 0 {
                answered += 1;
                if let Some(sent) = self.sent.pop_front() {
                    microseconds.push(sent.elapsed().as_micros() as u32);
                }
            }
        }
        answered
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The headers of a call: literals that are not indexed, without Huffman codes.
fn header_block(path: &str, port: u16) -> Vec<u8> {
    let authority = format!("127.0.0.1:{port}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", &authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8); // all are shorter than 127 bytes
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
