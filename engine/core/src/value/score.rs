//! Scores as text: what C's `%.17g` prints and what its `strtod` reads, without C, so that both
//! give the digits that Redis gives and neither asks the locale.
//! Not here: what a command refuses ([`parse`] is ZADD's rule, [`parse_prefix`] lets a caller have
//! its own). Guards I1: [`ScoreText`] allocates nothing.

use std::fmt::Write;

/// Longest text of a score: `-4.9406564584124654e-324`.
const TEXT_BYTES_MAX: usize = 32;
/// Significant digits of `%.17g`.
const DIGITS: i32 = 17;

/// The text of a score, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct ScoreText {
    bytes: [u8; TEXT_BYTES_MAX],
    len: u8,
}

impl Write for ScoreText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

impl std::ops::Deref for ScoreText {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl ScoreText {
    const EMPTY: Self = Self { bytes: [0; TEXT_BYTES_MAX], len: 0 };

    /// Write `score` as `%.17g` does: 17 significant digits, zeros at the end cut, in the form that
    /// is shorter.
    pub fn new(score: f64) -> Self {
        if !score.is_finite() {
            return Self::of(if score.is_nan() {
                "nan"
            } else if score > 0.0 {
                "inf"
            } else {
                "-inf"
            });
        }
        if let Some(whole) = small_integer(score) {
            let mut text = Self::EMPTY;
            text.append(&super::integer::IntText::new(whole));
            return text;
        }
        // `d.dddddddddddddddde<exponent>`, rounded exactly.
        let mut exact = Self::EMPTY;
        // Infallible: `write_str` never fails.
        let _ = write!(exact, "{:.16e}", score.abs());
        let mut text = Self::EMPTY;
        if score.is_sign_negative() {
            text.push(b'-');
        }
        let mark = exact.iter().position(|byte| *byte == b'e').unwrap_or(exact.len());
        let (digits, exponent) = exact.split_at(mark);
        text.lay_out(digits, read_exponent(exponent.get(1..).unwrap_or_default()));
        text
    }

    fn of(text: &str) -> Self {
        let mut made = Self::EMPTY;
        made.append(text.as_bytes());
        made
    }

    /// Put the point where `%g` has it; `digits` are `d.ddd...`.
    fn lay_out(&mut self, digits: &[u8], exponent: i32) {
        let mut digits = digits.iter().copied().filter(|byte| *byte != b'.');
        let mut kept = [b'0'; DIGITS as usize];
        kept.iter_mut().for_each(|place| *place = digits.next().unwrap_or(b'0'));
        let end = kept.iter().rposition(|byte| *byte != b'0').map_or(1, |last| last + 1);
        let kept = kept.get(..end).unwrap_or_default();
        if !(-4..DIGITS).contains(&exponent) {
            self.append_pointed(kept, 1);
            self.push(b'e');
            self.push(if exponent < 0 { b'-' } else { b'+' });
            // Infallible, as above. At least two digits, as C has it.
            let _ = write!(self, "{:02}", exponent.unsigned_abs());
        } else if exponent < 0 {
            self.append(b"0.");
            (exponent + 1..0).for_each(|_| self.push(b'0'));
            self.append(kept);
        } else {
            self.append_pointed(kept, exponent as usize + 1);
        }
    }

    /// Digits with a point after `whole` of them, and none at the end.
    fn append_pointed(&mut self, digits: &[u8], whole: usize) {
        (0..whole).for_each(|at| self.push(digits.get(at).copied().unwrap_or(b'0')));
        if let Some(rest) = digits.get(whole..).filter(|rest| !rest.is_empty()) {
            self.push(b'.');
            self.append(rest);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(*byte));
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }
}

/// The score as an integer that `%.17g` prints in all its digits; -0 is none.
fn small_integer(score: f64) -> Option<i64> {
    const BELOW: f64 = 1e16;
    let whole = score as i64;
    (score.abs() < BELOW && whole as f64 == score && !(whole == 0 && score.is_sign_negative()))
        .then_some(whole)
}

fn read_exponent(text: &[u8]) -> i32 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Read a score as ZADD and ZINCRBY do: the whole text, no blank before it, no NaN, nothing that
/// overflows or vanishes.
pub fn parse(text: &[u8]) -> Option<f64> {
    if text.first().is_none_or(|byte| is_blank(*byte)) {
        return None;
    }
    let prefix = parse_prefix(text);
    (prefix.bytes == text.len() && !prefix.is_out_of_range && !prefix.value.is_nan())
        .then_some(prefix.value)
}

/// What `strtod` made of the beginning of a text.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// The number; 0 when there is none.
    pub value: f64,
    /// Bytes that belong to it, blanks before it included; 0 when there is none.
    pub bytes: usize,
    /// The text named a number too large, or so small that nothing of it is left.
    pub is_out_of_range: bool,
}

