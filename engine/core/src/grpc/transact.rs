//! A transaction of one call: its conditions, then MULTI, the commands and EXEC by the same path as
//! from a socket, all under one hold of the lock. So its atomicity, its errors and its place in the
//! log (one unit, wrapped in MULTI and EXEC) are those of Redis.

use super::commands::Commands;
use super::errors::Refusal;
use super::executor::{Executor, Running, Step, too_long};
use super::queue::{Condition, Expected};
use crate::command::{self, Call, Known, Outcome};
use crate::resp::Args;
use crate::state::State;
use crate::value::Type;

impl Executor {
    /// Run a transaction; EXEC's reply is the answer.
    pub(super) fn transact(
        &mut self,
        state: &mut State,
        running: &mut Running,
        commands: &Commands,
        conditions: &[Condition],
    ) -> Step {
        if self.shared.stats.is_loading.load(std::sync::atomic::Ordering::Acquire) {
            return Step::Refused(Refusal::of_command(command::LOADING.as_bytes()));
        }
        let db = running.job.db;
        if !conditions.iter().all(|condition| self.holds(state, db, condition)) {
            running.is_applied = false;
            return Step::Finished;
        }
        let is_read = (0..commands.len()).all(|index| !commands.known(index).is_write());
        self.bound_reply(0, is_read);
        let step = self.multi(state, running, commands);
        if self.session.transaction.is_some() {
            self.word(state, b"DISCARD");
        }
        match step {
            Step::Finished if self.reply.is_overfull() => {
                self.reply.cut_overfull(0);
                Step::Refused(too_long(running.is_write))
            }
            Step::Finished => self.first_error().map_or(Step::Finished, |refusal| {
                self.reply.clear();
                Step::Refused(refusal)
            }),
            other => {
                self.reply.clear();
                other
            }
        }
    }

    fn multi(&mut self, state: &mut State, running: &mut Running, commands: &Commands) -> Step {
        if self.word(state, b"MULTI") == Outcome::WritesPaused {
            return Step::Parked;
        }
        for index in 0..commands.len() {
            self.reply.clear();
            let known = commands.known(index);
            let call = Call { args: commands.args(index), known, now_ms: self.now_ms };
            let (session, reply) = (&mut self.session, &mut self.reply);
            match command::execute_known(state, &self.shared, session, reply, call) {
                Outcome::WritesPaused => return Step::Parked,
                Outcome::Done { .. } | Outcome::Shutdown => {}
            }
            if let Some(refusal) = self.first_error() {
                return Step::Refused(spoiled(refusal));
            }
        }
        self.reply.clear();
        match self.word(state, b"EXEC") {
            Outcome::WritesPaused => return Step::Parked,
            Outcome::Done { is_write } => running.is_write |= is_write,
            Outcome::Shutdown => {}
        }
        self.session.wait = None; // a transaction waits for nothing
        self.session.is_closing = false;
        Step::Finished
    }

    fn word(&mut self, state: &mut State, name: &[u8]) -> Outcome {
        let ranges = [(0, name.len() as u32)];
        let call = Call {
            args: Args::new(name, &ranges),
            known: Known::look_up(name),
            now_ms: self.now_ms,
        };
        command::execute_known(state, &self.shared, &mut self.session, &mut self.reply, call)
    }

    /// The error that the reply is.
    fn first_error(&self) -> Option<Refusal> {
        let text = self.reply.bytes().strip_prefix(b"-")?;
        Some(Refusal::of_command(text.strip_suffix(b"\r\n").unwrap_or(text)))
    }

    /// Whether a condition holds now. A key whose time is over is absent, deleted or not.
    fn holds(&self, state: &State, db: usize, condition: &Condition) -> bool {
        let found = state.keyspace.db(db).get(&condition.key);
        let found = found.filter(|entry| !entry.is_expired(self.now_ms));
        match &condition.expected {
            Expected::Present(is_present) => found.is_some() == *is_present,
            Expected::Value(value) => found.is_some_and(|entry| {
                let held = entry.value();
                held.type_of() == Type::String && *held.text() == **value
            }),
        }
    }
}

/// A command was refused when it was queued: what the whole is refused with.
fn spoiled(refusal: Refusal) -> Refusal {
    if refusal.is_of_server() {
        return refusal; // it can succeed later as it is
    }
    let text = format!(
        "EXECABORT Nothing was executed, since a command was refused: {}",
        refusal.message()
    );
    Refusal::of_command(text.as_bytes())
}
