//! What a key can hold. Strings today; the other types join here.
//! `layout`, `entry_ref` and `entry` are an entry in memory, `string` the operations that change a
//! string, `integer` numbers as text, `listpack` and `intset` the packed formats over `growable`.
//! Checklist, adding a type: [`Type`], [`ValueRef`], `layout::Encoding` (a boxed collection),
//! `keyspace::digest`, `rdb`.

pub(crate) mod entry;
pub(crate) mod entry_ref;
pub mod growable;
pub mod integer;
pub mod intset;
pub(crate) mod layout;
pub mod listpack;
pub mod packing;
#[cfg(test)]
pub(crate) mod seeded;
pub(crate) mod string;

use integer::IntText;

/// A value as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string kept as an integer.
    Int(i64),
    /// A string's bytes.
    Bytes(&'a [u8]),
}

/// A value as it is stored. Bytes that are a canonical integer (Redis's rule: at most 20
/// characters) become [`ValueRef::Int`].
#[derive(Debug, Clone, Copy)]
pub enum NewValue<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

/// Redis's types, with the numbers that RDB and DEBUG DIGEST use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string.
    String = 0,
}

impl Type {
    /// Redis's name, as TYPE answers it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
        }
    }
}

/// A string's text: borrowed bytes, or an integer written out on the stack. Never allocates.
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
        Type::String
    }

    /// The string as text (what GET answers).
    pub fn text(self) -> Text<'a> {
        match self {
            Self::Int(value) => Text::Digits(IntText::new(value)),
            Self::Bytes(bytes) => Text::Borrowed(bytes),
        }
    }

    /// The string as a canonical integer, if it is one. A string that was made by APPEND can be,
    /// without being an `Int`.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bytes(bytes) => integer::parse_i64(bytes),
        }
    }
}
