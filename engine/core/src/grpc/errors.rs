//! The one table from refusals to gRPC statuses: by the first word of a command's error, and for
//! `ERR` by its text. `docs/data-api.md` has the same table, and a test compares them. What a
//! handler refuses, and with which words, is Redis's.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::limits::DATA_REQUEST_BYTES_MAX;

/// `google.rpc.ErrorInfo.domain`.
const DOMAIN: &str = "perdure";
/// When to try again what can succeed later.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A row: the reason in ErrorInfo, the status, and whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Stable reason.
    pub reason: &'static str,
    /// Status of the call.
    pub code: Code,
    /// RetryInfo is given.
    pub is_retryable: bool,
}

const fn row(reason: &'static str, code: Code) -> Row {
    Row { reason, code, is_retryable: false }
}

const fn retryable(reason: &'static str, code: Code) -> Row {
    Row { reason, code, is_retryable: true }
}

/// By the first word of a command's error, which is the reason.
pub const WORDS: [Row; 22] = [
    row("BUSYGROUP", Code::AlreadyExists),
    row("BUSYKEY", Code::AlreadyExists),
    retryable("BUSY", Code::Unavailable),
    row("EXECABORT", Code::FailedPrecondition),
    retryable("LOADING", Code::Unavailable),
    retryable("MASTERDOWN", Code::Unavailable),
    retryable("MISCONF", Code::Unavailable),
    row("NOAUTH", Code::Unauthenticated),
    row("NOGROUP", Code::NotFound),
    row("NOPERM", Code::PermissionDenied),
    row("NOPROTO", Code::InvalidArgument),
    retryable("NOREPLICAS", Code::Unavailable),
    row("NOSCRIPT", Code::NotFound),
    row("NOTBUSY", Code::FailedPrecondition),
    row("OOM", Code::ResourceExhausted),
    row("READONLY", Code::FailedPrecondition),
    row("UNBLOCKED", Code::Aborted),
    row("UNKILLABLE", Code::FailedPrecondition),
    row("WRONGPASS", Code::Unauthenticated),
    row("WRONGTYPE", Code::FailedPrecondition),
    row("INPROG", Code::FailedPrecondition),
    row("ERR", Code::InvalidArgument),
];

/// For errors with the word `ERR`: what the text contains, the first that fits.
pub const TEXTS: [(&str, Row); 14] = [
    ("value is not an integer or out of range", row("NOT_INTEGER", Code::InvalidArgument)),
    ("value is not a valid float", row("NOT_FLOAT", Code::InvalidArgument)),
    ("would overflow", row("OVERFLOW", Code::OutOfRange)),
    ("would produce NaN or Infinity", row("OVERFLOW", Code::OutOfRange)),
    ("exceeds maximum allowed size", row("TOO_LONG", Code::OutOfRange)),
    ("index is out of range", row("OUT_OF_RANGE", Code::OutOfRange)),
    ("is out of range", row("OUT_OF_RANGE", Code::OutOfRange)),
    ("syntax error", row("SYNTAX", Code::InvalidArgument)),
    ("wrong number of arguments", row("ARITY", Code::InvalidArgument)),
    ("unknown command", row("UNKNOWN_COMMAND", Code::InvalidArgument)),
    ("unknown subcommand", row("UNKNOWN_COMMAND", Code::InvalidArgument)),
    ("invalid expire time", row("INVALID_EXPIRE", Code::InvalidArgument)),
    ("no such key", row("NO_SUCH_KEY", Code::NotFound)),
    ("command not allowed", row("NOT_ALLOWED", Code::PermissionDenied)),
];

