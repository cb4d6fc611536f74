//! Rows of the commands that show how the server does. Arity, flags and categories are Redis 7.0's
//! (COMMAND INFO answers them); the summaries are ours.

use super::container;
use super::spec::*;
use crate::command::server::{latency, memory, slowlog};

const LOOKING: Flags = ADMIN | LOADING | STALE;
const WATCHING: Flags = ADMIN | NOSCRIPT | LOADING | STALE;
const SPECIAL: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const SHARDS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
pub(super) const FIGURES: &[Spec] = &[
    spec("slowlog", -2, NONE, 0, container)
        .doc("server", "2.2.12", "The last commands that took long.")
        .subs(&[
            spec("slowlog|get", -2, LOOKING, 0, slowlog::get)
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .doc("server", "2.2.12", "The newest entries."),
            spec("slowlog|len", 2, LOOKING, 0, slowlog::len)
                .tips(&[
                    "request_policy:all_nodes",
                    "response_policy:agg_sum",
                    "nondeterministic_output",
                ])
                .doc("server", "2.2.12", "Number of entries."),
            spec("slowlog|reset", 2, LOOKING, 0, slowlog::reset).tips(ALL_NODES).doc(
                "server",
                "2.2.12",
                "Forget all entries.",
            ),
            spec("slowlog|help", 2, LOADING | STALE, 0, slowlog::help).doc(
                "server",
                "6.2.0",
                "List the subcommands.",
            ),
        ]),
    spec("latency", -2, NONE, 0, container)
        .doc("server", "2.8.13", "What held the server, and how long commands take.")
        .subs(&[
            spec("latency|latest", 2, WATCHING, 0, latency::latest).tips(SPECIAL).doc(
                "server",
                "2.8.13",
                "The last time of each event.",
            ),
            spec("latency|history", 3, WATCHING, 0, latency::history).tips(SPECIAL).doc(
                "server",
                "2.8.13",
                "The samples of an event.",
            ),
            spec("latency|reset", -2, WATCHING, 0, latency::reset).tips(ALL_NODES).doc(
                "server",
                "2.8.13",
                "Forget events.",
            ),
            spec("latency|histogram", -2, WATCHING, 0, latency::histogram).tips(SPECIAL).doc(
                "server",
                "7.0.0",
                "How long the calls of commands take.",
            ),
            spec("latency|help", 2, LOADING | STALE, 0, latency::help).doc(
                "server",
                "2.8.13",
                "List the subcommands.",
            ),
        ]),
    spec("memory", -2, NONE, 0, container).doc("server", "4.0.0", "Look at memory use.").subs(&[
        spec("memory|doctor", 2, NONE, 0, memory::doctor).tips(SHARDS).doc(
            "server",
            "4.0.0",
            "What stands out in the figures of memory.",
        ),
        spec("memory|purge", 2, NONE, 0, memory::purge)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .doc("server", "4.0.0", "Give free memory back to the system."),
        spec("memory|stats", 2, NONE, 0, memory::stats).tips(SHARDS).doc(
            "server",
            "4.0.0",
            "Figures of memory.",
        ),
        spec("memory|usage", -3, READONLY, 0, memory::usage)
            .keys(2, 2, 1, &[key(2, "RO", 0, 1)])
            .doc("server", "4.0.0", "Bytes that a key takes."),
        spec("memory|help", 2, LOADING | STALE, 0, memory::help).doc(
            "server",
            "4.0.0",
            "List the subcommands.",
        ),
    ]),
];
