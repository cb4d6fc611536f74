//! Expiry: EXPIRE and its kin, TTL and its kin, PERSIST. Logged as instants (PEXPIREAT), or as DEL
//! when already past.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::{IntText, parse_i64};

/// What the number of an EXPIRE-like command means.
#[derive(Clone, Copy)]
struct Meaning {
    name: &'static str,
    scale: i64,
    is_relative: bool,
}

/// EXPIRE key seconds [NX|XX|GT|LT].
pub fn expire(cx: &mut Cx<'_>, args: Args<'_>) {
    set_expiry(cx, args, Meaning { name: "expire", scale: 1000, is_relative: true });
}

/// PEXPIRE key milliseconds [NX|XX|GT|LT].
pub fn pexpire(cx: &mut Cx<'_>, args: Args<'_>) {
    set_expiry(cx, args, Meaning { name: "pexpire", scale: 1, is_relative: true });
}

/// EXPIREAT key unix-seconds [NX|XX|GT|LT].
pub fn expireat(cx: &mut Cx<'_>, args: Args<'_>) {
    set_expiry(cx, args, Meaning { name: "expireat", scale: 1000, is_relative: false });
}

/// PEXPIREAT key unix-milliseconds [NX|XX|GT|LT].
pub fn pexpireat(cx: &mut Cx<'_>, args: Args<'_>) {
    set_expiry(cx, args, Meaning { name: "pexpireat", scale: 1, is_relative: false });
}

#[derive(Default)]
struct Conditions {
    is_nx: bool,
    is_xx: bool,
    is_gt: bool,
    is_lt: bool,
}

impl Conditions {
    fn read(args: Args<'_>) -> Result<Self, Vec<u8>> {
        let mut conditions = Self::default();
        for word in args.iter().skip(3) {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => conditions.is_nx = true,
                b"xx" => conditions.is_xx = true,
                b"gt" => conditions.is_gt = true,
                b"lt" => conditions.is_lt = true,
                _ => {
                    let word = texts::c_text(word, usize::MAX);
                    return Err([b"ERR Unsupported option ", word].concat());
                }
            }
        }
        let Self { is_nx, is_xx, is_gt, is_lt } = conditions;
        if is_nx && (is_xx || is_gt || is_lt) {
            return Err(
                b"ERR NX and XX, GT or LT options at the same time are not compatible".to_vec()
            );
        }
        if is_gt && is_lt {
            return Err(b"ERR GT and LT options at the same time are not compatible".to_vec());
        }
        Ok(conditions)
    }

    /// Whether the expiry may change from `held` to `wanted`; a key without one lives for ever.
    fn allow(&self, held: Option<i64>, wanted: i64) -> bool {
        !(self.is_nx && held.is_some()
            || self.is_xx && held.is_none()
            || self.is_gt && held.is_none_or(|held| wanted <= held)
            || self.is_lt && held.is_some_and(|held| wanted >= held))
    }
}

fn set_expiry(cx: &mut Cx<'_>, args: Args<'_>, meaning: Meaning) {
    let conditions = match Conditions::read(args) {
        Ok(conditions) => conditions,
        Err(text) => return cx.error_bytes(&text),
    };
    let Some(number) = parse_i64(args.get(2)) else { return cx.reply.error(texts::NOT_INTEGER) };
    let base = if meaning.is_relative { cx.now_ms } else { 0 };
    let at_ms = number.checked_mul(meaning.scale).and_then(|ms| ms.checked_add(base));
    let Some(at_ms) = at_ms else { return cx.reply.error(&texts::expire_time(meaning.name)) };

    let (key, db) = (args.get(1), cx.session.db);
    let Some(held) = cx.find(key).map(|entry| entry.expire_at_ms()) else {
        return cx.reply.int(0);
    };
    if !conditions.allow(held, at_ms) {
        return cx.reply.int(0);
    }
    if cx.is_past(at_ms) {
        cx.delete(key);
        cx.rewrite(&[b"DEL".as_slice(), key]);
        return cx.reply.int(1);
    }
    cx.state.keyspace.db_mut(db).set_expire(key, Some(at_ms));
    cx.state.effects.changed(db, key);
    cx.reply.int(1);
    if meaning.scale == 1 && !meaning.is_relative {
        return; // an instant already: logged as it was sent
    }
    let at = IntText::new(at_ms);
    let mut logged: Vec<&[u8]> = vec![b"PEXPIREAT", key, &at];
    logged.extend(args.iter().skip(3));
    cx.rewrite(&logged);
}

/// TTL key.
pub fn ttl(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_expiry(cx, args, |at_ms, now_ms| ((at_ms - now_ms).max(0) + 500) / 1000);
}

/// PTTL key.
pub fn pttl(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_expiry(cx, args, |at_ms, now_ms| (at_ms - now_ms).max(0));
}

/// EXPIRETIME key.
pub fn expiretime(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_expiry(cx, args, |at_ms, _| at_ms.saturating_add(500) / 1000);
}

/// PEXPIRETIME key.
pub fn pexpiretime(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_expiry(cx, args, |at_ms, _| at_ms);
}

/// -2 without the key, -1 without an expiry.
fn reply_expiry(cx: &mut Cx<'_>, args: Args<'_>, shown: impl Fn(i64, i64) -> i64) {
    let now_ms = cx.now_ms;
    let answer = match cx.peek(args.get(1)).map(|entry| entry.expire_at_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => shown(at_ms, now_ms),
    };
    cx.reply.int(answer);
}

/// PERSIST key.
pub fn persist(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, db) = (args.get(1), cx.session.db);
    let has_expiry = cx.find(key).is_some_and(|entry| entry.expire_at_ms().is_some());
    if has_expiry {
        cx.state.keyspace.db_mut(db).set_expire(key, None);
        cx.state.effects.changed(db, key);
    }
    cx.reply.int(i64::from(has_expiry));
}
