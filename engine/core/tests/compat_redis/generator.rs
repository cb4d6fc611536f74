//! Random calls of every command: few keys, so that calls meet; values and numbers at their bounds;
//! options in every order, wrong ones included. Expiries lie far ahead or in the past, so that both
//! servers see the same keys alive.

use crate::harness::Random;

type Call = Vec<Vec<u8>>;

const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "key:7", "{x}\u{0}\r\n", ""];
const VALUES: [&str; 34] = [
    "",
    "0",
    "1",
    "-1",
    "42",
    "10000",
    "9999",
    "-0",
    "01",
    " 1",
    "1 ",
    "+5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "3.5",
    "-2.25",
    "1e3",
    "1e400",
    "inf",
    "-inf",
    "nan",
    "0x1f",
    "0x1p-3",
    "3.0e-2",
    "1.",
    ".5",
    ".",
    "hello",
    "a\u{0}b\r\n",
    "forty-four bytes are the most that embstr has.",
    "forty-four bytes are the most, and this has",
    "forty-four bytes are the most of an embstr..",
    "5000000000000000000000",
];
const SMALL: [&str; 22] = [
    "0",
    "1",
    "2",
    "3",
    "5",
    "-1",
    "-2",
    "-3",
    "-100",
    "10",
    "100",
    "x",
    "",
    "1.5",
    "99999999999",
    "-99999999999",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "007",
];
const TIMES: [&str; 12] = [
    "100",
    "1000",
    "5000",
    "86400",
    "0",
    "-1",
    "-1000",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223370000000000",
];
const MILLISECONDS: [&str; 8] = [
    "100000",
    "5000000",
    "86400000",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1.0",
];
const INSTANTS: [&str; 7] =
    ["1", "1000", "4000000000", "4100000000", "0", "-5", "9223372036854775807"];
const INSTANTS_MS: [&str; 6] = ["1", "4000000000000", "4100000000000", "0", "-5", "x"];
const PATTERNS: [&str; 12] =
    ["*", "?", "[a-c]", "[^a]", "key:*", "\\a", "[", "", "a*", "*\r\n", "[c-a]", "**"];
const WORDS: [&str; 30] = [
    "NX",
    "xx",
    "GET",
    "ex",
    "PX",
    "EXAT",
    "pxat",
    "KEEPTTL",
    "PERSIST",
    "gt",
    "LT",
    "100",
    "1000000",
    "4000000000000",
    "MATCH",
    "count",
    "TYPE",
    "string",
    "DB",
    "replace",
    "foo",
    "",
    "LEN",
    "idx",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "ASYNC",
    "sync",
    "1",
    "-1",
];

/// Makes calls.
pub struct Generator {
    pub random: Random,
}

impl Generator {
    fn one(&mut self, list: &[&str]) -> Vec<u8> {
        self.random.pick(list).as_bytes().to_vec()
    }

    fn key(&mut self) -> Vec<u8> {
        self.one(&KEYS)
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.below(12) {
            0 => self.random.draw().to_string().into_bytes(),
            1 => (self.random.draw() as i64).to_string().into_bytes(),
            2 => self.float(),
            3 => vec![b'x'; self.random.below(200)],
            4 => (0..self.random.below(9)).map(|_| self.random.draw() as u8).collect(),
            _ => self.one(&VALUES),
        }
    }

    /// Numbers of every size and precision, some of them no numbers.
    fn float(&mut self) -> Vec<u8> {
        let number = f64::from_bits(self.random.draw());
        let digits = self.random.below(25);
        match self.random.below(6) {
            0 => format!("{number}"),
            1 => format!("{number:e}"),
            2 => format!("{:.digits$}", (self.random.draw() as i64) as f64 / 1e12),
            3 => format!("{:.digits$}", self.random.below(1000) as f64 / 7.0),
            4 => format!("{}.{}", self.random.draw(), self.random.draw()),
            _ => format!("{}e{}", self.random.draw(), self.random.below(60) as i64 - 40),
        }
        .into_bytes()
    }

    fn words(&mut self, most: usize) -> Call {
        (0..self.random.below(most + 1)).map(|_| self.one(&WORDS)).collect()
    }

