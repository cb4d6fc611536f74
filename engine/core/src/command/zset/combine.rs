//! Several sets at once: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Inputs are sorted sets
//! or sets, whose members count as having the score 1. The result is gathered in a table of its own,
//! since inputs and destination may be one key, and then put in order.

use std::cmp::Ordering;

use super::{Known, Layout, store};
use crate::command::{Cx, texts};
use crate::keyspace::EntryRef;
use crate::resp::Args;
use crate::table::Table;
use crate::value::integer::parse_i64;
use crate::value::sorted::{score_of, stored};
use crate::value::{SetRef, Text, ValueRef, ZSetRef, score};

/// What is made of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How scores of one member are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Answer,
    Store,
    Count,
}

/// What the words after the keys say.
#[derive(Debug)]
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    has_scores: bool,
    /// Count no further; 0 is no limit.
    limit: usize,
}

/// ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES].
pub fn zunion(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Union, Use::Answer);
}

/// ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES].
pub fn zinter(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Intersection, Use::Answer);
}

/// ZDIFF numkeys key [key ...] [WITHSCORES].
pub fn zdiff(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Difference, Use::Answer);
}

/// ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX].
pub fn zunionstore(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Union, Use::Store);
}

/// ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX].
pub fn zinterstore(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Intersection, Use::Store);
}

/// ZDIFFSTORE destination numkeys key [key ...].
pub fn zdiffstore(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Difference, Use::Store);
}

/// ZINTERCARD numkeys key [key ...] [LIMIT limit].
pub fn zintercard(cx: &mut Cx<'_>, args: Args<'_>) {
    combine(cx, args, Operation::Intersection, Use::Count);
}

/// The order of refusals is Redis's: the number of keys, their types, the options.
fn combine(cx: &mut Cx<'_>, args: Args<'_>, operation: Operation, purpose: Use) {
    let count_at = if purpose == Use::Store { 2 } else { 1 };
    let Some(count) = parse_i64(args.get(count_at)) else {
        return cx.reply.error(texts::NOT_INTEGER);
    };
    if count < 1 {
        let name = String::from_utf8_lossy(args.get(0)).to_ascii_lowercase();
        let text = format!("ERR at least 1 input key is needed for '{name}' command");
        return cx.reply.error(&text);
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > args.len() - count_at - 1 {
        return cx.reply.error(texts::SYNTAX);
    }
    let keys = || args.iter().skip(count_at + 1).take(count);
    let Some(are_there) = find_all(cx, keys()) else { return };
    let options = match Options::read(args, (count_at + 1 + count, count), operation, purpose) {
        Ok(options) => options,
        Err(text) => return cx.reply.error(text),
    };
    let db = cx.state.keyspace.db(cx.session.db);
    let mut inputs: Vec<Input<'_>> = keys()
        .zip(&are_there)
        .zip(&options.weights)
        .map(|((key, is_there), weight)| {
            let entry = if *is_there { db.get(key) } else { None };
            Input { source: Source::of(entry), weight: *weight }
        })
        .collect();
    if operation != Operation::Difference {
        // The smallest first, which decides in which order scores are added up.
        inputs.sort_by_key(|input| input.source.len());
    }
    if purpose == Use::Count {
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let found = intersection(&inputs, Aggregate::Sum).take(limit).count();
        return cx.reply.int(found as i64);
    }
    let result = result_of(operation, &inputs, options.aggregate);
    let mut elements: Vec<(f64, &[u8])> =
        result.iter().map(|entry| (score_of(entry), entry.key())).collect();
    // By score, of which none is NaN; -0 and 0 are one place.
    elements.sort_unstable_by(|one, other| {
        let by_score = one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal);
        by_score.then_with(|| one.1.cmp(other.1))
    });
    let longest_bytes = elements.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
    let elements = elements.iter().map(|(score, member)| (*member, *score));
    if purpose == Use::Store {
        return store(cx, args.get(1), elements, Known::LongestBytes(longest_bytes));
    }
    let layout = Layout::with_scores(options.has_scores, cx.reply);
    layout.head(cx.reply, elements.len());
    elements.for_each(|(member, score)| layout.element(cx.reply, member, score));
}

/// Whether each key is there. `None`: one is neither a set nor a sorted set, and that has been
/// answered.
fn find_all<'k>(cx: &mut Cx<'_>, keys: impl Iterator<Item = &'k [u8]>) -> Option<Vec<bool>> {
    let mut found = Vec::new();
    for key in keys {
        match cx.read(key) {
            None => found.push(false),
            Some(ValueRef::Set(_) | ValueRef::ZSet(_)) => found.push(true),
            Some(_) => {
                cx.reply.error(texts::WRONG_TYPE);
                return None;
            }
        }
    }
    Some(found)
}

