//! Requests as protobuf bytes, written by hand: fields of bytes and numbers are all that the rows
//! need. Field numbers are those of `proto/perdure/data/v1` and of etcd's `rpc.proto`.

/// Whose messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The data API.
    Perdure,
    /// etcd v3.
    Etcd,
}

/// Keys and sizes.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// Keys are drawn from so many.
    pub keys: u64,
    /// Operations in one message of a row with several.
    pub batch: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
    MultiGet,
    MultiSet,
    Pipeline,
}

/// What is called.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    api: Api,
    kind: Kind,
}

impl Api {
    /// By name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "perdure" => Some(Self::Perdure),
            "etcd" => Some(Self::Etcd),
            _ => None,
        }
    }
}

impl Row {
    /// By name; etcd has single keys only.
    pub fn named(api: Api, name: &str) -> Option<Self> {
        let kind = match name {
            "get" => Kind::Get,
            "set" => Kind::Set,
            "multi-get" => Kind::MultiGet,
            "multi-set" => Kind::MultiSet,
            "pipeline" => Kind::Pipeline,
            _ => return None,
        };
        let is_there = api == Api::Perdure || matches!(kind, Kind::Get | Kind::Set);
        is_there.then_some(Self { api, kind })
    }

    /// The method.
    pub fn path(self) -> &'static str {
        match (self.api, self.kind) {
            (Api::Etcd, Kind::Get) => "/etcdserverpb.KV/Range",
            (Api::Etcd, _) => "/etcdserverpb.KV/Put",
            (_, Kind::Get) => "/perdure.data.v1.DataService/Get",
            (_, Kind::Set) => "/perdure.data.v1.DataService/Set",
            (_, Kind::MultiGet) => "/perdure.data.v1.DataService/MultiGet",
            (_, Kind::MultiSet) => "/perdure.data.v1.DataService/MultiSet",
            (_, Kind::Pipeline) => "/perdure.data.v1.DataService/Pipeline",
        }
    }

    /// Whether all messages go over one call.
    pub fn is_stream(self) -> bool {
        self.kind == Kind::Pipeline
    }

    /// Operations that a message carries.
    pub fn operations(self, draw: Draw) -> usize {
        if matches!(self.kind, Kind::Get | Kind::Set) { 1 } else { draw.batch }
    }

    /// Its messages, another sequence for each number.
    pub fn source(self, draw: Draw, number: u64) -> Source {
        let value = (0..draw.value_bytes).map(|at| b'0' + (at % 64) as u8).collect();
        let state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1);
        Source { row: self, draw, state, value, message: Vec::new(), is_kept: false }
    }
}

/// Messages of one row.
pub struct Source {
    row: Row,
    draw: Draw,
    state: u64,
    value: Vec<u8>,
    message: Vec<u8>,
    is_kept: bool,
}

impl Source {
    /// The last message was not sent: it comes again.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The next message.
    pub fn next_message(&mut self) -> &[u8] {
        if !std::mem::take(&mut self.is_kept) {
            self.message.clear();
            self.write();
        }
        &self.message
    }

    fn key(&mut self) -> [u8; 16] {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let mut number = self.state % self.draw.keys;
        let mut key = *b"key:000000000000";
        for digit in key[4..].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        key
    }

    fn write(&mut self) {
        match self.row.kind {
            Kind::Get => {
                let key = self.key();
                bytes_field(&mut self.message, 1, &key);
            }
            Kind::Set => {
                let key = self.key();
                bytes_field(&mut self.message, 1, &key);
                bytes_field(&mut self.message, 2, &self.value);
            }
            Kind::MultiGet => {
                for _ in 0..self.draw.batch {
                    let key = self.key();
                    bytes_field(&mut self.message, 1, &key);
                }
            }
            Kind::MultiSet => {
                for _ in 0..self.draw.batch {
                    let mut entry = Vec::new();
                    bytes_field(&mut entry, 1, &self.key());
                    bytes_field(&mut entry, 2, &self.value);
                    bytes_field(&mut self.message, 1, &entry);
                }
            }
            Kind::Pipeline => {
                for at in 0..self.draw.batch {
                    let mut command = Vec::new();
                    let key = self.key();
                    let set: [&[u8]; 3] = [b"SET", &key, &self.value];
                    let get: [&[u8]; 2] = [b"GET", &key];
                    let words = if at % 2 == 0 { &set[..] } else { &get[..] };
                    words.iter().for_each(|word| bytes_field(&mut command, 1, word));
                    bytes_field(&mut self.message, 2, &command);
                }
            }
        }
    }
}

fn bytes_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(name: &str, batch: usize) -> Vec<u8> {
        let draw = Draw { keys: 1, batch, value_bytes: 2 };
        Row::named(Api::Perdure, name)
            .map(|row| row.source(draw, 0).next_message().to_vec())
            .unwrap()
    }

    #[test]
    fn messages_are_fields_with_their_lengths() {
        let key = b"key:000000000000";
        assert_eq!(first("get", 1), [b"\x0a\x10".as_slice(), key].concat());
        assert_eq!(first("set", 1), [b"\x0a\x10".as_slice(), key, b"\x12\x0201"].concat());
        let entry = [b"\x0a\x16\x0a\x10".as_slice(), key, b"\x12\x0201"].concat();
        assert_eq!(first("multi-set", 2), [entry.clone(), entry].concat());
        let long = first("multi-get", 20);
        assert_eq!(long.len(), 20 * 18);
    }

    #[test]
    fn a_message_that_was_not_sent_comes_again() {
        let draw = Draw { keys: 1_000_000, batch: 1, value_bytes: 2 };
        let mut source = Row::named(Api::Etcd, "get").unwrap().source(draw, 3);
        let first = source.next_message().to_vec();
        source.keep();
        assert_eq!(source.next_message(), first);
        assert_ne!(source.next_message(), first);
    }
}
