//! The tests' own pen: RDB files of any version with any type number, written from the format's
//! description and from nothing of the engine, so that a mistake there does not cancel itself here.
//! Old packed forms (ziplist, zipmap, linked list, quicklist 1) are written by no server at hand
//! any more. Whole data sets made with it: `samples`.

/// A file in the making.
pub struct File {
    bytes: Vec<u8>,
    version: u32,
}

impl File {
    pub fn new(version: u32) -> Self {
        Self { bytes: format!("REDIS{version:04}").into_bytes(), version }
    }

    /// Opcodes and whatever else stands between keys.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn aux(&mut self, name: &str, value: &str) -> &mut Self {
        let (name, value) = (string(name.as_bytes()), string(value.as_bytes()));
        self.raw(&[0xFA]).raw(&name).raw(&value)
    }

    pub fn select(&mut self, db: u64) -> &mut Self {
        self.raw(&[0xFE]).raw(&length(db))
    }

    pub fn ends_at_ms(&mut self, at_ms: i64) -> &mut Self {
        self.raw(&[0xFC]).raw(&at_ms.to_le_bytes())
    }

    pub fn idle(&mut self, seconds: u64) -> &mut Self {
        self.raw(&[0xF8]).raw(&length(seconds))
    }

    pub fn freq(&mut self, counter: u8) -> &mut Self {
        self.raw(&[0xF9, counter])
    }

    /// A key of any type; `value` is what follows its name.
    pub fn key(&mut self, type_number: u8, name: &str, value: &[u8]) -> &mut Self {
        self.raw(&[type_number]).raw(&string(name.as_bytes())).raw(value)
    }

    /// The file, with a checksum that is right, or none.
    pub fn end(&self, is_checksummed: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.push(0xFF);
        if self.version >= 5 {
            let sum = if is_checksummed { crc64(&bytes) } else { 0 };
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        bytes
    }
}

/// Bit by bit, from the polynomial.
fn crc64(bytes: &[u8]) -> u64 {
    let reversed = 0xad93_d235_94c9_35a9_u64.reverse_bits();
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| (sum >> 1) ^ (reversed * (sum & 1)))
    })
}

// ------------------------------------------------------------------------------ lengths and strings

pub fn length(value: u64) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => vec![0x40 | (value >> 8) as u8, value as u8],
        16_384..=0xFFFF_FFFF => [&[0x80], (value as u32).to_be_bytes().as_slice()].concat(),
        _ => [&[0x81], value.to_be_bytes().as_slice()].concat(),
    }
}

/// A string as it is.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [length(bytes.len() as u64).as_slice(), bytes].concat()
}

/// A string that is an integer, in as few bytes as it takes.
pub fn integer(value: i32) -> Vec<u8> {
    let bytes = value.to_le_bytes();
    let size = [1, 2, 4].into_iter().find(|size| fits(i64::from(value), *size)).unwrap();
    [&[0xC0 | size.ilog2() as u8], &bytes[..size]].concat()
}

/// A string packed by LZF: runs of one byte become matches, the rest is literal.
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut at, mut literals) = (0, 0);
    let flush = |out: &mut Vec<u8>, literals: &[u8]| {
        for run in literals.chunks(32) {
            out.push(run.len() as u8 - 1);
            out.extend_from_slice(run);
        }
    };
    while at < bytes.len() {
        let same = |byte: &&u8| at > 0 && **byte == bytes[at - 1];
        let run = bytes[at..].iter().take_while(same).count().min(264);
        if run < 3 {
            at += 1;
            continue;
        }
        flush(&mut out, &bytes[literals..at]);
        match run - 2 {
            size @ 1..7 => out.push((size as u8) << 5),
            size => out.extend_from_slice(&[7 << 5, (size - 7) as u8]),
        }
        out.push(0);
        at += run;
        literals = at;
    }
    flush(&mut out, &bytes[literals..]);
    [&[0xC3], length(out.len() as u64).as_slice(), &length(bytes.len() as u64), &out].concat()
}

/// `<how many> <string>...`: linked lists, sets, and hashes of pairs.
pub fn strings(count: usize, elements: &[&[u8]]) -> Vec<u8> {
    let parts = elements.iter().map(|element| string(element));
    std::iter::once(length(count as u64)).chain(parts).collect::<Vec<_>>().concat()
}

