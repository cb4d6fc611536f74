//! Commands on the connection: greeting, names, CLIENT, and transactions (their state belongs to
//! the session).

pub mod client;
pub mod client_kill;
pub mod client_pause;
pub mod session;
pub mod transaction;
pub mod waitaof;