/// Read the longest beginning of `text` that C's `strtod` takes for a number.
pub fn parse_prefix(text: &[u8]) -> Prefix {
    let none = Prefix { value: 0.0, bytes: 0, is_out_of_range: false };
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    let signed = text.get(blanks..).unwrap_or_default();
    let (is_negative, body) = match signed {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    let Some(found) = magnitude(body) else { return none };
    Prefix {
        value: if is_negative { -found.value } else { found.value },
        bytes: text.len() - body.len() + found.bytes,
        is_out_of_range: found.is_out_of_range,
    }
}

/// C's `isspace`.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number without its sign.
fn magnitude(text: &[u8]) -> Option<Prefix> {
    let whole = |value, bytes| Some(Prefix { value, bytes, is_out_of_range: false });
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins(b"infinity") {
        return whole(f64::INFINITY, 8);
    }
    if begins(b"inf") {
        return whole(f64::INFINITY, 3);
    }
    if begins(b"nan") {
        return whole(f64::NAN, 3 + nan_tail(text.get(3..).unwrap_or_default()));
    }
    if begins(b"0x") {
        // Without digits after it, the 0 alone is the number.
        return super::hex_float::read(text.get(2..).unwrap_or_default())
            .map(|found| Prefix { bytes: found.bytes + 2, ..found })
            .or_else(|| whole(0.0, 1));
    }
    decimal(text)
}

/// The `(...)` that may follow `nan`.
fn nan_tail(text: &[u8]) -> usize {
    let [b'(', rest @ ..] = text else { return 0 };
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let end = word.count();
    if rest.get(end) == Some(&b')') { end + 2 } else { 0 }
}

fn decimal(text: &[u8]) -> Option<Prefix> {
    let digits = |from: usize| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let whole = digits(0);
    let mut end = whole;
    let mut count = whole;
    if text.get(end) == Some(&b'.') {
        let decimals = digits(end + 1);
        count += decimals;
        end += 1 + decimals;
    }
    if count == 0 {
        return None;
    }
    let mantissa = text.get(..end)?;
    let has_value = mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    // Rust takes the same decimal texts as C and rounds them as exactly.
    let value: f64 = std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()?;
    let is_out_of_range = value.is_infinite() || (value == 0.0 && has_value);
    Some(Prefix { value, bytes: end, is_out_of_range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::seeded::Seeded;

    fn text(score: f64) -> String {
        String::from_utf8(ScoreText::new(score).to_vec()).unwrap()
    }

    /// The texts are those of redis-server 7.0 for the same scores.
    #[test]
    fn scores_are_printed_as_c_prints_them() {
        for (score, expected) in [
            (0.1, "0.10000000000000001"),
            (1e300, "1.0000000000000001e+300"),
            (3.0, "3"),
            (-0.0, "-0"),
            (0.0, "0"),
            (1e21, "1e+21"),
            (5e-324, "4.9406564584124654e-324"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (99_999_999_999_999_984.0, "99999999999999984"),
            (4_611_686_018_427_387_904.0, "4.6116860184273879e+18"),
            (123_456.789, "123456.789"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (-1.5e-7, "-1.4999999999999999e-07"),
            (4_503_599_627_370_497.0 / 4.0, "1125899906842624.2"),
            (4_503_599_627_370_499.0 / 4.0, "1125899906842624.8"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(text(score), expected);
        }
    }

    #[test]
    fn printed_scores_are_read_back_exactly() {
        let mut random = Seeded::from_environment("score");
        for _ in 0..20_000 {
            let score = match random.below(3) {
                0 => f64::from_bits(random.draw()),
                1 => random.int() as f64 / 8.0,
                _ => random.int() as f64 / 1000.0,
            };
            if !score.is_nan() {
                let back = parse(text(score).as_bytes());
                assert_eq!(back.map(f64::to_bits), Some(score.to_bits()), "{}", text(score));
            }
        }
    }

    /// As redis-server 7.0 takes and refuses them in ZADD.
    #[test]
    fn texts_are_read_as_zadd_reads_them() {
        for (text, expected) in [
            ("0x1f", 31.0),
            ("0x1p-3", 0.125),
            ("0X.8P1", 1.0),
            ("-0x1.8", -1.5),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080001p0", 1.000_000_000_000_000_2),
            ("0x10000000000000000000000p-80", 256.0),
            ("0x1p-1074", 5e-324),
            ("0x.fffffffffffff8p1024", f64::MAX),
            ("inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1.", 1.0),
            (".5", 0.5),
            ("+7e2", 700.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "1e400",
            "1e-400",
            "1e-324",
            "nan",
            "-nan",
            "nan(1)",
            " 1",
            "1 ",
            ".",
            "",
            "0x",
            "infi",
            "1e",
            "1e5x",
            "+-1",
            "1d",
            "0x1p",
            "1_0",
            "-",
            "0x1p1024",
            "0x1p-1075",
            "1\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_prefix_ends_where_strtod_stops() {
        for (text, value, bytes) in [
            ("", 0.0, 0),
            ("x", 0.0, 0),
            (" \t12abc", 12.0, 4),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("0x", 0.0, 1),
            ("0xg", 0.0, 1),
            ("0x1p", 1.0, 3),
            ("-infinit", f64::NEG_INFINITY, 4),
            ("1.5.5", 1.5, 3),
            ("-", 0.0, 0),
        ] {
            let prefix = parse_prefix(text.as_bytes());
            assert_eq!((prefix.value, prefix.bytes), (value, bytes), "{text:?}");
        }
        for (text, bytes) in [("nan", 3), ("nan(a_1)x", 8), ("nan(", 3), ("nan(-)", 3)] {
            let prefix = parse_prefix(text.as_bytes());
            assert!(prefix.value.is_nan(), "{text}");
            assert_eq!(prefix.bytes, bytes, "{text}");
        }
    }
}
