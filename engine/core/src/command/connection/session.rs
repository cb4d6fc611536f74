//! PING, ECHO, HELLO, AUTH, QUIT, RESET, and READONLY/READWRITE, which answer as a server without
//! cluster does. There are no passwords yet, so AUTH answers as Redis's default user without one.

use super::{client, transaction};
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::session::{Protocol, ReplyMode};
use crate::value::integer::parse_i64;

/// Version that clients are told: the Redis whose behaviour this is.
pub const REDIS_VERSION: &str = "7.0.15";

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// PING [message].
pub fn ping(cx: &mut Cx<'_>, args: Args<'_>) {
    match args.len() {
        1 => cx.reply.simple("PONG"),
        2 => cx.reply.bulk(args.get(1)),
        _ => cx.reply.error(&texts::arity("ping")),
    }
}

/// ECHO message.
pub fn echo(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.reply.bulk(args.get(1));
}

/// QUIT.
pub fn quit(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.session.is_closing = true;
    cx.reply.ok();
}

/// AUTH [username] password: the default user exists and takes any password; nobody else exists.
pub fn auth(cx: &mut Cx<'_>, args: Args<'_>) {
    match args.len() {
        2 => cx.reply.error(NO_PASSWORD),
        3 if args.get(1) == b"default" => cx.reply.ok(),
        3 => cx.reply.error(WRONG_PASSWORD),
        _ => cx.reply.error(texts::SYNTAX),
    }
}

/// HELLO [2|3 [AUTH username password] [SETNAME name]].
pub fn hello(cx: &mut Cx<'_>, args: Args<'_>) {
    let mut protocol = None;
    if args.len() >= 2 {
        protocol = match parse_i64(args.get(1)) {
            Some(2) => Some(Protocol::Resp2),
            Some(3) => Some(Protocol::Resp3),
            Some(_) => return cx.reply.error("NOPROTO unsupported protocol version"),
            None => {
                return cx.reply.error("ERR Protocol version is not an integer or out of range");
            }
        };
    }
    if let Err(text) = hello_options(cx, args) {
        return cx.error_bytes(&text);
    }
    if let Some(protocol) = protocol {
        set_protocol(cx, protocol);
    }
    greet(cx);
}

fn hello_options(cx: &mut Cx<'_>, args: Args<'_>) -> Result<(), Vec<u8>> {
    let mut name = None;
    let mut at = 2;
    while at < args.len() {
        let (option, more) = (args.get(at), args.len() - at - 1);
        if option.eq_ignore_ascii_case(b"auth") && more >= 2 {
            if args.get(at + 1) != b"default" {
                return Err(WRONG_PASSWORD.into());
            }
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && more >= 1 {
            name = Some(args.get(at + 1));
            client::check_name(args.get(at + 1))?;
            at += 2;
        } else {
            let option = texts::c_text(option, usize::MAX);
            return Err([b"ERR Syntax error in HELLO option '", option, b"'"].concat());
        }
    }
    if let Some(name) = name {
        *cx.session.info.name.lock() = name.to_vec();
    }
    Ok(())
}

fn set_protocol(cx: &mut Cx<'_>, protocol: Protocol) {
    cx.session.protocol = protocol;
    cx.reply.protocol = protocol;
    let is_resp3 = protocol == Protocol::Resp3;
    cx.session.info.is_resp3.store(is_resp3, std::sync::atomic::Ordering::Relaxed);
}

fn greet(cx: &mut Cx<'_>) {
    let number = if cx.session.protocol == Protocol::Resp3 { 3 } else { 2 };
    cx.reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
    cx.reply.bulk(b"proto");
    cx.reply.int(number);
    cx.reply.bulk(b"id");
    cx.reply.int(i64::try_from(cx.session.info.id).unwrap_or(i64::MAX));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
    cx.reply.bulk(b"modules");
    cx.reply.array(0);
}

/// RESET: back to how the connection began.
pub fn reset(cx: &mut Cx<'_>, _args: Args<'_>) {
    transaction::discard_all(cx);
    set_protocol(cx, Protocol::Resp2);
    cx.session.db = 0;
    cx.session.info.db.store(0, std::sync::atomic::Ordering::Relaxed);
    cx.session.info.name.lock().clear();
    cx.session.reply_mode = ReplyMode::On;
    cx.session.is_no_evict = false;
    cx.reply.simple("RESET");
}

/// READONLY.
pub fn readonly(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.error("ERR This instance has cluster support disabled");
}

/// READWRITE.
pub fn readwrite(cx: &mut Cx<'_>, args: Args<'_>) {
    readonly(cx, args);
}
