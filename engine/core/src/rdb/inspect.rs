//! What is in a file, for people and scripts, without a server: counts and bytes by database, type
//! and encoding, what expires when, the biggest keys. The file is read as a load reads it, and
//! nothing is kept but counts and a bounded number of keys. Types that are not loaded yet (streams,
//! modules, fields that expire) are passed over and named. Not here: the words and tables (CLI).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;

use super::Summary;
use super::format::{type_by_number, type_loaded};
use super::parse::{Form, Key, Sink, Stored, Taken, parse};
use super::reader::{Manner, Reader};
use super::strings::Loaded;
use super::verify::Nothing;
use crate::error::Result;
use crate::limits::DATABASES_MAX;
use crate::value::Type;

/// Big keys that may be asked for.
pub const TOP_MAX: usize = 10_000;
/// A key's name is cut after so many bytes.
const SHOWN_KEY_BYTES_MAX: usize = 512;

/// How to inspect.
pub struct InspectOptions<'a> {
    /// How many of the biggest keys to name, at most [`TOP_MAX`].
    pub top: usize,
    /// Refuse bytes after the end, which a load ignores.
    pub is_end_strict: bool,
    /// Bytes read so far and in all, told about every MiB; answering `false` cancels (`CANCELLED`).
    pub progress: &'a mut dyn FnMut(u64, u64) -> bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// As a verification gives it.
    pub summary: Summary,
    /// Counts by database, type and encoding, in that order.
    pub encodings: Vec<EncodingCounts>,
    /// Sources of function libraries, bytes.
    pub functions_bytes: u64,
    /// When the first and the last key end, unix ms.
    pub expire_at_ms: Option<(i64, i64)>,
    /// The keys that take most of the file, the largest first.
    pub largest: Vec<BigKey>,
    /// The collections of most elements, the longest first.
    pub longest: Vec<BigKey>,
    /// Keys of types that a load refuses.
    pub unsupported: u64,
    /// The first of them.
    pub unsupported_first: Option<BigKey>,
}

/// Counts of one encoding in one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodingCounts {
    /// The database.
    pub db: u32,
    /// Redis's name of the type.
    pub type_name: &'static str,
    /// How the file holds it.
    pub encoding: &'static str,
    /// Keys.
    pub keys: u64,
    /// Keys with an expiry.
    pub expires: u64,
    /// Bytes of the file: expiry, type, name and value.
    pub bytes: u64,
    /// Elements of collections; of strings, bytes.
    pub elements: u64,
}

/// A key by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigKey {
    /// The database.
    pub db: u32,
    /// Its name, cut after 512 bytes.
    pub name: Vec<u8>,
    /// Redis's name of the type.
    pub type_name: &'static str,
    /// How the file holds it.
    pub encoding: &'static str,
    /// Bytes of the file.
    pub bytes: u64,
    /// Elements of a collection; of a string, bytes.
    pub elements: u64,
    /// Unix ms at which it ends.
    pub expire_at_ms: Option<i64>,
}

/// Read a whole file and count what is in it.
///
/// # Errors
/// As [`super::load`], but that keys of unsupported types are passed over where their format tells
/// where they end.
pub fn inspect(path: &Path, options: InspectOptions<'_>) -> Result<Inspection> {
    let InspectOptions { top, is_end_strict, progress } = options;
    let manner = Manner { is_past_cache: false, is_digested: true };
    let from = Reader::open(path, manner, progress)?;
    let mut counting = Counting::new(top.min(TOP_MAX));
    let summary = parse(from, &mut counting, is_end_strict)?;
    Ok(counting.into_inspection(summary))
}

struct Counting {
    nothing: Nothing,
    encodings: BTreeMap<(usize, u8), EncodingCounts>,
    functions_bytes: u64,
    expire_at_ms: Option<(i64, i64)>,
    largest: Top,
    longest: Top,
    unsupported: u64,
    unsupported_first: Option<BigKey>,
}

impl Counting {
    fn new(top: usize) -> Self {
        Self {
            nothing: Nothing::new(),
            encodings: BTreeMap::new(),
            functions_bytes: 0,
            expire_at_ms: None,
            largest: Top::new(top),
            longest: Top::new(top),
            unsupported: 0,
            unsupported_first: None,
        }
    }

    fn into_inspection(self, summary: Summary) -> Inspection {
        let mut encodings: Vec<_> = self.encodings.into_iter().collect();
        // By type first; what is not loaded comes last.
        let rank = |number| type_loaded(number).map_or(usize::MAX, |made| made as usize);
        encodings.sort_by_key(|((db, number), _)| (*db, rank(*number), *number));
        Inspection {
            summary,
            encodings: encodings.into_iter().map(|(_, counts)| counts).collect(),
            functions_bytes: self.functions_bytes,
            expire_at_ms: self.expire_at_ms,
            largest: self.largest.into_sorted(),
            longest: self.longest.into_sorted(),
            unsupported: self.unsupported,
            unsupported_first: self.unsupported_first,
        }
    }
}

