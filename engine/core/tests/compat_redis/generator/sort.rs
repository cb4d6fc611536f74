//! SORT and SORT_RO.

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
