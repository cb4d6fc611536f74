//! One key of every encoding of the five types, written by the tests' own `encoder`, each beside
//! the commands that make the same data; and small files of all of them.

use crate::encoder::{self as pen, File, Node};

/// A key as bytes, and as commands.
pub struct Sample {
    pub type_number: u8,
    pub name: &'static str,
    pub value: Vec<u8>,
    /// Lines for redis-cli.
    pub commands: String,
}

const LONG: &[u8] = &[b'x'; 70];
/// Elements of every packed form: short, empty, integers of every width, long.
const ELEMENTS: [&[u8]; 14] = [
    b"a",
    b"",
    b"5",
    b"12",
    b"13",
    b"-1",
    b"300",
    b"-4097",
    b"40000",
    b"-70000",
    b"8388608",
    b"-5000000000",
    b"007",
    LONG,
];
/// Members and fields: as above.
const PAIRS: [(&[u8], &[u8]); 4] =
    [(b"field", b"value"), (b"1", b"-40000"), (b"", b""), (b"f\xff\r\n", LONG)];
/// Members in the order of their scores.
const SCORES: [(&[u8], &str); 6] = [
    (b"low", "-inf"),
    (b"minus", "-2.5"),
    (b"7", "0"),
    (b"a", "1.5"),
    (b"b", "1.5"),
    (b"high", "inf"),
];

/// A word for redis-cli.
fn word(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

fn words<'a>(elements: impl IntoIterator<Item = &'a &'a [u8]>) -> String {
    elements.into_iter().map(|element| word(element)).collect::<Vec<_>>().join(" ")
}

fn flat_pairs() -> Vec<&'static [u8]> {
    PAIRS.iter().flat_map(|(field, value)| [*field, *value]).collect()
}

fn flat_scores() -> Vec<&'static [u8]> {
    SCORES.iter().flat_map(|(member, score)| [*member, score.as_bytes()]).collect()
}

fn number(score: &str) -> f64 {
    score.parse().unwrap()
}

/// Every encoding but `SET_LISTPACK`, which Redis 7.0 does not know.
pub fn samples() -> Vec<Sample> {
    let mut all = strings();
    all.extend(lists());
    all.extend(sets());
    all.extend(sorted_sets());
    all.extend(hashes());
    all
}

fn strings() -> Vec<Sample> {
    let string = |name: &'static str, text: &[u8], value: Vec<u8>| {
        let commands = format!("SET {name} {}\n", word(text));
        Sample { type_number: 0, name, value, commands }
    };
    vec![
        string("s:plain", b"raw \0 bytes", pen::string(b"raw \0 bytes")),
        string("s:8", b"-7", pen::integer(-7)),
        string("s:16", b"30000", pen::integer(30_000)),
        string("s:32", b"-2000000000", pen::integer(-2_000_000_000)),
        string("s:lzf", &[b'z'; 300], pen::packed(&[b'z'; 300])),
    ]
}

fn lists() -> Vec<Sample> {
    let (front, back) = ELEMENTS.split_at(4);
    let commands = |name| format!("RPUSH {name} {}\n", words(&ELEMENTS));
    let list =
        |type_number, name, value| Sample { type_number, name, value, commands: commands(name) };
    let plain = ELEMENTS.iter().chain([&LONG]).copied().collect::<Vec<_>>();
    vec![
        list(1, "l:linked", pen::strings(ELEMENTS.len(), &ELEMENTS)),
        list(10, "l:ziplist", pen::string(&pen::ziplist(&ELEMENTS))),
        list(14, "l:quick1", pen::quicklist_1(&[front, &[], back])),
        list(18, "l:quick2", pen::quicklist_2(&[Node::Packed(front), Node::Packed(back)])),
        Sample {
            type_number: 18,
            name: "l:plain",
            value: pen::quicklist_2(&[
                Node::Packed(front),
                Node::Packed(&[]),
                Node::Packed(back),
                Node::Plain(LONG),
            ]),
            commands: format!("RPUSH l:plain {}\n", words(&plain)),
        },
        Sample {
            type_number: 18,
            name: "l:plain-int",
            value: pen::quicklist_2(&[Node::PlainInt(123_456), Node::Packed(front)]),
            commands: format!("RPUSH l:plain-int 123456 {}\n", words(front)),
        },
        Sample {
            type_number: 18,
            name: "l:one-int",
            value: pen::quicklist_2(&[Node::PlainInt(-7)]),
            commands: "RPUSH l:one-int -7\n".to_owned(),
        },
    ]
}

