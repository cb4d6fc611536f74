//! INFO: which sections are asked for, in Redis's order. The fields stand in `info_sections`.

use super::info_sections as sections;
use crate::command::Cx;
use crate::resp::Args;

/// A section: name, heading, whether it is among the default ones, its fields.
type Section = (&'static str, &'static str, bool, fn(&Cx<'_>) -> String);

const SECTIONS: [Section; 13] = [
    ("server", "Server", true, sections::server),
    ("clients", "Clients", true, sections::clients),
    ("memory", "Memory", true, sections::memory),
    ("persistence", "Persistence", true, sections::persistence),
    ("stats", "Stats", true, sections::stats),
    ("replication", "Replication", true, sections::replication),
    ("cpu", "CPU", true, sections::cpu),
    ("modules", "Modules", true, sections::nothing),
    ("commandstats", "Commandstats", false, sections::nothing),
    ("errorstats", "Errorstats", true, sections::nothing),
    ("latencystats", "Latencystats", false, sections::nothing),
    ("cluster", "Cluster", true, sections::cluster),
    ("keyspace", "Keyspace", true, sections::keyspace),
];

/// INFO [section ...].
pub fn info(cx: &mut Cx<'_>, args: Args<'_>) {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let words: Vec<&[u8]> = args.iter().skip(1).collect();
    let has_default = words.is_empty() || words.iter().any(|word| is(word, "default"));
    let has_all = words.iter().any(|word| is(word, "all") || is(word, "everything"));
    let chosen = SECTIONS.iter().filter(|(name, _, is_default, _)| {
        has_all || (*is_default && has_default) || words.iter().any(|word| is(word, name))
    });
    let texts: Vec<String> =
        chosen.map(|(_, heading, _, fields)| format!("# {heading}\r\n{}", fields(cx))).collect();
    cx.reply.verbatim(&texts.join("\r\n"));
}
