//! Replies as RESP2 or RESP3 bytes, appended to the connection's output. Commands only use it.

use crate::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::session::Protocol;
use crate::value::integer::{INT_TEXT_BYTES_MAX, IntText};
use crate::value::score::ScoreText;

/// A writer of replies, owned by a connection and reused over its batches.
/// The protocol decides how maps, sets, doubles, booleans and nulls look.
pub struct Reply {
    out: Vec<u8>,
    /// Which protocol the client speaks now (HELLO changes it).
    pub protocol: Protocol,
    /// Error replies written, for the statistics.
    pub errors: u64,
    /// Most bytes that may wait here: one MGET can name a big value a million times (I7).
    pub bytes_max: usize,
    is_overfull: bool,
    error_words: Vec<(Vec<u8>, u64)>,
}

impl Reply {
    /// An empty reply buffer.
    pub fn new(protocol: Protocol) -> Self {
        let bytes_max = OUTPUT_BUFFER_BYTES_MAX;
        let (out, error_words) = (Vec::new(), Vec::new());
        Self { out, protocol, errors: 0, bytes_max, is_overfull: false, error_words }
    }
    /// What has been written and not taken yet.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }
    /// Take what has been written; the buffer is empty then.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
    /// Take what has been written and go on in `buffer`, which must be empty.
    pub fn replace(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.out, buffer)
    }
    /// Whether the output has passed its bound, or would have with a bulk string that was left out:
    /// what is here then need not be a whole reply.
    pub fn is_overfull(&self) -> bool {
        self.is_overfull
    }
    /// Forget what has been written, with its memory.
    pub fn drop_overfull(&mut self) {
        self.out = Vec::new();
        self.is_overfull = false;
    }
    /// Take back everything after `length`, and that it was too much.
    pub fn cut_overfull(&mut self, length: usize) {
        self.out.truncate(length);
        self.is_overfull = false;
    }
    /// Forget what has been written, keeping the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }
    /// Forget what has been written; give memory past `kept_bytes` back.
    pub fn shrink(&mut self, kept_bytes: usize) {
        self.out.clear();
        self.out.shrink_to(kept_bytes);
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
    /// An error: the text with its code (`ERR ...`, `WRONGTYPE ...`), without the dash; line ends
    /// become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }
    /// As [`Reply::error`], for a text that quotes bytes of the client.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.errors += 1;
        self.note_error_word(text);
        self.out.push(b'-');
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        self.out.extend(text.iter().map(|byte| if is_end(byte) { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }
    fn note_error_word(&mut self, text: &[u8]) {
        let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        match self.error_words.iter_mut().find(|(known, _)| known == word) {
            Some((_, count)) => *count += 1,
            None => self.error_words.push((word.to_vec(), 1)),
        }
    }
    /// First words of the errors written since the last call, and how often (`ERR`, `WRONGTYPE`).
    pub fn take_error_words(&mut self) -> Vec<(Vec<u8>, u64)> {
        std::mem::take(&mut self.error_words)
    }
    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }
    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.is_overfull |= self.out.len() + bytes.len() > self.bytes_max;
        if self.is_overfull {
            return;
        }
        self.out.reserve(bytes.len() + INT_TEXT_BYTES_MAX + 5);
        self.header(b'$', i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
    /// An integer as a bulk string (the value of a string kept as an integer).
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(&IntText::new(value));
    }
    /// A number without sign as a bulk string (a cursor).
    pub fn bulk_unsigned(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.bulk_int(value),
            Err(_) => self.bulk(value.to_string().as_bytes()),
        }
    }
    /// The null of a missing string: `$-1` or `_`.
    pub fn null(&mut self) {
        self.is_overfull |= self.out.len() > self.bytes_max;
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
    /// The head of a map of `pairs` key-value pairs that follow (an array of twice as many in
    /// RESP2).
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
    /// As [`Reply::set`], when the replies that follow were written first, from `mark` on
    /// ([`Reply::len`] before them).
    pub fn set_before(&mut self, mark: usize, count: usize) {
        let end = self.out.len();
        self.set(count);
        if let Some(tail) = self.out.get_mut(mark..) {
            let head_bytes = tail.len() - (end - mark);
            tail.rotate_right(head_bytes);
        }
    }
    /// A text in its own format: a verbatim string in RESP3 (INFO, CLIENT LIST), a bulk string in
    /// RESP2.
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
    /// A floating-point number: `,1.5` in RESP3, a bulk string in RESP2, with the digits of C's
    /// `%.17g`, as Redis 7.0 writes it.
    pub fn double(&mut self, value: f64) {
        let text = ScoreText::new(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(&text),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }
    /// A truth value: `#t`, or an integer in RESP2.
    pub fn bool(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.int(i64::from(value)),
            Protocol::Resp3 => {
                self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" })
            }
        }
    }
    /// A number of any size given as decimal text: `(...`, or a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }
    /// The head of a push of `count` replies that follow (an array in RESP2).
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(count),
            Protocol::Resp3 => self.header(b'>', i64::try_from(count).unwrap_or(i64::MAX)),
        }
    }
    /// Bytes that are already RESP.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn header(&mut self, mark: u8, value: i64) {
        let mut line = [0; INT_TEXT_BYTES_MAX + 3];
        if let small @ 0..=9 = value {
            line[..4].copy_from_slice(&[mark, b'0' + small as u8, b'\r', b'\n']);
            self.out.extend_from_slice(&line[..4]);
            return;
        }
        let text = IntText::new(value);
        line[0] = mark;
        line[1..=text.len()].copy_from_slice(&text);
        line[text.len() + 1..text.len() + 3].copy_from_slice(b"\r\n");
        self.out.extend_from_slice(&line[..text.len() + 3]);
    }
    fn line(&mut self, mark: u8, bytes: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply)) -> String {
        let mut reply = Reply::new(protocol);
        write(&mut reply);
        String::from_utf8_lossy(reply.bytes()).into_owned()
    }

    #[test]
    fn integers_are_written_as_the_standard_library_writes_them() {
        let edges = [0, 1, 9, 10, 11, 99, 100, 12_345, i64::MAX, i64::MIN, -1, -9, -10];
        for value in edges {
            let text = written(Protocol::Resp2, |reply| reply.int(value));
            assert_eq!(text, format!(":{value}\r\n"));
            let digits = value.to_string();
            let text = written(Protocol::Resp2, |reply| reply.bulk_int(value));
            assert_eq!(text, format!("${}\r\n{digits}\r\n", digits.len()));
        }
    }

    #[test]
    fn each_protocol_gets_its_own_shapes() {
        let all = |reply: &mut Reply| {
            reply.null();
            reply.null_array();
            reply.map(1);
            reply.set(1);
            reply.push(1);
            reply.bool(true);
            reply.double(1.5);
            reply.double(f64::NEG_INFINITY);
            reply.double(0.1);
            reply.big_number("123");
            reply.verbatim("x");
        };
        assert_eq!(
            written(Protocol::Resp2, all).replace("\r\n", " "),
            "$-1 *-1 *2 *1 *1 :1 $3 1.5 $4 -inf $19 0.10000000000000001 $3 123 $1 x "
        );
        assert_eq!(
            written(Protocol::Resp3, all).replace("\r\n", " "),
            "_ _ %1 ~1 >1 #t ,1.5 ,-inf ,0.10000000000000001 (123 =5 txt:x "
        );
    }

    #[test]
    fn an_error_stays_on_one_line_and_is_counted() {
        let mut reply = Reply::new(Protocol::Resp2);
        reply.error("ERR a\r\nb");
        assert_eq!((reply.bytes(), reply.errors), (b"-ERR a  b\r\n".as_slice(), 1));
        reply.truncate(0);
        reply.ok();
        assert_eq!(reply.take(), b"+OK\r\n");
        assert!(reply.is_empty());
    }
}
