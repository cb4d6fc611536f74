//! Set commands. What a set is stands in `value::set`.

pub mod algebra;
pub mod change;
pub mod pick;
pub mod read;
