//! Random commands by Execute and from a socket give the same replies and the same data: the typed
//! values, written as RESP3 again, are the bytes that a Redis client gets. PERDURE_TEST_SEED repeats
//! a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod data_door;
mod support;

use std::io::{BufRead, BufReader};

use data_door::{Door, command};
use perdure_engine::grpc::wire::value::Kind;
use perdure_engine::grpc::wire::*;
use support::Server;

const CALLS: usize = 3_000;

/// A pseudo-random source with a seed that is printed.
struct Draw(u64);

impl Draw {
    fn seeded() -> Self {
        let given = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or(20_261_123);
        println!("PERDURE_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn line(&mut self) -> String {
        const FORMS: [&str; 36] = [
            "SET K V",
            "GET K",
            "INCR K",
            "APPEND K V",
            "GETSET K V",
            "DEL K",
            "EXISTS K K",
            "MGET K K K",
            "SETRANGE K 3 V",
            "INCRBYFLOAT K 1.5",
            "RPUSH K V V",
            "LRANGE K 0 -1",
            "LPOP K",
            "LINDEX K 1",
            "HSET K f V",
            "HGETALL K",
            "HINCRBY K f 2",
            "HGET K f",
            "SADD K V V",
            "SCARD K",
            "SISMEMBER K V",
            "SMISMEMBER K V V",
            "ZADD K 2.5 V",
            "ZRANGE K 0 -1 WITHSCORES",
            "ZSCORE K V",
            "ZINCRBY K inf V",
            "TYPE K",
            "TTL K",
            "EXPIRE K 100",
            "RENAME K K",
            "NOSUCH K",
            "GET",
            "SET K V NX GET",
            "COPY K K REPLACE",
            "OBJECT ENCODING K",
            "LCS K K IDX",
        ];
        let form = FORMS[self.below(FORMS.len())];
        let words: Vec<String> = form
            .split(' ')
            .map(|word| match word {
                "K" => format!("key:{}", self.below(12)),
                "V" => ["a", "7", "-3", "long value", "\r\n"][self.below(5)].replace(' ', "_"),
                word => word.to_owned(),
            })
            .collect();
        words.join(" ")
    }
}

/// One RESP3 reply, as its bytes.
fn read_reply(reader: &mut impl BufRead, out: &mut Vec<u8>) {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).unwrap();
    out.extend_from_slice(&line);
    let number =
        || std::str::from_utf8(&line[1..line.len() - 2]).unwrap().parse::<usize>().unwrap();
    match line[0] {
        b'$' | b'=' => {
            let mut bytes = vec![0; number() + 2];
            reader.read_exact(&mut bytes).unwrap();
            out.extend_from_slice(&bytes);
        }
        b'*' | b'~' | b'%' => {
            let count = number() * if line[0] == b'%' { 2 } else { 1 };
            (0..count).for_each(|_| read_reply(reader, out));
        }
        _ => {}
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    let mut line = |text: String| out.extend_from_slice(text.as_bytes());
    match &value.kind {
        None => line("_\r\n".to_owned()),
        Some(Kind::Status(text)) => line(format!("+{text}\r\n")),
        Some(Kind::Integer(integer)) => line(format!(":{integer}\r\n")),
        Some(Kind::Number(number)) => line(format!(",{number}\r\n")),
        Some(Kind::Boolean(is_true)) => line(format!("#{}\r\n", if *is_true { 't' } else { 'f' })),
        Some(Kind::Blob(bytes)) => {
            line(format!("${}\r\n", bytes.len()));
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Some(Kind::Array(list)) => {
            line(format!("*{}\r\n", list.values.len()));
            list.values.iter().for_each(|value| write_value(value, out));
        }
        Some(Kind::Set(list)) => {
            line(format!("~{}\r\n", list.values.len()));
            list.values.iter().for_each(|value| write_value(value, out));
        }
        Some(Kind::Map(map)) => {
            line(format!("%{}\r\n", map.entries.len()));
            for entry in &map.entries {
                write_value(entry.key.as_ref().unwrap(), out);
                write_value(entry.value.as_ref().unwrap(), out);
            }
        }
        other => panic!("no such reply was expected: {other:?}"),
    }
}

#[test]
fn random_commands_answer_alike_by_execute_and_from_a_socket() {
    let other = Server::start();
    let mut redis = other.connect();
    redis.send_command(&[b"HELLO", b"3"]);
    let mut reader = BufReader::new(redis.stream.try_clone().unwrap());
    read_reply(&mut reader, &mut Vec::new());
    let mut draw = Draw::seeded();
    Door::run(async |door| {
        let mut client = door.client().await;
        for _ in 0..CALLS {
            let line = draw.line();
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            redis.send_command(&args);
            let mut expected = Vec::new();
            read_reply(&mut reader, &mut expected);
            let request = ExecuteRequest { command: Some(command(&line)), ..Default::default() };
            let mut got = Vec::new();
            match client.execute(request).await {
                Ok(answer) => write_value(&answer.into_inner().value.unwrap(), &mut got),
                Err(status) => got = format!("-{}\r\n", status.message()).into_bytes(),
            }
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(shown(&got), shown(&expected), "{line:?}");
        }
        let digest = |server: &Server| server.shared.state.lock().keyspace.digest();
        assert_eq!(digest(&door.server), digest(&other));
    });
}