    /// One option with a fitting or borderline time.
    fn time_option(&mut self) -> Call {
        let (name, times): (&str, &[&str]) = *self.random.pick(&[
            ("EX", TIMES.as_slice()),
            ("px", &MILLISECONDS),
            ("EXAT", &INSTANTS),
            ("PXAT", &INSTANTS_MS),
        ]);
        vec![name.into(), self.one(times)]
    }

    fn keys(&mut self, most: usize) -> Call {
        (0..1 + self.random.below(most)).map(|_| self.key()).collect()
    }

    fn pairs(&mut self) -> Call {
        let mut pairs = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            pairs.push(self.key());
            if !self.random.one_in(20) {
                pairs.push(self.value());
            }
        }
        pairs
    }

    fn case(&mut self, name: &str) -> Vec<u8> {
        match self.random.below(4) {
            0 => name.to_lowercase(),
            1 => name
                .char_indices()
                .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c })
                .collect(),
            _ => name.to_owned(),
        }
        .into_bytes()
    }

    /// The next call; sometimes with an argument too many or too few.
    pub fn next(&mut self) -> Call {
        let mut call = match self.random.below(20) {
            0..=8 => self.string(),
            9..=15 => self.generic(),
            16 | 17 => self.transaction(),
            _ => return self.server(), // as written: a word less may stop the server
        };
        if self.random.one_in(60) {
            call.push(self.value());
        }
        if self.random.one_in(60) && call.len() > 1 {
            call.pop();
        }
        call
    }

    fn string(&mut self) -> Call {
        let names = [
            "SET",
            "SET",
            "SET",
            "GET",
            "GETSET",
            "GETDEL",
            "GETEX",
            "GETEX",
            "SETNX",
            "SETEX",
            "PSETEX",
            "MGET",
            "MSET",
            "MSETNX",
            "INCR",
            "DECR",
            "INCRBY",
            "DECRBY",
            "INCRBYFLOAT",
            "INCRBYFLOAT",
            "APPEND",
            "STRLEN",
            "GETRANGE",
            "SUBSTR",
            "SETRANGE",
            "LCS",
        ];
        let name = *self.random.pick(&names);
        let mut call = vec![self.case(name)];
        match name {
            "MGET" => call.extend(self.keys(4)),
            "MSET" | "MSETNX" => call.extend(self.pairs()),
            "LCS" => {
                call.extend([self.key(), self.key()]);
                call.extend(self.words(2));
            }
            _ => {
                call.push(self.key());
                self.string_arguments(name, &mut call);
            }
        }
        call
    }

    fn string_arguments(&mut self, name: &str, call: &mut Call) {
        match name {
            "SET" => {
                call.push(self.value());
                if self.random.one_in(3) {
                    call.extend(self.time_option());
                }
                if self.random.one_in(3) {
                    call.extend(self.words(2));
                }
            }
            "GETEX" if self.random.one_in(2) => call.extend(self.time_option()),
            "GETEX" => call.extend(self.words(2)),
            "GETSET" | "SETNX" | "APPEND" => call.push(self.value()),
            "SETEX" => call.extend([self.one(&TIMES), self.value()]),
            "PSETEX" => call.extend([self.one(&MILLISECONDS), self.value()]),
            "INCRBY" | "DECRBY" => call.push(self.one(&SMALL)),
            "INCRBYFLOAT" if self.random.one_in(2) => call.push(self.float()),
            "INCRBYFLOAT" => call.push(self.value()),
            "GETRANGE" | "SUBSTR" => call.extend([self.one(&SMALL), self.one(&SMALL)]),
            "SETRANGE" => call.extend([self.one(&SMALL), self.value()]),
            _ => {}
        }
    }

    fn generic(&mut self) -> Call {
        const NAMES: [&str; 27] = [
            "DEL",
            "UNLINK",
            "EXISTS",
            "TYPE",
            "TTL",
            "PTTL",
            "EXPIRE",
            "PEXPIRE",
            "EXPIREAT",
            "PEXPIREAT",
            "EXPIRETIME",
            "PEXPIRETIME",
            "PERSIST",
            "RENAME",
            "RENAMENX",
            "KEYS",
            "SCAN",
            "MOVE",
            "COPY",
            "TOUCH",
            "DBSIZE",
            "OBJECT",
            "SELECT",
            "SWAPDB",
            "FLUSHDB",
            "FLUSHALL",
            "MEMORY",
        ];
        let name = *self.random.pick(&NAMES);
        let mut call = vec![self.case(name)];
        match name {
            "DEL" | "UNLINK" | "EXISTS" | "TOUCH" => call.extend(self.keys(3)),
            "EXPIRE" => call.extend([self.key(), self.one(&TIMES)]),
            "PEXPIRE" => call.extend([self.key(), self.one(&MILLISECONDS)]),
            "EXPIREAT" => call.extend([self.key(), self.one(&INSTANTS)]),
            "PEXPIREAT" => call.extend([self.key(), self.one(&INSTANTS_MS)]),
            "RENAME" | "RENAMENX" => call.extend([self.key(), self.key()]),
            "KEYS" => call.push(self.one(&PATTERNS)),
            "SCAN" => call.extend(self.scan()),
            "MOVE" => call.extend([self.key(), self.database()]),
            "COPY" => {
                call.extend([self.key(), self.key()]);
                call.extend(self.words(3));
            }
            "OBJECT" => {
                call.extend([
                    self.one(&["ENCODING", "encoding", "FREQ", "freq", "nosuch"]),
                    self.key(),
                ]);
            }
            "MEMORY" => call.extend([b"USAGE".to_vec(), b"absent".to_vec()]),
            "SELECT" => call.push(self.database()),
            "SWAPDB" => call.extend([self.database(), self.database()]),
            "FLUSHDB" | "FLUSHALL" if !self.random.one_in(4) => call = vec![b"DBSIZE".to_vec()],
            "FLUSHDB" | "FLUSHALL" => call.extend(self.words(1)),
            "DBSIZE" => {}
            _ => call.push(self.key()),
        }
        if name.contains("EXPIRE") && !name.ends_with("TIME") && self.random.one_in(2) {
            const CONDITIONS: [&str; 5] = ["NX", "xx", "GT", "lt", "foo"];
            call.extend((0..self.random.below(3)).map(|_| self.one(&CONDITIONS)).collect::<Call>());
        }
        call
    }

    fn database(&mut self) -> Vec<u8> {
        self.one(&[
            "0",
            "0",
            "0",
            "1",
            "1",
            "2",
            "15",
            "16",
            "-1",
            "x",
            "99999999999",
            "2147483647",
        ])
    }

    /// The whole database at once, or something malformed: cursors differ between servers.
    fn scan(&mut self) -> Call {
        let mut call =
            vec![self.one(&["0", "0", "0", "", "x", "1x", " 0", "18446744073709551616", "-"])];
        call.extend([b"COUNT".to_vec(), b"1000".to_vec()]);
        match self.random.below(5) {
            0 => call.extend([b"match".to_vec(), self.one(&PATTERNS)]),
            1 => call.extend([b"TYPE".to_vec(), self.one(&["string", "STRING", "list", "nosuch"])]),
            2 => call.extend([b"COUNT".to_vec(), self.one(&["0", "-1", "x", "1000"])]),
            3 => call.extend(self.words(1)),
            _ => {}
        }
        call
    }

    fn transaction(&mut self) -> Call {
        let name =
            *self.random.pick(&["MULTI", "EXEC", "EXEC", "DISCARD", "WATCH", "WATCH", "UNWATCH"]);
        let mut call = vec![self.case(name)];
        if name == "WATCH" {
            call.extend(self.keys(2));
        }
        call
    }

    /// Whole command lines, mostly about replies and errors that do not depend on the data.
    fn server(&mut self) -> Call {
        const LINES: &str = include_str!("lines.txt");
        let lines: Vec<&str> = LINES.lines().filter(|line| !line.starts_with('#')).collect();
        let line = *self.random.pick(&lines);
        line.split(' ').map(|word| if word == "''" { Vec::new() } else { word.into() }).collect()
    }
}
