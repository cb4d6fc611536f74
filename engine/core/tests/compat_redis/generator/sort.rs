//! SORT and SORT_RO.
//!
//! Redis's SORT refuses numbers for a range error (`errno`) that was not theirs and that it does
//! not reset: of an earlier command, or of its own unpacking of a sorted set with a score below
//! 2.3e-308. Ours does not, so `before_sort` takes the occasion away: a SORT_RO that reads no number
//! unpacks the set, then a good number is read. Not compared are therefore the answer in these two
//! cases, and a SORT by numbers that is the first to meet a packed sorted set.

use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &["SORT", "SORT_RO"];
const PATTERNS: &[&str] =
    &["w_*", "h_*->f", "h_*->n1", "nosort", "w_*", "*", "#", "h_*->", "->n1", "w_*x", "absent_*"];

impl Generator {
    pub(super) fn sort(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        let kind = *self.random.pick(&[Kind::List, Kind::Set, Kind::Sorted, Kind::List]);
        call.push(self.key_of(kind));
        if self.chance(3) {
            call.extend([self.case("BY"), self.one(PATTERNS)]);
        }
        if self.chance(3) {
            call.extend([self.case("LIMIT"), self.position(), self.position()]);
        }
        if self.chance(4) {
            for _ in 0..1 + self.random.below(3) {
                call.extend([self.case("GET"), self.one(PATTERNS)]);
            }
        }
        if self.chance(3) {
            call.push(self.one(&["ASC", "DESC", "desc"]));
        }
        if self.chance(2) {
            call.push(self.case("ALPHA"));
        }
        if self.chance(if name == "SORT" { 3 } else { 30 }) {
            call.extend([self.case("STORE"), self.key_of(Kind::List)]);
        }
        if self.chance(30) {
            call.extend(self.words(2));
        }
        call
    }
}

/// The calls that must go before a call of SORT; none before others.
pub fn before_sort(call: &[Vec<u8>]) -> Vec<Call> {
    let Some(key) = call.get(1) else { return Vec::new() };
    if !call[0].to_ascii_uppercase().starts_with(b"SORT") {
        return Vec::new();
    }
    let words = |line: &[&[u8]]| line.iter().map(|word| word.to_vec()).collect();
    vec![
        words(&[b"SORT_RO", key, b"BY", b"nosort", b"LIMIT", b"0", b"0"]),
        words(&[b"ZUNION", b"1", b"never-there", b"WEIGHTS", b"1"]),
    ]
}
