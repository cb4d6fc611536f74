//! Replies as trees: read from the bytes of RESP2 and RESP3, ordered so that sets of them can be
//! compared. What a difference means is not decided here.

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// A line by itself, with its mark: `+OK`, `-ERR ...`, `:1`, `,1.5`, `#t`, `_`.
    Line(Vec<u8>),
    /// A bulk string, or one with a format (`=`).
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`.
    Null,
    /// An array, set, map (keys and values in turn) or push, with its mark.
    Many(u8, Vec<Reply>),
}

impl Reply {
    /// Read the one reply that `bytes` are.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let reply = Self::read(&mut rest);
        assert!(rest.is_empty(), "bytes after a reply: {}", rest.escape_ascii());
        reply
    }

    fn read(rest: &mut &[u8]) -> Self {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let (line, after) = rest.split_at(end.unwrap_or_else(|| {
            unreachable!("half a reply: {}", rest.escape_ascii());
        }));
        *rest = &after[2..];
        let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
        let count = || usize::try_from(number().unwrap_or(-1)).ok();
        match line[0] {
            b'$' | b'=' => match count() {
                Some(length) => {
                    let text = rest[..length].to_vec();
                    *rest = &rest[length + 2..];
                    Self::Bulk(text)
                }
                None => Self::Null,
            },
            mark @ (b'*' | b'~' | b'>') => match count() {
                Some(count) => Self::Many(mark, (0..count).map(|_| Self::read(rest)).collect()),
                None => Self::Null,
            },
            b'%' => {
                let pieces = count().unwrap_or_default() * 2;
                Self::Many(b'%', (0..pieces).map(|_| Self::read(rest)).collect())
            }
            _ => Self::Line(line.to_vec()),
        }
    }

    /// The elements of an array, set or map.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Many(_, items) => Some(items),
            _ => None,
        }
    }

    /// An integer.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Line(line) => std::str::from_utf8(line.strip_prefix(b":")?).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Line(line) if line.starts_with(b"-"))
    }

    /// What stands in it, one word an element, nesting and protocol left out: a double of RESP3 is
    /// the same word as RESP2's text of it.
    pub fn words(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Line(line) if line == b"_" => Vec::new(),
            Self::Line(line) => vec![line.strip_prefix(b",").unwrap_or(line).to_vec()],
            Self::Bulk(text) => vec![text.clone()],
            Self::Null => Vec::new(),
            Self::Many(_, items) => items.iter().flat_map(Self::words).collect(),
        }
    }
}
