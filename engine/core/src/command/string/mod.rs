//! Commands on strings. Bit and HyperLogLog commands are not here yet.

pub mod get;
pub mod lcs;
pub mod number;
pub mod options;
pub mod set;
