//! Floating point as INCRBYFLOAT shows it: Redis computes in C's `long double`, which on x86-64 is
//! the 80-bit extended format, and prints it with `%.17Lf`, trailing zeros cut. Rust has no such
//! type, and doubles would show other digits (0.1 + 0.2 is 0.3 there and 0.30000000000000004 here),
//! so the three operations needed are done in integers, exactly: text to number, sum, number to
//! text. A finite number is `mantissa * 2^exponent` with the mantissa's top bit set. Limit: numbers
//! below 2^-16382 keep 64 bits of mantissa instead of losing some; 17 decimals show nothing of
//! them.

use crate::value::integer::IntText;

/// Texts of this length or more are not numbers (Redis's bound).
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Largest exponent of a finite number: 2^16384 is too much.
const EXPONENT_MAX: i64 = 16383 - 63;
/// Below this a number is zero.
const EXPONENT_MIN: i64 = -16446 - 63;
const DECIMALS: u32 = 17;

/// An 80-bit extended number, or infinity of either sign (nothing here needs to tell them apart, or
/// from NaN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    is_negative: bool,
    is_infinite: bool,
    mantissa: u64,
    exponent: i64,
}

impl Extended {
    /// Nothing.
    pub const ZERO: Self =
        Self { is_negative: false, is_infinite: false, mantissa: 0, exponent: 0 };
    const INFINITE: Self = Self { is_infinite: true, ..Self::ZERO };

    /// Read what C's `strtold` reads, as a whole, without leading space; `None` also where it
    /// overflows or underflows.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (is_negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::INFINITE);
        }
        let magnitude = match rest {
            [b'0', b'x' | b'X', hex @ ..] => parse_digits(hex, 16)?.into_binary()?,
            decimal => parse_digits(decimal, 10)?.into_decimal()?,
        };
        Some(Self { is_negative, ..magnitude })
    }

    /// The sum, rounded to the nearest (ties to even), or infinity.
    pub fn add(self, other: Self) -> Self {
        if self.is_infinite || other.is_infinite {
            return Self::INFINITE;
        }
        if self.mantissa == 0 || other.mantissa == 0 {
            return if self.mantissa == 0 { other } else { self };
        }
        let is_self_larger = (self.exponent, self.mantissa) >= (other.exponent, other.mantissa);
        let (large, small) = if is_self_larger { (self, other) } else { (other, self) };
        // 62 guard bits below the larger mantissa; what the smaller loses below them is kept as one
        // sticky bit.
        let wide = u128::from(large.mantissa) << 62;
        let shifted =
            shift_right_sticky(u128::from(small.mantissa) << 62, large.exponent - small.exponent);
        let sum =
            if large.is_negative == small.is_negative { wide + shifted } else { wide - shifted };
        let rounded = round(sum, false, large.exponent - 62).unwrap_or(Self::INFINITE);
        Self { is_negative: large.is_negative && sum != 0, ..rounded }
    }

    /// Whether it is a number.
    pub fn is_finite(self) -> bool {
        !self.is_infinite
    }

    /// At most 17 decimals, trailing zeros cut; `-0` is `0`.
    pub fn to_text(self) -> String {
        let (whole, decimals) = if self.exponent >= 0 {
            let mut big = Big::from(u128::from(self.mantissa));
            big.shift_left(self.exponent as usize);
            (big.into_text(), 0)
        } else {
            let scaled = u128::from(self.mantissa) * 10u128.pow(DECIMALS);
            let scaled = round_right(scaled, self.exponent.unsigned_abs());
            let unit = 10u128.pow(DECIMALS);
            ((scaled / unit).to_string(), scaled % unit)
        };
        let mut text = whole;
        if decimals != 0 {
            let digits = format!("{decimals:017}");
            text = format!("{text}.{}", digits.trim_end_matches('0'));
        }
        if self.is_negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// Digits before an exponent: the number is `digits * base^scale`, with `shift` from the text's own
/// exponent part.
struct Parsed {
    digits: Big,
    count: i64,
    scale: i64,
    exponent: i64,
}

/// Read digits with at most one point, then an exponent part (`e` or, for base 16, `p`), up to the
/// end of the text.
fn parse_digits(text: &[u8], base: u32) -> Option<Parsed> {
    let mut parsed = Parsed { digits: Big::default(), count: 0, scale: 0, exponent: 0 };
    let mark = if base == 16 { b'p' } else { b'e' };
    let (mut has_point, mut has_digit) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if let Some(digit) = char::from(byte).to_digit(base) {
            has_digit = true;
            parsed.digits.multiply_add(base, digit);
            parsed.count += i64::from(!parsed.digits.is_zero());
            parsed.scale -= i64::from(has_point);
        } else if byte == b'.' && !has_point {
            has_point = true;
        } else if byte.eq_ignore_ascii_case(&mark) && has_digit {
            parsed.exponent = parse_exponent(&text[at + 1..])?;
            break;
        } else {
            return None;
        }
    }
    has_digit.then_some(parsed)
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(if is_negative { -value } else { value })
}