fn sets() -> Vec<Sample> {
    let set = |type_number, name, members: &[&[u8]], value| {
        let commands = format!("SADD {name} {}\n", words(members));
        Sample { type_number, name, value, commands }
    };
    let ints = |name, width, values: &[i64]| {
        let texts: Vec<String> = values.iter().map(i64::to_string).collect();
        let members: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        set(11, name, &members, pen::string(&pen::intset(width, values)))
    };
    vec![
        set(2, "t:table", &ELEMENTS, pen::strings(ELEMENTS.len(), &ELEMENTS)),
        set(
            2,
            "t:ints",
            &[b"3", b"-1"],
            [pen::length(2), pen::integer(3), pen::string(b"-1")].concat(),
        ),
        ints("t:int16", 2, &[-32768, -1, 0, 7]),
        ints("t:int32", 4, &[-70_000, 5]),
        ints("t:int64", 8, &[-5_000_000_000, 1, 1 << 40]),
    ]
}

fn sorted_sets() -> Vec<Sample> {
    let zset = |type_number, name, value| {
        let pairs: Vec<&[u8]> =
            SCORES.iter().flat_map(|(member, score)| [score.as_bytes(), *member]).collect();
        let commands = format!("ZADD {name} {}\n", words(&pairs));
        Sample { type_number, name, value, commands }
    };
    let binary = SCORES.map(|(member, score)| (member, number(score)));
    vec![
        zset(3, "z:text", pen::scores_text(&SCORES)),
        zset(5, "z:binary", pen::scores_binary(&binary)),
        zset(12, "z:ziplist", pen::string(&pen::ziplist(&flat_scores()))),
        zset(17, "z:listpack", pen::string(&pen::listpack(&flat_scores()))),
    ]
}

fn hashes() -> Vec<Sample> {
    let hash = |type_number, name, value| {
        let commands = format!("HSET {name} {}\n", words(&flat_pairs()));
        Sample { type_number, name, value, commands }
    };
    vec![
        hash(4, "h:table", pen::strings(PAIRS.len(), &flat_pairs())),
        hash(9, "h:zipmap", pen::string(&pen::zipmap(&PAIRS, 3))),
        hash(13, "h:ziplist", pen::string(&pen::ziplist(&flat_pairs()))),
        hash(16, "h:listpack", pen::string(&pen::listpack(&flat_pairs()))),
        Sample {
            // The packed form packed once more, as servers do with longer ones.
            value: pen::packed(&pen::listpack(&[b"f", LONG])),
            type_number: 16,
            name: "h:lzf",
            commands: format!("HSET h:lzf f {}\n", word(LONG)),
        },
    ]
}

/// A set as Redis 7.2 and later write it.
pub fn set_listpack() -> Sample {
    Sample {
        type_number: 20,
        name: "t:listpack",
        value: pen::string(&pen::listpack(&ELEMENTS)),
        commands: format!("SADD t:listpack {}\n", words(&ELEMENTS)),
    }
}

/// A file of these keys, some with an end, some with what caches remember.
pub fn file_of(samples: &[Sample], version: u32, is_checksummed: bool) -> Vec<u8> {
    let mut file = File::new(version);
    if version >= 7 {
        file.aux("redis-ver", "hand").aux("ctime", "1");
    }
    for (number, sample) in samples.iter().enumerate() {
        if number % 8 == 0 {
            file.select(number as u64 / 8);
        }
        match number % 4 {
            1 => drop(file.ends_at_ms(4_000_000_000_000)),
            2 if version >= 9 => drop(file.idle(1000)),
            3 if version >= 9 => drop(file.freq(200)),
            _ => {}
        }
        file.key(sample.type_number, sample.name, &sample.value);
    }
    file.end(is_checksummed)
}

/// The commands that make the data of [`file_of`].
pub fn commands_of(samples: &[Sample]) -> String {
    let lines = samples.iter().enumerate().map(|(number, sample)| {
        let select =
            if number % 8 == 0 { format!("SELECT {}\n", number / 8) } else { String::new() };
        let expiry = match number % 4 {
            1 => format!("PEXPIREAT {} 4000000000000\n", sample.name),
            _ => String::new(),
        };
        format!("{select}{}{expiry}", sample.commands)
    });
    lines.collect()
}
