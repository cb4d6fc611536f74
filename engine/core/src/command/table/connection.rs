//! Rows of the commands on the connection and on transactions. Arity, flags, keys and categories
//! are Redis 7.0's (COMMAND INFO answers them); the summaries are ours.

use super::container;
use super::spec::*;
use crate::command::connection::{
    client, client_kill, client_pause, session as connection, transaction,
};
use crate::command::generic::database;

/// The rows.
pub(super) const CONNECTION: &[Spec] = &[
    spec("ping", -1, FAST, CAT_CONNECTION, connection::ping)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("connection", "1.0.0", "Answer PONG, or the argument."),
    spec("echo", 2, LOADING | STALE | FAST, CAT_CONNECTION, connection::echo).doc(
        "connection",
        "1.0.0",
        "Answer the argument.",
    ),
    spec(
        "hello",
        -1,
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CAT_CONNECTION,
        connection::hello,
    )
    .doc("connection", "6.0.0", "Choose the protocol."),
    spec(
        "quit",
        -1,
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CAT_CONNECTION,
        connection::quit,
    )
    .doc("connection", "1.0.0", "Close the connection."),
    spec(
        "reset",
        1,
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CAT_CONNECTION,
        connection::reset,
    )
    .doc("connection", "6.2.0", "Bring the connection back to its first state."),
    spec("select", 2, LOADING | STALE | FAST, CAT_CONNECTION, database::select).doc(
        "connection",
        "1.0.0",
        "Choose the database.",
    ),
    spec(
        "auth",
        -2,
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CAT_CONNECTION,
        connection::auth,
    )
    .doc("connection", "1.0.0", "Authenticate."),
    spec("client", -2, NONE, 0, container)
        .doc("connection", "2.4.0", "Look at and change connections.")
        .subs(&[
            spec("client|id", 2, NOSCRIPT | LOADING | STALE, CAT_CONNECTION, client::id).doc(
                "connection",
                "5.0.0",
                "Number of this connection.",
            ),
            spec("client|getname", 2, NOSCRIPT | LOADING | STALE, CAT_CONNECTION, client::getname)
                .doc("connection", "2.6.9", "Name of this connection."),
            spec("client|setname", 3, NOSCRIPT | LOADING | STALE, CAT_CONNECTION, client::setname)
                .doc("connection", "2.6.9", "Name this connection."),
            spec(
                "client|list",
                -2,
                ADMIN | NOSCRIPT | LOADING | STALE,
                CAT_CONNECTION,
                client::list,
            )
            .tips(&["nondeterministic_output"])
            .doc("connection", "2.4.0", "All connections."),
            spec("client|info", 2, NOSCRIPT | LOADING | STALE, CAT_CONNECTION, client::info)
                .tips(&["nondeterministic_output"])
                .doc("connection", "6.2.0", "This connection."),
            spec(
                "client|kill",
                -3,
                ADMIN | NOSCRIPT | LOADING | STALE,
                CAT_CONNECTION,
                client_kill::kill,
            )
            .doc("connection", "2.4.0", "Close connections."),
            spec(
                "client|pause",
                -3,
                ADMIN | NOSCRIPT | LOADING | STALE,
                CAT_CONNECTION,
                client_pause::pause,
            )
            .doc("connection", "2.9.50", "Let commands wait."),
            spec(
                "client|unpause",
                2,
                ADMIN | NOSCRIPT | LOADING | STALE,
                CAT_CONNECTION,
                client_pause::unpause,
            )
            .doc("connection", "6.2.0", "End the wait."),
            spec("client|reply", 3, NOSCRIPT | LOADING | STALE, CAT_CONNECTION, client::reply).doc(
                "connection",
                "3.2.0",
                "Choose whether commands are answered.",
            ),
            spec(
                "client|no-evict",
                3,
                ADMIN | NOSCRIPT | LOADING | STALE,
                CAT_CONNECTION,
                client::no_evict,
            )
            .doc("connection", "7.0.0", "Protect this connection from eviction."),
            spec("client|help", 2, LOADING | STALE, CAT_CONNECTION, client::help).doc(
                "connection",
                "5.0.0",
                "List the subcommands.",
            ),
        ]),
    spec("readonly", 1, LOADING | STALE | FAST, CAT_CONNECTION, connection::readonly).doc(
        "cluster",
        "3.0.0",
        "Reads from a cluster's replica.",
    ),
    spec("readwrite", 1, LOADING | STALE | FAST, CAT_CONNECTION, connection::readwrite).doc(
        "cluster",
        "3.0.0",
        "Undo READONLY.",
    ),
    spec(
        "multi",
        1,
        NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        CAT_TRANSACTION,
        transaction::multi,
    )
    .doc("transactions", "1.2.0", "Begin a transaction."),
    spec("exec", 1, NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG, CAT_TRANSACTION, transaction::exec)
        .doc("transactions", "1.2.0", "Run the transaction."),
    spec(
        "discard",
        1,
        NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        CAT_TRANSACTION,
        transaction::discard,
    )
    .doc("transactions", "2.0.0", "Drop the transaction."),
    spec(
        "watch",
        -2,
        NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        CAT_TRANSACTION,
        transaction::watch,
    )
    .keys(1, -1, 1, &[key(1, "RO", -1, 1)])
    .doc("transactions", "2.2.0", "Make the transaction depend on keys."),
    spec(
        "unwatch",
        1,
        NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        CAT_TRANSACTION,
        transaction::unwatch,
    )
    .doc("transactions", "2.2.0", "Forget the watched keys."),
];
