//! What a key can hold. `layout`, `entry_ref` and `entry` are an entry in memory; `value_mut` changes
//! one in place. One file a type: `string`, `list`, `hash`, `set`, `zset`. Small collections are
//! packed bytes in the entry, in Redis's own formats (`listpack`, `intset`, edited over `growable`),
//! so that a snapshot writes them as they are; past the thresholds of `packing` they are outside (`large`): the striped
//! table, a `quicklist`, a `sorted` set. `integer`, `score`: numbers as text.
//! Checklist, adding a type: [`Type`], [`Kind`], [`ValueRef`], `large::Content`,
//! `keyspace::digest`, `rdb`.

pub(crate) mod entry;
pub(crate) mod entry_ref;
pub mod growable;
pub mod hash;
mod hex_float;
pub mod integer;
pub mod intset;
pub(crate) mod large;
pub(crate) mod layout;
pub mod list;
pub mod listpack;
pub mod packing;
pub mod quicklist;
pub mod score;
#[cfg(test)]
pub(crate) mod seeded;
pub mod set;
pub(crate) mod sorted;
pub(crate) mod string;
mod value_mut;
pub mod zset;

use integer::IntText;

pub use hash::{HashMut, HashRef};
pub use list::ListRef;
pub use set::{SetMut, SetRef};
pub use value_mut::ValueMut;
pub use zset::{ZSetMut, ZSetRef};

/// A value as it is read.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// A string kept as an integer.
    Int(i64),
    /// A string's bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(ListRef<'a>),
    /// A set.
    Set(SetRef<'a>),
    /// A sorted set.
    ZSet(ZSetRef<'a>),
    /// A hash.
    Hash(HashRef<'a>),
}

impl PartialEq for ValueRef<'_> {
    /// Compares strings; collections never count as equal.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            _ => false,
        }
    }
}

/// A value as it is stored. Bytes that are a canonical integer (Redis's rule: at most 20
/// characters) become [`ValueRef::Int`].
#[derive(Debug, Clone, Copy)]
pub enum NewValue<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A collection in the packed form that the kind names. The bytes are right: who has them from
    /// outside checks them first.
    Packed(Kind, &'a [u8]),
}

impl NewValue<'_> {
    /// An empty collection of that type (of a string: no bytes).
    pub(crate) fn empty(of: Type) -> Self {
        match of {
            Type::String => Self::Bytes(b""),
            Type::List => Self::Packed(Kind::List, &listpack::EMPTY),
            Type::Set => Self::Packed(Kind::IntSet, &intset::EMPTY),
            Type::ZSet => Self::Packed(Kind::ZSet, &listpack::EMPTY),
            Type::Hash => Self::Packed(Kind::Hash, &listpack::EMPTY),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Bytes(_) | Self::Int(_) => Kind::String,
            Self::Packed(kind, _) => *kind,
        }
    }
}

/// Redis's types, with the numbers that DEBUG DIGEST uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string.
    String = 0,
    /// A list.
    List = 1,
    /// A set.
    Set = 2,
    /// A sorted set.
    ZSet = 3,
    /// A hash.
    Hash = 4,
}

impl Type {
    /// Every type, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::String, Self::List, Self::Set, Self::ZSet, Self::Hash];

    /// Redis's name, as TYPE answers it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::ZSet => "zset",
            Self::Hash => "hash",
        }
    }
}

/// What the stored bytes of an entry are: the type, and for sets which packed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A string, or an integer.
    String = 0,
    /// A listpack of elements, or a quicklist.
    List = 1,
    /// A listpack of members, or a table of them.
    Set = 2,
    /// A listpack of members, each followed by its score, in order; or a sorted set outside.
    ZSet = 3,
    /// A listpack of fields, each followed by its value; or a table.
    Hash = 4,
    /// An intset.
    IntSet = 5,
}

impl Kind {
    /// The type that this is a form of.
    pub fn type_of(self) -> Type {
        match self {
            Self::String => Type::String,
            Self::List => Type::List,
            Self::Set | Self::IntSet => Type::Set,
            Self::ZSet => Type::ZSet,
            Self::Hash => Type::Hash,
        }
    }

    fn of_bits(bits: u32) -> Self {
        match bits {
            1 => Self::List,
            2 => Self::Set,
            3 => Self::ZSet,
            4 => Self::Hash,
            5 => Self::IntSet,
            _ => Self::String,
        }
    }
}

/// A string's or an element's text: borrowed bytes, or an integer written out on the stack. Never
/// allocates.
#[derive(Debug, Clone, Copy)]
pub enum Text<'a> {
    /// Bytes of the value itself.
    Borrowed(&'a [u8]),
    /// An integer's digits.
    Digits(IntText),
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Digits(digits) => digits.as_bytes(),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The type.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Int(_) | Self::Bytes(_) => Type::String,
            Self::List(_) => Type::List,
            Self::Set(_) => Type::Set,
            Self::ZSet(_) => Type::ZSet,
            Self::Hash(_) => Type::Hash,
        }
    }

    /// The string as text (what GET answers). A collection has none: callers look at the type
    /// first.
    pub fn text(self) -> Text<'a> {
        match self {
            Self::Int(value) => Text::Digits(IntText::new(value)),
            Self::Bytes(bytes) => Text::Borrowed(bytes),
            _ => Text::Borrowed(&[]),
        }
    }

    /// The string as a canonical integer, if it is one. A string that was made by APPEND can be,
    /// without being an `Int`.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bytes(bytes) => integer::parse_i64(bytes),
            _ => None,
        }
    }

    /// Elements of a collection; `None` of a string.
    pub fn elements(self) -> Option<usize> {
        match self {
            Self::Int(_) | Self::Bytes(_) => None,
            Self::List(list) => Some(list.len()),
            Self::Set(set) => Some(set.len()),
            Self::ZSet(zset) => Some(zset.len()),
            Self::Hash(hash) => Some(hash.len()),
        }
    }

    /// Whether it is a collection without elements, which no key may hold.
    pub fn is_empty_collection(self) -> bool {
        self.elements() == Some(0)
    }
}
