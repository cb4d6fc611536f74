//! Rows of the commands on databases and the server itself. Arity, flags, keys and categories are
//! Redis 7.0's (COMMAND INFO answers them); the summaries are ours.

use super::container;
use super::spec::*;
use crate::command::generic::database;
use crate::command::server::{debug, info, introspect, process as server, settings};

/// The rows.
pub(super) const SERVER: &[Spec] = &[
    spec("dbsize", 1, READONLY | FAST, CAT_KEYSPACE, database::dbsize)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .doc("server", "1.0.0", "Number of keys in the database."),
    spec("flushdb", -1, WRITE, CAT_DANGEROUS | CAT_KEYSPACE, database::flushdb)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("server", "1.0.0", "Delete all keys of the database."),
    spec("flushall", -1, WRITE, CAT_DANGEROUS | CAT_KEYSPACE, database::flushall)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("server", "1.0.0", "Delete all keys of all databases."),
    spec("swapdb", 3, WRITE | FAST, CAT_DANGEROUS | CAT_KEYSPACE, database::swapdb).doc(
        "server",
        "4.0.0",
        "Exchange two databases.",
    ),
    spec("info", -1, LOADING | STALE, CAT_DANGEROUS, info::info)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .doc("server", "1.0.0", "Figures of the server."),
    spec("config", -2, NONE, 0, container)
        .doc("server", "2.0.0", "Read and change directives.")
        .subs(&[
            spec("config|get", -3, ADMIN | NOSCRIPT | LOADING | STALE, 0, settings::get).doc(
                "server",
                "2.0.0",
                "Directives that match patterns.",
            ),
            spec("config|set", -4, ADMIN | NOSCRIPT | LOADING | STALE, 0, settings::set)
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("server", "2.0.0", "Change directives, all or none."),
            spec("config|resetstat", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0, settings::resetstat)
                .doc("server", "2.0.0", "Set the counters of INFO to zero."),
            spec("config|rewrite", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0, settings::rewrite)
                .doc("server", "2.8.0", "Write the directives to the configuration file."),
            spec("config|help", 2, LOADING | STALE, 0, settings::help).doc(
                "server",
                "5.0.0",
                "List the subcommands.",
            ),
        ]),
    spec("command", -1, LOADING | STALE, CAT_CONNECTION, introspect::all)
        .tips(&["nondeterministic_output_order"])
        .doc("server", "2.8.13", "Describe the commands.")
        .subs(&[
            spec("command|count", 2, LOADING | STALE, CAT_CONNECTION, introspect::count).doc(
                "server",
                "2.8.13",
                "Number of commands.",
            ),
            spec("command|list", -2, LOADING | STALE, CAT_CONNECTION, introspect::list)
                .tips(&["nondeterministic_output_order"])
                .doc("server", "7.0.0", "Names of the commands."),
            spec("command|info", -2, LOADING | STALE, CAT_CONNECTION, introspect::info)
                .tips(&["nondeterministic_output_order"])
                .doc("server", "2.8.13", "Describe the commands named."),
            spec("command|docs", -2, LOADING | STALE, CAT_CONNECTION, introspect::docs)
                .tips(&["nondeterministic_output_order"])
                .doc("server", "7.0.0", "Summaries of the commands."),
            spec("command|getkeys", -4, LOADING | STALE, CAT_CONNECTION, introspect::getkeys).doc(
                "server",
                "2.8.13",
                "Keys in a command line.",
            ),
            spec(
                "command|getkeysandflags",
                -4,
                LOADING | STALE,
                CAT_CONNECTION,
                introspect::getkeysandflags,
            )
            .doc(
                "server",
                "7.0.0",
                "Keys in a command line, and what happens to them.",
            ),
            spec("command|help", 2, LOADING | STALE, CAT_CONNECTION, introspect::help).doc(
                "server",
                "5.0.0",
                "List the subcommands.",
            ),
        ]),
    spec("time", 1, LOADING | STALE | FAST, 0, server::time)
        .tips(&["nondeterministic_output"])
        .doc("server", "2.6.0", "The server's time."),
    spec("lastsave", 1, LOADING | STALE | FAST, CAT_ADMIN | CAT_DANGEROUS, server::lastsave)
        .tips(&["nondeterministic_output"])
        .doc("server", "1.0.0", "Unix time of the last save."),
    spec("save", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0, server::save).doc(
        "server",
        "1.0.0",
        "Save the data set now, in the foreground.",
    ),
    spec("bgsave", -1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0, server::bgsave).doc(
        "server",
        "1.0.0",
        "Save the data set in the background.",
    ),
    spec("bgrewriteaof", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0, server::bgrewriteaof).doc(
        "server",
        "1.0.0",
        "Rewrite the append-only file in the background.",
    ),
    spec(
        "shutdown",
        -1,
        ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
        0,
        server::shutdown,
    )
    .doc("server", "1.0.0", "Stop the server."),
    spec("debug", -2, ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED, 0, debug::debug).doc(
        "server",
        "1.0.0",
        "Tools for tests.",
    ),
    spec("role", 1, NOSCRIPT | LOADING | STALE | FAST, CAT_ADMIN | CAT_DANGEROUS, server::role)
        .doc("server", "2.8.12", "Role in replication."),
    spec("wait", 3, NOSCRIPT, CAT_CONNECTION, server::wait)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc("generic", "3.0.0", "Wait for replicas."),
];
