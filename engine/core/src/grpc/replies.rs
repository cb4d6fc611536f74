//! From the bytes of a RESP3 reply to the typed values of the wire contract. Only what our own
//! handlers write is read here; still nothing is believed (I7): a reply that is not whole, or nested
//! deeper than any of ours, is a bug that the caller is told of.

use bytes::Bytes;

use super::errors::Refusal;
use super::wire::value::Kind;
use super::wire::{
    CommandError, CommandResult, Value, ValueList, ValueMap, ValuePair, VerbatimText,
    command_result,
};

/// Replies nest less deep.
const DEPTH_MAX: usize = 32;

/// Reads replies in their order.
pub(super) struct Replies {
    bytes: Bytes,
    at: usize,
}

fn broken() -> Refusal {
    Refusal::internal("a command's reply could not be read; this is a bug of the server")
}

impl Replies {
    /// Replies that stand one after the other.
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next reply; a command's error is a refusal.
    pub(super) fn next_value(&mut self) -> Result<Value, Refusal> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
            let (from, to) = self.line()?;
            return Err(Refusal::of_command(&self.bytes[from..to]));
        }
        self.value(0)
    }

    /// The next reply, which is a blob or null.
    pub(super) fn next_blob(&mut self) -> Result<Option<Bytes>, Refusal> {
        match self.next_value()?.kind {
            Some(Kind::Blob(blob)) => Ok(Some(blob)),
            None => Ok(None),
            _ => Err(broken()),
        }
    }

    /// The next reply, which is an integer.
    pub(super) fn next_integer(&mut self) -> Result<i64, Refusal> {
        match self.next_value()?.kind {
            Some(Kind::Integer(integer)) => Ok(integer),
            _ => Err(broken()),
        }
    }

    /// The next reply, which is an array.
    pub(super) fn next_array(&mut self) -> Result<Vec<Value>, Refusal> {
        match self.next_value()?.kind {
            Some(Kind::Array(list)) => Ok(list.values),
            _ => Err(broken()),
        }
    }

    /// The next reply as one of several.
    pub(super) fn next_result(&mut self) -> Result<CommandResult, Refusal> {
        let value = self.value(0)?;
        Ok(result_of(value))
    }

    /// The number of replies that follow as elements of an array; `None` for null.
    pub(super) fn next_array_head(&mut self) -> Result<Option<usize>, Refusal> {
        match self.bytes.get(self.at) {
            Some(b'_') => self.value(0).map(|_| None),
            Some(b'*') => {
                self.at += 1;
                self.number().map(|count| usize::try_from(count).ok())
            }
            _ => self.next_value().and(Err(broken())),
        }
    }

    fn line(&mut self) -> Result<(usize, usize), Refusal> {
        let from = self.at;
        let left = self.bytes.get(from..).ok_or_else(broken)?;
        let length = left.iter().position(|byte| *byte == b'\r').ok_or_else(broken)?;
        self.at = from + length + 2;
        Ok((from, from + length))
    }

    fn text(&mut self) -> Result<&str, Refusal> {
        let (from, to) = self.line()?;
        std::str::from_utf8(&self.bytes[from..to]).map_err(|_| broken())
    }

    fn number(&mut self) -> Result<i64, Refusal> {
        self.text()?.parse().map_err(|_| broken())
    }

    fn blob(&mut self) -> Result<Bytes, Refusal> {
        let length = usize::try_from(self.number()?).map_err(|_| broken())?;
        let (from, to) = (self.at, self.at + length);
        if to + 2 > self.bytes.len() {
            return Err(broken());
        }
        self.at = to + 2;
        Ok(self.bytes.slice(from..to))
    }

    fn list(&mut self, depth: usize) -> Result<ValueList, Refusal> {
        let count = self.number()?;
        let values = (0..count).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?;
        Ok(ValueList { values })
    }

    fn map(&mut self, depth: usize) -> Result<ValueMap, Refusal> {
        let count = self.number()?;
        let mut pair = |_| {
            let key = Some(self.value(depth + 1)?);
            Ok(ValuePair { key, value: Some(self.value(depth + 1)?) })
        };
        Ok(ValueMap { entries: (0..count).map(&mut pair).collect::<Result<_, Refusal>>()? })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Refusal> {
        if depth > DEPTH_MAX {
            return Err(broken());
        }
        let mark = *self.bytes.get(self.at).ok_or_else(broken)?;
        self.at += 1;
        let kind = match mark {
            b'$' => Kind::Blob(self.blob()?),
            b':' => Kind::Integer(self.number()?),
            b'+' => Kind::Status(self.text()?.to_owned()),
            b',' => Kind::Number(self.text()?.parse().map_err(|_| broken())?),
            b'#' => Kind::Boolean(self.text()? == "t"),
            b'(' => Kind::BigNumber(self.text()?.to_owned()),
            b'*' | b'>' => Kind::Array(self.list(depth)?),
            b'~' => Kind::Set(self.list(depth)?),
            b'%' => Kind::Map(self.map(depth)?),
            b'=' => {
                let whole = self.blob()?;
                let format = whole.get(..3).ok_or_else(broken)?;
                let format = String::from_utf8_lossy(format).into_owned();
                Kind::Text(VerbatimText { format, content: whole.slice(4.min(whole.len())..) })
            }
            b'-' => {
                let (from, to) = self.line()?;
                Kind::Error(command_error(&self.bytes[from..to]))
            }
            b'_' => {
                self.line()?;
                return Ok(Value { kind: None });
            }
            _ => return Err(broken()),
        };
        Ok(Value { kind: Some(kind) })
    }
}

