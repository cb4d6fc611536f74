//! Hash commands. What a hash is stands in `value::hash`.

pub mod change;
pub mod number;
pub mod pick;
pub mod read;
