//! Setting scores: ZADD and ZINCRBY.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::Type;
use crate::value::score;
use crate::value::zset::{Put, ZSetMut};

/// The text where inf and -inf would be added.
const NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";

/// What a call asks for besides scores and members.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    is_nx: bool,
    is_xx: bool,
    is_gt: bool,
    is_lt: bool,
    is_ch: bool,
    is_incr: bool,
}

impl Options {
    /// Read the words before the first score; gives where that is.
    fn read(mut self, args: Args<'_>) -> Result<(Self, usize), &'static str> {
        let mut at = 2;
        while at < args.len() {
            let place = match args.get(at) {
                word if word.eq_ignore_ascii_case(b"nx") => &mut self.is_nx,
                word if word.eq_ignore_ascii_case(b"xx") => &mut self.is_xx,
                word if word.eq_ignore_ascii_case(b"ch") => &mut self.is_ch,
                word if word.eq_ignore_ascii_case(b"incr") => &mut self.is_incr,
                word if word.eq_ignore_ascii_case(b"gt") => &mut self.is_gt,
                word if word.eq_ignore_ascii_case(b"lt") => &mut self.is_lt,
                _ => break,
            };
            *place = true;
            at += 1;
        }
        self.check(args.len() - at)?;
        Ok((self, at))
    }

    fn check(self, words_left: usize) -> Result<(), &'static str> {
        if words_left == 0 || !words_left.is_multiple_of(2) {
            return Err(texts::SYNTAX);
        }
        if self.is_nx && self.is_xx {
            return Err("ERR XX and NX options at the same time are not compatible");
        }
        if (self.is_nx && (self.is_gt || self.is_lt)) || (self.is_gt && self.is_lt) {
            let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(text);
        }
        if self.is_incr && words_left > 2 {
            return Err("ERR INCR option supports a single increment-element pair");
        }
        Ok(())
    }

    /// The score that a member gets which has the score `held`, or is not there; `None`: things
    /// stay as they are. NaN where infinities cancel out.
    fn decide(self, held: Option<f64>, given: f64) -> Option<f64> {
        let Some(held) = held else { return (!self.is_xx).then_some(given) };
        if self.is_nx {
            return None;
        }
        let score = if self.is_incr { held + given } else { given };
        let is_kept = (self.is_lt && score >= held) || (self.is_gt && score <= held);
        (!is_kept).then_some(score)
    }
}

/// What a call has done so far.
#[derive(Debug, Default)]
struct Done {
    added: usize,
    updated: usize,
    /// The score of the last member, unless a condition kept it from being set.
    score: Option<f64>,
    is_nan: bool,
}

/// ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...].
pub fn zadd(cx: &mut Cx<'_>, args: Args<'_>) {
    add(cx, args, Options::default());
}

/// ZINCRBY key increment member.
pub fn zincrby(cx: &mut Cx<'_>, args: Args<'_>) {
    add(cx, args, Options { is_incr: true, ..Options::default() });
}

fn add(cx: &mut Cx<'_>, args: Args<'_>, options: Options) {
    let key = args.get(1);
    let (options, first) = match options.read(args) {
        Ok(read) => read,
        Err(text) => return cx.reply.error(text),
    };
    // All scores are looked at before anything is done.
    let scores = (first..args.len()).step_by(2).map(|at| score::parse(args.get(at)));
    let Some(scores) = scores.collect::<Option<Scores>>() else {
        return cx.reply.error(texts::NOT_FLOAT);
    };
    let set_all = |zset: &mut ZSetMut<'_, '_>| {
        let mut done = Done::default();
        for (turn, score) in scores.iter().enumerate() {
            set(zset, args.get(first + 2 * turn + 1), score, options, &mut done);
        }
        done
    };
    let done = if options.is_xx {
        // What is not there is not made.
        cx.edit_present(key, Type::ZSet, |value, packing| {
            set_all(&mut ZSetMut::of(value, *packing))
        })
        .map(Option::unwrap_or_default)
    } else {
        cx.edit(key, Type::ZSet, |value, packing| set_all(&mut ZSetMut::of(value, *packing)))
    };
    let Some(done) = done else { return };
    if done.is_nan {
        return cx.reply.error(NOT_A_NUMBER);
    }
    cx.changed(key, done.added + done.updated);
    match (options.is_incr, done.score) {
        (true, Some(score)) => cx.reply.double(score),
        (true, None) => cx.reply.null(),
        _ => cx.reply.int((done.added + if options.is_ch { done.updated } else { 0 }) as i64),
    }
}

/// Set the score of one member, if the options allow it.
fn set(zset: &mut ZSetMut<'_, '_>, member: &[u8], score: f64, options: Options, done: &mut Done) {
    let put = zset.change(member, |held| {
        done.score = options.decide(held, score);
        done.score
    });
    done.is_nan |= done.score.is_some_and(f64::is_nan);
    match put {
        Put::Added => done.added += 1,
        Put::Updated => done.updated += 1,
        Put::Same => {}
    }
}

/// The scores of a call: one, nearly always, which needs no memory.
enum Scores {
    One(f64),
    Many(Vec<f64>),
}

impl FromIterator<f64> for Scores {
    fn from_iter<I: IntoIterator<Item = f64>>(scores: I) -> Self {
        let mut scores = scores.into_iter();
        match (scores.next(), scores.next()) {
            (Some(one), None) => Self::One(one),
            (one, other) => Self::Many(one.into_iter().chain(other).chain(scores).collect()),
        }
    }
}

impl Scores {
    fn iter(&self) -> impl Iterator<Item = f64> {
        let scores = match self {
            Self::One(score) => std::slice::from_ref(score),
            Self::Many(scores) => scores,
        };
        scores.iter().copied()
    }
}
