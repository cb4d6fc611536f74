//! The command table and its lookup: a hash table made at compile time over the rows of all
//! families, case-insensitive, without allocation. Adding a command? Write the row in its family's
//! file; the slots follow by themselves.

mod connection;
mod figures;
mod generic;
mod hashes;
mod lists;
mod server;
mod sets;
pub mod spec;
mod strings;
mod zsets;

pub use spec::Spec;

use crate::command::Cx;
use crate::resp::Args;

/// Families of rows.
const FAMILIES: [&[Spec]; 9] = [
    hashes::HASHES,
    sets::SETS,
    strings::STRINGS,
    zsets::ZSETS,
    lists::LISTS,
    generic::GENERIC,
    server::SERVER,
    figures::FIGURES,
    connection::CONNECTION,
];

const SLOTS: usize = 512;
/// An empty slot of [`TABLE`]; else the number of a row.
const EMPTY: u16 = u16::MAX;
static TABLE: [u16; SLOTS] = build();

const ROWS_COUNT: usize = count_rows().0;
const SUBS_COUNT: usize = count_rows().1;
/// Commands and subcommands together: one more than the largest [`Spec::id`].
pub const COUNT: usize = ROWS_COUNT + SUBS_COUNT;
/// All rows, numbered: family by family, then the subcommands in the same order.
static ROWS: [Spec; ROWS_COUNT] = number_rows();
static SUBS: [Spec; SUBS_COUNT] = number_subs();

const fn count_rows() -> (usize, usize) {
    let (mut rows, mut subs, mut family) = (0, 0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            subs += FAMILIES[family][row].subcommands.len();
            row += 1;
        }
        rows += row;
        family += 1;
    }
    (rows, subs)
}

const fn number_rows() -> [Spec; ROWS_COUNT] {
    let mut rows = [FAMILIES[0][0]; ROWS_COUNT];
    let (mut at, mut first_sub, mut family) = (0, 0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            rows[at] = FAMILIES[family][row];
            rows[at].id = at as u16;
            let count = rows[at].subcommands.len();
            rows[at].subcommands = SUBS.split_at(first_sub).1.split_at(count).0;
            first_sub += count;
            at += 1;
            row += 1;
        }
        family += 1;
    }
    rows
}

const fn number_subs() -> [Spec; SUBS_COUNT] {
    let mut subs = [FAMILIES[0][0]; SUBS_COUNT];
    let (mut at, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let mut sub = 0;
            while sub < FAMILIES[family][row].subcommands.len() {
                subs[at] = FAMILIES[family][row].subcommands[sub];
                subs[at].id = (ROWS_COUNT + at) as u16;
                at += 1;
                sub += 1;
            }
            row += 1;
        }
        family += 1;
    }
    subs
}

/// The command or subcommand of a number.
pub fn by_id(id: u16) -> Option<&'static Spec> {
    let at = usize::from(id);
    ROWS.get(at).or_else(|| SUBS.get(at.checked_sub(ROWS_COUNT)?))
}

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
    let mut row = 0;
    while row < ROWS.len() {
        let mut slot = hash(ROWS[row].name.as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = row as u16;
        row += 1;
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
        let spec = &ROWS[usize::from(place)];
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
    ROWS.iter()
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
            assert!(std::ptr::eq(by_id(spec.id).unwrap(), spec), "{}", spec.name);
            for sub in spec.subcommands {
                assert!(std::ptr::eq(by_id(sub.id).unwrap(), sub), "{}", sub.name);
                assert!(sub.name.starts_with(&format!("{}|", spec.name)));
                assert!(!sub.summary.is_empty(), "{}", sub.name);
            }
            assert!(!spec.summary.is_empty(), "{}", spec.name);
        }
        assert!(by_id(COUNT as u16).is_none());
        assert!(find(b"nosuch").is_none());
        assert!(find(b"").is_none());
        assert!(find(b"a-name-longer-than-any-command").is_none());
    }

    #[test]
    fn what_asks_where_the_log_ends_is_given_it_before() {
        let names = [
            "bgrewriteaof",
            "bgsave",
            "config",
            "debug",
            "exec",
            "flushall",
            "flushdb",
            "info",
            "save",
            "shutdown",
            "waitaof",
        ];
        for spec in names.map(|name| find(name.as_bytes()).unwrap()) {
            let all = [spec].into_iter().chain(spec.subcommands);
            all.for_each(|spec| assert!(spec.may_take_long(), "{}", spec.name));
        }
    }
}
