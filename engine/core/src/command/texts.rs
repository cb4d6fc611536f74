//! Error texts that several commands share. Clients match on them, so they are Redis 7.0's to the
//! letter.

pub const SYNTAX: &str = "ERR syntax error";
pub const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
pub const NOT_FLOAT: &str = "ERR value is not a valid float";
pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
pub const NO_SUCH_KEY: &str = "ERR no such key";
pub const SAME_OBJECT: &str = "ERR source and destination objects are the same";
pub const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
pub const TIMEOUT_NOT_INTEGER: &str = "ERR timeout is not an integer or out of range";
pub const TIMEOUT_NEGATIVE: &str = "ERR timeout is negative";
/// While the data set is being loaded.
pub const LOADING: &str = "LOADING Redis is loading the dataset in memory";
pub const EXEC_ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
pub const MISCONF_RDB: &str = "MISCONF Redis is configured to save RDB snapshots, but it's \
    currently unable to persist to disk. Commands that may modify the data set are disabled, because \
    this instance is configured to report errors during writes if RDB snapshotting fails \
    (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
    error.";
/// The text for a write while the log has failed with this error of the operating system.
pub fn misconf_log(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    format!("MISCONF Errors writing to the AOF file: {reason}")
}

/// `ERR wrong number of arguments for '<name>' command`.
pub fn arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// `ERR invalid expire time in '<name>' command`.
pub fn expire_time(name: &str) -> String {
    format!("ERR invalid expire time in '{name}' command")
}

/// What C's `%.*s` prints of `bytes`: at most `limit` bytes, up to the first NUL.
pub fn c_text(bytes: &[u8], limit: usize) -> &[u8] {
    let shown = &bytes[..bytes.len().min(limit)];
    shown.iter().position(|&byte| byte == 0).map_or(shown, |end| &shown[..end])
}

/// Answer `<CONTAINER> HELP`: one line for each form and one, indented, for what it does.
pub fn help(cx: &mut super::Cx<'_>, container: &str, forms: &[(&str, &str)]) {
    let head = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    cx.reply.array(1 + (forms.len() + 1) * 2);
    cx.reply.simple(&head);
    for (form, meaning) in forms.iter().chain(&[("HELP", "This list.")]) {
        cx.reply.simple(form);
        cx.reply.simple(&format!("    {meaning}"));
    }
}