fn command_error(text: &[u8]) -> CommandError {
    let message = String::from_utf8_lossy(text).into_owned();
    let code = message.split(' ').next().unwrap_or_default().to_owned();
    CommandError { code, message }
}

fn result_of(value: Value) -> CommandResult {
    let outcome = match value.kind {
        Some(Kind::Error(error)) => command_result::Outcome::Error(error),
        kind => command_result::Outcome::Value(Value { kind }),
    };
    CommandResult { outcome: Some(outcome) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Reply;
    use crate::session::Protocol;

    fn read(write: impl Fn(&mut Reply)) -> Option<Kind> {
        let mut reply = Reply::new(Protocol::Resp3);
        write(&mut reply);
        let mut replies = Replies::new(Bytes::from(reply.take()));
        let value = replies.value(0).unwrap();
        assert_eq!(replies.at, replies.bytes.len(), "read whole");
        value.kind
    }

    fn integers(values: &[i64]) -> ValueList {
        let value = |integer: &i64| Value { kind: Some(Kind::Integer(*integer)) };
        ValueList { values: values.iter().map(value).collect() }
    }

    #[test]
    fn each_type_of_reply_has_its_kind() {
        let blob = |text: &str| Kind::Blob(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(read(Reply::ok), Some(Kind::Status("OK".to_owned())));
        assert_eq!(read(|it| it.bulk(b"a\r\nb")), Some(blob("a\r\nb")));
        assert_eq!(read(|it| it.int(-5)), Some(Kind::Integer(-5)));
        assert_eq!(read(Reply::null), None);
        assert_eq!(read(Reply::null_array), None);
        assert_eq!(read(|it| it.double(1.5)), Some(Kind::Number(1.5)));
        assert_eq!(read(|it| it.double(f64::NEG_INFINITY)), Some(Kind::Number(f64::NEG_INFINITY)));
        assert_eq!(read(|it| it.bool(true)), Some(Kind::Boolean(true)));
        assert_eq!(read(|it| it.big_number("123")), Some(Kind::BigNumber("123".to_owned())));
        let text = VerbatimText { format: "txt".to_owned(), content: Bytes::from_static(b"a b") };
        assert_eq!(read(|it| it.verbatim("a b")), Some(Kind::Text(text)));
        let two = |it: &mut Reply| (1..=2).for_each(|number| it.int(number));
        assert_eq!(read(|it| (it.array(2), two(it)).1), Some(Kind::Array(integers(&[1, 2]))));
        assert_eq!(read(|it| (it.set(2), two(it)).1), Some(Kind::Set(integers(&[1, 2]))));
        let Some(Kind::Map(map)) = read(|it| (it.map(1), two(it)).1) else { panic!("no map") };
        assert_eq!(map.entries.len(), 1);
        let error = CommandError { code: "ERR".to_owned(), message: "ERR no".to_owned() };
        assert_eq!(read(|it| it.error("ERR no")), Some(Kind::Error(error)));
    }

    #[test]
    fn a_reply_that_is_cut_off_or_too_deep_is_a_bug_and_no_crash() {
        let whole = b"*2\r\n$3\r\nabc\r\n%1\r\n+a\r\n=7\r\ntxt:abc\r\n";
        for end in 0..whole.len() - 1 {
            let cut = Bytes::copy_from_slice(&whole[..end]);
            assert!(Replies::new(cut).next_value().is_err(), "{end}");
        }
        let deep = "*1\r\n".repeat(1000) + "_\r\n";
        assert!(Replies::new(Bytes::from(deep)).next_value().is_err());
    }
}
