//! Calls on strings.

use super::pools::{MILLISECONDS, SMALL, TIMES};
use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &[
    "SET",
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

impl Generator {
    pub(super) fn string(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        match name {
            "MGET" => call.extend(self.keys(4)),
            "MSET" | "MSETNX" => call.extend(self.pairs()),
            "LCS" => {
                call.extend([self.key_of(Kind::String), self.key_of(Kind::String)]);
                call.extend(self.words(2));
            }
            _ => {
                call.push(self.key_of(Kind::String));
                self.string_arguments(name, &mut call);
            }
        }
        call
    }

    fn pairs(&mut self) -> Call {
        let mut pairs = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            pairs.push(self.key_of(Kind::String));
            if !self.chance(20) {
                pairs.push(self.value());
            }
        }
        pairs
    }

    fn string_arguments(&mut self, name: &str, call: &mut Call) {
        match name {
            "SET" => {
                call.push(self.value());
                if self.chance(3) {
                    call.extend(self.time_option());
                }
                if self.chance(3) {
                    call.extend(self.words(2));
                }
            }
            "GETEX" if self.chance(2) => call.extend(self.time_option()),
            "GETEX" => call.extend(self.words(2)),
            "GETSET" | "SETNX" | "APPEND" => call.push(self.value()),
            "SETEX" => call.extend([self.one(TIMES), self.value()]),
            "PSETEX" => call.extend([self.one(MILLISECONDS), self.value()]),
            "INCRBY" | "DECRBY" => call.push(self.one(SMALL)),
            "INCRBYFLOAT" if self.chance(2) => call.push(self.float()),
            "INCRBYFLOAT" => call.push(self.value()),
            "GETRANGE" | "SUBSTR" => call.extend([self.one(SMALL), self.one(SMALL)]),
            "SETRANGE" => call.extend([self.one(SMALL), self.value()]),
            _ => {}
        }
    }
}
