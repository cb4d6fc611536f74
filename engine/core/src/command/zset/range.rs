//! Ranges of ranks, scores or members: the ZRANGE family, and ZRANGESTORE, which keeps one.

use super::bounds::{self, RankRange};
use super::{Known, Layout, answer, store};
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;
use crate::value::zset::{Elements, LexRange, ScoreRange};
use crate::value::{Text, ZSetRef};

/// What a range is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The bounds of a range.
#[derive(Debug, Clone, Copy)]
enum Bounds<'a> {
    Rank(RankRange),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

/// A range as a command asks for it.
#[derive(Debug, Clone, Copy)]
struct Query<'a> {
    bounds: Bounds<'a>,
    is_reverse: bool,
    has_scores: bool,
    /// Elements to pass over; below zero passes over all.
    offset: i64,
    /// Elements to give at most; below zero: no limit.
    limit: i64,
}

/// What the words after the bounds say, with what the command's name said already.
#[derive(Debug, Clone, Copy)]
struct Form {
    by: Option<By>,
    is_reverse: Option<bool>,
    is_storing: bool,
}

const ANY: Form = Form { by: None, is_reverse: None, is_storing: false };

/// ZRANGE key min max [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES].
pub fn zrange(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, ANY);
}

/// ZREVRANGE key start stop [WITHSCORES].
pub fn zrevrange(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, Form { by: Some(By::Rank), is_reverse: Some(true), ..ANY });
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count].
pub fn zrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, Form { by: Some(By::Score), is_reverse: Some(false), ..ANY });
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count].
pub fn zrevrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, Form { by: Some(By::Score), is_reverse: Some(true), ..ANY });
}

/// ZRANGEBYLEX key min max [LIMIT offset count].
pub fn zrangebylex(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, Form { by: Some(By::Lex), is_reverse: Some(false), ..ANY });
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count].
pub fn zrevrangebylex(cx: &mut Cx<'_>, args: Args<'_>) {
    read(cx, args, Form { by: Some(By::Lex), is_reverse: Some(true), ..ANY });
}

fn read(cx: &mut Cx<'_>, args: Args<'_>, form: Form) {
    let query = match Query::read(args, 2, form) {
        Ok(query) => query,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let Some(zset) = zset else { return reply.array(0) };
    let layout = Layout::with_scores(query.has_scores, reply);
    answer(reply, layout, query.elements(zset), query.is_reverse);
}

/// ZRANGESTORE destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count].
pub fn zrangestore(cx: &mut Cx<'_>, args: Args<'_>) {
    let query = match Query::read(args, 3, Form { is_storing: true, ..ANY }) {
        Ok(query) => query,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, _)) = cx.read_zset(args.get(2)) else { return };
    // Copied: the destination may be the source, and is in the same table in any case.
    let mut members = Vec::new();
    let mut ends = Vec::new();
    let mut copy = |(member, score): (Text<'_>, f64)| {
        members.extend_from_slice(&member);
        ends.push((members.len(), score));
    };
    let elements = zset.map(|zset| query.elements(zset));
    if query.is_reverse {
        elements.into_iter().flat_map(Iterator::rev).for_each(&mut copy);
    } else {
        elements.into_iter().flatten().for_each(&mut copy);
    }
    let mut start = 0;
    let elements = ends.iter().map(|&(end, score)| {
        let member = members.get(start..end).unwrap_or_default();
        start = end;
        (member, score)
    });
    let is_by_rank = matches!(query.bounds, Bounds::Rank(_));
    store(cx, args.get(1), elements, if is_by_rank { Known::Count } else { Known::Nothing });
}

impl<'a> Query<'a> {
    /// Read the bounds at `first` and after, and the options behind them.
    fn read(args: Args<'a>, first: usize, form: Form) -> Result<Self, &'static str> {
        let (mut by, mut is_reverse) = (form.by, form.is_reverse);
        let (mut has_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = first + 2;
        while at < args.len() {
            let word = args.get(at);
            if !form.is_storing && word.eq_ignore_ascii_case(b"withscores") {
                has_scores = true;
            } else if word.eq_ignore_ascii_case(b"limit") && at + 2 < args.len() {
                offset = parse_i64(args.get(at + 1)).ok_or(texts::NOT_INTEGER)?;
                limit = parse_i64(args.get(at + 2)).ok_or(texts::NOT_INTEGER)?;
                at += 2;
            } else if is_reverse.is_none() && word.eq_ignore_ascii_case(b"rev") {
                is_reverse = Some(true);
            } else if by.is_none() && word.eq_ignore_ascii_case(b"bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && word.eq_ignore_ascii_case(b"byscore") {
                by = Some(By::Score);
            } else {
                return Err(texts::SYNTAX);
            }
            at += 1;
        }
        let (by, is_reverse) = (by.unwrap_or(By::Rank), is_reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err("ERR syntax error, LIMIT is only supported in combination with either \
                        BYSCORE or BYLEX");
        }
        if has_scores && by == By::Lex {
            return Err("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        }
        let (one, other) = (args.get(first), args.get(first + 1));
        let (min, max) = if is_reverse { (other, one) } else { (one, other) };
        let bounds = match by {
            By::Rank => Bounds::Rank(RankRange::read(one, other)?),
            By::Score => Bounds::Score(bounds::score_range(min, max)?),
            By::Lex => Bounds::Lex(bounds::lex_range(min, max)?),
        };
        Ok(Self { bounds, is_reverse, has_scores, offset, limit })
    }

    /// The elements, from the lowest rank to the highest.
    fn elements<'z>(&self, zset: ZSetRef<'z>) -> Elements<'z> {
        let (from, to) = self.ranks(zset);
        zset.range(from, to)
    }

    fn ranks(&self, zset: ZSetRef<'_>) -> (usize, usize) {
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let (from, to) = match &self.bounds {
            // LIMIT with a count of -1 is let through here, and means nothing.
            Bounds::Rank(range) => return range.ranks(zset.len(), self.is_reverse),
            Bounds::Score(range) => {
                let (from, to) = zset.ranks_of_scores(range);
                let skipped = skipped.min(to.saturating_sub(from));
                if self.is_reverse { (from, to - skipped) } else { (from + skipped, to) }
            }
            Bounds::Lex(range) => zset.ranks_of_members(range, self.is_reverse, skipped),
        };
        let count = to.saturating_sub(from);
        let taken = usize::try_from(self.limit).unwrap_or(count).min(count);
        if self.is_reverse { (to - taken, to) } else { (from, from + taken) }
    }
}
