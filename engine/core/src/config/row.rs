//! One directive: its class, syntax and default, and how to find it by name. The rows stand in
//! `table`.

use super::kind::Kind;
use super::table::ROWS;

/// What the engine does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// In force.
    Working,
    /// Accepted, kept for CONFIG GET, without effect; a value that differs from the default warns
    /// once.
    Harmless,
    /// Protects, persists or bounds data, or changes what a client is told, and does not work yet:
    /// any value but the default is refused, so that nobody believes in it.
    Refused,
}

/// One directive, or another name for one.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Lower-case name.
    pub name: &'static str,
    /// Class.
    pub class: Class,
    /// Syntax of its value.
    pub kind: Kind,
    /// Redis's default, as CONFIG GET shows it (of working ones: see `Config::redis_defaults`).
    pub default: &'static str,
    /// CONFIG SET is refused.
    pub is_immutable: bool,
    /// CONFIG SET needs `enable-protected-configs`.
    pub is_protected: bool,
    /// CONFIG GET does not know it (a word of redis.conf only).
    pub is_unlisted: bool,
    /// The directive that this is an older name of.
    alias_of: Option<&'static str>,
}

const fn row(name: &'static str, class: Class, kind: Kind, default: &'static str) -> Row {
    Row {
        name,
        class,
        kind,
        default,
        is_immutable: false,
        is_protected: false,
        is_unlisted: false,
        alias_of: None,
    }
}
pub(super) const fn working(name: &'static str, kind: Kind) -> Row {
    row(name, Class::Working, kind, "")
}
pub(super) const fn harmless(name: &'static str, kind: Kind, default: &'static str) -> Row {
    row(name, Class::Harmless, kind, default)
}
pub(super) const fn refused(name: &'static str, kind: Kind, default: &'static str) -> Row {
    row(name, Class::Refused, kind, default)
}
pub(super) const fn alias(name: &'static str, of: &'static str) -> Row {
    let mut alias = row(name, Class::Harmless, Kind::Text, "");
    alias.alias_of = Some(of);
    alias
}

impl Row {
    pub(super) const fn immutable(mut self) -> Self {
        self.is_immutable = true;
        self
    }
    pub(super) const fn protected(mut self) -> Self {
        self.is_protected = true;
        self
    }
    pub(super) const fn unlisted(mut self) -> Self {
        self.is_unlisted = true;
        self
    }

    /// The directive itself, if this is another name for one.
    pub fn main(&'static self) -> &'static Self {
        self.alias_of.and_then(find).unwrap_or(self)
    }

    /// Whether this is another name for a directive.
    pub fn is_alias(&self) -> bool {
        self.alias_of.is_some()
    }
}

/// Find a directive, or another name for one, by its lower-case name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// The directive whose name is closest to a misspelt one, if any is close.
pub fn closest(name: &str) -> Option<&'static str> {
    const DISTANCE_MAX: usize = 3;
    ROWS.iter()
        .map(|row| (distance(name.as_bytes(), row.name.as_bytes()), row.name))
        .min()
        .filter(|(distance, found)| *distance <= DISTANCE_MAX && *distance * 2 < found.len())
        .map(|(_, found)| found)
}

/// Edit distance (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    const NAME_BYTES_MAX: usize = 64;
    if a.len() > NAME_BYTES_MAX {
        return usize::MAX;
    }
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = line[0];
        line[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = line[j + 1];
            line[j + 1] = changed.min(diagonal + 1).min(line[j] + 1);
        }
    }
    line[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_leads_to_a_directive() {
        for row in ROWS {
            assert!(!row.main().is_alias(), "{}", row.name);
            assert_eq!(row.is_alias(), !std::ptr::eq(row.main(), row), "{}", row.name);
        }
    }
}
