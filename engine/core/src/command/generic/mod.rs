//! Commands on keys of any type and on whole databases.

pub mod database;
pub mod expire;
pub mod keys;
pub mod object;
pub mod scan;
pub mod sort;
mod sort_rows;
