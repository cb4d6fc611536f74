//! Calls on lists (none that block).

use super::pools::SMALL;
use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &[
    "LPUSH",
    "LPUSH",
    "RPUSH",
    "RPUSH",
    "RPUSH",
    "LPUSHX",
    "RPUSHX",
    "LPOP",
    "RPOP",
    "LLEN",
    "LINDEX",
    "LINSERT",
    "LINSERT",
    "LSET",
    "LSET",
    "LRANGE",
    "LRANGE",
    "LTRIM",
    "LREM",
    "LREM",
    "LPOS",
    "LPOS",
    "RPOPLPUSH",
    "LMOVE",
    "LMPOP",
];
const ENDS: &[&str] = &["LEFT", "RIGHT", "left", "Right"];

impl Generator {
    pub(super) fn list(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        if name == "LMPOP" {
            call.extend(self.numbered(&[Kind::List], 3));
            call.push(self.end());
            if self.chance(2) {
                call.extend([b"COUNT".to_vec(), self.position()]);
            }
            return call;
        }
        call.push(self.key_of(Kind::List));
        match name {
            "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => call.extend(self.elements()),
            "LPOP" | "RPOP" if self.chance(2) => call.push(self.position()),
            "LINDEX" => call.push(self.position()),
            "LINSERT" => {
                let side = self.one(&["BEFORE", "AFTER", "before", "After"]);
                let side = if self.chance(30) { b"beside".to_vec() } else { side };
                call.extend([side, self.element(), self.element()]);
            }
            "LSET" => call.extend([self.position(), self.element()]),
            "LRANGE" => call.extend([self.position(), self.position()]),
            "LTRIM" => call.extend(self.trim()),
            "LREM" => call.extend([self.position(), self.element()]),
            "LPOS" => {
                call.push(self.element());
                call.extend(self.places());
            }
            "RPOPLPUSH" => call.push(self.key_of(Kind::List)),
            "LMOVE" => call.extend([self.key_of(Kind::List), self.end(), self.end()]),
            _ => {}
        }
        call
    }

    fn end(&mut self) -> Vec<u8> {
        if self.chance(30) { b"UP".to_vec() } else { self.one(ENDS) }
    }

    /// An index or a count: near, far, or none.
    pub(super) fn position(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => self.one(SMALL),
            1 => (self.random.below(1200) as i64 - 600).to_string().into_bytes(),
            _ => (self.random.below(16) as i64 - 5).to_string().into_bytes(),
        }
    }

    /// Mostly a trim that leaves most of the list.
    fn trim(&mut self) -> Call {
        match self.random.below(4) {
            0 => vec![self.position(), self.position()],
            1 => vec![b"0".to_vec(), self.one(&["-1", "-2", "200", "20"])],
            _ => vec![self.one(&["0", "1", "-200", "-20"]), b"-1".to_vec()],
        }
    }

    /// Options of LPOS.
    fn places(&mut self) -> Call {
        let mut words = Vec::new();
        for _ in 0..self.random.below(4) {
            let name = self.one(&["RANK", "rank", "COUNT", "MAXLEN", "COUNT"]);
            let name = if self.chance(40) { b"PLACE".to_vec() } else { name };
            words.extend([name, self.position()]);
        }
        words
    }
}