/// Type 3: scores as text; infinities and NaN have lengths of their own.
pub fn scores_text(members: &[(&[u8], &str)]) -> Vec<u8> {
    let mut out = length(members.len() as u64);
    for (member, score) in members {
        out.extend_from_slice(&string(member));
        match *score {
            "nan" => out.push(253),
            "inf" => out.push(254),
            "-inf" => out.push(255),
            text => {
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

/// Type 5: scores as 8 bytes.
pub fn scores_binary(members: &[(&[u8], f64)]) -> Vec<u8> {
    let parts = members
        .iter()
        .map(|(member, score)| [string(member).as_slice(), &score.to_le_bytes()].concat());
    std::iter::once(length(members.len() as u64)).chain(parts).collect::<Vec<_>>().concat()
}

// ------------------------------------------------------------------------------------ packed forms

/// The integer that a text is the only text of.
fn as_integer(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.to_string().as_bytes() == text).then_some(value)
}

fn fits(value: i64, size: usize) -> bool {
    size == 8 || (-1_i64 << (size * 8 - 1)..1 << (size * 8 - 1)).contains(&value)
}

/// A ziplist; texts of integers are stored as such.
pub fn ziplist(elements: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0, 10);
    for element in elements {
        last = 10 + body.len();
        if before < 254 {
            body.push(before as u8);
        } else {
            body.push(254);
            body.extend_from_slice(&(before as u32).to_le_bytes());
        }
        match as_integer(element) {
            Some(value @ 0..=12) => body.push(0xF1 + value as u8),
            Some(value) => {
                let kinds = [(0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8)];
                let (kind, size) = kinds.into_iter().find(|(_, size)| fits(value, *size)).unwrap();
                body.push(kind);
                body.extend_from_slice(&value.to_le_bytes()[..size]);
            }
            None => {
                match element.len() {
                    size @ 0..64 => body.push(size as u8),
                    size @ 64..16_384 => {
                        body.extend_from_slice(&[0x40 | (size >> 8) as u8, size as u8]);
                    }
                    size => {
                        body.push(0x80);
                        body.extend_from_slice(&(size as u32).to_be_bytes());
                    }
                }
                body.extend_from_slice(element);
            }
        }
        before = 10 + body.len() - last;
    }
    let size = (body.len() + 11) as u32;
    let count = (elements.len().min(0xFFFF) as u16).to_le_bytes(); // FFFF: not known
    [&size.to_le_bytes(), (last as u32).to_le_bytes().as_slice(), &count, &body, &[0xFF]].concat()
}

/// A listpack; texts of integers are stored as such.
pub fn listpack(elements: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        let from = body.len();
        match as_integer(element) {
            Some(value) => body.extend_from_slice(&listpack_integer(value)),
            None => {
                match element.len() {
                    size @ 0..64 => body.push(0x80 | size as u8),
                    size @ 64..4096 => {
                        body.extend_from_slice(&[0xE0 | (size >> 8) as u8, size as u8]);
                    }
                    size => {
                        body.push(0xF0);
                        body.extend_from_slice(&(size as u32).to_le_bytes());
                    }
                }
                body.extend_from_slice(element);
            }
        }
        // How long the entry was, seven bits a byte, the highest first; all but the first marked.
        let size = body.len() - from;
        let digits = (0..5).rev().filter(|digit| *digit == 0 || size >> (7 * digit) > 0);
        for (place, digit) in digits.enumerate() {
            let mark = if place == 0 { 0 } else { 0x80 };
            body.push((size >> (7 * digit)) as u8 & 0x7F | mark);
        }
    }
    let size = (body.len() + 7) as u32;
    let count = (elements.len().min(0xFFFF) as u16).to_le_bytes(); // FFFF: not known
    [&size.to_le_bytes(), count.as_slice(), &body, &[0xFF]].concat()
}

fn listpack_integer(value: i64) -> Vec<u8> {
    match value {
        0..128 => vec![value as u8],
        -4096..4096 => vec![0xC0 | (value >> 8) as u8 & 0x1F, value as u8],
        _ => {
            let kinds = [(0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8)];
            let (kind, size) = kinds.into_iter().find(|(_, size)| fits(value, *size)).unwrap();
            [&[kind], &value.to_le_bytes()[..size]].concat()
        }
    }
}

/// An intset of integers of `width` bytes; `values` in order.
pub fn intset(width: usize, values: &[i64]) -> Vec<u8> {
    let head = [(width as u32).to_le_bytes(), (values.len() as u32).to_le_bytes()].concat();
    let body = values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(width));
    head.into_iter().chain(body).collect()
}

/// A zipmap, with some free bytes behind each value, as updates left them.
pub fn zipmap(pairs: &[(&[u8], &[u8])], free: u8) -> Vec<u8> {
    let length = |size: usize| match size {
        0..254 => vec![size as u8],
        _ => [&[254], (size as u32).to_le_bytes().as_slice()].concat(),
    };
    let mut out = vec![pairs.len().min(254) as u8];
    for (field, value) in pairs {
        out.extend_from_slice(&length(field.len()));
        out.extend_from_slice(field);
        out.extend_from_slice(&length(value.len()));
        out.push(free);
        out.extend_from_slice(value);
        out.resize(out.len() + usize::from(free), b'.');
    }
    out.push(0xFF);
    out
}

/// Type 14: a quicklist of ziplists.
pub fn quicklist_1(nodes: &[&[&[u8]]]) -> Vec<u8> {
    let parts = nodes.iter().map(|node| string(&ziplist(node)));
    std::iter::once(length(nodes.len() as u64)).chain(parts).collect::<Vec<_>>().concat()
}

/// A node of type 18.
pub enum Node<'a> {
    Packed(&'a [&'a [u8]]),
    Plain(&'a [u8]),
    PlainInt(i32),
}

/// Type 18: a quicklist of listpacks and of large elements as they are.
pub fn quicklist_2(nodes: &[Node<'_>]) -> Vec<u8> {
    let parts = nodes.iter().map(|node| match node {
        Node::Plain(element) => [length(1), string(element)].concat(),
        Node::PlainInt(element) => [length(1), integer(*element)].concat(),
        Node::Packed(elements) => [length(2), string(&listpack(elements))].concat(),
    });
    std::iter::once(length(nodes.len() as u64)).chain(parts).collect::<Vec<_>>().concat()
}
