//! Random calls of every command: few keys, so that calls meet; values and numbers at their bounds;
//! options in every order, wrong ones included. Expiries lie far ahead or in the past, so that both
//! servers see the same keys alive. Here: the choice of a family, and what all families draw from.
//! A call never depends on a reply, so that a seed repeats a run.

mod hashes;
mod keys;
mod lists;
mod pools;
mod server;
mod sets;
mod sort;
mod sorted;
mod strings;

use crate::harness::Random;
pub use sort::before_sort;

use pools::{
    ELEMENTS, HASH_KEYS, INSTANTS, INSTANTS_MS, LEX_KEYS, LIST_KEYS, MILLISECONDS, SET_KEYS,
    SORTED_KEYS, STRING_KEYS, TIMES, VALUES, WORDS,
};

/// A command and its arguments.
pub type Call = Vec<Vec<u8>>;

/// A family: its name for `PERDURE_COMPAT_ONLY`, how often it is drawn, and the names of its
/// commands (of `server`, which has whole lines, none).
struct Family {
    name: &'static str,
    weight: usize,
    commands: &'static [&'static str],
    make: fn(&mut Generator) -> Call,
}

const FAMILIES: &[Family] = &[
    Family { name: "string", weight: 20, commands: strings::NAMES, make: Generator::string },
    Family { name: "generic", weight: 24, commands: keys::NAMES, make: Generator::generic },
    Family { name: "list", weight: 32, commands: lists::NAMES, make: Generator::list },
    Family { name: "hash", weight: 28, commands: hashes::NAMES, make: Generator::hash },
    Family { name: "set", weight: 32, commands: sets::NAMES, make: Generator::set },
    Family { name: "zset", weight: 44, commands: sorted::NAMES, make: Generator::sorted },
    Family { name: "sort", weight: 6, commands: sort::NAMES, make: Generator::sort },
    Family {
        name: "transaction",
        weight: 10,
        commands: server::NAMES,
        make: Generator::transaction,
    },
    Family { name: "server", weight: 8, commands: &[], make: Generator::server },
];

/// The commands that are drawn.
pub fn names() -> impl Iterator<Item = &'static str> {
    let only = only();
    FAMILIES.iter().filter(move |family| is_drawn(&only, family)).flat_map(|f| f.commands).copied()
}

fn only() -> Option<String> {
    std::env::var("PERDURE_COMPAT_ONLY").ok()
}

fn is_drawn(only: &Option<String>, family: &Family) -> bool {
    only.as_ref().is_none_or(|only| only.split(',').any(|name| name == family.name))
}

/// What a key mostly holds.
#[derive(Clone, Copy)]
enum Kind {
    String,
    List,
    Hash,
    Set,
    Sorted,
}

/// Makes calls.
pub struct Generator {
    pub random: Random,
    /// Families by weight.
    drawn: Vec<&'static Family>,
}

impl Generator {
    pub fn new(random: Random) -> Self {
        let only = only();
        let families = FAMILIES.iter().filter(|family| is_drawn(&only, family));
        let drawn = families.flat_map(|family| std::iter::repeat_n(family, family.weight));
        Self { random, drawn: drawn.collect() }
    }

    /// The next call; sometimes with an argument too many or too few.
    pub fn next(&mut self) -> Call {
        let family = *self.random.pick(&self.drawn);
        let mut call = (family.make)(self);
        if family.name == "server" {
            return call; // as written: a word less may stop the server
        }
        if self.random.one_in(60) {
            call.push(self.value());
        }
        if self.random.one_in(60) && call.len() > 1 {
            call.pop();
        }
        if self.random.one_in(200) && call.len() > 1 && !is_of_lex_keys(&call) {
            let at = 1 + self.random.below(call.len() - 1);
            call[at] = self.value();
        }
        tamed(call)
    }

    fn one(&mut self, list: &[&str]) -> Vec<u8> {
        self.random.pick(list).as_bytes().to_vec()
    }

    fn chance(&mut self, of: usize) -> bool {
        self.random.one_in(of)
    }

    /// A key that mostly holds `kind`: sometimes another one, sometimes none.
    fn key_of(&mut self, kind: Kind) -> Vec<u8> {
        match self.random.below(40) {
            0 => b"nothing".to_vec(),
            1 | 2 => self.key(),
            _ => {
                let pool = match kind {
                    Kind::String => STRING_KEYS,
                    Kind::List => LIST_KEYS,
                    Kind::Hash => HASH_KEYS,
                    Kind::Set => SET_KEYS,
                    Kind::Sorted => SORTED_KEYS,
                };
                self.one(pool)
            }
        }
    }

    /// Any key but those whose scores must stay zero.
    fn key(&mut self) -> Vec<u8> {
        let pool = *self.random.pick(&[STRING_KEYS, LIST_KEYS, HASH_KEYS, SET_KEYS, SORTED_KEYS]);
        self.one(pool)
    }

    fn lex_key(&mut self) -> Vec<u8> {
        self.one(LEX_KEYS)
    }

    fn keys(&mut self, most: usize) -> Call {
        (0..1 + self.random.below(most)).map(|_| self.key()).collect()
    }

    /// A count of keys as the commands with `numkeys` take it, then the keys; sometimes wrong.
    fn numbered(&mut self, kinds: &[Kind], most: usize) -> Call {
        let count = 1 + self.random.below(most);
        let mut words = vec![match self.random.below(30) {
            0 => self.one(&["0", "-1", "x", "", "2147483648", "9223372036854775807", "1.0"]),
            1 => (count + 1).to_string().into_bytes(),
            2 => (count - 1).to_string().into_bytes(),
            _ => count.to_string().into_bytes(),
        }];
        for _ in 0..count {
            let kind = *self.random.pick(kinds);
            words.push(self.key_of(kind));
        }
        words
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.below(12) {
            0 => self.random.draw().to_string().into_bytes(),
            1 => (self.random.draw() as i64).to_string().into_bytes(),
            2 => self.float(),
            3 => vec![b'x'; self.random.below(200)],
            4 => (0..self.random.below(9)).map(|_| self.random.draw() as u8).collect(),
            _ => self.one(VALUES),
        }
    }

