//! DEBUG: tools for tests, behind `enable-debug-command`. Only what tests of a data set need.

use std::time::Duration;

use super::process::failure;
use crate::command::{Cx, texts};
use crate::job;
use crate::rdb::{self, SaveOptions};
use crate::resp::Args;

/// DEBUG subcommand [arguments].
pub fn debug(cx: &mut Cx<'_>, args: Args<'_>) {
    let name = args.get(1).to_ascii_lowercase();
    match (name.as_slice(), args.len()) {
        (b"digest", 2) => digest(cx),
        (b"reload", _) => reload(cx, args),
        (b"sleep", 3) => sleep(cx, args.get(2)),
        (b"object", 3) => object(cx, args.get(2)),
        (b"set-active-expire", 3) => {
            let digits = String::from_utf8_lossy(args.get(2)).into_owned();
            cx.state.is_active_expire_on = digits.parse::<i64>().unwrap_or(0) != 0;
            cx.reply.ok();
        }
        (b"help", 2) => help(cx),
        _ => {
            let shown = texts::c_text(args.get(1), 128);
            cx.error_bytes(
                &[
                    b"ERR unknown subcommand or wrong number of arguments for '",
                    shown,
                    b"'. Try DEBUG HELP.",
                ]
                .concat(),
            );
        }
    }
}

fn digest(cx: &mut Cx<'_>) {
    let digest = cx.state.keyspace.digest();
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    cx.reply.simple(&text);
}

fn reload(cx: &mut Cx<'_>, args: Args<'_>) {
    let mut is_saving = true;
    for option in args.iter().skip(2) {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => is_saving = false,
            b"merge" | b"noflush" => {
                return cx.reply.error("ERR DEBUG RELOAD knows only NOSAVE here");
            }
            _ => {
                let text = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";
                return cx.reply.error(text);
            }
        }
    }
    match job::reload(cx, is_saving) {
        Ok(()) => cx.reply.ok(),
        Err(error) => cx.reply.error(&failure(&error)),
    }
}

/// Holds the engine lock meanwhile: that is what the command is for.
fn sleep(cx: &mut Cx<'_>, text: &[u8]) {
    const SECONDS_MAX: f64 = 3600.0;
    let number = String::from_utf8_lossy(text).parse().ok();
    let seconds: f64 = number.filter(|number: &f64| !number.is_nan()).unwrap_or(0.0);
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)));
    cx.reply.ok();
}

fn object(cx: &mut Cx<'_>, key: &[u8]) {
    let Some(entry) = cx.state.keyspace.db(cx.session.db).get(key) else {
        return cx.reply.error(texts::NO_SUCH_KEY);
    };
    let options = SaveOptions {
        is_compressed: cx.state.config.rdbcompression,
        is_checksummed: false,
        ctime_unix_s: 0,
        used_memory_bytes: 0,
        ..SaveOptions::default()
    };
    let idle_seconds = entry.idle_seconds(cx.now_ms);
    let lru = (cx.now_ms / 1000).saturating_sub(idle_seconds as i64) & 0xff_ffff;
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{lru} \
         lru_seconds_idle:{idle_seconds}",
        entry.key().as_ptr(),
        entry.encoding(),
        rdb::saved_value_bytes(entry.value(), &options).unwrap_or(0),
    );
    cx.reply.simple(&text);
}

fn help(cx: &mut Cx<'_>) {
    texts::help(
        cx,
        "DEBUG",
        &[
            ("DIGEST", "Digest of the whole data set."),
            ("OBJECT <key>", "How a value is kept."),
            ("RELOAD [NOSAVE]", "Save, then load the file in place of the data set."),
            ("SET-ACTIVE-EXPIRE <0|1>", "Turn the expiry cycle off or on."),
            ("SLEEP <seconds>", "Hold the server for so long."),
        ],
    );
}
