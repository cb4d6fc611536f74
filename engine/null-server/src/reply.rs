//! What the null server says: to each command of `redis-benchmark` a reply of the right shape and
//! size, always the same one.

use std::io;
use std::sync::LazyLock;

use crate::request::next_request;

const VALUE: &[u8] = b"$64\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";
const ELEMENTS_IN_RANGE: usize = 100;

static RANGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let head = format!("*{ELEMENTS_IN_RANGE}\r\n");
    [head.as_bytes(), &VALUE.repeat(ELEMENTS_IN_RANGE)].concat()
});

/// Answer every whole command of `buffer` into `answer`; give how many bytes they took.
///
/// # Errors
/// `InvalidData` when the bytes are no commands.
pub fn answer_all(buffer: &[u8], answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while let Some(request) = next_request(buffer.get(used..).unwrap_or_default())? {
        answer.extend_from_slice(reply_to(request.name));
        used += request.length;
    }
    Ok(used)
}

fn reply_to(name: &[u8]) -> &'static [u8] {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    match name.first().map(u8::to_ascii_uppercase) {
        Some(b'G') => VALUE,
        Some(b'S') if is("SET") => b"+OK\r\n",
        Some(b'S') if is("SPOP") => VALUE,
        Some(b'M') => b"+OK\r\n",
        Some(b'R') if is("RPOP") => VALUE,
        Some(b'L') if is("LRANGE") => &RANGE,
        Some(b'Z') if is("ZPOPMIN") => b"*2\r\n$20\r\nelement:000000000000\r\n$1\r\n0\r\n",
        Some(b'C') => b"*0\r\n",
        Some(b'P') => b"+PONG\r\n",
        _ => b":1\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_a_pipeline_is_answered_and_the_rest_is_left() {
        let mut answer = Vec::new();
        let pipeline = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$4\r\nincr\r\n$1\r\nk\r\n*2\r\n$3";
        let used = answer_all(pipeline, &mut answer).unwrap();
        assert_eq!(&pipeline[used..], b"*2\r\n$3");
        assert_eq!(answer, [VALUE, b":1\r\n"].concat());
    }

    #[test]
    fn a_range_is_a_hundred_values() {
        assert_eq!(reply_to(b"lrange").len(), b"*100\r\n".len() + 100 * VALUE.len());
    }
}
