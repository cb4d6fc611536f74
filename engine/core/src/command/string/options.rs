//! The options that SET and GETEX share, and expiry times in arguments (Redis: relative ones become
//! absolute at once, so that the log holds only instants).

use crate::command::texts;
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// Which command reads options.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// SET: NX, XX, GET, KEEPTTL and times.
    Set,
    /// GETEX: PERSIST and times.
    GetEx,
}

/// How an expiry was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Unix time, seconds.
    ExAt,
    /// Unix time, milliseconds.
    PxAt,
}

/// What was asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Only if the key is absent.
    pub is_nx: bool,
    /// Only if the key is there.
    pub is_xx: bool,
    /// Answer the old value.
    pub is_get: bool,
    /// Keep the expiry.
    pub is_keep_ttl: bool,
    /// Take the expiry away.
    pub is_persist: bool,
    /// The expiry: its form and the index of its argument.
    pub expiry: Option<(Unit, usize)>,
}

impl Options {
    /// Read the options from argument `from` on.
    ///
    /// # Errors
    /// Redis's syntax error, for an unknown option or two that exclude each other.
    pub fn read(reader: Reader, args: Args<'_>, from: usize) -> Result<Self, &'static str> {
        let mut options = Self::default();
        let is_set = reader == Reader::Set;
        let mut at = from;
        while at < args.len() {
            let word = args.get(at);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let has_time = options.expiry.is_some();
            if is("nx") && is_set && !options.is_xx {
                options.is_nx = true;
            } else if is("xx") && is_set && !options.is_nx {
                options.is_xx = true;
            } else if is("get") && is_set {
                options.is_get = true;
            } else if is("keepttl") && is_set && !has_time {
                options.is_keep_ttl = true;
            } else if is("persist") && !is_set && !has_time {
                options.is_persist = true;
            } else {
                options.read_time(word, at, args.len())?;
                at += 1;
            }
            at += 1;
        }
        Ok(options)
    }

    fn read_time(&mut self, word: &[u8], at: usize, count: usize) -> Result<(), &'static str> {
        let unit = match word.to_ascii_lowercase().as_slice() {
            b"ex" => Unit::Ex,
            b"px" => Unit::Px,
            b"exat" => Unit::ExAt,
            b"pxat" => Unit::PxAt,
            _ => return Err(texts::SYNTAX),
        };
        let is_other_unit = self.expiry.is_some_and(|(known, _)| known != unit);
        if is_other_unit || self.is_keep_ttl || self.is_persist || at + 1 >= count {
            return Err(texts::SYNTAX);
        }
        self.expiry = Some((unit, at + 1));
        Ok(())
    }
}

/// The instant, Unix ms, that `text` means in the command called `name`.
///
/// # Errors
/// Not an integer; not positive or out of range.
pub fn expiry_ms(text: &[u8], unit: Unit, now_ms: i64, name: &str) -> Result<i64, String> {
    let number = parse_i64(text).ok_or(texts::NOT_INTEGER)?;
    let scale = if matches!(unit, Unit::Ex | Unit::ExAt) { 1000 } else { 1 };
    let base = if matches!(unit, Unit::Ex | Unit::Px) { now_ms } else { 0 };
    (number > 0)
        .then(|| number.checked_mul(scale)?.checked_add(base))
        .flatten()
        .filter(|&at_ms| at_ms > 0)
        .ok_or_else(|| texts::expire_time(name))
}
