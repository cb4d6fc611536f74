//! RESP: bytes to commands (`parse`, `inline`) and replies to bytes (`reply`).
//! Knows nothing of what commands mean and of sockets. Every length is checked (I7).

pub mod args;
pub mod inline;
pub mod parse;
pub mod reply;

pub use args::{Args, Range};
pub use parse::{Batch, Parser};
pub use reply::Reply;
