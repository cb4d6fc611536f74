//! Calls on keys of any type, their expiry and the databases.

use super::pools::{INSTANTS, INSTANTS_MS, MILLISECONDS, PATTERNS, TIMES};
use super::{Call, Generator};

pub const NAMES: &[&str] = &[
    "DEL",
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
    "SCAN",
    "RANDOMKEY",
    "MOVE",
    "COPY",
    "COPY",
    "TOUCH",
    "DBSIZE",
    "OBJECT",
    "OBJECT",
    "OBJECT",
    "OBJECT",
    "SELECT",
    "SWAPDB",
    "FLUSHDB",
    "FLUSHALL",
    "MEMORY",
];

impl Generator {
    pub(super) fn generic(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        match name {
            "DEL" | "UNLINK" | "EXISTS" | "TOUCH" => {
                call.extend(self.keys(3));
                if self.chance(8) {
                    call.push(self.lex_key());
                }
            }
            "EXPIRE" => call.extend([self.key(), self.one(TIMES)]),
            "PEXPIRE" => call.extend([self.key(), self.one(MILLISECONDS)]),
            "EXPIREAT" => call.extend([self.key(), self.one(INSTANTS)]),
            "PEXPIREAT" => call.extend([self.key(), self.one(INSTANTS_MS)]),
            "RENAME" | "RENAMENX" => call.extend([self.key(), self.key()]),
            "KEYS" => call.push(self.one(PATTERNS)),
            "SCAN" => call.extend(self.scan()),
            "MOVE" => call.extend([self.key(), self.database()]),
            "COPY" => call.extend(self.copy()),
            "OBJECT" => call.extend(self.object()),
            "MEMORY" => call.extend([b"USAGE".to_vec(), b"absent".to_vec()]),
            "SELECT" => call.push(self.database()),
            "SWAPDB" if self.chance(4) => call.extend([self.database(), self.database()]),
            "FLUSHDB" | "FLUSHALL" if self.chance(30) => call.extend(self.words(1)),
            "FLUSHDB" | "FLUSHALL" | "SWAPDB" => call = vec![b"DBSIZE".to_vec()],
            "DBSIZE" | "RANDOMKEY" => {}
            _ => call.push(self.key()),
        }
        if name.contains("EXPIRE") && !name.ends_with("TIME") && self.chance(2) {
            const CONDITIONS: &[&str] = &["NX", "xx", "GT", "lt", "foo"];
            call.extend((0..self.random.below(3)).map(|_| self.one(CONDITIONS)).collect::<Call>());
        }
        call
    }

    fn copy(&mut self) -> Call {
        let mut words = vec![self.key(), self.key()];
        match self.random.below(4) {
            0 => words.extend(self.words(3)),
            1 => words.push(b"REPLACE".to_vec()),
            2 => words.extend([b"DB".to_vec(), self.database()]),
            _ => {}
        }
        words
    }

    fn object(&mut self) -> Call {
        let what = match self.random.below(8) {
            0 => self.one(&["FREQ", "freq", "nosuch", "REFCOUNT"]),
            _ => self.one(&["ENCODING", "encoding"]),
        };
        let key = if self.chance(10) { self.lex_key() } else { self.key() };
        vec![what, key]
    }

    pub(super) fn database(&mut self) -> Vec<u8> {
        match self.random.below(24) {
            0 => self.one(&["15", "16", "-1", "x", "99999999999", "2147483647"]),
            1 => b"2".to_vec(),
            2..=5 => b"1".to_vec(),
            _ => b"0".to_vec(),
        }
    }

    /// From the beginning, or something malformed: cursors differ between servers.
    fn scan(&mut self) -> Call {
        let cursor = match self.random.below(12) {
            0 => self.one(&["", "x", "1x", " 0", "18446744073709551616", "-"]),
            _ => b"0".to_vec(),
        };
        let mut call = vec![cursor, b"COUNT".to_vec()];
        call.push(self.one(&["1000", "1000", "1", "3", "10"]));
        match self.random.below(5) {
            0 => call.extend([b"match".to_vec(), self.one(PATTERNS)]),
            1 => {
                const TYPES: &[&str] = &[
                    "string", "STRING", "list", "set", "zset", "hash", "Hash", "stream", "nosuch",
                ];
                call.extend([b"TYPE".to_vec(), self.one(TYPES)]);
            }
            2 => call.extend([b"COUNT".to_vec(), self.one(&["0", "-1", "x", "1000"])]),
            3 => call.extend(self.words(1)),
            _ => {}
        }
        call
    }

    /// The arguments of a walk through a collection, after its key.
    pub(super) fn walk(&mut self) -> Call {
        let cursor = match self.random.below(16) {
            0 => self.one(&["", "x", "1x", " 0", "18446744073709551616", "-", "7", "-1"]),
            _ => b"0".to_vec(),
        };
        let mut call = vec![cursor];
        match self.random.below(8) {
            0 => call.extend([b"MATCH".to_vec(), self.one(PATTERNS)]),
            1 => call.extend([b"COUNT".to_vec(), self.one(&["0", "-1", "x", "1000"])]),
            2 | 3 => call.extend([b"count".to_vec(), self.one(&["1", "2", "7", "50", "500"])]),
            4 => {
                call.extend([b"match".to_vec(), self.one(PATTERNS)]);
                call.extend([b"COUNT".to_vec(), self.one(&["1", "20", "1000"])]);
            }
            5 => call.extend(self.words(2)),
            _ => {}
        }
        call
    }
}
