//! Reading a collection in any of its encodings, element by element into a [`Sink`]: it is never
//! held twice. The counterpart of `save_collection`. Packed forms (`ziplist`, `zipmap`, and ours,
//! `listpack` and `intset`) are looked at to their last byte before the sink sees them. Every byte
//! is hostile (I7): an element is there before anything is made for it.
//!
//! What redis-server 7.0 accepts is accepted, with these differences: a packed hash or sorted set
//! with a field or member that stands there twice, or with half a pair, a sorted set with a score
//! that is no number, and an intset out of order are refused (redis-server loads some of them into
//! collections that answer wrongly). Empty collections are passed over, as there.

use super::format::*;
use super::packed::{Damage, Distinct};
use super::parse::{Form, Key, Sink, Taken};
use super::reader::Reader;
use super::strings::{Loaded, load_bytes, load_length, load_string};
use super::ziplist::Ziplist;
use super::zipmap::Zipmap;
use crate::error::Result;
use crate::value::{Type, intset, listpack};

/// What reading collections needs over and over.
pub(super) struct Work {
    /// Memory to unpack strings into; whoever reads one may use it.
    pub(super) unpacked: Vec<u8>,
    /// A field or member, while its value or score is read.
    first: Vec<u8>,
    distinct: Distinct,
    /// A short ziplist as the listpack of the same elements.
    repacked: Vec<u8>,
}

impl Work {
    pub(super) fn new() -> Self {
        let (unpacked, first, repacked) = (Vec::new(), Vec::new(), Vec::new());
        Self { unpacked, first, distinct: Distinct::new(), repacked }
    }
}

/// Read the value of `key`, a collection of type `number`, into `sink`. Gives what became of it and
/// the number of its elements.
pub(super) fn load_collection<S: Sink>(
    (made, number): (Type, u8),
    key: Key<'_>,
    from: &mut Reader<'_>,
    work: &mut Work,
    sink: &mut S,
) -> Result<(Taken, u64)> {
    let mut load = Load { key, made, from, work, sink };
    let elements = match number {
        TYPE_LIST | TYPE_SET => load.singles()?,
        TYPE_HASH => load.pairs()?,
        TYPE_ZSET => load.scored(load_score_text)?,
        TYPE_ZSET_2 => load.scored(load_score_binary)?,
        TYPE_LIST_QUICKLIST => return load.nodes(|_| Ok(Packed::Ziplist)),
        TYPE_LIST_QUICKLIST_2 => return load.nodes(load_container),
        _ => return load.whole(packed_of(number)),
    };
    Ok((load.sink.end(), elements))
}

/// How the elements of a collection, or of a list's node, stand in one string.
#[derive(Debug, Clone, Copy)]
enum Packed {
    Ziplist,
    Zipmap,
    Listpack,
    Intset,
    /// A single large element of a list, as it is.
    Plain,
}

fn packed_of(number: u8) -> Packed {
    match number {
        TYPE_HASH_ZIPMAP => Packed::Zipmap,
        TYPE_SET_INTSET => Packed::Intset,
        TYPE_HASH_LISTPACK | TYPE_ZSET_LISTPACK | TYPE_SET_LISTPACK => Packed::Listpack,
        _ => Packed::Ziplist,
    }
}

fn load_container(from: &mut Reader<'_>) -> Result<Packed> {
    match load_length(from)? {
        CONTAINER_PLAIN => Ok(Packed::Plain),
        CONTAINER_PACKED => Ok(Packed::Listpack),
        other => Err(from.corrupt(&format!("a list's node in a container of kind {other}"))),
    }
}

struct Load<'l, 'r, S> {
    key: Key<'l>,
    made: Type,
    from: &'l mut Reader<'r>,
    work: &'l mut Work,
    sink: &'l mut S,
}

impl<S: Sink> Load<'_, '_, S> {
    /// `<length> <string>...`
    fn singles(&mut self) -> Result<u64> {
        let count = self.begin()?;
        for _ in 0..count {
            let element = load_string(self.from, &mut self.work.unpacked)?;
            if !self.sink.element(element) {
                return Err(self.from.corrupt(TWIN));
            }
        }
        Ok(count)
    }