fn db_number(db: usize) -> u32 {
    u32::try_from(db).unwrap_or(u32::MAX)
}

fn big_key(key: Key<'_>, stored: Stored) -> BigKey {
    let (type_name, encoding) = type_by_number(stored.type_number).unwrap_or(("", ""));
    BigKey {
        db: db_number(key.db),
        name: key.name.get(..SHOWN_KEY_BYTES_MAX).unwrap_or(key.name).to_vec(),
        type_name,
        encoding,
        bytes: stored.bytes,
        elements: stored.elements,
        expire_at_ms: key.expire_at_ms,
    }
}

impl Sink for Counting {
    fn databases(&self) -> usize {
        DATABASES_MAX
    }

    fn reserve(&mut self, _db: usize, _keys: usize) {}

    fn function(&mut self, source: &[u8]) {
        self.functions_bytes += source.len() as u64;
    }

    fn string(&mut self, key: Key<'_>, value: Loaded<'_>) -> Taken {
        self.nothing.string(key, value)
    }

    fn whole(&mut self, key: Key<'_>, made: Type, form: Form<'_>) -> Option<Taken> {
        self.nothing.whole(key, made, form)
    }

    fn begin(&mut self, key: Key<'_>, made: Type, elements: usize) {
        self.nothing.begin(key, made, elements);
    }

    fn node(&mut self, form: Form<'_>) -> bool {
        self.nothing.node(form)
    }

    fn element(&mut self, element: Loaded<'_>) -> bool {
        self.nothing.element(element)
    }

    fn field(&mut self, field: Loaded<'_>, value: Loaded<'_>) -> bool {
        self.nothing.field(field, value)
    }

    fn member(&mut self, member: Loaded<'_>, score: f64) -> bool {
        self.nothing.member(member, score)
    }

    fn end(&mut self) -> Taken {
        self.nothing.end()
    }

    fn passes_over(&self) -> bool {
        true
    }

    fn note(&mut self, key: Key<'_>, stored: Stored) {
        let (type_name, encoding) = type_by_number(stored.type_number).unwrap_or(("", ""));
        let counts = self.encodings.entry((key.db, stored.type_number)).or_default();
        (counts.db, counts.type_name, counts.encoding) = (db_number(key.db), type_name, encoding);
        counts.keys += 1;
        counts.expires += u64::from(key.expire_at_ms.is_some());
        counts.bytes += stored.bytes;
        counts.elements += stored.elements;
        if let Some(at_ms) = key.expire_at_ms {
            let (first, last) = self.expire_at_ms.unwrap_or((at_ms, at_ms));
            self.expire_at_ms = Some((first.min(at_ms), last.max(at_ms)));
        }
        self.largest.offer(stored.bytes, || big_key(key, stored));
        if type_name != Type::String.name() {
            self.longest.offer(stored.elements, || big_key(key, stored));
        }
        if !stored.is_loaded {
            self.unsupported += 1;
            self.unsupported_first.get_or_insert_with(|| big_key(key, stored));
        }
    }
}

/// The keys of the largest weights that were offered; of equal ones those that came first.
struct Top {
    room: usize,
    offered: u64,
    /// The lightest on top: its weight, and its number from the end.
    kept: BinaryHeap<Reverse<(u64, Reverse<u64>)>>,
    keys: BTreeMap<u64, BigKey>,
}

impl Top {
    fn new(room: usize) -> Self {
        Self { room, offered: 0, kept: BinaryHeap::new(), keys: BTreeMap::new() }
    }

    fn offer(&mut self, weight: u64, key: impl FnOnce() -> BigKey) {
        self.offered += 1;
        if self.kept.len() >= self.room {
            match self.kept.peek() {
                Some(Reverse((lightest, _))) if *lightest < weight => {}
                _ => return,
            }
            if let Some(Reverse((_, Reverse(number)))) = self.kept.pop() {
                self.keys.remove(&number);
            }
        }
        self.kept.push(Reverse((weight, Reverse(self.offered))));
        self.keys.insert(self.offered, key());
    }

    /// The heaviest first.
    fn into_sorted(mut self) -> Vec<BigKey> {
        let sorted = self.kept.into_sorted_vec();
        sorted
            .into_iter()
            .filter_map(|Reverse((_, Reverse(number)))| self.keys.remove(&number))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_bounded_and_in_order() {
        let name = |number: u64| BigKey {
            db: 0,
            name: number.to_string().into_bytes(),
            type_name: "",
            encoding: "",
            bytes: 0,
            elements: 0,
            expire_at_ms: None,
        };
        let mut top = Top::new(3);
        for (number, weight) in [5, 1, 9, 9, 3, 5, 0].into_iter().enumerate() {
            top.offer(weight, || name(number as u64));
            assert!(top.kept.len() <= 3 && top.keys.len() <= 3);
        }
        let names: Vec<_> = top.into_sorted().into_iter().map(|key| key.name).collect();
        assert_eq!(names, [b"2", b"3", b"0"]);
        let mut none = Top::new(0);
        none.offer(1, || name(1));
        assert!(none.into_sorted().is_empty());
    }
}
