//! CONFIG SET: several directives at once, all or none, with the reasons of Redis 7.0 in its order
//! of looking: first every name, then every value.

use std::collections::BTreeSet;

use super::row::{self, Row};
use super::{Config, Refusal, words};
use crate::descriptors;
use crate::error::reason_of;

impl Config {
    /// CONFIG SET of several at once, all or none. The error is the text after `ERR `.
    ///
    /// # Errors
    /// The name concerned and Redis's reason.
    pub fn set(
        &mut self,
        pairs: &[(String, Vec<u8>)],
        allow_protected: bool,
    ) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut rows = Vec::new();
        for (name, _) in pairs {
            let known = row::find(&name.to_ascii_lowercase()).filter(|row| !row.is_unlisted);
            let Some(row) = known else {
                return Err(format!(
                    "Unknown option or number of arguments for CONFIG SET - '{name}'"
                ));
            };
            let refusal = match row.main() {
                main if main.is_immutable => "can't set immutable config",
                main if main.is_protected && !allow_protected => "can't set protected config",
                // Two names of one directive are two directives here, as in Redis.
                _ if !seen.insert(row.name) => "duplicate parameter",
                _ => {
                    rows.push(row);
                    continue;
                }
            };
            return Err(failed(name, refusal));
        }
        let mut changed = self.clone();
        for (row, (_, value)) in rows.into_iter().zip(pairs) {
            changed.set_one(row.main(), value).map_err(|reason| failed(row.name, &reason))?;
        }
        // Last, when nothing else is wrong: it changes the process.
        changed.make_room(self.maxclients)?;
        *self = changed;
        Ok(())
    }

    /// Make room for more clients than `before`; refused where the system does not give it.
    fn make_room(&self, before: usize) -> Result<(), String> {
        if self.maxclients <= before {
            return Ok(());
        }
        let fitting = descriptors::make_room(self.maxclients);
        if fitting >= self.maxclients {
            return Ok(());
        }
        let reason = format!(
            "The operating system is not able to handle the specified number of clients, try with \
             {fitting}"
        );
        Err(failed("maxclients", &reason))
    }

    fn set_one(&mut self, row: &'static Row, value: &[u8]) -> Result<(), String> {
        let text =
            String::from_utf8(value.to_vec()).map_err(|_| "argument must be text".to_owned())?;
        if row.name == "dir" {
            // Redis's working directory is `dir` itself, so a relative one goes on from there.
            self.is_dir_given = true;
            let dir = words::directory(Some(&self.dir), &text)?;
            let metadata = std::fs::metadata(&dir).map_err(|error| reason_of(&error))?;
            if !metadata.is_dir() {
                return Err("Not a directory".to_owned());
            }
        }
        self.put(row, &[text]).map_err(|refusal| match refusal {
            Refusal::Invalid(reason) => reason,
            Refusal::Unsupported => "not supported here yet".to_owned(),
        })
    }
}

fn failed(name: &str, reason: &str) -> String {
    format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}
