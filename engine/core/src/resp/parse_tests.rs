//! The parser's promises: how input is split never matters, hostile lengths are refused with
//! Redis's words, random bytes never panic. Random tests print their seed and take one from
//! `PERDURE_TEST_SEED`.

use super::*;
use crate::limits::BULK_BYTES_MAX;

const BOUNDS: Bounds = Bounds { commands_max: usize::MAX, bulk_bytes_max: BULK_BYTES_MAX };

type Commands = Vec<Vec<Vec<u8>>>;

/// Feed `pieces` one after the other, as a connection does; gives all commands and the error, if
/// one came.
fn feed(pieces: &[&[u8]], commands_max: usize) -> (Commands, Option<ProtocolError>) {
    let (mut parser, mut buffer, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    let bounds = Bounds { commands_max, ..BOUNDS };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut batch = Batch::default();
            let (consumed, stop) = parser.parse(&buffer, &mut batch, bounds);
            assert!(batch.len() <= commands_max);
            commands.extend((0..batch.len()).map(|index| batch.args(index, &buffer).to_vecs()));
            buffer.drain(..consumed);
            match stop {
                Stop::NeedsMore | Stop::Line => break,
                Stop::Full => {}
                Stop::Broken(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn error_text(input: &[u8]) -> Option<String> {
    let text = feed(&[input], usize::MAX).1.and_then(ProtocolError::text)?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

const MIXED: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\x00\r\n\r\nPING\r\n*0\r\n*-1\r\n\
    *2\r\n$4\r\nECHO\r\n$0\r\n\r\nset \"a b\" 'c'\n*1\r\n$4\r\nQUIT\r\n";

fn mixed_commands() -> Commands {
    let words: [&[&[u8]]; 5] = [
        &[b"SET", b"k", b"a\r\nb\x00"],
        &[b"PING"],
        &[b"ECHO", b""],
        &[b"set", b"a b", b"c"],
        &[b"QUIT"],
    ];
    words.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect()).collect()
}

#[test]
fn a_split_at_every_byte_gives_the_same_commands() {
    assert_eq!(feed(&[MIXED], usize::MAX), (mixed_commands(), None));
    for at in 0..=MIXED.len() {
        assert_eq!(
            feed(&[&MIXED[..at], &MIXED[at..]], usize::MAX),
            (mixed_commands(), None),
            "{at}"
        );
    }
    let bytes: Vec<&[u8]> = MIXED.chunks(1).collect();
    assert_eq!(feed(&bytes, usize::MAX), (mixed_commands(), None));
}

#[test]
fn a_batch_holds_no_more_than_its_bound() {
    assert_eq!(feed(&[MIXED], 1), (mixed_commands(), None));
    assert_eq!(feed(&[MIXED], 2), (mixed_commands(), None));
}

#[test]
fn commands_know_where_they_begin() {
    let mut batch = Batch::default();
    let (consumed, stop) = Parser::default().parse(MIXED, &mut batch, BOUNDS);
    assert_eq!((consumed, stop), (MIXED.len(), Stop::NeedsMore));
    assert!(MIXED[batch.start(3)..].starts_with(b"set \"a b\""));
    assert!(MIXED[batch.start(4)..].starts_with(b"*1\r\n$4\r\nQUIT"));
}

#[test]
fn hostile_input_is_refused_in_redis_words() {
    let cases: [(&[u8], &str); 14] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*03\r\n", "invalid multibulk length"),
        (b"*+3\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:3\r\n", "expected '$', got ':'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"*1\r\n$18446744073709551616\r\n", "invalid bulk length"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
        (b"get 'a'b\r\n", "unbalanced quotes in request"),
    ];
    for (input, reason) in cases {
        let expected = format!("ERR Protocol error: {reason}");
        assert_eq!(error_text(input), Some(expected), "{input:?}");
    }
}

#[test]
fn endless_lines_are_refused() {
    let long = |head: &[u8]| [head, &vec![b'1'; INLINE_BYTES_MAX + 1]].concat();
    let reason = |head: &[u8]| error_text(&long(head)).unwrap_or_default();
    assert_eq!(reason(b""), "ERR Protocol error: too big inline request");
    assert_eq!(reason(b"*"), "ERR Protocol error: too big mbulk count string");
    assert_eq!(reason(b"*1\r\n$"), "ERR Protocol error: too big bulk count string");
    assert_eq!(feed(&[b"*1\r\n$11111"], 9), (vec![], None), "a short one may still end");
}

#[test]
fn a_command_beyond_the_query_buffer_closes_without_an_answer() {
    let mut parser = Parser { at: QUERY_BUFFER_BYTES_MAX - 20, missing: 1, ..Parser::default() };
    let mut input = vec![0; QUERY_BUFFER_BYTES_MAX - 20];
    input.extend_from_slice(b"$100\r\n");
    let (_, stop) = parser.parse(&input, &mut Batch::default(), BOUNDS);
    assert_eq!(stop, Stop::Broken(ProtocolError::QueryTooBig));
    assert_eq!(ProtocolError::QueryTooBig.text(), None);
}

#[test]
fn a_parser_of_a_log_stops_at_lines_where_a_connection_s_takes_them() {
    let mut parser = Parser::of_log();
    let mut batch = Batch::default();
    for _ in 0..2 {
        assert_eq!(
            parser.parse(b"*1\r\n$4\r\nPING\r\n#TS:1\r\n", &mut batch, BOUNDS),
            (14, Stop::Line)
        );
        assert_eq!(parser.parse(b"PING\r\n", &mut batch, BOUNDS), (0, Stop::Line));
        // An argument may hold what looks like a line; what is under way goes on.
        assert_eq!(parser.parse(b"*1\r\n$4\r\n#", &mut batch, BOUNDS), (0, Stop::NeedsMore));
        assert_eq!(parser.parse(b"*1\r\n$4\r\n#abc\r\n", &mut batch, BOUNDS).0, 14);
        assert_eq!(parser.parse(b"*", &mut batch, BOUNDS), (0, Stop::NeedsMore));
        parser.reset();
    }
    assert_eq!(batch.len(), 4);
}

#[test]
fn a_pending_argument_tells_how_large_the_buffer_must_become() {
    let mut parser = Parser::default();
    let head = b"*2\r\n$3\r\nGET\r\n$1000000\r\nabc";
    parser.parse(head, &mut Batch::default(), BOUNDS);
    assert_eq!(parser.needed_bytes(), head.len() - 3 + 1_000_000 + 2);
    parser.reset();
    assert_eq!(parser.needed_bytes(), 0);
}

/// A small xorshift: the test needs reproducible noise, not quality.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn random_bytes_never_panic_and_splits_never_matter() {
    let seed = std::env::var("PERDURE_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x9e37_79b9_7f4a_7c15);
    println!("seed {seed}");
    let mut noise = Noise(seed);
    let alphabet = b"*$0123456789-+\r\n\r\n\"'\\x aGET\x00\xff";
    for _ in 0..20_000 {
        let length = noise.next() as usize % 60;
        let mut input: Vec<u8> =
            (0..length).map(|_| alphabet[noise.next() as usize % alphabet.len()]).collect();
        if noise.next().is_multiple_of(2) {
            input.splice(0..0, b"*2\r\n$1\r\na\r\n".iter().copied());
        }
        let whole = feed(&[&input], usize::MAX);
        let at = noise.next() as usize % (input.len() + 1);
        let split = feed(&[&input[..at], &input[at..]], 1);
        assert_eq!(whole, split, "seed {seed}, input {input:?}, split at {at}");
    }
}