impl Parsed {
    fn into_binary(self) -> Option<Extended> {
        if self.digits.is_zero() {
            return Some(Extended::ZERO);
        }
        let (top, has_more, dropped) = self.digits.top_bits();
        round(top, has_more, dropped + self.scale * 4 + self.exponent)
    }

    fn into_decimal(self) -> Option<Extended> {
        const DECIMAL_EXPONENT_MAX: i64 = 4940;
        const DECIMAL_EXPONENT_MIN: i64 = -4970;
        if self.digits.is_zero() {
            return Some(Extended::ZERO);
        }
        let power = self.scale + self.exponent;
        if !(DECIMAL_EXPONENT_MIN..=DECIMAL_EXPONENT_MAX).contains(&(self.count + power)) {
            return None;
        }
        let mut numerator = self.digits;
        if power >= 0 {
            numerator.multiply_power_of_ten(power as usize);
            let (top, has_more, dropped) = numerator.top_bits();
            return round(top, has_more, dropped);
        }
        let mut divisor = Big::from(1);
        divisor.multiply_power_of_ten(power.unsigned_abs() as usize);
        divide(numerator, divisor)
    }
}

/// `numerator / divisor`, rounded: 67 or so bits of the quotient by shifting and subtracting, the
/// rest as a sticky bit.
fn divide(mut numerator: Big, mut divisor: Big) -> Option<Extended> {
    const QUOTIENT_BITS: i64 = 67;
    let shift = QUOTIENT_BITS - (numerator.bits() - divisor.bits());
    if shift >= 0 {
        numerator.shift_left(shift as usize);
    } else {
        divisor.shift_left(shift.unsigned_abs() as usize);
    }
    divisor.shift_left(QUOTIENT_BITS as usize);
    let mut quotient: u128 = 0;
    for _ in 0..=QUOTIENT_BITS {
        quotient <<= 1;
        if numerator.subtract_if_not_less(&divisor) {
            quotient |= 1;
        }
        numerator.shift_left(1);
    }
    round(quotient, !numerator.is_zero(), -shift)
}

/// Keep 64 bits of `value * 2^exponent`, to the nearest, ties to even. `None` past the format's
/// range.
fn round(value: u128, has_more_below: bool, exponent: i64) -> Option<Extended> {
    if value == 0 {
        return Some(Extended::ZERO);
    }
    let length = 128 - i64::from(value.leading_zeros());
    let mut exponent = exponent + length - 64;
    let mut mantissa = if length <= 64 {
        (value as u64) << (64 - length)
    } else {
        let dropped = (length - 64) as u32;
        let (kept, rest, half) =
            ((value >> dropped) as u64, value & ((1 << dropped) - 1), 1 << (dropped - 1));
        let is_up = rest > half || (rest == half && (has_more_below || kept & 1 == 1));
        let (rounded, is_carry) = kept.overflowing_add(u64::from(is_up));
        exponent += i64::from(is_carry);
        if is_carry { 1 << 63 } else { rounded }
    };
    if !(EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) {
        mantissa = 0;
    }
    (mantissa != 0).then_some(Extended { mantissa, exponent, ..Extended::ZERO })
}

fn shift_right_sticky(value: u128, places: i64) -> u128 {
    match places {
        0 => value,
        1..=127 => (value >> places) | u128::from(value & ((1 << places) - 1) != 0),
        _ => u128::from(value != 0),
    }
}

