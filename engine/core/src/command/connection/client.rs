//! CLIENT: what connections are, and settings of this one. Closing others stands in `client_kill`.

use std::sync::atomic::Ordering;

use crate::command::{Cx, table, texts};
use crate::resp::Args;
use crate::session::{ClientInfo, ReplyMode};
use crate::value::integer::parse_i64;

/// CLIENT ID.
pub fn id(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.int(cx.session.info.id as i64);
}

/// CLIENT GETNAME.
pub fn getname(cx: &mut Cx<'_>, _args: Args<'_>) {
    let name = cx.session.info.name.lock().clone();
    if name.is_empty() { cx.reply.null() } else { cx.reply.bulk(&name) }
}

/// Names are printable ASCII without blanks, so that CLIENT LIST stays a table.
///
/// # Errors
/// Redis's text.
pub fn check_name(name: &[u8]) -> Result<(), Vec<u8>> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(b"ERR Client names cannot contain spaces, newlines or special characters.".to_vec())
}

/// CLIENT SETNAME name.
pub fn setname(cx: &mut Cx<'_>, args: Args<'_>) {
    match check_name(args.get(2)) {
        Ok(()) => {
            *cx.session.info.name.lock() = args.get(2).to_vec();
            cx.reply.ok();
        }
        Err(text) => cx.error_bytes(&text),
    }
}

/// CLIENT INFO.
pub fn info(cx: &mut Cx<'_>, _args: Args<'_>) {
    let line = describe(&cx.session.info, cx.now_ms);
    cx.reply.verbatim(&format!("{line}\n"));
}

/// Types of clients; here all are normal.
pub fn parse_type(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"normal" => Some(true),
        b"master" | b"slave" | b"replica" | b"pubsub" => Some(false),
        _ => None,
    }
}

/// The text for a type of client that does not exist.
pub fn unknown_type(text: &[u8]) -> Vec<u8> {
    [b"ERR Unknown client type '", texts::c_text(text, usize::MAX), b"'"].concat()
}

/// CLIENT LIST [TYPE type] [ID id ...].
pub fn list(cx: &mut Cx<'_>, args: Args<'_>) {
    let mut shown: Vec<&ClientInfo> = Vec::new();
    let clients = &cx.state.clients;
    if args.len() == 4 && args.get(2).eq_ignore_ascii_case(b"type") {
        match parse_type(args.get(3)) {
            None => return cx.error_bytes(&unknown_type(args.get(3))),
            Some(is_normal) => {
                shown.extend(clients.values().filter(|_| is_normal).map(AsRef::as_ref))
            }
        }
    } else if args.len() > 3 && args.get(2).eq_ignore_ascii_case(b"id") {
        for text in args.iter().skip(3) {
            match parse_i64(text) {
                None => return cx.reply.error("ERR Invalid client ID"),
                Some(id) => shown.extend(clients.get(&(id as u64)).map(AsRef::as_ref)),
            }
        }
    } else if args.len() != 2 {
        return cx.reply.error(texts::SYNTAX);
    } else {
        shown.extend(clients.values().map(AsRef::as_ref));
    }
    if args.len() == 2 || args.get(2).eq_ignore_ascii_case(b"type") {
        shown.sort_by_key(|info| info.id);
    }
    let lines: String = shown.iter().map(|info| describe(info, cx.now_ms) + "\n").collect();
    cx.reply.verbatim(&lines);
}

/// One line of CLIENT LIST, with Redis's fields; those of things that do not exist here are zero.
fn describe(info: &ClientInfo, now_ms: i64) -> String {
    let multi = info.multi_queued.load(Ordering::Relaxed);
    let seconds = |since_ms: i64| (now_ms - since_ms).max(0) / 1000;
    let output = info.output_bytes.load(Ordering::Relaxed);
    let query = info.query_bytes.load(Ordering::Relaxed);
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 \
         multi={multi} qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} \
         omem={output} tot-mem={} events=r cmd={} user=default redir=-1 resp={}",
        info.id,
        info.address,
        info.local_address,
        info.fd,
        String::from_utf8_lossy(&info.name.lock()),
        seconds(info.connected_at_ms),
        seconds(info.active_at_ms.load(Ordering::Relaxed)),
        if multi >= 0 { "x" } else { "N" },
        info.db.load(Ordering::Relaxed),
        u64::from(output > 0),
        query + output,
        table::by_id(info.last_command.load(Ordering::Relaxed)).map_or("NULL", |spec| spec.name),
        if info.is_resp3.load(Ordering::Relaxed) { 3 } else { 2 },
    )
}

/// CLIENT REPLY ON|OFF|SKIP. Only ON is answered.
pub fn reply(cx: &mut Cx<'_>, args: Args<'_>) {
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            cx.session.reply_mode = ReplyMode::On;
            cx.reply.ok();
        }
        b"off" => cx.session.reply_mode = ReplyMode::Off,
        b"skip" => {
            if cx.session.reply_mode != ReplyMode::Off {
                cx.session.reply_mode = ReplyMode::SkipNext;
            }
        }
        _ => cx.reply.error(texts::SYNTAX),
    }
}

/// CLIENT NO-EVICT ON|OFF: nothing evicts clients, so this is only remembered.
pub fn no_evict(cx: &mut Cx<'_>, args: Args<'_>) {
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => cx.session.is_no_evict = true,
        b"off" => cx.session.is_no_evict = false,
        _ => return cx.reply.error(texts::SYNTAX),
    }
    cx.reply.ok();
}

/// CLIENT HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "CLIENT",
        &[
            ("GETNAME", "Name of this connection."),
            ("ID", "Number of this connection."),
            ("INFO", "This connection."),
            ("KILL <ip:port>", "Close a connection."),
            (
                "KILL <option> <value> [...]",
                "Close connections by ID, ADDR, LADDR, TYPE, USER; SKIPME yes|no.",
            ),
            ("LIST [TYPE <type>|ID <id> ...]", "Connections."),
            ("NO-EVICT (ON|OFF)", "Protect this connection from eviction."),
            ("PAUSE <milliseconds> [WRITE|ALL]", "Let commands wait."),
            ("REPLY (ON|OFF|SKIP)", "Choose whether commands are answered."),
            ("SETNAME <name>", "Name this connection."),
            ("UNPAUSE", "End the wait."),
        ],
    );
}
