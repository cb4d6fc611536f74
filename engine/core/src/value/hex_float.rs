//! Hexadecimal floating point as C's `strtod` reads it (`0x1.8p3`): scores may be written so.
//! Not here: signs, the `0x`, decimal texts (`score`).

use super::score::Prefix;

/// Exponents beyond this are all the same: nothing, or infinity.
const EXPONENT_MAX: i64 = 1 << 40;
/// Bits of a double's mantissa.
const MANTISSA_BITS: i64 = 53;
/// Exponent of the lowest bit that a double can have.
const EXPONENT_MIN: i64 = -1074;

/// Read what follows `0x`; `None` without a digit.
pub(super) fn read(text: &[u8]) -> Option<Prefix> {
    let (mut mantissa, mut is_sticky, mut exponent) = (0_u64, false, 0_i64);
    let (mut end, mut digits, mut has_point) = (0, 0, false);
    while let Some(&byte) = text.get(end) {
        if byte == b'.' && !has_point {
            has_point = true;
        } else if let Some(digit) = char::from(byte).to_digit(16) {
            digits += 1;
            if mantissa >> 60 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= if has_point { 4 } else { 0 };
            } else {
                is_sticky |= digit != 0;
                exponent += if has_point { 0 } else { 4 };
            }
        } else {
            break;
        }
        end += 1;
    }
    if digits == 0 {
        return None;
    }
    let (power, power_bytes) = read_power(text.get(end..).unwrap_or_default());
    let value = round(mantissa, is_sticky, exponent + power);
    let is_out_of_range = value.is_infinite() || (value == 0.0 && mantissa != 0);
    Some(Prefix { value, bytes: end + power_bytes, is_out_of_range })
}

/// The `p<sign><digits>` and how long it is.
fn read_power(text: &[u8]) -> (i64, usize) {
    let [b'p' | b'P', rest @ ..] = text else { return (0, 0) };
    let (is_negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return (0, 0);
    }
    let power = digits.iter().take(count).fold(0_i64, |power, digit| {
        (power.saturating_mul(10) + i64::from(digit - b'0')).min(EXPONENT_MAX)
    });
    let bytes = text.len() - digits.len() + count;
    (if is_negative { -power } else { power }, bytes)
}

/// `mantissa * 2^exponent`, to the nearest, ties to even; `is_sticky` says that a little more was
/// cut off below.
fn round(mantissa: u64, is_sticky: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = 64 - i64::from(mantissa.leading_zeros());
    // The place of the lowest bit that is kept.
    let lowest = (exponent + bits - MANTISSA_BITS).max(EXPONENT_MIN);
    let dropped = lowest - exponent;
    let kept = match dropped {
        ..=0 => mantissa << (-dropped).min(63),
        1..=63 => {
            let (kept, rest) = (mantissa >> dropped, mantissa & ((1 << dropped) - 1));
            let half = 1_u64 << (dropped - 1);
            let is_up = rest > half || (rest == half && (is_sticky || kept & 1 == 1));
            kept + u64::from(is_up)
        }
        64 => u64::from(mantissa > 1 << 63 || (mantissa == 1 << 63 && is_sticky)),
        _ => 0,
    };
    scaled(kept as f64, lowest)
}

/// Exactly `value * 2^power` for a value of at most 54 bits whose lowest bit may be at `power`.
fn scaled(mut value: f64, mut power: i64) -> f64 {
    const STEP: i64 = 512;
    let up = f64::from_bits((1023 + STEP as u64) << 52);
    let down = f64::from_bits((1023 - STEP as u64) << 52);
    let steps_max = 6;
    for _ in 0..steps_max {
        match power {
            STEP.. => {
                value *= up;
                power -= STEP;
            }
            ..=-512 => {
                value *= down;
                power += STEP;
            }
            _ => break,
        }
    }
    let rest = power.clamp(-STEP, STEP);
    value * f64::from_bits(((1023 + rest) as u64) << 52)
}
