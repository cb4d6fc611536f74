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
pub const BLOCKING: Flags = 1 << 5;
pub const LOADING: Flags = 1 << 6;
pub const STALE: Flags = 1 << 7;
pub const SKIP_SLOWLOG: Flags = 1 << 8;
pub const FAST: Flags = 1 << 9;
pub const NO_AUTH: Flags = 1 << 10;
pub const NO_ASYNC_LOADING: Flags = 1 << 11;
pub const NO_MULTI: Flags = 1 << 12;
/// Set by [`Spec::keys`]: not all keys stand at fixed places.
pub const MOVABLE_KEYS: Flags = 1 << 13;
pub const ALLOW_BUSY: Flags = 1 << 14;
/// Guarded by `enable-debug-command`; COMMAND INFO does not show it.
pub const PROTECTED: Flags = 1 << 15;
/// Not among those that Redis calls fast, but as short here; COMMAND INFO does not show it.
pub const BRIEF: Flags = 1 << 16;

/// Names of the flags in the order of their bits.
pub const FLAG_NAMES: [&str; 15] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_slowlog",
    "fast",
    "no_auth",
    "no_async_loading",
    "no_multi",
    "movablekeys",
    "allow_busy",
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
pub const CAT_BLOCKING: u32 = 1 << 11;
pub const CAT_DANGEROUS: u32 = 1 << 12;
pub const CAT_CONNECTION: u32 = 1 << 13;
pub const CAT_TRANSACTION: u32 = 1 << 14;

/// Names of the ACL categories in the order of their bits, which is the one Redis lists them in.
pub const CATEGORY_NAMES: [&str; 15] = [
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
    "@blocking",
    "@dangerous",
    "@connection",
    "@transaction",
];

/// Where keys stand in the arguments and what happens to them (Redis 7 key specifications).
#[derive(Debug, Clone, Copy)]
pub struct KeySpec {
    /// A remark, or nothing.
    pub notes: &'static str,
    /// Access flags, separated by spaces.
    pub flags: &'static str,
    /// How to find them.
    pub place: Place,
}

/// How keys are found in the arguments.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// From index `first` to `last`, which is counted from the first, or from the end when
    /// negative; `step` is the distance between keys.
    Range { first: i64, last: i64, step: i64 },
    /// The argument at that index says how many keys follow it.
    Counted(i64),
    /// Behind the last word STORE (SORT); COMMAND INFO says `unknown`.
    AfterStore,
    /// Not to be found without the data; COMMAND INFO says `unknown`.
    Unknown,
}

/// A key specification: the first key stands at `first`.
pub const fn key(first: i64, flags: &'static str, last: i64, step: i64) -> KeySpec {
    keys_at(Place::Range { first, last, step }, flags)
}

/// A key specification: the argument at `count` says how many keys follow it.
pub const fn counted_keys(count: i64, flags: &'static str) -> KeySpec {
    keys_at(Place::Counted(count), flags)
}

/// A key specification.
pub const fn keys_at(place: Place, flags: &'static str) -> KeySpec {
    KeySpec { notes: "", flags, place }
}

impl KeySpec {
    /// Add a remark.
    pub const fn noting(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// Indexes of the keys in a call; `None` if its own count of them makes no sense.
    fn indexes(&self, args: Args<'_>) -> Option<std::iter::StepBy<std::ops::Range<i64>>> {
        let length = args.len() as i64;
        let (range, step) = match self.place {
            Place::Range { first, last, step } if last < 0 => (first..length + last + 1, step),
            Place::Range { first, last, step } => (first..first + last + 1, step),
            Place::Counted(at) => {
                let count = parse_i64(args.get(at as usize))?;
                if count < 1 || count > length - 1 - at {
                    return None;
                }
                (at + 1..at + count + 1, 1)
            }
            Place::AfterStore => (after_store(args).map_or(0..0, |at| at..at + 1), 1),
            Place::Unknown => (0..0, 1),
        };
        Some(range.step_by(step.max(1) as usize))
    }
}

/// The key that SORT stores its result under.
fn after_store(args: Args<'_>) -> Option<i64> {
    let (mut found, mut at) = (None, 2);
    while at < args.len() {
        at += match args.get(at).to_ascii_lowercase().as_slice() {
            b"limit" => 3,
            b"get" | b"by" => 2,
            b"store" if at + 1 < args.len() => {
                found = Some(at as i64 + 1);
                1
            }
            _ => 1,
        };
    }
    found
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
    if flags & BLOCKING != 0 {
        all |= CAT_BLOCKING;
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
        let mut at = 0;
        while at < specs.len() {
            if !matches!(specs[at].place, Place::Range { .. }) {
                self.flags |= MOVABLE_KEYS;
            }
            at += 1;
        }
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
    /// Whether it is neither among those that Redis calls fast nor sets one string. All that ask
    /// where the log ends, or put another one in its place, are among these.
    pub const fn may_take_long(&self) -> bool {
        !self.has(FAST) && !self.has(BRIEF)
    }
    /// Whether a call with `count` arguments, the name included, may run.
    pub const fn takes(&self, count: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 { count == least } else { count >= least }
    }
    /// The index of the first key, for prefetching, if it has a fixed place.
    pub fn first_key_index(&self) -> Option<usize> {
        match self.key_range.0 {
            first @ 1.. => usize::try_from(first).ok(),
            _ => match self.key_specs.first()?.place {
                Place::Counted(at) => usize::try_from(at + 1).ok(),
                _ => None,
            },
        }
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
