//! INFO: which sections are asked for, in Redis's order. The fields stand in `info_sections` and
//! `info_figures`.

use super::{info_figures as figures, info_sections as sections};
use crate::command::Cx;
use crate::resp::Args;

/// A section: its names, heading, whether it is among the default ones, its fields.
type Section = (&'static [&'static str], &'static str, bool, fn(&Cx<'_>) -> String);

const SECTIONS: [Section; 13] = [
    (&["server"], "Server", true, sections::server),
    (&["clients"], "Clients", true, sections::clients),
    (&["memory"], "Memory", true, sections::memory),
    (&["persistence"], "Persistence", true, sections::persistence),
    (&["stats"], "Stats", true, figures::stats),
    (&["replication"], "Replication", true, sections::replication),
    (&["cpu"], "CPU", true, sections::cpu),
    (&["modules", "module_list"], "Modules", true, sections::nothing),
    (&["commandstats"], "Commandstats", false, figures::commandstats),
    (&["errorstats"], "Errorstats", true, figures::errorstats),
    (&["latencystats"], "Latencystats", false, figures::latencystats),
    (&["cluster"], "Cluster", true, sections::cluster),
    (&["keyspace"], "Keyspace", true, sections::keyspace),
];

/// INFO [section ...].
pub fn info(cx: &mut Cx<'_>, args: Args<'_>) {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let words: Vec<&[u8]> = args.iter().skip(1).collect();
    let has_default = words.is_empty() || words.iter().any(|word| is(word, "default"));
    let has_all = words.iter().any(|word| is(word, "all") || is(word, "everything"));
    let chosen = SECTIONS.iter().filter(|(names, _, is_default, _)| {
        has_all
            || (*is_default && has_default)
            || words.iter().any(|word| names.iter().any(|name| is(word, name)))
    });
    let texts: Vec<String> =
        chosen.map(|(_, heading, _, fields)| format!("# {heading}\r\n{}", fields(cx))).collect();
    cx.reply.verbatim(&texts.join("\r\n"));
}

/// `name:value` lines.
pub(super) struct Fields(String);

impl Fields {
    pub fn new() -> Self {
        Self(String::new())
    }
    /// A field.
    pub fn add(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        use std::fmt::Write as _;
        let _ = write!(self.0, "{name}:{value}\r\n");
        self
    }
    /// A number of bytes, and the same for people.
    pub fn bytes(&mut self, name: &str, bytes: u64) -> &mut Self {
        self.add(name, bytes).add(&format!("{name}_human"), human(bytes))
    }
    /// Fields of things that do not exist here.
    pub fn zeros(&mut self, names: &[&str]) -> &mut Self {
        names.iter().for_each(|name| {
            self.add(name, 0);
        });
        self
    }
    /// All of them.
    pub fn text(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

/// `1.50M` and the like, as Redis prints bytes.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] =
        [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}
