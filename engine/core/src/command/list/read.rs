//! Reading a list: LLEN, LRANGE, LINDEX, LPOS. Elements go from the list's nodes to the reply as
//! they are.

use super::write_element;
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;
use crate::value::list::ListRef;
use crate::value::listpack::{Element, Needle};

/// LLEN key.
pub fn llen(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((list, reply)) = cx.read_list(args.get(1)) else { return };
    reply.int(list.map_or(0, ListRef::len) as i64);
}

/// LRANGE key start stop.
pub fn lrange(cx: &mut Cx<'_>, args: Args<'_>) {
    let (Some(start), Some(stop)) = (parse_i64(args.get(2)), parse_i64(args.get(3))) else {
        return cx.reply.error(texts::NOT_INTEGER);
    };
    let Some((list, reply)) = cx.read_list(args.get(1)) else { return };
    let Some(list) = list else { return reply.array(0) };
    let (start, count) = part(start, stop, list.len());
    reply.array(count);
    list.elements_from(start).take(count).for_each(|element| write_element(reply, element));
}

/// Where the part from `start` to `stop` (both included, from the end when negative) of `length`
/// elements begins, and how many they are.
pub(super) fn part(start: i64, stop: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(length - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

/// LINDEX key index.
pub fn lindex(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((list, reply)) = cx.read_list(args.get(1)) else { return };
    let Some(list) = list else { return reply.null() };
    let Some(index) = parse_i64(args.get(2)) else { return reply.error(texts::NOT_INTEGER) };
    match list.get(index) {
        Some(text) => reply.bulk(&text),
        None => reply.null(),
    }
}

/// LPOS key element [RANK rank] [COUNT matches] [MAXLEN length].
pub fn lpos(cx: &mut Cx<'_>, args: Args<'_>) {
    let search = match Search::parse(args) {
        Ok(search) => search,
        Err(text) => return cx.reply.error(text),
    };
    let Some((list, reply)) = cx.read_list(args.get(1)) else { return };
    let mut places = Vec::new();
    if let Some(list) = list {
        search.run(list, &Needle::new(args.get(2)), &mut places);
    }
    match (search.count, places.first()) {
        (Some(_), _) => {
            reply.array(places.len());
            places.iter().for_each(|place| reply.int(*place as i64));
        }
        (None, Some(place)) => reply.int(*place as i64),
        (None, None) => reply.null(),
    }
}

/// What LPOS asks for.
struct Search {
    /// The first match that counts, 1 being the first; matches before it are passed over.
    rank: i64,
    is_backward: bool,
    /// How many matches, 0 being all; `None` asks for one, answered without an array.
    count: Option<usize>,
    /// How many elements to look at, 0 being all.
    length_max: usize,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Self, &'static str> {
        let mut search = Self { rank: 1, is_backward: false, count: None, length_max: 0 };
        let size = |at| parse_i64(args.get(at)).and_then(|size| usize::try_from(size).ok());
        for at in (3..args.len()).step_by(2) {
            if at + 1 == args.len() {
                return Err(texts::SYNTAX);
            }
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"rank" => search.rank = parse_i64(args.get(at + 1)).ok_or(texts::NOT_INTEGER)?,
                b"count" => {
                    search.count = Some(size(at + 1).ok_or("ERR COUNT can't be negative")?);
                }
                b"maxlen" => {
                    search.length_max = size(at + 1).ok_or("ERR MAXLEN can't be negative")?;
                }
                _ => return Err(texts::SYNTAX),
            }
            if search.rank == 0 {
                return Err(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
                     second ... or use negative to start from the end of the list",
                );
            }
        }
        if search.rank < 0 {
            search.is_backward = true;
            // The lowest rank stays negative, as in Redis: then every match counts.
            search.rank = search.rank.wrapping_neg();
        }
        Ok(search)
    }

    /// Add the places of the matches, counted from the front, in the order of the search.
    fn run(&self, list: ListRef<'_>, needle: &Needle<'_>, places: &mut Vec<usize>) {
        let length = list.len();
        if self.is_backward {
            let steps = list.elements().rev().enumerate();
            self.collect(steps, needle, |step| length - 1 - step, places);
        } else {
            self.collect(list.elements().enumerate(), needle, |step| step, places);
        }
    }

    fn collect<'a>(
        &self,
        steps: impl Iterator<Item = (usize, Element<'a>)>,
        needle: &Needle<'_>,
        place: impl Fn(usize) -> usize,
        places: &mut Vec<usize>,
    ) {
        let steps_max = if self.length_max == 0 { usize::MAX } else { self.length_max };
        let mut matches: i64 = 0;
        for (step, _) in steps.take(steps_max).filter(|(_, element)| needle.is(*element)) {
            matches += 1;
            if matches >= self.rank {
                places.push(place(step));
                // Found so far, in Redis's arithmetic: of the lowest rank that is below zero, and
                // then COUNT bounds nothing.
                let found = matches.wrapping_sub(self.rank).wrapping_add(1);
                match self.count {
                    None => return,
                    Some(count) if count > 0 && found >= count as i64 => return,
                    Some(_) => {}
                }
            }
        }
    }
}
