//! From a request's fields to commands that the handlers take: one buffer in the form in which the
//! log has them, with where each argument stands. Which commands a call cannot run is said here;
//! what commands mean is `command`'s business.

use bytes::Bytes;

use super::errors::Refusal;
use super::wire::Command;
use crate::command::Known;
use crate::effects::encode_header;
use crate::limits::{DATA_COMMANDS_MAX, DATA_REQUEST_BYTES_MAX};
use crate::resp::Args;
use crate::resp::args::Range;

/// Commands that speak of the connection they come by: here calls share connections, and each call
/// stands for itself.
const NEEDS_CONNECTION: [&[u8]; 27] = [
    b"asking",
    b"auth",
    b"client",
    b"discard",
    b"exec",
    b"hello",
    b"monitor",
    b"multi",
    b"psubscribe",
    b"psync",
    b"punsubscribe",
    b"quit",
    b"readonly",
    b"readwrite",
    b"replconf",
    b"reset",
    b"select",
    b"shutdown",
    b"ssubscribe",
    b"subscribe",
    b"sunsubscribe",
    b"sync",
    b"unsubscribe",
    b"unwatch",
    b"wait",
    b"waitaof",
    b"watch",
];

/// One command in the buffer.
struct Place {
    bytes: (usize, usize),
    ranges: (usize, usize),
    known: Known,
    /// It is answered with this error instead of being run.
    refusal: Option<String>,
}

/// Commands of one call, in order.
#[derive(Default)]
pub(super) struct Commands {
    buffer: Vec<u8>,
    ranges: Vec<Range>,
    places: Vec<Place>,
}

impl Commands {
    /// A single command.
    pub(super) fn one(args: &[&[u8]]) -> Self {
        let mut commands = Self::default();
        commands.push(args.len(), args.iter().copied());
        commands
    }

    /// What a caller sent, to be run one after the other. What needs a connection is answered with
    /// an error in its place.
    pub(super) fn several(sent: &[Command]) -> Result<Self, Refusal> {
        let mut commands = Self::checked(sent)?;
        for place in 0..commands.len() {
            let refusal = check_connection(commands.args(place).get(0)).err();
            commands.places[place].refusal = refusal.map(|refusal| refusal.message().to_owned());
        }
        Ok(commands)
    }

    /// What a caller sent; refused as a whole when one needs a connection.
    pub(super) fn all(sent: &[Command]) -> Result<Self, Refusal> {
        let commands = Self::checked(sent)?;
        for place in 0..commands.len() {
            check_connection(commands.args(place).get(0))?;
        }
        Ok(commands)
    }

    fn checked(sent: &[Command]) -> Result<Self, Refusal> {
        if sent.is_empty() {
            return Err(Refusal::invalid("`commands` is empty: give at least one command"));
        }
        if sent.len() > DATA_COMMANDS_MAX {
            let text = format!("{} commands, at most {DATA_COMMANDS_MAX} fit a call", sent.len());
            return Err(Refusal::too_many(&text));
        }
        let mut commands = Self::default();
        for command in sent {
            if command.args.first().is_none_or(Bytes::is_empty) {
                return Err(Refusal::invalid("a command has no name: `args` is empty"));
            }
            commands.push(command.args.len(), command.args.iter().map(AsRef::as_ref));
        }
        Ok(commands)
    }

    /// Add one.
    pub(super) fn push<'a>(&mut self, count: usize, args: impl Iterator<Item = &'a [u8]>) {
        let (start, first) = (self.buffer.len(), self.ranges.len());
        encode_header(&mut self.buffer, b'*', count);
        let mut known = None;
        for arg in args {
            known.get_or_insert_with(|| Known::look_up(arg));
            encode_header(&mut self.buffer, b'$', arg.len());
            // Fits: a message is smaller than the largest of these numbers.
            self.ranges.push(((self.buffer.len() - start) as u32, arg.len() as u32));
            self.buffer.extend_from_slice(arg);
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.places.push(Place {
            bytes: (start, self.buffer.len()),
            ranges: (first, self.ranges.len()),
            known: known.unwrap_or_default(),
            refusal: None,
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes that they take, with what stands beside them.
    pub(super) fn size_bytes(&self) -> usize {
        self.buffer.len() + size_of_val(&*self.ranges) + size_of_val(&*self.places)
    }

    /// The arguments of one.
    pub(super) fn args(&self, index: usize) -> Args<'_> {
        let place = &self.places[index];
        let bytes = &self.buffer[place.bytes.0..place.bytes.1];
        Args::new(bytes, &self.ranges[place.ranges.0..place.ranges.1])
    }

    /// What one calls.
    pub(super) fn known(&self, index: usize) -> Known {
        self.places[index].known
    }

    /// Why one is not to be run.
    pub(super) fn refusal(&self, index: usize) -> Option<&str> {
        self.places[index].refusal.as_deref()
    }
}

const _: () = assert!(DATA_REQUEST_BYTES_MAX < (u32::MAX / 4) as usize);

/// Refuse a command that needs a connection of its own.
fn check_connection(name: &[u8]) -> Result<(), Refusal> {
    let name = name.to_ascii_lowercase();
    if NEEDS_CONNECTION.binary_search(&name.as_slice()).is_err() {
        return Ok(());
    }
    let name = String::from_utf8_lossy(&name).to_uppercase();
    Err(Refusal::needs_connection(&format!(
        "ERR {name} needs a connection of its own: use a Redis client, or what a call of this API \
         has for it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stands_in_the_buffer_as_the_log_has_it() {
        let mut commands = Commands::one(&[b"SET", b"k", b""]);
        commands.push(1, [b"PING".as_slice()].into_iter());
        let set = commands.args(0);
        assert_eq!(set.request(), Some(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n".as_slice()));
        assert_eq!((set.len(), set.get(1), set.get(2)), (3, b"k".as_slice(), b"".as_slice()));
        assert_eq!(commands.args(1).request(), Some(b"*1\r\n$4\r\nPING\r\n".as_slice()));
    }

    #[test]
    fn commands_of_the_connection_are_found_whatever_their_case() {
        assert!(NEEDS_CONNECTION.is_sorted());
        for name in NEEDS_CONNECTION {
            assert!(check_connection(&name.to_ascii_uppercase()).is_err());
        }
        assert!(check_connection(b"get").is_ok());
    }
}