/// Refusals of this API itself.
pub const OWN: [Row; 12] = [
    INVALID,
    NEEDS_CONNECTION,
    TOO_MANY,
    TOO_BIG,
    OVERLOADED,
    ANSWER_TOO_BIG,
    NO_LOG,
    NOT_REACHED,
    STOPPING,
    OUTCOME_UNKNOWN,
    DEADLINE,
    INTERNAL,
];
const INVALID: Row = row("INVALID_REQUEST", Code::InvalidArgument);
const NEEDS_CONNECTION: Row = row("NEEDS_CONNECTION", Code::InvalidArgument);
const TOO_MANY: Row = row("TOO_MANY", Code::ResourceExhausted);
const TOO_BIG: Row = row("REQUEST_TOO_BIG", Code::ResourceExhausted);
const OVERLOADED: Row = retryable("OVERLOADED", Code::ResourceExhausted);
const ANSWER_TOO_BIG: Row = row("ANSWER_TOO_BIG", Code::ResourceExhausted);
const NO_LOG: Row = row("NO_LOG", Code::FailedPrecondition);
const NOT_REACHED: Row = row("POSITION_NOT_REACHED", Code::OutOfRange);
const STOPPING: Row = retryable("STOPPING", Code::Unavailable);
const OUTCOME_UNKNOWN: Row = row("OUTCOME_UNKNOWN", Code::Unknown);
const DEADLINE: Row = row("DEADLINE", Code::DeadlineExceeded);
const INTERNAL: Row = row("INTERNAL", Code::Internal);

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    row: Row,
    /// The first word, when no row knows it.
    word: Option<String>,
    message: String,
}

impl Refusal {
    fn own(row: Row, message: &str) -> Self {
        Self { row, word: None, message: message.to_owned() }
    }

    /// The request can never succeed.
    pub(super) fn invalid(message: &str) -> Self {
        Self::own(INVALID, message)
    }

    /// The command cannot be run by a call.
    pub(super) fn needs_connection(message: &str) -> Self {
        Self::own(NEEDS_CONNECTION, message)
    }

    /// More keys or commands than a call may have.
    pub(super) fn too_many(message: &str) -> Self {
        Self::own(TOO_MANY, message)
    }

    /// Too many calls, or bytes of them, wait already.
    pub(super) fn overloaded(message: &str) -> Self {
        Self::own(OVERLOADED, message)
    }

    /// What was to be read does not fit an answer.
    pub(super) fn answer_too_big(message: &str) -> Self {
        Self::own(ANSWER_TOO_BIG, message)
    }

    /// A durability was asked for that needs a log.
    pub(super) fn no_log() -> Self {
        let text = "nothing is logged (appendonly no), so no write can be waited for: ask for no \
            durability, or switch the log on";
        Self::own(NO_LOG, text)
    }

    /// The log has not come so far.
    pub(super) fn not_reached(message: &str) -> Self {
        Self::own(NOT_REACHED, message)
    }

    /// Nothing is executed any more.
    pub(super) fn stopping() -> Self {
        Self::own(STOPPING, "the server is stopping; nothing of this call was executed")
    }

    /// It was executed, and its answer cannot be given.
    pub(super) fn outcome_unknown(why: &str) -> Self {
        Self::own(OUTCOME_UNKNOWN, why)
    }

    /// The call's own deadline has passed.
    pub(super) fn deadline() -> Self {
        Self::own(DEADLINE, "the deadline has passed; whether the call was executed is not known")
    }

    /// A bug.
    pub(super) fn internal(message: &str) -> Self {
        Self::own(INTERNAL, message)
    }

    /// What the transport refused before a method saw it: its bound on messages has a row here.
    pub(super) fn of_transport(status: Status) -> Status {
        if status.code() == Code::OutOfRange && status.message().contains("message length too") {
            let text =
                format!("the request has more than {DATA_REQUEST_BYTES_MAX} bytes: send less");
            return Self::own(TOO_BIG, &text).into();
        }
        status
    }

