//! Calls on sets.

use super::pools::{DRAWS, SMALL};
use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &[
    "SADD",
    "SADD",
    "SADD",
    "SADD",
    "SREM",
    "SREM",
    "SMOVE",
    "SMOVE",
    "SISMEMBER",
    "SMISMEMBER",
    "SCARD",
    "SMEMBERS",
    "SPOP",
    "SRANDMEMBER",
    "SINTER",
    "SINTERSTORE",
    "SINTERCARD",
    "SUNION",
    "SUNIONSTORE",
    "SDIFF",
    "SDIFF",
    "SDIFFSTORE",
    "SSCAN",
    "SSCAN",
];

impl Generator {
    pub(super) fn set(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        match name {
            "SINTERCARD" => {
                call.extend(self.numbered(&[Kind::Set], 4));
                if self.chance(2) {
                    let limit = if self.chance(3) { self.one(SMALL) } else { self.position() };
                    call.extend([self.one(&["LIMIT", "limit", "LIMITS"]), limit]);
                }
                return call;
            }
            "SINTER" | "SUNION" | "SDIFF" => {
                call.extend(self.set_keys());
                return call;
            }
            _ => call.push(self.key_of(Kind::Set)),
        }
        match name {
            "SADD" => call.extend(self.members()),
            "SREM" | "SMISMEMBER" => call.extend(self.elements()),
            "SMOVE" => call.extend([self.key_of(Kind::Set), self.element()]),
            "SISMEMBER" => call.push(self.element()),
            "SPOP" if self.chance(2) => call.push(self.one(DRAWS)),
            "SRANDMEMBER" => call.extend(self.drawing("")),
            "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" => call.extend(self.set_keys()),
            "SSCAN" => call.extend(self.walk()),
            _ => {}
        }
        call
    }

    fn set_keys(&mut self) -> Call {
        (0..1 + self.random.below(4)).map(|_| self.key_of(Kind::Set)).collect()
    }

    /// Often whole numbers only, so that sets of them last.
    fn members(&mut self) -> Call {
        if self.chance(2) {
            return self.elements();
        }
        let width = *self.random.pick(&[30, 300, 70_000, 5_000_000_000]);
        let count = self.count();
        (0..count)
            .map(|_| (self.random.below(width) as i64 - width as i64 / 2).to_string().into_bytes())
            .collect()
    }
}
