//! Transactions, and calls whose replies do not depend on the data: whole command lines, and the
//! thresholds of the packed forms.

use super::{Call, Generator};

pub const NAMES: &[&str] =
    &["MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "WATCH", "UNWATCH"];

/// Thresholds, and what they are set to: mostly so little that collections meet them.
const THRESHOLDS: &[(&str, &[&str])] = &[
    ("hash-max-listpack-entries", &["0", "1", "2", "4", "8", "32", "512", "-1", "x"]),
    ("hash-max-listpack-value", &["0", "1", "4", "8", "20", "64", "64", "5000", "64mb", "-1"]),
    ("hash-max-ziplist-entries", &["3", "512"]),
    ("hash-max-ziplist-value", &["6", "64"]),
    ("list-max-listpack-size", &["-1", "-2", "-5", "-6", "1", "2", "3", "10", "128", "0", "x"]),
    ("list-max-ziplist-size", &["-2", "5"]),
    ("set-max-intset-entries", &["0", "1", "2", "4", "16", "512", "-1", "x"]),
    ("zset-max-listpack-entries", &["0", "1", "2", "4", "8", "32", "128", "-1", "x"]),
    ("zset-max-listpack-value", &["0", "1", "4", "8", "20", "64", "64", "5000", "-1"]),
    ("zset-max-ziplist-entries", &["3", "128"]),
    ("zset-max-ziplist-value", &["6", "64"]),
];

impl Generator {
    pub(super) fn transaction(&mut self) -> Call {
        let (name, mut call) = self.named(NAMES);
        if name == "WATCH" {
            call.extend(self.keys(2));
        }
        call
    }

    pub(super) fn server(&mut self) -> Call {
        match self.random.below(8) {
            0..=2 => {
                let (name, values) = *self.random.pick(THRESHOLDS);
                [b"CONFIG", b"SET".as_slice(), name.as_bytes(), &self.one(values)]
                    .map(<[u8]>::to_vec)
                    .into()
            }
            3 if self.chance(4) => vec![b"HELLO".to_vec(), self.one(&["2", "3"])],
            _ => self.line(),
        }
    }

    /// A whole command line, mostly about replies and errors that do not depend on the data.
    fn line(&mut self) -> Call {
        const LINES: &str = include_str!("lines.txt");
        let lines: Vec<&str> = LINES.lines().filter(|line| !line.starts_with('#')).collect();
        let line = *self.random.pick(&lines);
        line.split(' ').map(|word| if word == "''" { Vec::new() } else { word.into() }).collect()
    }
}
