//! Rows of the string commands. Arity, flags, keys and categories are Redis 7.0's (COMMAND INFO
//! answers them); the summaries are ours.

use super::spec::*;
use crate::command::string::{get, lcs, number, set};

/// The rows.
pub(super) const STRINGS: &[Spec] = &[
    spec("set", -3, WRITE | DENYOOM | BRIEF, CAT_STRING, set::set)
        .keys(
            1,
            1,
            1,
            &[key(1, "RW access update variable_flags", 0, 1)
                .noting("RW and ACCESS due to the optional `GET` argument")],
        )
        .doc("string", "1.0.0", "Set a string, with conditions and an expiry."),
    spec("get", 2, READONLY | FAST, CAT_STRING, get::get)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .doc("string", "1.0.0", "Read a string."),
    spec("getset", 3, WRITE | DENYOOM | FAST, CAT_STRING, set::getset)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "1.0.0", "Set a string and give what was there."),
    spec("getdel", 2, WRITE | FAST, CAT_STRING, get::getdel)
        .keys(1, 1, 1, &[key(1, "RW access delete", 0, 1)])
        .doc("string", "6.2.0", "Read a string and delete it."),
    spec("getex", -2, WRITE | FAST, CAT_STRING, get::getex)
        .keys(
            1,
            1,
            1,
            &[key(1, "RW access update", 0, 1).noting("RW and UPDATE because it changes the TTL")],
        )
        .doc("string", "6.2.0", "Read a string and change its expiry."),
    spec("setnx", 3, WRITE | DENYOOM | FAST, CAT_STRING, set::setnx)
        .keys(1, 1, 1, &[key(1, "OW insert", 0, 1)])
        .doc("string", "1.0.0", "Set a string unless the key exists."),
    spec("setex", 4, WRITE | DENYOOM | BRIEF, CAT_STRING, set::setex)
        .keys(1, 1, 1, &[key(1, "OW update", 0, 1)])
        .doc("string", "2.0.0", "Set a string that ends after some seconds."),
    spec("psetex", 4, WRITE | DENYOOM | BRIEF, CAT_STRING, set::psetex)
        .keys(1, 1, 1, &[key(1, "OW update", 0, 1)])
        .doc("string", "2.6.0", "Set a string that ends after some milliseconds."),
    spec("mget", -2, READONLY | FAST, CAT_STRING, get::mget)
        .keys(1, -1, 1, &[key(1, "RO access", -1, 1)])
        .tips(&["request_policy:multi_shard"])
        .doc("string", "1.0.0", "Read several strings."),
    spec("mset", -3, WRITE | DENYOOM, CAT_STRING, set::mset)
        .keys(1, -1, 2, &[key(1, "OW update", -1, 2)])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .doc("string", "1.0.1", "Set several strings."),
    spec("msetnx", -3, WRITE | DENYOOM, CAT_STRING, set::msetnx)
        .keys(1, -1, 2, &[key(1, "OW insert", -1, 2)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .doc("string", "1.0.1", "Set several strings unless one of the keys exists."),
    spec("incr", 2, WRITE | DENYOOM | FAST, CAT_STRING, number::incr)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "1.0.0", "Add one to an integer."),
    spec("decr", 2, WRITE | DENYOOM | FAST, CAT_STRING, number::decr)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "1.0.0", "Subtract one from an integer."),
    spec("incrby", 3, WRITE | DENYOOM | FAST, CAT_STRING, number::incrby)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "1.0.0", "Add to an integer."),
    spec("decrby", 3, WRITE | DENYOOM | FAST, CAT_STRING, number::decrby)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "1.0.0", "Subtract from an integer."),
    spec("incrbyfloat", 3, WRITE | DENYOOM | FAST, CAT_STRING, number::incrbyfloat)
        .keys(1, 1, 1, &[key(1, "RW access update", 0, 1)])
        .doc("string", "2.6.0", "Add to a floating-point number."),
    spec("append", 3, WRITE | DENYOOM | FAST, CAT_STRING, get::append)
        .keys(1, 1, 1, &[key(1, "RW insert", 0, 1)])
        .doc("string", "2.0.0", "Append to a string."),
    spec("strlen", 2, READONLY | FAST, CAT_STRING, get::strlen)
        .keys(1, 1, 1, &[key(1, "RO", 0, 1)])
        .doc("string", "2.2.0", "Length of a string in bytes."),
    spec("getrange", 4, READONLY, CAT_STRING, get::getrange)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .doc("string", "2.4.0", "Read a part of a string."),
    spec("substr", 4, READONLY, CAT_STRING, get::getrange)
        .keys(1, 1, 1, &[key(1, "RO access", 0, 1)])
        .doc("string", "1.0.0", "Read a part of a string (old name of GETRANGE)."),
    spec("setrange", 4, WRITE | DENYOOM, CAT_STRING, get::setrange)
        .keys(1, 1, 1, &[key(1, "RW update", 0, 1)])
        .doc("string", "2.2.0", "Overwrite a part of a string."),
    spec("lcs", -3, READONLY, CAT_STRING, lcs::lcs)
        .keys(1, 2, 1, &[key(1, "RO access", 1, 1)])
        .doc("string", "7.0.0", "Longest common subsequence of two strings."),
];