    /// `<length> (<string> <string>)...`
    fn pairs(&mut self) -> Result<u64> {
        let count = self.begin()?;
        for _ in 0..count {
            load_bytes(self.from, &mut self.work.unpacked, &mut self.work.first)?;
            let value = load_string(self.from, &mut self.work.unpacked)?;
            if !self.sink.field(Loaded::Bytes(&self.work.first), value) {
                return Err(self.from.corrupt(TWIN));
            }
        }
        Ok(count)
    }

    /// `<length> (<string> <score>)...`
    fn scored(&mut self, load_score: impl Fn(&mut Reader<'_>) -> Result<f64>) -> Result<u64> {
        let count = self.begin()?;
        for _ in 0..count {
            load_bytes(self.from, &mut self.work.unpacked, &mut self.work.first)?;
            let score = load_score(self.from)?;
            if score.is_nan() {
                return Err(self.from.corrupt(NOT_A_NUMBER));
            }
            if !self.sink.member(Loaded::Bytes(&self.work.first), score) {
                return Err(self.from.corrupt(TWIN));
            }
        }
        Ok(count)
    }

    /// The number of elements; begins with no more room than the file has bytes left for.
    fn begin(&mut self) -> Result<u64> {
        let count = load_length(self.from)?;
        let left = self.from.size_bytes() - self.from.offset();
        let hint = count.min(left / ELEMENT_BYTES_MIN);
        self.sink.begin(self.key, self.made, usize::try_from(hint).unwrap_or(0));
        Ok(count)
    }

    /// `<length> ([<container>] <string>)...`: a list's nodes. A list of one node is that node.
    fn nodes(
        &mut self,
        load_packed_as: impl Fn(&mut Reader<'_>) -> Result<Packed>,
    ) -> Result<(Taken, u64)> {
        let count = load_length(self.from)?;
        if count == 1 {
            let packed = load_packed_as(self.from)?;
            return self.whole(packed);
        }
        self.sink.begin(self.key, Type::List, 0);
        let mut elements = 0;
        for _ in 0..count {
            let packed = load_packed_as(self.from)?;
            elements += self.blob(packed, true)?.1;
        }
        Ok((self.sink.end(), elements))
    }

    /// One string that holds all.
    fn whole(&mut self, packed: Packed) -> Result<(Taken, u64)> {
        let (taken, elements) = self.blob(packed, false)?;
        Ok((taken.unwrap_or_else(|| self.sink.end()), elements))
    }

    /// One string that holds all elements, or a node's; what became of it, if it was taken whole.
    fn blob(&mut self, packed: Packed, is_node: bool) -> Result<(Option<Taken>, u64)> {
        let start = self.from.offset();
        let work = &mut *self.work;
        let found = load_string(self.from, &mut work.unpacked)?;
        let Self { key, made, sink, .. } = self;
        let Work { distinct, repacked, .. } = work;
        let (key, made) = (*key, *made);
        let mut feed = Feed { sink: *sink, key, made, is_node, distinct, repacked };
        let fed = match (found, packed) {
            (Loaded::Bytes(blob), _) => feed.blob(packed, blob),
            // A server whose threshold for large elements was set very low (DEBUG).
            (element, Packed::Plain) => feed.give(1, std::iter::once(element), None),
            _ => Err(Flaw::of("an integer where a packed collection must stand")),
        };
        fed.map_err(|flaw| self.from.corrupt(&flaw.text(packed, start)))
    }
}

const TWIN: &str = "an element stands in its collection twice";
const NOT_A_NUMBER: &str = "a score that is not a number";

/// Nearly all elements of a collection without twins take at least so many bytes of a file (there
/// are only 256 strings of one byte): bounds what a length may ask room for.
const ELEMENT_BYTES_MIN: u64 = 2;

/// `<1 byte length> <text>`, or a length that stands for what has no digits.
fn load_score_text(from: &mut Reader<'_>) -> Result<f64> {
    let size = match from.byte()? {
        SCORE_NAN => return Ok(f64::NAN),
        SCORE_INFINITE => return Ok(f64::INFINITY),
        SCORE_MINUS_INFINITE => return Ok(f64::NEG_INFINITY),
        size => usize::from(size),
    };
    match score_of(Loaded::Bytes(from.take(size)?)) {
        Some(score) => Ok(score),
        None => Err(from.corrupt(NOT_A_NUMBER)),
    }
}

/// `<8 bytes>`
fn load_score_binary(from: &mut Reader<'_>) -> Result<f64> {
    Ok(f64::from_le_bytes(from.array()?))
}

/// The number that a score's text says; NaN is none.
fn score_of(text: Loaded<'_>) -> Option<f64> {
    match text {
        Loaded::Int(value) => Some(value as f64),
        Loaded::Bytes(text) => {
            let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }
    }
}

// ------------------------------------------------------------------------------------ packed forms

/// What is wrong with a packed form.
struct Flaw {
    reason: &'static str,
    /// Where in it, if that is known.
    offset: Option<usize>,
}

impl Flaw {
    fn of(reason: &'static str) -> Self {
        Self { reason, offset: None }
    }

    fn text(&self, packed: Packed, start: u64) -> String {
        let (form, reason) = (packed.name(), self.reason);
        match self.offset {
            Some(offset) => format!("{form} at offset {start}, byte {offset} of it: {reason}"),
            None => format!("{form} at offset {start}: {reason}"),
        }
    }
}

impl From<Damage> for Flaw {
    fn from(damage: Damage) -> Self {
        Self { reason: damage.reason, offset: Some(damage.offset) }
    }
}

impl Packed {
    fn name(self) -> &'static str {
        match self {
            Self::Ziplist => "ziplist",
            Self::Zipmap => "zipmap",
            Self::Listpack => "listpack",
            Self::Intset => "intset",
            Self::Plain => "plain node",
        }
    }
}

/// What became of a blob, if it was taken whole, and the number of its elements.
type Fed = std::result::Result<(Option<Taken>, u64), Flaw>;

/// Gives a blob to the sink once nothing is wrong with it: whole, or element by element.
struct Feed<'f, S> {
    sink: &'f mut S,
    key: Key<'f>,
    made: Type,
    /// A list's node: the collection has begun.
    is_node: bool,
    distinct: &'f mut Distinct,
    repacked: &'f mut Vec<u8>,
}

