//! DEBUG: tools for tests, behind `enable-debug-command`. Only what tests of a data set need.

use std::time::Duration;

use super::process::failure;
use crate::command::{Cx, texts};
use crate::job;
use crate::keyspace::{digest_text, value_digest};
use crate::rdb::{self, SaveOptions};
use crate::resp::Args;

/// One subcommand: all that is said of it, here alone.
struct Form {
    /// Name and arguments, as DEBUG HELP shows them.
    usage: &'static str,
    meaning: &'static str,
    /// Fewest and most words of a call, DEBUG included.
    words: (usize, usize),
    run: fn(&mut Cx<'_>, Args<'_>),
}

impl Form {
    fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }
}

const FORMS: &[Form] = &[
    Form { usage: "DIGEST", meaning: "Digest of the whole data set.", words: (2, 2), run: digest },
    Form {
        usage: "DIGEST-VALUE <key> [<key> ...]",
        meaning: "Digest of each value, whatever its key.",
        words: (2, usize::MAX),
        run: digest_values,
    },
    Form {
        usage: "LOADAOF",
        meaning: "Load the append-only file in place of the data set.",
        words: (2, 2),
        run: load_log,
    },
    Form { usage: "OBJECT <key>", meaning: "How a value is kept.", words: (3, 3), run: object },
    Form {
        usage: "RELOAD [NOSAVE]",
        meaning: "Save, then load the file in place of the data set.",
        words: (2, usize::MAX),
        run: reload,
    },
    Form {
        usage: "SET-ACTIVE-EXPIRE <0|1>",
        meaning: "Turn the expiry cycle off or on.",
        words: (3, 3),
        run: set_active_expire,
    },
    Form {
        usage: "SLEEP <seconds>",
        meaning: "Hold the server for so long.",
        words: (3, 3),
        run: sleep,
    },
];

/// DEBUG subcommand [arguments].
pub fn debug(cx: &mut Cx<'_>, args: Args<'_>) {
    let name = args.get(1);
    if name.eq_ignore_ascii_case(b"help") && args.len() == 2 {
        let forms: Vec<_> = FORMS.iter().map(|form| (form.usage, form.meaning)).collect();
        return texts::help(cx, "DEBUG", &forms);
    }
    let is_meant = |form: &&Form| name.eq_ignore_ascii_case(form.name().as_bytes());
    let found = FORMS.iter().find(is_meant);
    match found.filter(|form| (form.words.0..=form.words.1).contains(&args.len())) {
        Some(form) => (form.run)(cx, args),
        None => {
            let shown = texts::c_text(name, 128);
            let end = b"'. Try DEBUG HELP.";
            let text = b"ERR unknown subcommand or wrong number of arguments for '";
            cx.error_bytes(&[text.as_slice(), shown, end].concat());
        }
    }
}

fn digest(cx: &mut Cx<'_>, _args: Args<'_>) {
    let digest = cx.state.keyspace.digest();
    cx.reply.simple(&digest_text(&digest));
}

/// Zeros for a key that is not there; one whose time is over still is.
fn digest_values(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.reply.array(args.len() - 2);
    for key in args.iter().skip(2) {
        let entry = cx.state.keyspace.db(cx.session.db).get(key);
        cx.reply.simple(&digest_text(&entry.map(value_digest).unwrap_or_default()));
    }
}

fn set_active_expire(cx: &mut Cx<'_>, args: Args<'_>) {
    let digits = String::from_utf8_lossy(args.get(2)).into_owned();
    cx.state.is_active_expire_on = digits.parse::<i64>().unwrap_or(0) != 0;
    cx.reply.ok();
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

fn load_log(cx: &mut Cx<'_>, _args: Args<'_>) {
    match job::reload_log(cx) {
        Ok(()) => cx.reply.ok(),
        Err(error) => cx.reply.error(&failure(&error)),
    }
}

/// Holds the engine lock meanwhile: that is what the command is for.
fn sleep(cx: &mut Cx<'_>, args: Args<'_>) {
    const SECONDS_MAX: f64 = 3600.0;
    let number = String::from_utf8_lossy(args.get(2)).parse().ok();
    let seconds: f64 = number.filter(|number: &f64| !number.is_nan()).unwrap_or(0.0);
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)));
    cx.reply.ok();
}

fn object(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some(entry) = cx.state.keyspace.db(cx.session.db).get(args.get(2)) else {
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
