//! RESP: bytes to commands (`parse`) and replies to bytes (`reply`). Knows nothing of what commands mean. R3 owns this room.

pub mod parse;
pub mod reply;

pub use parse::{Args, Parser};
pub use reply::Reply;
