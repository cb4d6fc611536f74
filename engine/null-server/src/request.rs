//! One command out of a buffer: an array of bulk strings, no copy. A line that is not RESP is
//! refused; how long a command may be is the only limit, since nothing is kept of it.

use std::io;

/// Longer than any command of the bench; a client that sends more is let go.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// A command that is whole: its name, and how many bytes of the buffer it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The first argument, as sent.
    pub name: &'a [u8],
    /// Bytes of the buffer up to the next command.
    pub length: usize,
}

/// Take the command at the start of `buffer`, or `None` when it is not whole yet.
///
/// # Errors
/// `InvalidData` when it is no array of bulk strings, or longer than the limit.
pub fn next_request(buffer: &[u8]) -> io::Result<Option<Request<'_>>> {
    if buffer.len() > COMMAND_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some((count, mut at)) = number_after(b'*', buffer, 0)? else {
        return Ok(None);
    };
    let mut name: &[u8] = &[];
    for index in 0..count {
        let Some((length, begin)) = number_after(b'$', buffer, at)? else {
            return Ok(None);
        };
        let Some(bulk) = buffer.get(begin..begin + length) else {
            return Ok(None);
        };
        if index == 0 {
            name = bulk;
        }
        at = begin + length + 2;
    }
    let is_whole = at <= buffer.len();
    Ok(is_whole.then_some(Request { name, length: at }))
}

/// Read `<mark><digits>\r\n` at `at`; give the number and where the line ends.
fn number_after(mark: u8, buffer: &[u8], at: usize) -> io::Result<Option<(usize, usize)>> {
    let Some(line) = buffer.get(at..).filter(|line| !line.is_empty()) else {
        return Ok(None);
    };
    if line.first() != Some(&mark) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut number = 0_usize;
    for (index, byte) in line.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' if number < COMMAND_BYTES_MAX => {
                number = number * 10 + usize::from(byte - b'0');
            }
            b'\r' => return Ok(Some((number, at + index + 2))),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n";

    #[test]
    fn a_whole_command_gives_its_name_and_length() {
        let two = [SET, SET].concat();
        let found = next_request(&two).unwrap().unwrap();
        assert_eq!(found, Request { name: b"SET", length: SET.len() });
    }

    #[test]
    fn a_command_cut_anywhere_waits_for_the_rest() {
        for end in 0..SET.len() {
            assert_eq!(next_request(&SET[..end]).unwrap(), None, "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_array_of_bulk_strings_is_refused() {
        for wrong in [&b"PING\r\n"[..], b"*1\r\n+PING\r\n", b"*x\r\n", b"*99999999999\r\n"] {
            assert!(next_request(wrong).is_err(), "{wrong:?}");
        }
    }
}
