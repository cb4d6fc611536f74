//! Calls on hashes.

use super::pools::{DRAWS, SMALL};
use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &[
    "HSET",
    "HSET",
    "HSET",
    "HMSET",
    "HSETNX",
    "HGET",
    "HMGET",
    "HGETALL",
    "HDEL",
    "HDEL",
    "HLEN",
    "HSTRLEN",
    "HKEYS",
    "HVALS",
    "HEXISTS",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HINCRBYFLOAT",
    "HRANDFIELD",
    "HSCAN",
    "HSCAN",
];

impl Generator {
    pub(super) fn hash(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        call.push(self.key_of(Kind::Hash));
        match name {
            "HSET" | "HMSET" => call.extend(self.fields_and_values()),
            "HSETNX" => call.extend([self.element(), self.content()]),
            "HMGET" | "HDEL" => call.extend(self.elements()),
            "HGET" | "HSTRLEN" | "HEXISTS" => call.push(self.element()),
            "HINCRBY" => {
                let by = if self.chance(3) { self.one(SMALL) } else { self.position() };
                call.extend([self.number_field(), by]);
            }
            "HINCRBYFLOAT" if self.chance(2) => call.extend([self.number_field(), self.float()]),
            "HINCRBYFLOAT" => call.extend([self.number_field(), self.value()]),
            "HRANDFIELD" => call.extend(self.drawing("WITHVALUES")),
            "HSCAN" => call.extend(self.walk()),
            _ => {}
        }
        call
    }

    /// A field that mostly holds a number.
    fn number_field(&mut self) -> Vec<u8> {
        match self.random.below(3) {
            0 => self.element(),
            _ => self.one(&["n1", "n2", "n3"]),
        }
    }

    /// A value of a hash: small, a number, or around the threshold.
    fn content(&mut self) -> Vec<u8> {
        if self.chance(2) { self.value() } else { self.element() }
    }

    fn fields_and_values(&mut self) -> Call {
        let mut words: Call = Vec::new();
        for field in self.elements() {
            words.push(field);
            words.push(self.content());
        }
        if self.chance(8) {
            words.extend([self.number_field(), self.value()]);
        }
        words
    }

    /// The arguments of a random choice, after its key.
    pub(super) fn drawing(&mut self, with: &str) -> Call {
        let mut words = Vec::new();
        if self.chance(4) {
            return words;
        }
        words.push(self.one(DRAWS));
        match self.random.below(8) {
            0..=2 if !with.is_empty() => words.push(self.case(with)),
            3 => words.extend(self.words(1)),
            _ => {}
        }
        words
    }
}
