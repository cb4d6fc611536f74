//! Calls on sorted sets. Ranges by member are asked of keys whose scores are all zero: with other
//! scores Redis itself answers by the shape of its skiplist.

use super::pools::{BAD_SCORES, LEX_BOUNDS, SCORE_BOUNDS, SCORES};
use super::{Call, Generator, Kind};

pub const NAMES: &[&str] = &[
    "ZADD",
    "ZADD",
    "ZADD",
    "ZADD",
    "ZADD",
    "ZINCRBY",
    "ZINCRBY",
    "ZREM",
    "ZREM",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZREMRANGEBYLEX",
    "ZRANGE",
    "ZRANGE",
    "ZRANGE",
    "ZRANGESTORE",
    "ZRANGESTORE",
    "ZREVRANGE",
    "ZRANGEBYSCORE",
    "ZREVRANGEBYSCORE",
    "ZRANGEBYLEX",
    "ZREVRANGEBYLEX",
    "ZCOUNT",
    "ZLEXCOUNT",
    "ZCARD",
    "ZSCORE",
    "ZMSCORE",
    "ZRANK",
    "ZREVRANK",
    "ZUNION",
    "ZINTER",
    "ZDIFF",
    "ZUNIONSTORE",
    "ZINTERSTORE",
    "ZDIFFSTORE",
    "ZINTERCARD",
    "ZPOPMIN",
    "ZPOPMAX",
    "ZMPOP",
    "ZRANDMEMBER",
    "ZSCAN",
    "ZSCAN",
];

impl Generator {
    pub(super) fn sorted(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        match name {
            "ZREMRANGEBYLEX" | "ZRANGEBYLEX" | "ZREVRANGEBYLEX" | "ZLEXCOUNT" => {
                return self.lex(name, call);
            }
            "ZUNION" | "ZINTER" | "ZDIFF" | "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE"
            | "ZINTERCARD" | "ZMPOP" => {
                if name.ends_with("STORE") {
                    call.push(self.key_of(Kind::Sorted));
                }
                call.extend(self.several(name));
                return call;
            }
            "ZADD" if self.chance(4) => return self.add_lex(call),
            "ZRANGE" if self.chance(4) => return self.range_lex(call, false),
            "ZRANGESTORE" if self.chance(4) => return self.range_lex(call, true),
            "ZCARD" | "ZSCORE" | "ZRANK" | "ZREM" | "ZPOPMIN" if self.chance(8) => {
                call.push(self.lex_key());
            }
            _ => call.push(self.key_of(Kind::Sorted)),
        }
        self.sorted_arguments(name, &mut call);
        call
    }

