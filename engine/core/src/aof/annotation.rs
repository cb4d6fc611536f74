//! Lines in a log that are no commands. Redis skips every line that begins with `#`, wherever a
//! command may begin; two kinds have a meaning:
//!
//! ```text
//! #TS:<unix s>\r\n                                        Redis's own, its tools cut at it
//! #PD:<epoch>:<offset>:<fsynced>:<unix ms>:<crc64>\r\n    ours
//!     │       │        │         │         └ 16 hex digits: CRC64 of all bytes of this file
//!     │       │        │         │           after the last such field (or from the file's
//!     │       │        │         │           start), this line up to here included
//!     │       │        │         └ when it was appended
//!     │       │        └ all bytes of the epoch before this offset were fsynced by then
//!     │       └ of this line's first byte, in the epoch's log (over all of its files)
//!     └ one unbroken log
//! ```
//! The checksum's field has a fixed width: a line is appended under the engine lock, and whoever
//! writes the bytes fills it in ([`Checksum`]). One stands at each end of every file that we wrote.

use crate::rdb::Crc64;

/// Longest line that is one, its `\r\n` included. Redis's own bound is 1023.
pub const LINE_BYTES_MAX: usize = 512;
/// Digits of the checksum.
pub const FIELD_BYTES: usize = 16;
/// What follows the checksum.
pub const END: &[u8] = b"\r\n";
/// What our lines begin with.
pub const MARK: &[u8] = b"#PD:";

/// What a `#PD:` line says, its checksum left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotation {
    /// Which log.
    pub epoch: u64,
    /// Where in it the line's own first byte stands.
    pub offset: u64,
    /// Up to where the log was fsynced when the line was appended.
    pub fsynced: u64,
    /// When that was.
    pub unix_ms: i64,
}

impl Annotation {
    /// Append the line, the digits of its checksum being zeros; gives where in `out` they begin.
    pub fn write(&self, out: &mut Vec<u8>) -> usize {
        let Self { epoch, offset, fsynced, unix_ms } = self;
        out.extend_from_slice(MARK);
        out.extend_from_slice(format!("{epoch}:{offset}:{fsynced}:{unix_ms}:").as_bytes());
        let field = out.len();
        out.extend_from_slice(&[b'0'; FIELD_BYTES]);
        out.extend_from_slice(END);
        field
    }
}

/// Append Redis's own annotation.
pub fn write_time(unix_s: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("#TS:{unix_s}\r\n").as_bytes());
}

/// A line that begins with `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// `#TS:`, unix seconds.
    Time(i64),
    /// `#PD:`, and the checksum that it gives for the bytes before.
    Position(Annotation, u64),
    /// Something of another server's.
    Other,
}

/// Read a line, given with its end. A line of ours that is not in its exact form is none of ours.
pub fn parse(line: &[u8]) -> Line {
    let Some(text) = line.strip_suffix(END).and_then(|text| std::str::from_utf8(text).ok()) else {
        return Line::Other;
    };
    if let Some(time) = text.strip_prefix("#TS:").and_then(|seconds| seconds.parse().ok()) {
        return Line::Time(time);
    }
    match text.strip_prefix("#PD:").and_then(parse_fields) {
        Some((annotation, checksum)) if line.len() <= LINE_BYTES_MAX => {
            Line::Position(annotation, checksum)
        }
        _ => Line::Other,
    }
}

fn parse_fields(text: &str) -> Option<(Annotation, u64)> {
    let mut fields = text.split(':');
    let annotation = Annotation {
        epoch: decimal(fields.next()?)?,
        offset: decimal(fields.next()?)?,
        fsynced: decimal(fields.next()?)?,
        unix_ms: i64::try_from(decimal(fields.next()?)?).ok()?,
    };
    let digits = fields.next()?;
    let is_exact = digits.len() == FIELD_BYTES && fields.next().is_none();
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let checksum = u64::from_str_radix(digits, 16).ok()?;
    (is_exact && is_hex).then_some((annotation, checksum))
}

fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The checksum of what a file got since its last `#PD:` line's own.
///
/// To write bytes in which the line's field begins at `field`:
/// `update(&bytes[..field])`, put [`Checksum::take_field`] there, go on with what is behind it.
#[derive(Clone)]
pub struct Checksum(Crc64);

impl Default for Checksum {
    fn default() -> Self {
        Self(Crc64::new())
    }
}

impl Checksum {
    /// Take in bytes as they are written.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Up to here, and begin anew.
    pub fn take(&mut self) -> u64 {
        std::mem::take(self).0.value()
    }

    /// The same as the digits of a line.
    pub fn take_field(&mut self) -> [u8; FIELD_BYTES] {
        let value = self.take();
        let digit = |at: usize| {
            let nibble = (value >> (4 * (FIELD_BYTES - 1 - at))) & 0xf;
            b"0123456789abcdef"[nibble as usize]
        };
        std::array::from_fn(digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Annotation = Annotation {
        epoch: 1_795_000_000_000,
        offset: 70,
        fsynced: 12,
        unix_ms: 1_795_000_000_001,
    };

    fn sealed() -> Vec<u8> {
        let mut bytes = b"*1\r\n$4\r\nPING\r\n".to_vec();
        let field = SAMPLE.write(&mut bytes);
        let mut checksum = Checksum::default();
        checksum.update(&bytes[..field]);
        bytes[field..field + FIELD_BYTES].copy_from_slice(&checksum.take_field());
        bytes
    }

    #[test]
    fn a_line_reads_back_and_its_checksum_is_that_of_all_before_it() {
        let bytes = sealed();
        let text = "#PD:1795000000000:70:12:1795000000001:";
        let line = &bytes[14..];
        assert!(line.starts_with(text.as_bytes()) && line.ends_with(b"\r\n"));
        let mut crc = Crc64::new();
        crc.update(&bytes[..14 + text.len()]);
        assert_eq!(parse(line), Line::Position(SAMPLE, crc.value()));
        assert_eq!(line.len(), text.len() + 18);
    }

    #[test]
    fn the_longest_line_is_within_the_bound() {
        let mut line = Vec::new();
        let most =
            Annotation { epoch: u64::MAX, offset: u64::MAX, fsynced: u64::MAX, unix_ms: i64::MAX };
        most.write(&mut line);
        assert!(line.len() <= LINE_BYTES_MAX);
        assert_eq!(parse(&line), Line::Position(most, 0));
    }

    #[test]
    fn redis_time_is_read_and_what_is_neither_is_another_s() {
        let mut line = Vec::new();
        write_time(1_700_000_000, &mut line);
        assert_eq!(line, b"#TS:1700000000\r\n");
        assert_eq!(parse(&line), Line::Time(1_700_000_000));
        let good = "#PD:1:2:3:4:00000000000000af";
        assert!(matches!(parse(format!("{good}\r\n").as_bytes()), Line::Position(_, 0xaf)));
        for other in [
            "#",
            "#TS:x",
            "#PD:",
            "#PD:1:2:3:4:",
            "#PD:1:2:3:4:af",
            "#PD:1:2:3:00000000000000af",
            "#PD:+1:2:3:4:00000000000000af",
            "#PD::2:3:4:00000000000000af",
            "#PD:1:2:3:4:00000000000000AF",
            "#PD:1:2:3:4:00000000000000af:",
            "#pd:1:2:3:4:00000000000000af",
            "#PD:1:2:3:-4:00000000000000af",
            "#PD:1:2:3:99999999999999999999:00000000000000af",
        ] {
            assert_eq!(parse(format!("{other}\r\n").as_bytes()), Line::Other, "{other}");
        }
        assert_eq!(parse(format!("{good}\n").as_bytes()), Line::Other);
        assert_eq!(parse(good.as_bytes()), Line::Other);
    }

    #[test]
    fn a_flip_of_any_byte_of_a_line_is_found() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let start = 14;
                let Line::Position(_, told) = parse(&flipped[start..]) else { continue };
                let mut checksum = Checksum::default();
                checksum.update(&flipped[..bytes.len() - FIELD_BYTES - END.len()]);
                assert_ne!(checksum.take(), told, "byte {at} bit {bit}");
            }
        }
    }
}
