//! The shape of one row of the command table: what COMMAND INFO tells and what `execute` needs.
//! Rows are built at compile time, so every method here is `const`. The rows stand beside this
//! file, one file a family.

use crate::command::Cx;
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// What every command handler looks like.
pub type Handler = fn(&mut Cx<'_>, Args<'_>);

/// Flags of a command, as COMMAND INFO names them (see [`FLAG_NAMES`]).
pub type Flags = u32;

pub const NONE: Flags = 0;
pub const WRITE: Flags = 1 << 0;
pub const READONLY: Flags = 1 << 1;
pub const DENYOOM: Flags = 1 << 2;
pub const ADMIN: Flags = 1 << 3;
pub const NOSCRIPT: Flags = 1 << 4;
pub const LOADING: Flags = 1 << 5;
pub const STALE: Flags = 1 << 6;
pub const SKIP_SLOWLOG: Flags = 1 << 7;
pub const FAST: Flags = 1 << 8;
pub const NO_AUTH: Flags = 1 << 9;
pub const NO_ASYNC_LOADING: Flags = 1 << 10;
pub const NO_MULTI: Flags = 1 << 11;
pub const ALLOW_BUSY: Flags = 1 << 12;
/// The keys' number stands in an argument.
pub const MOVABLE_KEYS: Flags = 1 << 13;
/// Guarded by `enable-debug-command`; COMMAND INFO does not show it.
pub const PROTECTED: Flags = 1 << 14;
/// Not among those that Redis calls fast, but as short here; COMMAND INFO does not show it.
pub const BRIEF: Flags = 1 << 15;

/// Names of the flags in the order of their bits.
pub const FLAG_NAMES: [&str; 14] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "noscript",
    "loading",
    "stale",
    "skip_slowlog",
    "fast",
    "no_auth",
    "no_async_loading",
    "no_multi",
    "allow_busy",
    "movablekeys",
];

pub const CAT_KEYSPACE: u32 = 1 << 0;
pub const CAT_READ: u32 = 1 << 1;
pub const CAT_WRITE: u32 = 1 << 2;
pub const CAT_SET: u32 = 1 << 3;
pub const CAT_SORTED_SET: u32 = 1 << 4;
pub const CAT_LIST: u32 = 1 << 5;
pub const CAT_HASH: u32 = 1 << 6;
pub const CAT_STRING: u32 = 1 << 7;
pub const CAT_ADMIN: u32 = 1 << 8;
pub const CAT_FAST: u32 = 1 << 9;
pub const CAT_SLOW: u32 = 1 << 10;
pub const CAT_DANGEROUS: u32 = 1 << 11;
pub const CAT_CONNECTION: u32 = 1 << 12;
pub const CAT_TRANSACTION: u32 = 1 << 13;

/// Names of the ACL categories in the order of their bits, which is the one Redis lists them in.
pub const CATEGORY_NAMES: [&str; 14] = [
    "@keyspace",
    "@read",
    "@write",
    "@set",
    "@sortedset",
    "@list",
    "@hash",
    "@string",
    "@admin",
    "@fast",
    "@slow",
    "@dangerous",
    "@connection",
    "@transaction",
];

/// Where keys stand in the arguments and what happens to them (Redis 7 key specifications: found by
/// index, as a range or counted by an argument).
#[derive(Debug, Clone, Copy)]
pub struct KeySpec {
    /// A remark, or nothing.
    pub notes: &'static str,
    /// Access flags, separated by spaces.
    pub flags: &'static str,
    /// Index of the first key, or of the argument that counts the keys.
    pub first: i64,
    /// Last key, counted from the first, or from the end when negative.
    pub last: i64,
    /// Distance between keys.
    pub step: i64,
    /// The argument at `first` says how many keys follow it.
    pub is_counted: bool,
}

/// A key specification: the first key stands at `first`.
pub const fn key(first: i64, flags: &'static str, last: i64, step: i64) -> KeySpec {
    KeySpec { notes: "", flags, first, last, step, is_counted: false }
}

/// A key specification: the argument at `count` says how many keys follow it.
pub const fn counted_keys(count: i64, flags: &'static str) -> KeySpec {
    KeySpec { notes: "", flags, first: count, last: 0, step: 1, is_counted: true }
}