impl<S: Sink> Feed<'_, S> {
    fn blob(&mut self, packed: Packed, blob: &[u8]) -> Fed {
        match packed {
            Packed::Ziplist => {
                let list = Ziplist::check(blob)?;
                if blob.len() > REPACKED_BYTES_MAX {
                    return self.check(list.len(), list.iter(), None);
                }
                // Taken whole then, with the thresholds of a listpack, as in redis-server.
                let mut repacked = std::mem::take(self.repacked);
                repack(list, &mut repacked);
                let form = Form::Listpack(&repacked, list.len());
                let fed = self.check(list.len(), list.iter(), Some(form));
                *self.repacked = repacked;
                fed
            }
            Packed::Zipmap => {
                let map = Zipmap::check(blob)?;
                self.check(map.fields() * 2, map.iter(), None)
            }
            Packed::Listpack => {
                let count = listpack::check(blob).map_err(Flaw::of)?;
                let entries = listpack::Listpack::new(blob).entries();
                let elements = entries.map(|(_, element)| element.into());
                self.check(count, elements, Some(Form::Listpack(blob, count)))
            }
            Packed::Intset => {
                // In order, so no member stands there twice.
                let count = intset::check(blob).map_err(Flaw::of)?;
                let members = intset::Intset::new(blob).iter().map(Loaded::Int);
                self.give(count, members, Some(Form::Intset(blob, count)))
            }
            Packed::Plain if blob.is_empty() => Err(Flaw::of("it is empty")),
            Packed::Plain => self.give(1, std::iter::once(Loaded::Bytes(blob)), None),
        }
    }

    /// Look at the elements of a form whose bytes are right, then give them on.
    fn check<'a, I>(&mut self, count: usize, elements: I, mut form: Option<Form<'_>>) -> Fed
    where
        I: Iterator<Item = Loaded<'a>> + Clone,
    {
        let is_paired = matches!(self.made, Type::Hash | Type::ZSet);
        if is_paired && !count.is_multiple_of(2) {
            return Err(Flaw::of("its last element is half a pair"));
        }
        if self.made == Type::ZSet && !is_in_order(elements.clone())? {
            form = None; // taken one by one they come into order
        }
        if self.made != Type::List {
            let step = if is_paired { 2 } else { 1 };
            self.distinct.clear();
            elements.clone().step_by(step).for_each(|element| self.distinct.note(element));
            if !self.distinct.is_distinct() {
                return Err(Flaw::of(TWIN));
            }
        }
        self.give(count, elements, form)
    }

    /// Give the form to the sink, or its elements.
    fn give<'a>(
        &mut self,
        count: usize,
        mut elements: impl Iterator<Item = Loaded<'a>>,
        form: Option<Form<'_>>,
    ) -> Fed {
        let is_paired = matches!(self.made, Type::Hash | Type::ZSet);
        let units = if is_paired { count / 2 } else { count };
        let (key, made, elements_taken) = (self.key, self.made, units as u64);
        if units == 0 {
            return Ok(((!self.is_node).then_some(Taken::Empty), 0));
        }
        if let Some(form) = form {
            if self.is_node && self.sink.node(form) {
                return Ok((None, elements_taken));
            }
            if !self.is_node
                && let Some(taken) = self.sink.whole(key, made, form)
            {
                return Ok((Some(taken), elements_taken));
            }
        }
        self.give_each(units, &mut elements)
    }

    fn give_each<'a>(
        &mut self,
        units: usize,
        elements: &mut impl Iterator<Item = Loaded<'a>>,
    ) -> Fed {
        if !self.is_node {
            self.sink.begin(self.key, self.made, units);
        }
        while let Some(first) = elements.next() {
            let is_new = match self.made {
                Type::Hash => elements.next().is_some_and(|value| self.sink.field(first, value)),
                Type::ZSet => {
                    let score = elements.next().and_then(score_of);
                    score.is_some_and(|score| self.sink.member(first, score))
                }
                _ => self.sink.element(first),
            };
            if !is_new {
                return Err(Flaw::of(TWIN));
            }
        }
        Ok((None, units as u64))
    }
}

