//! The slow log: the last commands that took long, with their arguments cut short and what is
//! secret in them left out. Bounded: `slowlog-max-len` entries of at most 32 short arguments.

use std::collections::VecDeque;

use crate::command::table::Spec;
use crate::config::is_secret;
use crate::resp::Args;

/// Arguments kept of a command.
const ARGS_MAX: usize = 32;
/// Bytes kept of an argument.
const ARG_BYTES_MAX: usize = 128;
const REDACTED: &[u8] = b"(redacted)";

/// One command that took long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowEntry {
    /// Number, never reused.
    pub id: u64,
    /// Unix seconds when it had ended.
    pub at_unix_s: i64,
    /// How long it took.
    pub microseconds: u64,
    /// Its arguments, the name first.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub address: String,
    /// Its name, if it has one.
    pub name: Vec<u8>,
}

/// The entries, newest first.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Add an entry (its number is given here) and forget those past `len_max`.
    pub fn push(&mut self, mut entry: SlowEntry, len_max: usize) {
        entry.id = self.next_id;
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(len_max);
    }

    /// Entries, newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// Forget the oldest, so that `len_max` are left at most.
    pub fn truncate(&mut self, len_max: usize) {
        self.entries.truncate(len_max);
    }
}

/// The arguments as an entry keeps them.
pub fn shortened(spec: &Spec, args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut shown: Vec<Vec<u8>> = (0..kept)
        .map(|at| if is_redacted(spec, args, at) { REDACTED.to_vec() } else { cut(args.get(at)) })
        .collect();
    if kept < args.len() {
        shown.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shown
}

fn cut(arg: &[u8]) -> Vec<u8> {
    match arg.split_at_checked(ARG_BYTES_MAX) {
        Some((head, rest)) if !rest.is_empty() => {
            [head, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => arg.to_vec(),
    }
}

/// Whether an argument is a password, or the value of a directive that is a secret.
fn is_redacted(spec: &Spec, args: Args<'_>, at: usize) -> bool {
    let is_word = |at: Option<usize>, word: &[u8]| {
        at.is_some_and(|at| args.get(at).eq_ignore_ascii_case(word))
    };
    match spec.name {
        "auth" => at > 0,
        "hello" => is_word(at.checked_sub(1), b"auth") || is_word(at.checked_sub(2), b"auth"),
        "config|set" => at > 2 && at % 2 == 1 && is_secret(args.get(at - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    fn shown(name: &str, words: &[&str]) -> Vec<String> {
        let buffer = words.concat();
        let mut start = 0;
        let ranges: Vec<(u32, u32)> = words
            .iter()
            .map(|word| {
                start += word.len() as u32;
                (start - word.len() as u32, word.len() as u32)
            })
            .collect();
        let spec = table::find(name.split('|').next().unwrap().as_bytes()).unwrap();
        let sub = name.split_once('|').and_then(|(_, sub)| table::find_sub(spec, sub.as_bytes()));
        let args = shortened(sub.unwrap_or(spec), Args::new(buffer.as_bytes(), &ranges));
        args.into_iter().map(|arg| String::from_utf8(arg).unwrap()).collect()
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_secret_is_left_out() {
        let long = "x".repeat(130);
        let cut = format!("{}... (2 more bytes)", "x".repeat(128));
        assert_eq!(shown("set", &["set", "a", &long]), ["set", "a", &cut]);
        let many: Vec<&str> = vec!["mget"; 33];
        assert_eq!(shown("mget", &many)[30..], ["mget", "... (2 more arguments)"]);
        assert_eq!(shown("mget", &many[..32]).len(), 32);
        assert_eq!(shown("auth", &["AUTH", "u", "p"]), ["AUTH", "(redacted)", "(redacted)"]);
        assert_eq!(
            shown("hello", &["hello", "3", "AUTH", "u", "p", "setname", "n"]),
            ["hello", "3", "AUTH", "(redacted)", "(redacted)", "setname", "n"]
        );
        assert_eq!(
            shown("config|set", &["config", "set", "hz", "1", "RequirePass", "p"]),
            ["config", "set", "hz", "1", "RequirePass", "(redacted)"]
        );
    }

    #[test]
    fn the_oldest_entries_go() {
        let entry = SlowEntry {
            id: 0,
            at_unix_s: 0,
            microseconds: 1,
            args: Vec::new(),
            address: String::new(),
            name: Vec::new(),
        };
        let mut log = SlowLog::default();
        (0..5).for_each(|_| log.push(entry.clone(), 3));
        assert_eq!(log.entries().map(|entry| entry.id).collect::<Vec<_>>(), [4, 3, 2]);
        log.truncate(1);
        assert_eq!(log.entries().len(), 1);
    }
}
