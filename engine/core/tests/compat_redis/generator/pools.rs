//! What calls are made of: few keys, so that calls meet; values, numbers and bounds at the edges of
//! what Redis accepts.

/// Keys of strings; `w_*` are weights for SORT.
pub const STRING_KEYS: &[&str] =
    &["a", "b", "c", "d", "e", "f", "key:7", "{x}\u{0}\r\n", "", "w_1", "w_2", "w_3", "w_7"];
pub const LIST_KEYS: &[&str] = &["l1", "l2", "l3", "l4"];
/// Keys of hashes; `h_*` are weights for SORT.
pub const HASH_KEYS: &[&str] = &["h1", "h2", "h3", "h4", "h_1", "h_2", "h_7"];
pub const SET_KEYS: &[&str] = &["s1", "s2", "s3", "s4", "s5"];
pub const SORTED_KEYS: &[&str] = &["z1", "z2", "z3", "z4", "z5"];
/// Sorted sets whose scores are all zero: only there does a range of members mean one thing.
pub const LEX_KEYS: &[&str] = &["x1", "x2", "x3"];

pub const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "42",
    "10000",
    "9999",
    "-0",
    "01",
    " 1",
    "1 ",
    "+5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "3.5",
    "-2.25",
    "1e3",
    "1e400",
    "inf",
    "-inf",
    "nan",
    "0x1f",
    "0x1p-3",
    "3.0e-2",
    "1.",
    ".5",
    ".",
    "hello",
    "a\u{0}b\r\n",
    "forty-four bytes are the most that embstr has.",
    "forty-four bytes are the most, and this has",
    "forty-four bytes are the most of an embstr..",
    "5000000000000000000000",
];

/// Elements, fields, members: integers of every width that the packed forms know, texts around
/// the thresholds and around the lengths at which their heads grow.
pub const ELEMENTS: &[&str] = &[
    "",
    "0",
    "-1",
    "127",
    "128",
    "-128",
    "4095",
    "4096",
    "-4096",
    "-4097",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "8388607",
    "8388608",
    "-8388609",
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-0",
    "+1",
    "01",
    " 1",
    "1.5",
    "1e3",
    "inf",
    "-inf",
    "nan",
    "0x10",
    "1e400",
    "hello",
    "Hello",
    "hello world",
    "a\u{0}b\r\n",
    "\u{e4}\u{f6}",
    "a text of sixty-three bytes, which is one less than the most...",
    "a text of sixty-four bytes, the most that a packed form takes...",
    "a text of sixty-five bytes, one more than a packed form takes....",
];

/// Scores as people write them, some of them no numbers.
pub const SCORES: &[&str] = &[
    "0",
    "-0",
    "1",
    "1.0",
    "2",
    "3",
    "-1",
    "1.5",
    "2.25",
    "-3.75",
    "10",
    "100",
    "1e3",
    "1e308",
    "-1e308",
    "1.7976931348623157e308",
    "5e-324",
    "3.0000000000000004",
    "0.1",
    "0.30000000000000004",
    "9007199254740993",
    "12345678901234567",
    "1e17",
    "123456789012345678",
    "inf",
    "+inf",
    "-inf",
    "Infinity",
    "0x10",
    "0x1p-3",
    "1e-7",
    "0.00001",
];

/// What is no score, mostly.
pub const BAD_SCORES: &[&str] = &[
    "nan", "-nan", "", "x", "1 ", " 3.0", "1e400", "1e-400", "--1", "1.5.2", "(1", "0x", "1\u{0}",
];

/// Bounds of ranges by score.
pub const SCORE_BOUNDS: &[&str] = &[
    "-inf", "+inf", "inf", "0", "1", "(1", "2", "(2", "-1", "(-1", "1.5", "(1.5", "10", "(0",
    "100", "1e308", "(inf", "(-inf", "0x1", "(", "((1", "nan", "(nan", "x", "", "1 ", " 1",
];

/// Bounds of ranges by member.
pub const LEX_BOUNDS: &[&str] = &[
    "-", "+", "[a", "(a", "[m", "(m", "[", "(", "[e10", "(e10", "[hello", "(hello", "[e2", "(e9",
    "[zz", "(5", "[5", "x", "", "--", "+x", "{a",
];

/// Indexes and counts.
pub const SMALL: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "-1",
    "-2",
    "-3",
    "-100",
    "10",
    "100",
    "x",
    "",
    "1.5",
    "99999999999",
    "-99999999999",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "007",
];

/// Counts of elements to draw: a great negative one would be answered in full.
pub const DRAWS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "10",
    "100",
    "1000000",
    "-1",
    "-2",
    "-5",
    "-40",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
];

pub const TIMES: &[&str] = &[
    "100",
    "1000",
    "5000",
    "86400",
    "0",
    "-1",
    "-1000",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223370000000000",
];
pub const MILLISECONDS: &[&str] = &[
    "100000",
    "5000000",
    "86400000",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1.0",
];
pub const INSTANTS: &[&str] =
    &["1", "1000", "4000000000", "4100000000", "0", "-5", "9223372036854775807"];
pub const INSTANTS_MS: &[&str] = &["1", "4000000000000", "4100000000000", "0", "-5", "x"];

pub const PATTERNS: &[&str] = &[
    "*", "*", "?", "[a-c]", "[^a]", "key:*", "\\a", "[", "", "a*", "*\r\n", "[c-a]", "**", "e1*",
    "*[0-9]", "l?", "[hs]?",
];

/// Options of many commands, right and wrong ones.
pub const WORDS: &[&str] = &[
    "NX",
    "xx",
    "GET",
    "ex",
    "PX",
    "EXAT",
    "pxat",
    "KEEPTTL",
    "PERSIST",
    "gt",
    "LT",
    "100",
    "1000000",
    "4000000000000",
    "MATCH",
    "count",
    "TYPE",
    "string",
    "DB",
    "replace",
    "foo",
    "",
    "LEN",
    "idx",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "ASYNC",
    "sync",
    "1",
    "-1",
    "WITHSCORES",
    "limit",
    "STORE",
    "REV",
    "LEFT",
];