/// A longer ziplist is taken element by element.
const REPACKED_BYTES_MAX: usize = 64 * 1024;

/// Make `into` the listpack of the same elements.
fn repack(list: Ziplist<'_>, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&listpack::EMPTY);
    for element in list.iter() {
        let encoded = match element {
            Loaded::Int(value) => listpack::Encoded::int(value),
            Loaded::Bytes(bytes) => listpack::Encoded::of(bytes),
        };
        listpack::push_back_all(into, [encoded]);
    }
}

/// Whether members stand in the order of their scores, equal scores in that of the members.
fn is_in_order<'a>(
    mut elements: impl Iterator<Item = Loaded<'a>>,
) -> std::result::Result<bool, Flaw> {
    let mut before: Option<(Loaded<'a>, f64)> = None;
    let mut is_in_order = true;
    while let (Some(member), Some(text)) = (elements.next(), elements.next()) {
        let score = score_of(text).ok_or(Flaw::of(NOT_A_NUMBER))?;
        if let Some((last, last_score)) = before {
            is_in_order &= last_score < score || last_score == score && is_less(last, member);
        }
        before = Some((member, score));
    }
    Ok(is_in_order)
}

fn is_less(one: Loaded<'_>, other: Loaded<'_>) -> bool {
    use super::packed::with_text;
    with_text(one, |one| with_text(other, |other| one < other))
}
