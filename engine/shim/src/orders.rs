//! What `PERDURE_SHIM` may say, as items with `;` between:
//!
//! ```text
//! below=DIR            only calls on files below this folder count, and may go wrong
//! named=TEXT           and whose own name has this in it
//! from=FILE            calls count only while FILE exists (without it: from the start)
//! counts=FILE          FILE holds the counters: one u64 in native order for each kind, then of all
//! journal=FILE         a line for each call, also on files of another name (see `shim`)
//! KIND@N=FAULT         at the N-th call of this kind; N.. from there on, N..M up to the M-th
//! KIND@N=FAULT,while:FILE   only while FILE exists
//! ```
//! KIND: write pwrite fsync fdatasync rename open link unlink truncate, or any. FAULT: an errno's
//! name (the call is not made), `short` (a write takes half), `slow:MS` (made after so long),
//! `kill` (SIGKILL before it), `stop:FILE` (FILE is made, and the call waits until it is removed).

use std::ffi::CString;

/// The calls that are counted. The names in the grammar are [`NAMES`], in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Write,
    Pwrite,
    Fsync,
    Fdatasync,
    Rename,
    Open,
    Link,
    Unlink,
    Truncate,
    /// All of them.
    Any,
}

/// How the kinds are called, in the order of [`Kind`].
pub const NAMES: [&str; 10] = [
    "write",
    "pwrite",
    "fsync",
    "fdatasync",
    "rename",
    "open",
    "link",
    "unlink",
    "truncate",
    "any",
];
const KINDS: [Kind; 10] = [
    Kind::Write,
    Kind::Pwrite,
    Kind::Fsync,
    Kind::Fdatasync,
    Kind::Rename,
    Kind::Open,
    Kind::Link,
    Kind::Unlink,
    Kind::Truncate,
    Kind::Any,
];

/// What happens to a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    Fail(libc::c_int),
    Short,
    SlowMs(i64),
    Kill,
    Stop(CString),
}

/// One fault and its calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    pub kind: Kind,
    /// The first and the last call, counted from 1.
    pub first: u64,
    pub last: u64,
    pub fault: Fault,
    pub only_while: Option<CString>,
}

/// All that the variable says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    pub below: Vec<u8>,
    pub named: Vec<u8>,
    pub from: Option<CString>,
    pub counts: Option<CString>,
    pub journal: Option<CString>,
    pub orders: Vec<Order>,
}

/// Read the variable's text.
///
/// # Errors
/// What is wrong with it: a typing error must never disarm a test.
pub fn parse(text: &str) -> Result<Orders, String> {
    let mut made = Orders::default();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').ok_or_else(|| format!("no `=` in {item:?}"))?;
        match name {
            "below" if value.starts_with('/') => {
                made.below = value.trim_end_matches('/').as_bytes().to_vec();
            }
            "named" => made.named = value.as_bytes().to_vec(),
            "from" => made.from = Some(c_string(value)?),
            "counts" => made.counts = Some(c_string(value)?),
            "journal" => made.journal = Some(c_string(value)?),
            _ => made.orders.push(parse_order(name, value)?),
        }
    }
    if made.below.is_empty() {
        return Err("below=/A/FOLDER is missing".to_owned());
    }
    Ok(made)
}

fn parse_order(name: &str, value: &str) -> Result<Order, String> {
    let (kind, calls) = name.split_once('@').ok_or_else(|| format!("no KIND@N: {name:?}"))?;
    let at = NAMES.iter().position(|known| *known == kind);
    let kind = KINDS[at.ok_or_else(|| format!("unknown call {kind:?}"))?];
    let number = |text: &str| match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("no number of a call: {text:?}")),
    };
    let (first, last) = match calls.split_once("..") {
        None => (number(calls)?, number(calls)?),
        Some((first, "")) => (number(first)?, u64::MAX),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    let (fault, only_while) = match value.split_once(",while:") {
        None => (value, None),
        Some((fault, file)) => (fault, Some(c_string(file)?)),
    };
    Ok(Order { kind, first, last, fault: parse_fault(fault)?, only_while })
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let unknown = || format!("unknown fault {text:?}");
    match text.split_once(':') {
        Some(("slow", ms)) => ms.parse().map(Fault::SlowMs).map_err(|_| unknown()),
        Some(("stop", file)) => Ok(Fault::Stop(c_string(file)?)),
        Some(_) => Err(unknown()),
        None => Ok(match text {
            "ENOSPC" => Fault::Fail(libc::ENOSPC),
            "EDQUOT" => Fault::Fail(libc::EDQUOT),
            "EIO" => Fault::Fail(libc::EIO),
            "EINTR" => Fault::Fail(libc::EINTR),
            "EROFS" => Fault::Fail(libc::EROFS),
            "EACCES" => Fault::Fail(libc::EACCES),
            "EMFILE" => Fault::Fail(libc::EMFILE),
            "short" => Fault::Short,
            "kill" => Fault::Kill,
            _ => return Err(unknown()),
        }),
    }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("a NUL in {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_the_documented_form_is_understood() {
        let text = "below=/a/b/; counts=/c;write@3=ENOSPC,while:/w;any@2..=slow:50;fsync@1..4=kill";
        let made = parse(text).unwrap_or_default();
        assert_eq!(made.below, b"/a/b");
        assert_eq!(made.counts, Some(c"/c".to_owned()));
        let order =
            |kind, first, last, fault, only_while| Order { kind, first, last, fault, only_while };
        let wanted = [
            order(Kind::Write, 3, 3, Fault::Fail(libc::ENOSPC), Some(c"/w".to_owned())),
            order(Kind::Any, 2, u64::MAX, Fault::SlowMs(50), None),
            order(Kind::Fsync, 1, 4, Fault::Kill, None),
        ];
        assert_eq!(made.orders, wanted);
    }

    #[test]
    fn a_text_in_another_form_is_refused() {
        let wrong =
            ["write@1=EIO", "below=a", "below=/a;write=EIO", "below=/a;write@0=EIO", "below=/a;x"];
        for text in wrong.into_iter().chain([
            "below=/a;read@1=EIO",
            "below=/a;write@1=EWHAT",
            "below=/a;write@1..x=EIO",
            "below=/a;write@1=slow:soon",
        ]) {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
