//! Replies as RESP2 or RESP3 bytes, appended to the connection's output. R3 owns this file; commands only use it.

use crate::session::Protocol;

/// A writer of replies, owned by a connection and reused over its batches.
/// The protocol decides how maps, sets, doubles, booleans and nulls look.
pub struct Reply {
    out: Vec<u8>,
    /// Which protocol the client speaks now (HELLO changes it).
    pub protocol: Protocol,
    /// Error replies written, for the statistics.
    pub errors: u64,
}

impl Reply {
    /// An empty reply buffer.
    pub fn new(protocol: Protocol) -> Self {
        Self { out: Vec::new(), protocol, errors: 0 }
    }
    /// What has been written and not taken yet.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }
    /// Take what has been written; the buffer is empty then.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
    /// Forget what has been written, keeping the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }
    /// Bytes written to the output so far (to truncate: CLIENT REPLY OFF).
    pub fn len(&self) -> usize {
        self.out.len()
    }
    /// Whether the output is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }
    /// Take back everything after `length`.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }
    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }
    /// A simple string without line ends.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }
    /// An error: the text with its code (`ERR ...`, `WRONGTYPE ...`), without the dash; line ends become spaces.
    pub fn error(&mut self, text: &str) {
        self.errors += 1;
        self.out.push(b'-');
        self.out.extend(
            text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }),
        );
        self.out.extend_from_slice(b"\r\n");
    }
    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }
    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
    /// An integer as a bulk string (the value of a string kept as an integer).
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(value.to_string().as_bytes());
    }
    /// The null of a missing string: `$-1` or `_`.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }
    /// The null of a missing array: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }
    /// The head of an array of `count` replies that follow.
    pub fn array(&mut self, count: usize) {
        self.header(b'*', i64::try_from(count).unwrap_or(i64::MAX));
    }
    /// The head of a map of `pairs` key-value pairs that follow (an array of twice as many in RESP2).
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(pairs * 2),
            Protocol::Resp3 => self.header(b'%', i64::try_from(pairs).unwrap_or(i64::MAX)),
        }
    }
    /// The head of a set of `count` replies that follow (an array in RESP2).
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(count),
            Protocol::Resp3 => self.header(b'~', i64::try_from(count).unwrap_or(i64::MAX)),
        }
    }
    /// A text in its own format: a verbatim string in RESP3 (INFO, CLIENT LIST), a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', i64::try_from(text.len() + 4).unwrap_or(i64::MAX));
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
    /// Bytes that are already RESP.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn header(&mut self, mark: u8, value: i64) {
        self.line(mark, value.to_string().as_bytes());
    }
    fn line(&mut self, mark: u8, bytes: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
}
