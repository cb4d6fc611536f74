//! CLIENT KILL in its old form (an address) and its new one (filters that must all hold). The owner
//! of a socket closes it: here it is only marked, and its loop woken.

use std::sync::atomic::Ordering;

use super::client::{parse_type, unknown_type};
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::session::ClientInfo;
use crate::value::integer::parse_i64;

/// Which clients are meant.
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    is_type_normal: bool,
    is_skipping_me: bool,
}

impl<'a> Filter<'a> {
    /// Nobody excluded but, in the new form, the caller.
    fn new(is_skipping_me: bool) -> Self {
        Self { id: None, address: None, local_address: None, is_type_normal: true, is_skipping_me }
    }

    fn read(args: Args<'a>) -> Result<Self, Vec<u8>> {
        let mut filter = Self::new(true);
        let mut at = 2;
        while at < args.len() {
            if at + 1 >= args.len() {
                return Err(texts::SYNTAX.into());
            }
            filter.read_option(args.get(at), args.get(at + 1))?;
            at += 2;
        }
        Ok(filter)
    }

    fn read_option(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Vec<u8>> {
        match name.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = parse_i64(value).filter(|&id| id > 0);
                let id = id.ok_or(b"ERR client-id should be greater than 0".to_vec())?;
                self.id = Some(id as u64);
            }
            b"type" => {
                self.is_type_normal = parse_type(value).ok_or_else(|| unknown_type(value))?;
            }
            b"addr" => self.address = Some(value),
            b"laddr" => self.local_address = Some(value),
            b"user" if value == b"default" => {}
            b"user" => {
                let name = texts::c_text(value, usize::MAX);
                return Err([b"ERR No such user '", name, b"'"].concat());
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => self.is_skipping_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => self.is_skipping_me = false,
            _ => return Err(texts::SYNTAX.into()),
        }
        Ok(())
    }

    fn means(&self, info: &ClientInfo, own_id: u64) -> bool {
        self.id.is_none_or(|id| id == info.id)
            && self.address.is_none_or(|address| address == info.address.as_bytes())
            && self.local_address.is_none_or(|address| address == info.local_address.as_bytes())
            && self.is_type_normal
            && !(self.is_skipping_me && info.id == own_id)
    }
}

/// CLIENT KILL ip:port, or CLIENT KILL option value [option value ...].
pub fn kill(cx: &mut Cx<'_>, args: Args<'_>) {
    let is_old_form = args.len() == 3;
    let filter = if is_old_form {
        Filter { address: Some(args.get(2)), ..Filter::new(false) }
    } else {
        match Filter::read(args) {
            Ok(filter) => filter,
            Err(text) => return cx.error_bytes(&text),
        }
    };
    let own_id = cx.session.info.id;
    let mut killed = 0;
    for info in cx.state.clients.values().filter(|info| filter.means(info, own_id)) {
        killed += 1;
        if info.id == own_id {
            cx.session.is_closing = true; // after this reply
        } else {
            info.is_killed.store(true, Ordering::Release);
        }
    }
    if killed > 0 {
        cx.shared.wake_loops();
    }
    match (is_old_form, killed) {
        (true, 0) => cx.reply.error("ERR No such client"),
        (true, _) => cx.reply.ok(),
        (false, _) => cx.reply.int(killed),
    }
}
