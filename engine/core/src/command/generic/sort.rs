//! SORT and SORT_RO: the elements of a list, set or sorted set in another order, or what other keys
//! hold for them. What was asked for is read here; `sort_rows` has the rows and their order.
//! Elements are copied first: looking other keys up may delete expired ones.

use std::ops::Range;

use super::sort_rows::{Order, Rows, Texts, Weights};
use crate::command::{Cx, texts};
use crate::keyspace::Db;
use crate::resp::Args;
use crate::value::entry_ref::EntryRef;
use crate::value::integer::parse_i64;
use crate::value::list::ListMut;
use crate::value::zset::{ZSetMut, ZSetRef};
use crate::value::{Text, Type, ValueRef};

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE key].
pub fn sort(cx: &mut Cx<'_>, args: Args<'_>) {
    run(cx, args, true);
}

/// SORT_RO: SORT without STORE.
pub fn sort_ro(cx: &mut Cx<'_>, args: Args<'_>) {
    run(cx, args, false);
}

/// What was asked for.
struct Request<'a> {
    is_descending: bool,
    is_alpha: bool,
    /// BY a pattern without a star: the order stays as it is.
    is_unsorted: bool,
    by: Option<Pattern<'a>>,
    gets: Vec<Pattern<'a>>,
    offset: i64,
    count: i64,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn read(args: Args<'a>, can_store: bool) -> Result<Self, &'static str> {
        let mut read = Self {
            is_descending: false,
            is_alpha: false,
            is_unsorted: false,
            by: None,
            gets: Vec::new(),
            offset: 0,
            count: -1,
            store: None,
        };
        let number = |at| parse_i64(args.get(at)).ok_or(texts::NOT_INTEGER);
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"asc" => read.is_descending = false,
                b"desc" => read.is_descending = true,
                b"alpha" => read.is_alpha = true,
                b"limit" if left >= 2 => {
                    (read.offset, read.count) = (number(at + 1)?, number(at + 2)?);
                    at += 2;
                }
                b"store" if can_store && left >= 1 => {
                    read.store = Some(args.get(at + 1));
                    at += 1;
                }
                b"by" if left >= 1 => {
                    let pattern = args.get(at + 1);
                    read.is_unsorted |= !texts::c_text(pattern, usize::MAX).contains(&b'*');
                    read.by = Some(Pattern::read(pattern));
                    at += 1;
                }
                b"get" if left >= 1 => {
                    read.gets.push(Pattern::read(args.get(at + 1)));
                    at += 1;
                }
                _ => return Err(texts::SYNTAX),
            }
            at += 1;
        }
        Ok(read)
    }

    /// The part of `length` elements that LIMIT leaves.
    fn window(&self, length: usize) -> Range<usize> {
        let bounded = |number: i64| usize::try_from(number).map_or(0, |number| number.min(length));
        let start = bounded(self.offset);
        let end = if self.count < 0 { length } else { start + bounded(self.count) };
        start..end.min(length)
    }
}

