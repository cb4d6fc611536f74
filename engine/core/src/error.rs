//! The engine's typed error: what the control plane and the operator see.
//! A Redis client never sees this type: commands answer RESP errors of their own (`command`).
//! Codes are stable and UPPER_SNAKE; nobody parses the message.

use std::fmt;

/// An operating or usage error with a stable code and a hint for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    /// Stable code, for example `RDB_CORRUPT`.
    pub code: &'static str,
    /// What happened, one sentence without the code.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Whether the same call can succeed later without a change by the caller.
    pub is_retryable: bool,
    /// Names and values that belong to the message (path, offset, key ...).
    pub context: Vec<(&'static str, String)>,
}

impl EngineError {
    /// Make an error that is not retryable and has no context.
    pub fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            is_retryable: false,
            context: Vec::new(),
        }
    }

    /// Add one name and value to the context.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.context.push((name, value.into()));
        self
    }

    /// Mark the error as one that a later, unchanged call can overcome.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.is_retryable = true;
        self
    }

    /// Classify an error of the operating system met while doing `action` on `path`.
    pub fn from_io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let (code, hint, is_retryable) = match error.raw_os_error() {
            Some(libc::ENOSPC) | Some(libc::EDQUOT) => {
                ("DISK_FULL", "Free space on the disk of that path, then try again.", true)
            }
            Some(libc::EACCES) | Some(libc::EPERM) | Some(libc::EROFS) => {
                ("PERMISSION_DENIED", "Give the server's user access to that path.", false)
            }
            Some(libc::ENOENT) => ("FILE_MISSING", "Check the path.", false),
            Some(libc::EEXIST) => {
                ("FILE_EXISTS", "Choose another path: nothing is overwritten.", false)
            }
            Some(libc::EISDIR | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG) => {
                ("IO_ERROR", "Check the path.", false)
            }
            _ => ("IO_ERROR", "Look at the disk and the kernel log, then try again.", true),
        };
        let text = format!("cannot {action} {}: {}", path.display(), reason_of(error));
        let mut made = Self::new(code, text, hint);
        made.is_retryable = is_retryable;
        made.with("path", path.display().to_string())
    }
}

impl EngineError {
    /// The form in which the control plane gets it.
    pub fn to_json(&self) -> serde_json::Value {
        let context: serde_json::Map<String, serde_json::Value> = (self.context.iter())
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        serde_json::json!({
            "code": self.code, "message": self.message, "hint": self.hint,
            "is_retryable": self.is_retryable, "context": context,
        })
    }
}

/// The operating system's words, without Rust's number behind them.
pub(crate) fn reason_of(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for EngineError {}

/// The result of an engine call that can fail for the operator.
pub type Result<T> = std::result::Result<T, EngineError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_said_is_told_without_its_number_and_with_what_helps() {
        let of = |errno| {
            let error = std::io::Error::from_raw_os_error(errno);
            EngineError::from_io("read", std::path::Path::new("x.rdb"), &error)
        };
        let folder = of(libc::EISDIR);
        assert_eq!(folder.message, "cannot read x.rdb: Is a directory");
        assert_eq!((folder.hint.as_str(), folder.is_retryable), ("Check the path.", false));
        assert!(of(libc::EIO).is_retryable);
    }
}
