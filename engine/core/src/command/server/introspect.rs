//! COMMAND: the command table as clients ask for it. Only commands that exist are told.

use crate::command::table::spec::{CATEGORY_NAMES, FLAG_NAMES, KeySpec, Place};
use crate::command::table::{self, Resolved, Spec};
use crate::command::{Cx, glob_matches, texts};
use crate::resp::{Args, Reply};

/// COMMAND.
pub fn all(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.array(table::all().count());
    table::all().for_each(|spec| write_info(cx.reply, spec));
}

/// COMMAND COUNT.
pub fn count(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.int(table::all().count() as i64);
}

/// A command or `container|subcommand` by name.
fn by_name(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&byte| byte == b'|') {
        None => table::find(name),
        Some(at) => table::find_sub(table::find(&name[..at])?, &name[at + 1..]),
    }
}

/// COMMAND INFO [name ...].
pub fn info(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len() == 2 {
        return all(cx, args);
    }
    cx.reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match by_name(name) {
            Some(spec) => write_info(cx.reply, spec),
            None => cx.reply.null(),
        }
    }
}

fn write_names<'a>(reply: &mut Reply, names: impl Iterator<Item = &'a str> + Clone) {
    reply.set(names.clone().count());
    names.for_each(|name| reply.simple(name));
}

fn flag_names<'a>(bits: u32, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> + Clone {
    names.iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| *name)
}

fn write_info(reply: &mut Reply, spec: &Spec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.int(i64::from(spec.arity));
    write_names(reply, flag_names(spec.flags, &FLAG_NAMES));
    let (first, last, step) = spec.key_range;
    [first, last, step].iter().for_each(|number| reply.int(i64::from(*number)));
    write_names(reply, flag_names(spec.categories, &CATEGORY_NAMES));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.key_specs.len());
    spec.key_specs.iter().for_each(|keys| write_key_spec(reply, keys));
    reply.set(spec.subcommands.len());
    spec.subcommands.iter().for_each(|sub| write_info(reply, sub));
}

fn write_key_spec(reply: &mut Reply, keys: &KeySpec) {
    reply.map(if keys.notes.is_empty() { 3 } else { 4 });
    if !keys.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(keys.notes.as_bytes());
    }
    reply.bulk(b"flags");
    write_names(reply, keys.flags.split(' '));
    let (begin, find): (Step<'_>, Step<'_>) = match keys.place {
        Place::Range { first, last, step } => (
            ("index", &[("index", first)]),
            ("range", &[("lastkey", last), ("keystep", step), ("limit", 0)]),
        ),
        Place::Counted(at) => (
            ("index", &[("index", at)]),
            ("keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]),
        ),
        Place::AfterStore | Place::Unknown => (("unknown", &[]), ("unknown", &[])),
    };
    write_step(reply, "begin_search", begin);
    write_step(reply, "find_keys", find);
}

/// A step of a key specification: its type and its numbers.
type Step<'a> = (&'a str, &'a [(&'a str, i64)]);

fn write_step(reply: &mut Reply, name: &str, (kind, numbers): Step<'_>) {
    reply.bulk(name.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.int(*number);
    }
}

/// COMMAND DOCS [name ...]: summary, since and group; subcommands likewise.
pub fn docs(cx: &mut Cx<'_>, args: Args<'_>) {
    let found: Vec<&Spec> = if args.len() == 2 {
        table::all().collect()
    } else {
        args.iter().skip(2).filter_map(by_name).collect()
    };
    write_docs(cx.reply, &found);
}

fn write_docs(reply: &mut Reply, specs: &[&Spec]) {
    reply.map(specs.len());
    for spec in specs {
        reply.bulk(spec.name.as_bytes());
        reply.map(if spec.subcommands.is_empty() { 3 } else { 4 });
        let fields = [("summary", spec.summary), ("since", spec.since), ("group", spec.group)];
        for (name, text) in fields {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        if !spec.subcommands.is_empty() {
            reply.bulk(b"subcommands");
            write_docs(reply, &spec.subcommands.iter().collect::<Vec<_>>());
        }
    }
}

/// COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern].
pub fn list(cx: &mut Cx<'_>, args: Args<'_>) {
    let filter = match args.len() {
        2 => None,
        5 if args.get(2).eq_ignore_ascii_case(b"filterby") => {
            match args.get(3).to_ascii_lowercase().as_slice() {
                kind @ (b"module" | b"aclcat" | b"pattern") => Some((kind.to_vec(), args.get(4))),
                _ => return cx.reply.error(texts::SYNTAX),
            }
        }
        _ => return cx.reply.error(texts::SYNTAX),
    };
    let is_listed = |spec: &&Spec| match &filter {
        None => true,
        Some((kind, value)) => match kind.as_slice() {
            b"pattern" => glob_matches(value, spec.name.as_bytes(), true),
            b"aclcat" => flag_names(spec.categories, &CATEGORY_NAMES)
                .any(|name| name.as_bytes()[1..].eq_ignore_ascii_case(value)),
            _ => false, // there are no modules
        },
    };
    let names: Vec<&str> = table::all()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
        .filter(is_listed)
        .map(|spec| spec.name)
        .collect();
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
}

/// The keys of the command that stands in the arguments from the third on.
fn inner_keys<'a>(args: Args<'a>) -> Result<Vec<(&'a [u8], &'static KeySpec)>, &'static str> {
    let inner = args.skip(2);
    let spec = match table::resolve(inner) {
        Resolved::Found(spec) => spec,
        Resolved::Unknown | Resolved::UnknownSub => return Err("ERR Invalid command specified"),
    };
    if spec.key_specs.is_empty() {
        return Err("ERR The command has no key arguments");
    }
    if !spec.takes(inner.len()) {
        return Err("ERR Invalid number of arguments specified for command");
    }
    spec.keys_of(inner).ok_or("ERR Invalid arguments specified for command")
}

/// COMMAND GETKEYS command [arguments].
pub fn getkeys(cx: &mut Cx<'_>, args: Args<'_>) {
    match inner_keys(args) {
        Ok(keys) => {
            cx.reply.array(keys.len());
            keys.iter().for_each(|(key, _)| cx.reply.bulk(key));
        }
        Err(text) => cx.reply.error(text),
    }
}

/// COMMAND GETKEYSANDFLAGS command [arguments].
pub fn getkeysandflags(cx: &mut Cx<'_>, args: Args<'_>) {
    let keys = match inner_keys(args) {
        Ok(keys) => keys,
        Err(text) => return cx.reply.error(text),
    };
    cx.reply.array(keys.len());
    for (key, spec) in keys {
        cx.reply.array(2);
        cx.reply.bulk(key);
        write_names(cx.reply, spec.flags.split(' '));
    }
}

/// COMMAND HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "COMMAND",
        &[
            ("(no subcommand)", "Describe all commands."),
            ("COUNT", "Number of commands."),
            ("DOCS [<name> ...]", "Summaries of commands."),
            ("GETKEYS <command>", "Keys in a command line."),
            ("GETKEYSANDFLAGS <command>", "Keys in a command line, and what happens to them."),
            ("INFO [<name> ...]", "Describe commands."),
            ("LIST [FILTERBY ...]", "Names of commands."),
        ],
    );
}