/// A pattern of BY or GET: names a key, or a field of one, for each element.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without a star: names nothing.
    Nothing,
    /// `prefix*suffix` and, after an arrow, a field.
    Key { prefix: &'a [u8], suffix: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    /// Redis looks for star and arrow as C does, up to the first NUL.
    fn read(text: &'a [u8]) -> Self {
        const ARROW: &[u8] = b"->";
        let c_text = texts::c_text(text, usize::MAX);
        if c_text == b"#" {
            return Self::Element;
        }
        let Some(star) = c_text.iter().position(|byte| *byte == b'*') else { return Self::Nothing };
        let (prefix, rest) = (&text[..star], &text[star + 1..]);
        let after = &c_text[star + 1..];
        let arrow = after.windows(ARROW.len()).position(|bytes| bytes == ARROW);
        match arrow.filter(|at| at + ARROW.len() < after.len()) {
            Some(at) => {
                Self::Key { prefix, suffix: &rest[..at], field: Some(&rest[at + ARROW.len()..]) }
            }
            None => Self::Key { prefix, suffix: rest, field: None },
        }
    }

    /// Give `use_it` what the pattern names for an element.
    fn look_up<R>(
        self,
        cx: &mut Cx<'_>,
        element: &[u8],
        use_it: impl FnOnce(&mut Cx<'_>, Option<&[u8]>) -> R,
    ) -> R {
        let (prefix, suffix, field) = match self {
            Self::Element => return use_it(cx, Some(element)),
            Self::Nothing => return use_it(cx, None),
            Self::Key { prefix, suffix, field } => (prefix, suffix, field),
        };
        let found = match (cx.read(&[prefix, element, suffix].concat()), field) {
            (Some(ValueRef::Hash(hash)), Some(field)) => hash.get(field),
            (Some(string), None) if string.type_of() == Type::String => Some(string.text()),
            _ => None,
        };
        let copy = found.map(|text| text.to_vec());
        use_it(cx, copy.as_deref())
    }
}

fn run(cx: &mut Cx<'_>, args: Args<'_>, can_store: bool) {
    let mut request = match Request::read(args, can_store) {
        Ok(request) => request,
        Err(text) => return cx.reply.error(text),
    };
    unpack_zset(cx, args.get(1));
    let Some((elements, window)) = load(cx, args.get(1), &mut request) else { return };
    let mut rows = Rows::new(elements);
    if !request.is_unsorted {
        let order = Order {
            is_descending: request.is_descending,
            is_alpha: request.is_alpha,
            has_weights: request.by.is_some(),
            is_stored: request.store.is_some(),
        };
        let Some(weights) = weigh(cx, &rows, &request) else {
            return cx.reply.error("ERR One or more scores can't be converted into double");
        };
        rows.sort(order, &weights);
    }
    match request.store {
        None => answer(cx, &rows, window, &request.gets),
        Some(key) => store(cx, &rows, window, (key, &request.gets)),
    }
}

/// A packed sorted set becomes a large one, as Redis's does for good when it is sorted: OBJECT
/// ENCODING tells, and the sign of a later -0 is kept.
fn unpack_zset(cx: &mut Cx<'_>, key: &[u8]) {
    let is_packed = |value| matches!(value, ValueRef::ZSet(ZSetRef::Packed(_)));
    if cx.find(key).map(EntryRef::value).is_some_and(is_packed) {
        cx.edit_present(key, Type::ZSet, |value, packing| {
            let mut zset = ZSetMut::of(value, *packing);
            let members = zset.as_ref().len();
            zset.unpack(members);
        });
    }
}

/// Copy the elements to sort, and tell which part of them is wanted. `None`: no such type, which
/// has been answered.
fn load(cx: &mut Cx<'_>, key: &[u8], request: &mut Request<'_>) -> Option<(Texts, Range<usize>)> {
    let (value, reply) = cx.read_any(key);
    let length = value.and_then(ValueRef::elements).unwrap_or(0);
    let window = request.window(length);
    let mut elements = Texts::default();
    match value {
        None => {}
        Some(ValueRef::Set(set)) => {
            if request.is_unsorted && request.store.is_some() {
                // What is stored must not depend on the order of a set.
                (request.is_unsorted, request.is_alpha, request.by) = (false, true, None);
            }
            set.iter().for_each(|member| elements.push(&member));
        }
        Some(ValueRef::List(list)) if request.is_unsorted => {
            push_window(&mut elements, list.iter(), request.is_descending, &window);
            return Some((elements, 0..window.len()));
        }
        Some(ValueRef::List(list)) => list.iter().for_each(|element| elements.push(&element)),
        Some(ValueRef::ZSet(zset)) if request.is_unsorted => {
            let (from, to) = match request.is_descending {
                true => (length - window.end, length - window.start),
                false => (window.start, window.end),
            };
            let members = zset.range(from, to).map(|(member, _)| member);
            push_window(&mut elements, members, request.is_descending, &(0..window.len()));
            return Some((elements, 0..window.len()));
        }
        Some(ValueRef::ZSet(zset)) => zset.iter().for_each(|(member, _)| elements.push(&member)),
        Some(ValueRef::Int(_) | ValueRef::Bytes(_) | ValueRef::Hash(_)) => {
            reply.error(texts::WRONG_TYPE);
            return None;
        }
    }
    Some((elements, window))
}

/// Copy a part of elements that have an order of their own, from the front or from the end.
fn push_window<'a>(
    into: &mut Texts,
    elements: impl DoubleEndedIterator<Item = Text<'a>>,
    is_reverse: bool,
    window: &Range<usize>,
) {
    if is_reverse {
        elements.rev().skip(window.start).take(window.len()).for_each(|text| into.push(&text));
    } else {
        elements.skip(window.start).take(window.len()).for_each(|text| into.push(&text));
    }
}

/// What BY names for each row; without it nothing. `None`: one is no number, and must be. All are
/// looked up even then: looking up counts, and deletes what has expired.
fn weigh(cx: &mut Cx<'_>, rows: &Rows, request: &Request<'_>) -> Option<Weights> {
    let mut weights = Weights::default();
    let mut are_right = true;
    for element in rows.iter() {
        are_right &= match request.by {
            None if request.is_alpha => return Some(weights),
            None => weights.push_number(Some(element)),
            Some(by) => by.look_up(cx, element, |_, text| {
                if request.is_alpha {
                    weights.push_text(text);
                    return true;
                }
                weights.push_number(text)
            }),
        };
    }
    are_right.then_some(weights)
}

fn answer(cx: &mut Cx<'_>, rows: &Rows, window: Range<usize>, gets: &[Pattern<'_>]) {
    cx.reply.array(window.len() * gets.len().max(1));
    for element in rows.range(window) {
        if gets.is_empty() {
            cx.reply.bulk(element);
        }
        for pattern in gets {
            if cx.reply.is_overfull() {
                return; // few words can ask for very much
            }
            pattern.look_up(cx, element, |cx, text| match text {
                Some(text) => cx.reply.bulk(text),
                None => cx.reply.null(),
            });
        }
    }
}

/// Store the result as a list, in place of what is there; what was not found is empty.
fn store(cx: &mut Cx<'_>, rows: &Rows, window: Range<usize>, (key, gets): (&[u8], &[Pattern<'_>])) {
    let packing = cx.state.config.packing;
    let count = window.len() * gets.len().max(1);
    let mut made = Db::new();
    made.edit_or_make(key, Type::List, |value| {
        let mut list = ListMut::of(value, packing);
        for element in rows.range(window) {
            if gets.is_empty() {
                list.push_back(element);
            }
            for pattern in gets {
                pattern.look_up(cx, element, |_, text| list.push_back(text.unwrap_or(b"")));
            }
        }
    });
    cx.put_made(key, made, count);
    cx.reply.int(count as i64);
}
