//! The command table and its lookup: a hash table made at compile time over the rows of all
//! families, case-insensitive, without allocation. Adding a command? Write the row in its family's
//! file; the slots follow by themselves.

mod connection;
mod generic;
mod server;
pub mod spec;
mod strings;

pub use spec::Spec;

use crate::command::Cx;
use crate::resp::Args;

/// Families of rows.
const FAMILIES: [&[Spec]; 4] =
    [strings::STRINGS, generic::GENERIC, server::SERVER, connection::CONNECTION];

const SLOTS: usize = 512;
/// An empty slot of [`TABLE`]; else family and row, a byte each.
const EMPTY: u16 = u16::MAX;
static ROWS: [&[Spec]; 4] = FAMILIES;
static TABLE: [u16; SLOTS] = build();

const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5 ^ name.len() as u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ (name[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ((hash >> 16) ^ hash) as usize % SLOTS
}

const fn build() -> [u16; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let mut slot = hash(FAMILIES[family][row].name.as_bytes());
            while table[slot] != EMPTY {
                slot = (slot + 1) % SLOTS;
            }
            table[slot] = ((family << 8) | row) as u16;
            row += 1;
        }
        family += 1;
    }
    table
}

/// Find a command by name, whatever its case.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    const NAME_BYTES_MAX: usize = 16;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut slot = hash(name);
    loop {
        let place = TABLE[slot];
        if place == EMPTY {
            return None;
        }
        let spec = &ROWS[usize::from(place >> 8)][usize::from(place & 0xff)];
        if spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Find a subcommand of a container by its own name.
pub fn find_sub(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    let prefix = container.name.len() + 1;
    container
        .subcommands
        .iter()
        .find(|sub| sub.name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
}

/// The command that a call names: a subcommand when there is one.
pub enum Resolved {
    /// It exists.
    Found(&'static Spec),
    /// No such command.
    Unknown,
    /// The container exists, the subcommand does not.
    UnknownSub,
}

/// Find what `args` call.
pub fn resolve(args: Args<'_>) -> Resolved {
    resolve_known(find(args.get(0)), args)
}

/// As [`resolve`], when the name has been looked up already.
pub fn resolve_known(spec: Option<&'static Spec>, args: Args<'_>) -> Resolved {
    let Some(spec) = spec else { return Resolved::Unknown };
    if spec.subcommands.is_empty() || args.len() < 2 {
        return Resolved::Found(spec);
    }
    find_sub(spec, args.get(1)).map_or(Resolved::UnknownSub, Resolved::Found)
}

/// All commands, family by family.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    ROWS.iter().flat_map(|family| family.iter())
}

/// The handler of a container's own row: never runs, since arity asks for a subcommand.
fn container(_cx: &mut Cx<'_>, _args: Args<'_>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name_in_any_case() {
        for spec in all() {
            let upper = spec.name.to_ascii_uppercase();
            assert!(std::ptr::eq(find(upper.as_bytes()).unwrap(), spec), "{}", spec.name);
            for sub in spec.subcommands {
                assert!(sub.name.starts_with(&format!("{}|", spec.name)));
                assert!(!sub.summary.is_empty(), "{}", sub.name);
            }
            assert!(!spec.summary.is_empty(), "{}", spec.name);
        }
        assert!(find(b"nosuch").is_none());
        assert!(find(b"").is_none());
        assert!(find(b"a-name-longer-than-any-command").is_none());
    }
}