impl KeySpec {
    /// Add a remark.
    pub const fn noting(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// Indexes of the keys in a call; `None` if its own count of them makes no sense.
    fn indexes(&self, args: Args<'_>) -> Option<std::iter::StepBy<std::ops::RangeInclusive<i64>>> {
        let length = args.len() as i64;
        let (first, last) = if self.is_counted {
            let count = parse_i64(args.get(self.first as usize))?;
            if count < 1 || count > length - 1 - self.first {
                return None;
            }
            (self.first + 1, self.first + count)
        } else if self.last < 0 {
            (self.first, length + self.last)
        } else {
            (self.first, self.first + self.last)
        };
        Some((first..=last).step_by(self.step.max(1) as usize))
    }
}

/// One command, or one subcommand (its name then reads `container|subcommand`).
#[derive(Clone, Copy)]
pub struct Spec {
    /// Its place in the table, for figures; `table` fills it in.
    pub id: u16,
    /// Full name, lower case.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least so many.
    pub arity: i32,
    /// Flags.
    pub flags: Flags,
    /// ACL categories, the implied ones included.
    pub categories: u32,
    /// Indexes of the first and last key and the distance between keys; zeros when there is none.
    pub key_range: (i32, i32, i32),
    /// Key specifications.
    pub key_specs: &'static [KeySpec],
    /// Index of the first field or member that is named; 0 when there is none. For prefetching, so
    /// only of commands that look it up.
    pub first_member: u8,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// Group in the documentation.
    pub group: &'static str,
    /// Redis version that brought the command.
    pub since: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What runs.
    pub handler: Handler,
    /// Subcommands, if this is a container.
    pub subcommands: &'static [Spec],
}

/// A row with the categories that its flags imply.
pub const fn spec(
    name: &'static str,
    arity: i32,
    flags: Flags,
    categories: u32,
    handler: Handler,
) -> Spec {
    let mut all = categories | if flags & FAST != 0 { CAT_FAST } else { CAT_SLOW };
    if flags & WRITE != 0 {
        all |= CAT_WRITE;
    }
    if flags & READONLY != 0 {
        all |= CAT_READ;
    }
    if flags & ADMIN != 0 {
        all |= CAT_ADMIN | CAT_DANGEROUS;
    }
    Spec {
        id: 0,
        name,
        arity,
        flags,
        categories: all,
        key_range: (0, 0, 0),
        key_specs: &[],
        first_member: 0,
        tips: &[],
        group: "",
        since: "",
        summary: "",
        handler,
        subcommands: &[],
    }
}

impl Spec {
    /// Say where the keys stand.
    pub const fn keys(
        mut self,
        first: i32,
        last: i32,
        step: i32,
        specs: &'static [KeySpec],
    ) -> Self {
        self.key_range = (first, last, step);
        self.key_specs = specs;
        self
    }
    /// Say where the first field or member stands.
    pub const fn member(mut self, first: u8) -> Self {
        self.first_member = first;
        self
    }
    /// Add hints for clients.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }
    /// Add the documentation.
    pub const fn doc(
        mut self,
        group: &'static str,
        since: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.summary = summary;
        self
    }
    /// Add the subcommands.
    pub const fn subs(mut self, subcommands: &'static [Spec]) -> Self {
        self.subcommands = subcommands;
        self
    }
    /// Whether all of `flags` are set.
    pub const fn has(&self, flags: Flags) -> bool {
        self.flags & flags == flags
    }
    /// Whether a call with `count` arguments, the name included, may run.
    pub const fn takes(&self, count: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 { count == least } else { count >= least }
    }
    /// The keys of a call, each with what happens to it; `None` if its own count of them makes no
    /// sense.
    pub fn keys_of<'a>(&self, args: Args<'a>) -> Option<Vec<(&'a [u8], &'static KeySpec)>> {
        let mut keys = Vec::new();
        for spec in self.key_specs {
            keys.extend(spec.indexes(args)?.map(|at| (args.get(at as usize), spec)));
        }
        Some(keys)
    }
}
