//! Integers as text: which strings count as one (Redis's rule), and writing one without allocating.
//! Guards I1 in part: [`IntText`] is what the fork child prints integers with.

/// Longest text of an `i64`: `-9223372036854775808`.
pub const INT_TEXT_BYTES_MAX: usize = 20;

/// Parse the canonical text of an `i64`: no sign but `-`, no leading zero, no `-0`, no blank, in
/// range. Canonical means that writing the number gives the same bytes again, so a string may be
/// kept as a number.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > INT_TEXT_BYTES_MAX {
        return None;
    }
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counted downwards: the negative range is the larger one.
    let mut negated: i64 = 0;
    for digit in digits {
        let value = i64::from(digit.wrapping_sub(b'0'));
        if value > 9 {
            return None;
        }
        negated = negated.checked_mul(10)?.checked_sub(value)?;
    }
    if is_negative { Some(negated) } else { negated.checked_neg() }
}

/// The text of an integer, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct IntText {
    bytes: [u8; INT_TEXT_BYTES_MAX],
    start: u8,
}

impl IntText {
    /// Write `value`.
    pub fn new(value: i64) -> Self {
        let mut bytes = [0; INT_TEXT_BYTES_MAX];
        let mut start = INT_TEXT_BYTES_MAX;
        let mut rest = value.unsigned_abs();
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1;
            bytes[start] = b'-';
        }
        Self { bytes, start: start as u8 }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

impl std::ops::Deref for IntText {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_edge_parses_back() {
        for value in [0, 1, -1, 9, 10, -10, 99, 100, i64::MAX, i64::MIN, i64::MAX - 1] {
            let text = IntText::new(value);
            assert_eq!(text.as_bytes(), value.to_string().as_bytes());
            assert_eq!(parse_i64(&text), Some(value));
        }
    }

    #[test]
    fn text_that_is_not_canonical_stays_text() {
        let texts: [&[u8]; 15] = [
            b"",
            b"-",
            b"-0",
            b"00",
            b"01",
            b"-01",
            b"+1",
            b" 1",
            b"1 ",
            b"1.0",
            b"1e3",
            b"\x30\x00",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"123456789012345678901",
        ];
        for text in texts {
            assert_eq!(parse_i64(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
