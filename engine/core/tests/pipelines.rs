//! Commands that arrive together are looked at together, before the first of them runs: whatever an
//! earlier one does to the keys, types and databases that the others name, each is answered as if it
//! had come alone.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use support::{Client, Server, encode};

const COMMANDS: usize = 4_000;
const FIELDS: usize = 700;

/// Numbers that a seed determines.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A call on four keys whose types change all the time, some of them without an argument that they
/// need.
fn call(draw: &mut Draw) -> Vec<Vec<u8>> {
    let key = format!("key:{}", draw.below(4));
    let other = format!("key:{}", draw.below(4));
    let member = format!("member:{}", draw.below(2 * FIELDS));
    let line = match draw.below(24) {
        0..3 => format!("HSET {key} {member} {other}"),
        3..6 => format!("HGET {key} {member}"),
        6 => format!("HDEL {key} {member}"),
        7..10 => format!("SADD {key} {member}"),
        10..13 => format!("SISMEMBER {key} {member}"),
        13 => format!("SMOVE {key} {other} {member}"),
        14 => format!("DEL {key}"),
        15 => format!("SET {key} {member}"),
        16 => format!("GET {key}"),
        17 => format!("RENAME {key} {other}"),
        18 => format!("COPY hash {key} REPLACE"),
        19 => format!("COPY set {key} REPLACE"),
        20 => format!("SELECT {}", draw.below(2)),
        21 => format!("HGET {key}"),
        22 => "SADD".to_owned(),
        _ => format!("HMGET {key} {member} x {other}"),
    };
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn fill(client: &mut Client) {
    for db in ["1", "0"] {
        client.ask(&format!("SELECT {db}"), "+OK\r\n");
        for number in 0..FIELDS {
            client.ask(&format!("HSET hash member:{number} {number}"), ":1\r\n");
            client.ask(&format!("SADD set member:{number}"), ":1\r\n");
        }
    }
}

/// Every reply to `calls`, sent `together` at a time.
fn replies(calls: &[Vec<Vec<u8>>], together: impl Fn(usize) -> usize) -> Vec<String> {
    let server = Server::start();
    let mut client = server.connect();
    fill(&mut client);
    let mut lines = Vec::new();
    let (mut at, mut turn) = (0, 0);
    while at < calls.len() {
        let end = calls.len().min(at + together(turn));
        let bytes = calls[at..end]
            .iter()
            .flat_map(|call| encode(&call.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        client.send(&bytes.collect::<Vec<u8>>());
        client.send_command(&[b"ECHO", b"end"]);
        loop {
            let line = client.expect_line("");
            if line == "end\r\n" {
                break;
            }
            lines.push(line);
        }
        lines.pop(); // the length of that end
        (at, turn) = (end, turn + 1);
    }
    lines
}

#[test]
fn commands_that_come_together_are_answered_as_if_each_came_alone() {
    let seed = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_122);
    println!("PERDURE_TEST_SEED={seed}");
    let mut draw = Draw(seed);
    let calls: Vec<_> = (0..COMMANDS).map(|_| call(&mut draw)).collect();
    let alone = replies(&calls, |_| 1);
    let together = replies(&calls, |turn| 2 + turn * 7 % 61);
    assert_eq!(alone.len(), together.len());
    for (place, (one, other)) in alone.iter().zip(&together).enumerate() {
        assert_eq!(one, other, "line {place}");
    }
}