impl Options {
    /// Read the words from `at` on; there are `keys` keys.
    fn read(
        args: Args<'_>,
        (mut at, keys): (usize, usize),
        operation: Operation,
        purpose: Use,
    ) -> Result<Self, &'static str> {
        let mut read = Self {
            weights: vec![1.0; keys],
            aggregate: Aggregate::Sum,
            has_scores: false,
            limit: 0,
        };
        let has_math = operation != Operation::Difference && purpose != Use::Count;
        while at < args.len() {
            let (word, left) = (args.get(at), args.len() - at);
            if has_math && left > keys && word.eq_ignore_ascii_case(b"weights") {
                for (turn, weight) in read.weights.iter_mut().enumerate() {
                    let parsed = score::parse(args.get(at + 1 + turn));
                    *weight = parsed.ok_or("ERR weight value is not a float")?;
                }
                at += 1 + keys;
            } else if has_math && left >= 2 && word.eq_ignore_ascii_case(b"aggregate") {
                read.aggregate = Aggregate::read(args.get(at + 1)).ok_or(texts::SYNTAX)?;
                at += 2;
            } else if purpose == Use::Answer && word.eq_ignore_ascii_case(b"withscores") {
                read.has_scores = true;
                at += 1;
            } else if purpose == Use::Count && left >= 2 && word.eq_ignore_ascii_case(b"limit") {
                let limit = parse_i64(args.get(at + 1)).and_then(|it| usize::try_from(it).ok());
                read.limit = limit.ok_or("ERR LIMIT can't be negative")?;
                at += 2;
            } else {
                return Err(texts::SYNTAX);
            }
        }
        Ok(read)
    }
}

impl Aggregate {
    fn read(word: &[u8]) -> Option<Self> {
        match word.to_ascii_lowercase().as_slice() {
            b"sum" => Some(Self::Sum),
            b"min" => Some(Self::Min),
            b"max" => Some(Self::Max),
            _ => None,
        }
    }

    /// Put two scores together; what would be NaN (inf and -inf added) is 0.
    fn of(self, held: f64, other: f64) -> f64 {
        match self {
            Self::Sum => number(held + other),
            Self::Min => {
                if other < held {
                    other
                } else {
                    held
                }
            }
            Self::Max => {
                if other > held {
                    other
                } else {
                    held
                }
            }
        }
    }
}

/// NaN as 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// An input as it is read.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Nothing,
    Set(SetRef<'a>),
    ZSet(ZSetRef<'a>),
}

#[derive(Debug, Clone, Copy)]
struct Input<'a> {
    source: Source<'a>,
    weight: f64,
}

impl<'a> Source<'a> {
    fn of(entry: Option<EntryRef<'a>>) -> Self {
        match entry.map(EntryRef::value) {
            Some(ValueRef::Set(set)) => Self::Set(set),
            Some(ValueRef::ZSet(zset)) => Self::ZSet(zset),
            _ => Self::Nothing,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::ZSet(zset) => zset.score(member),
        }
    }

    fn elements(self) -> Box<dyn Iterator<Item = (Text<'a>, f64)> + 'a> {
        match self {
            Self::Nothing => Box::new(std::iter::empty()),
            Self::Set(set) => Box::new(set.iter().map(|member| (member, 1.0))),
            Self::ZSet(zset) => Box::new(zset.iter()),
        }
    }
}

/// Members of all inputs, of which the first is the smallest, with their scores.
fn intersection<'a>(
    inputs: &'a [Input<'a>],
    aggregate: Aggregate,
) -> impl Iterator<Item = (Text<'a>, f64)> {
    let (first, others) = match inputs {
        [first, others @ ..] => (*first, others),
        [] => (Input { source: Source::Nothing, weight: 1.0 }, inputs),
    };
    first.source.elements().filter_map(move |(member, score)| {
        let begin = number(first.weight * score);
        let score = others.iter().try_fold(begin, |held, input| {
            let other = input.source.score(&member)?;
            Some(aggregate.of(held, input.weight * other))
        })?;
        Some((member, score))
    })
}

/// Whether to look each member of the first input up in the others, or to take the others' members
/// out of a copy: Redis's estimate.
fn is_probing_cheaper(first: Input<'_>, others: &[Input<'_>]) -> bool {
    let first = first.source.len();
    let probing = (1 + others.len()).saturating_mul(first) / 2;
    probing <= others.iter().map(|input| input.source.len()).fold(first, usize::saturating_add)
}

fn result_of(operation: Operation, inputs: &[Input<'_>], aggregate: Aggregate) -> Table {
    let mut result = Table::new();
    match operation {
        Operation::Union => {
            result.reserve(inputs.iter().map(|input| input.source.len()).max().unwrap_or(0));
            for input in inputs {
                for (member, score) in input.source.elements() {
                    let score = number(input.weight * score);
                    let held = result.get(&member).map(score_of);
                    let score = held.map_or(score, |held| aggregate.of(held, score));
                    result.put(&member, stored(score));
                }
            }
        }
        Operation::Intersection => {
            for (member, score) in intersection(inputs, aggregate) {
                result.put(&member, stored(score));
            }
        }
        Operation::Difference => {
            let Some((first, others)) = inputs.split_first() else { return result };
            let is_probing = is_probing_cheaper(*first, others);
            for (member, score) in first.source.elements() {
                let is_held = |input: &Input<'_>| input.source.score(&member).is_some();
                if !is_probing || !others.iter().any(is_held) {
                    result.put(&member, stored(score));
                }
            }
            let taken = others.iter().filter(|_| !is_probing);
            for (member, _) in taken.flat_map(|input| input.source.elements()) {
                if result.remove(&member) && result.is_empty() {
                    break;
                }
            }
        }
    }
    result
}