    fn sorted_arguments(&mut self, name: &str, call: &mut Call) {
        match name {
            "ZADD" => call.extend(self.add()),
            "ZINCRBY" => call.extend([self.score(), self.element()]),
            "ZREM" | "ZMSCORE" => call.extend(self.elements()),
            "ZSCORE" | "ZRANK" | "ZREVRANK" => call.push(self.element()),
            "ZREMRANGEBYRANK" => call.extend([self.position(), self.position()]),
            "ZREMRANGEBYSCORE" | "ZCOUNT" => call.extend([self.bound(), self.bound()]),
            "ZRANGE" => call.extend(self.range()),
            "ZRANGESTORE" => {
                call.push(self.key_of(Kind::Sorted));
                call.extend(self.range());
            }
            "ZREVRANGE" => {
                call.extend([self.position(), self.position()]);
                if self.chance(2) {
                    call.push(self.with_scores());
                }
            }
            "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => {
                call.extend([self.bound(), self.bound()]);
                if self.chance(2) {
                    call.push(self.with_scores());
                }
                if self.chance(3) {
                    call.extend(self.limit());
                }
            }
            "ZPOPMIN" | "ZPOPMAX" if self.chance(2) => call.push(self.position()),
            "ZRANDMEMBER" => call.extend(self.drawing("WITHSCORES")),
            "ZSCAN" => call.extend(self.walk()),
            _ => {}
        }
    }

    fn score(&mut self) -> Vec<u8> {
        match self.random.below(24) {
            0 => self.one(BAD_SCORES),
            1 => self.float(),
            2..=8 => self.one(SCORES),
            9..=12 => format!("{}.{}", self.random.below(50), self.random.below(100)).into_bytes(),
            _ => (self.random.below(40) as i64 - 10).to_string().into_bytes(),
        }
    }

    fn bound(&mut self) -> Vec<u8> {
        match self.random.below(6) {
            0..=2 => self.one(SCORE_BOUNDS),
            3 => [b"(".to_vec(), self.score()].concat(),
            _ => self.score(),
        }
    }

    fn with_scores(&mut self) -> Vec<u8> {
        if self.chance(30) { b"WITHSCORE".to_vec() } else { self.case("WITHSCORES") }
    }

    fn limit(&mut self) -> Call {
        let name = self.one(&["LIMIT", "limit"]);
        vec![name, self.position(), self.position()]
    }

    /// Options, then scores and members.
    fn add(&mut self) -> Call {
        const OPTIONS: &[&str] = &["NX", "XX", "GT", "LT", "CH", "INCR", "ch", "xx", "gt"];
        let mut words = Vec::new();
        if self.chance(3) {
            words
                .extend((0..1 + self.random.below(3)).map(|_| self.one(OPTIONS)).collect::<Call>());
        }
        let has_bad = self.chance(12);
        for member in self.elements() {
            let score = if has_bad { self.score() } else { self.good_score() };
            words.extend([score, member]);
        }
        words
    }

    /// One bad score refuses the whole call: mostly there is none.
    fn good_score(&mut self) -> Vec<u8> {
        match self.random.below(3) {
            0 => self.one(SCORES),
            1 => format!("{}.{}", self.random.below(50), self.random.below(100)).into_bytes(),
            _ => (self.random.below(40) as i64 - 10).to_string().into_bytes(),
        }
    }

    fn add_lex(&mut self, mut call: Call) -> Call {
        call.push(self.lex_key());
        for member in self.elements() {
            call.extend([b"0".to_vec(), member]);
        }
        call
    }

    fn lex_bound(&mut self) -> Vec<u8> {
        match self.random.below(3) {
            0 => [self.one(&["[", "("]), self.element()].concat(),
            _ => self.one(LEX_BOUNDS),
        }
    }

    /// A command for ranges by member.
    fn lex(&mut self, name: &str, mut call: Call) -> Call {
        call.extend([self.lex_key(), self.lex_bound(), self.lex_bound()]);
        if name.ends_with("BYLEX") && !name.starts_with("ZREMRANGE") && self.chance(3) {
            call.extend(self.limit());
        }
        call
    }

    /// ZRANGE or ZRANGESTORE by member.
    fn range_lex(&mut self, mut call: Call, has_target: bool) -> Call {
        if has_target {
            call.push(self.key_of(Kind::Sorted));
        }
        call.extend([self.lex_key(), self.lex_bound(), self.lex_bound()]);
        let mut options = vec![vec![b"BYLEX".to_vec()]];
        if self.chance(3) {
            options.push(vec![b"REV".to_vec()]);
        }
        if self.chance(3) {
            options.push(self.limit());
        }
        if self.chance(12) {
            options.push(vec![self.with_scores()]);
        }
        call.extend(self.shuffled(options));
        call
    }

    fn shuffled(&mut self, mut options: Vec<Call>) -> Call {
        let mut words = Vec::new();
        while !options.is_empty() {
            let at = self.random.below(options.len());
            words.extend(options.swap_remove(at));
        }
        words
    }

    /// Bounds and options of ZRANGE, by rank or score.
    fn range(&mut self) -> Call {
        let is_by_score = self.chance(2);
        let mut words = if is_by_score {
            vec![self.bound(), self.bound()]
        } else {
            vec![self.position(), self.position()]
        };
        let mut options: Vec<Call> = Vec::new();
        if is_by_score {
            options.push(vec![self.one(&["BYSCORE", "byscore"])]);
        }
        if self.chance(3) {
            options.push(vec![self.one(&["REV", "rev"])]);
        }
        if self.chance(2) {
            options.push(vec![self.with_scores()]);
        }
        if self.chance(if is_by_score { 3 } else { 30 }) {
            options.push(self.limit());
        }
        words.extend(self.shuffled(options));
        words
    }

    /// Arguments of the commands on several sorted sets; plain sets may stand among them.
    fn several(&mut self, name: &str) -> Call {
        let mut words = self.numbered(&[Kind::Sorted, Kind::Sorted, Kind::Set], 3);
        let count = words.len() - 1;
        if name == "ZMPOP" {
            words.push(self.one(&["MIN", "MAX", "min", "max", "MID"]));
            if self.chance(2) {
                words.extend([b"COUNT".to_vec(), self.position()]);
            }
            return words;
        }
        if name == "ZINTERCARD" {
            if self.chance(2) {
                words.extend([self.one(&["LIMIT", "limit"]), self.position()]);
            }
            return words;
        }
        let is_diff = name.starts_with("ZDIFF");
        if self.chance(if is_diff { 30 } else { 3 }) {
            words.push(self.case("WEIGHTS"));
            let weights = if self.chance(15) { count + 1 } else { count };
            for _ in 0..weights {
                words.push(if self.chance(20) { self.one(BAD_SCORES) } else { self.good_score() });
            }
        }
        if self.chance(if is_diff { 30 } else { 3 }) {
            words.push(self.case("AGGREGATE"));
            words.push(self.one(&["SUM", "MIN", "MAX", "sum", "min", "max", "avg"]));
        }
        if self.chance(if name.ends_with("STORE") { 30 } else { 2 }) {
            words.push(self.with_scores());
        }
        words
    }
}