    /// An element, field or member: mostly one of few, so that calls meet.
    fn element(&mut self) -> Vec<u8> {
        match self.random.below(24) {
            0..=8 => format!("e{}", self.random.below(24)).into_bytes(),
            9..=15 => self.random.below(24).to_string().into_bytes(),
            16 => format!("e{}", self.random.below(2000)).into_bytes(),
            17 => (self.random.below(4000) as i64 - 2000).to_string().into_bytes(),
            18 => self.value(),
            19 if self.chance(6) => vec![b'y'; *self.random.pick(&[4095, 4096, 8180, 9000])],
            _ => self.one(ELEMENTS),
        }
    }

    /// How many elements a call has: mostly few, now and then enough to leave the packed forms.
    fn count(&mut self) -> usize {
        match self.random.below(60) {
            0 => 100 + self.random.below(600),
            1..=4 => 1 + self.random.below(40),
            5..=20 => 1 + self.random.below(5),
            _ => 1 + self.random.below(2),
        }
    }

    /// Elements for one call. Many at once are of one sort.
    fn elements(&mut self) -> Call {
        let count = self.count();
        if count < 50 {
            return (0..count).map(|_| self.element()).collect();
        }
        let (prefix, from) =
            (self.one(&["e", "", "-", "long name of a member:"]), self.random.below(3000));
        (from..from + count)
            .map(|number| [prefix.as_slice(), number.to_string().as_bytes()].concat())
            .collect()
    }

    /// Numbers of every size and precision, some of them no numbers.
    fn float(&mut self) -> Vec<u8> {
        let number = f64::from_bits(self.random.draw());
        let digits = self.random.below(25);
        match self.random.below(6) {
            0 => format!("{number}"),
            1 => format!("{number:e}"),
            2 => format!("{:.digits$}", (self.random.draw() as i64) as f64 / 1e12),
            3 => format!("{:.digits$}", self.random.below(1000) as f64 / 7.0),
            4 => format!("{}.{}", self.random.draw(), self.random.draw()),
            _ => format!("{}e{}", self.random.draw(), self.random.below(60) as i64 - 40),
        }
        .into_bytes()
    }

    fn words(&mut self, most: usize) -> Call {
        (0..self.random.below(most + 1)).map(|_| self.one(WORDS)).collect()
    }

    /// One option with a fitting or borderline time.
    fn time_option(&mut self) -> Call {
        let (name, times): (&str, &[&str]) = *self.random.pick(&[
            ("EX", TIMES),
            ("px", MILLISECONDS),
            ("EXAT", INSTANTS),
            ("PXAT", INSTANTS_MS),
        ]);
        vec![name.into(), self.one(times)]
    }

    /// A command's name in any case.
    fn case(&mut self, name: &str) -> Vec<u8> {
        match self.random.below(8) {
            0 => name.to_lowercase(),
            1 => name
                .char_indices()
                .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c })
                .collect(),
            _ => name.to_owned(),
        }
        .into_bytes()
    }

    /// One of the names, as the first word of a call.
    fn named(&mut self, names: &[&'static str]) -> (&'static str, Call) {
        let name = *self.random.pick(names);
        (name, vec![self.case(name)])
    }
}

/// Whether another word would give a key of LEX_KEYS scores, or ask another key for members.
fn is_of_lex_keys(call: &[Vec<u8>]) -> bool {
    call[0].to_ascii_uppercase().ends_with(b"LEX")
        || call.iter().any(|word| {
            word.eq_ignore_ascii_case(b"BYLEX") || LEX_KEYS.iter().any(|key| key.as_bytes() == word)
        })
}

/// The call without what would fill the memory of both servers (a great negative count of elements
/// to draw is answered in full), and without what reads some of the keys, whichever: a part of a
/// SCAN deletes what has expired there, and SORT's GET for a part of equal weights hits and misses.
fn tamed(mut call: Call) -> Call {
    const DRAWS_MAX: i64 = 200;
    let number =
        |word: Option<&Vec<u8>>| -> Option<i128> { std::str::from_utf8(word?).ok()?.parse().ok() };
    let name = call[0].to_ascii_uppercase();
    if name.ends_with(b"RANDMEMBER") || name.ends_with(b"RANDFIELD") {
        let range = i128::from(i64::MIN + 1)..i128::from(-DRAWS_MAX);
        if number(call.get(2)).is_some_and(|count| range.contains(&count)) {
            call[2] = b"-7".to_vec();
        }
    }
    let place = |word: &[u8]| call.iter().position(|other| other.eq_ignore_ascii_case(word));
    let is_drawn = name.starts_with(b"SORT") && place(b"BY").is_some() && place(b"GET").is_some();
    let limit = place(b"LIMIT").filter(|at| is_drawn && at + 2 < call.len());
    if let Some(at) = limit {
        call.splice(at + 1..at + 3, [b"0".to_vec(), b"1000000".to_vec()]);
    }
    if name == b"SCAN" && call.get(1).is_some_and(|cursor| cursor != b"0") {
        if number(call.get(1)).is_some() {
            call[1] = b"0".to_vec();
        }
        for at in 2..call.len() {
            if number(call.get(at)).is_some_and(|count| count > 0) {
                call[at] = b"1000".to_vec();
            }
        }
    }
    call
}