/// `value / 2^places`, to the nearest, ties to even.
fn round_right(value: u128, places: u64) -> u128 {
    if places > 126 {
        return 0;
    }
    let (kept, rest, half) = (value >> places, value & ((1 << places) - 1), 1u128 << (places - 1));
    kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
}

/// A natural number in words of 32 bits, the lowest first, without zero words at the top.
#[derive(Debug, Clone, Default)]
struct Big(Vec<u32>);

impl From<u128> for Big {
    fn from(value: u128) -> Self {
        let mut big = Self((0..4).map(|word| (value >> (32 * word)) as u32).collect());
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
    fn bits(&self) -> i64 {
        self.0.last().map_or(0, |top| self.0.len() as i64 * 32 - i64::from(top.leading_zeros()))
    }
    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for word in &mut self.0 {
            carry += u64::from(*word) * u64::from(factor);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }
    fn multiply_power_of_ten(&mut self, mut power: usize) {
        while power > 0 {
            let step = power.min(9);
            self.multiply_add(10u32.pow(step as u32), 0);
            power -= step;
        }
    }
    fn shift_left(&mut self, places: usize) {
        let bits = (places % 32) as u32;
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        if !self.is_zero() && places >= 32 {
            self.0.splice(0..0, std::iter::repeat_n(0, places / 32));
        }
    }
    /// Subtract `other` if that is possible, and say so.
    fn subtract_if_not_less(&mut self, other: &Self) -> bool {
        let is_less = self
            .0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if is_less.is_lt() {
            return false;
        }
        let mut borrow = 0i64;
        for (at, word) in self.0.iter_mut().enumerate() {
            let left = i64::from(*word) - i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            *word = left as u32;
            borrow = left >> 32;
        }
        self.trim();
        true
    }
    /// The highest 96 to 128 bits, whether any lower bit is set, and how many bits are below.
    fn top_bits(&self) -> (u128, bool, i64) {
        let below = self.0.len().saturating_sub(4);
        let top =
            self.0[below..].iter().rev().fold(0u128, |top, word| (top << 32) | u128::from(*word));
        (top, self.0[..below].iter().any(|word| *word != 0), below as i64 * 32)
    }
    fn into_text(mut self) -> String {
        const CHUNK: u32 = 1_000_000_000;
        let mut chunks = Vec::new();
        while !self.is_zero() {
            let mut rest = 0u64;
            for word in self.0.iter_mut().rev() {
                rest = (rest << 32) | u64::from(*word);
                *word = (rest / u64::from(CHUNK)) as u32;
                rest %= u64::from(CHUNK);
            }
            self.trim();
            chunks.push(rest);
        }
        let Some(first) = chunks.pop() else { return "0".to_owned() };
        let head = String::from_utf8_lossy(&IntText::new(first as i64)).into_owned();
        chunks.iter().rev().fold(head, |text, chunk| format!("{text}{chunk:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Extended;

    fn sum(a: &str, b: &str) -> String {
        Extended::parse(a.as_bytes()).unwrap().add(Extended::parse(b.as_bytes()).unwrap()).to_text()
    }

    /// Expected values are those of a real redis-server 7.0 on x86-64.
    #[test]
    fn sums_show_the_digits_of_long_double() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3", "1.000000000000000005"), "4.00000000000000001");
        assert_eq!(sum("-1", "1"), "0");
        assert_eq!(sum("0", "-0.000000000000000001"), "0");
        assert_eq!(sum("1e30", "0"), "1000000000000000000024696061952");
        assert_eq!(sum("0x10", "0x.8"), "16.5");
        assert_eq!(sum("1e-400", "3"), "3");
    }

    #[test]
    fn texts_that_are_no_numbers_are_refused() {
        for text in
            ["", " 1", "1 ", "1e", "1e+", ".", "-", "0x", "nan", "1e5000", "1e-5000", "1.2.3"]
        {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(!Extended::parse(b"-Infinity").unwrap().is_finite());
        assert!(!sum_is_finite("1e4932", "1e4932"));
    }

    fn sum_is_finite(a: &str, b: &str) -> bool {
        Extended::parse(a.as_bytes())
            .unwrap()
            .add(Extended::parse(b.as_bytes()).unwrap())
            .is_finite()
    }
}