    /// What a command answered, without the dash.
    pub(super) fn of_command(text: &[u8]) -> Self {
        let message = String::from_utf8_lossy(text).into_owned();
        let word = message.split(' ').next().unwrap_or_default();
        if word == "ERR"
            && let Some((_, row)) = TEXTS.iter().find(|(part, _)| message.contains(part))
        {
            return Self { row: *row, word: None, message };
        }
        match WORDS.iter().find(|row| row.reason == word) {
            Some(row) => Self { row: *row, word: None, message },
            None => {
                Self { row: row("UNKNOWN", Code::Unknown), word: Some(word.to_owned()), message }
            }
        }
    }

    /// Whether it came before anything was decided about the data: worth the same status when it
    /// spoils a transaction.
    pub(super) fn is_of_server(&self) -> bool {
        self.row.code == Code::Unavailable || self.row.code == Code::ResourceExhausted
    }

    /// Whether less would have fitted.
    pub(super) fn is_answer_too_big(&self) -> bool {
        self.row == ANSWER_TOO_BIG
    }

    /// The text.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.word.as_deref().unwrap_or(refusal.row.reason);
        let mut details =
            ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new());
        if refusal.row.is_retryable {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Status::with_error_details(refusal.row.code, refusal.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> (Code, String, bool) {
        let status = Status::from(Refusal::of_command(text.as_bytes()));
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, "perdure");
        (status.code(), info.reason.clone(), details.retry_info().is_some())
    }

    #[test]
    fn errors_of_commands_have_the_status_that_the_wire_contract_promises() {
        let cases = [
            ("WRONGTYPE Operation against", Code::FailedPrecondition, "WRONGTYPE", false),
            ("OOM command not allowed when", Code::ResourceExhausted, "OOM", false),
            ("LOADING Redis is loading", Code::Unavailable, "LOADING", true),
            ("BUSY Redis is busy", Code::Unavailable, "BUSY", true),
            ("MISCONF Errors writing", Code::Unavailable, "MISCONF", true),
            ("NOPERM this user", Code::PermissionDenied, "NOPERM", false),
            ("EXECABORT Transaction", Code::FailedPrecondition, "EXECABORT", false),
            ("ERR syntax error", Code::InvalidArgument, "SYNTAX", false),
            ("ERR increment or decrement would overflow", Code::OutOfRange, "OVERFLOW", false),
            (
                "ERR value is not an integer or out of range",
                Code::InvalidArgument,
                "NOT_INTEGER",
                false,
            ),
            ("ERR index out of", Code::InvalidArgument, "ERR", false),
            ("NEWWORD of tomorrow", Code::Unknown, "NEWWORD", false),
        ];
        for (text, code, reason, is_retryable) in cases {
            assert_eq!(status(text), (code, reason.to_owned(), is_retryable), "{text}");
        }
    }

    #[test]
    fn the_page_of_the_data_api_has_every_row_and_no_other() {
        let page = include_str!("../../../../docs/data-api.md");
        let table = page.split("## Errors").nth(1).unwrap().split("\n## ").next().unwrap();
        let mut documented: Vec<(String, String, bool)> = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<&str> =
                    line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
                (cells[1].to_owned(), cells[2].to_owned(), cells[3] == "yes")
            })
            .collect();
        let unknown = row("UNKNOWN", Code::Unknown);
        let rows = WORDS.iter().chain(TEXTS.iter().map(|(_, row)| row)).chain(&OWN);
        let rows = rows.chain([&unknown]);
        let mut expected: Vec<_> = rows
            .map(|row| {
                let code = format!("{:?}", row.code);
                let code: String = code
                    .char_indices()
                    .flat_map(|(at, c)| {
                        let gap = (at > 0 && c.is_uppercase()).then_some('_');
                        gap.into_iter().chain(c.to_uppercase())
                    })
                    .collect();
                (row.reason.to_owned(), code, row.is_retryable)
            })
            .collect();
        documented.sort();
        expected.sort();
        expected.dedup();
        assert_eq!(documented, expected);
    }
}
