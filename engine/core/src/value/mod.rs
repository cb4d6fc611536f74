//! What a key can hold. Strings today; the other types join here. R1 owns this room.

/// A value as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string kept as an integer.
    Int(i64),
    /// A string's bytes.
    Bytes(&'a [u8]),
}

/// A value as it is stored. Bytes that are a canonical integer (Redis's rule: at most 20 characters) become [`ValueRef::Int`].
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

impl ValueRef<'_> {
    /// The type.
    pub fn type_of(&self) -> Type {
        Type::String
    }
}
