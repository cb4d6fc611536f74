//! Work that outlives a call: cut, verify, load beside, commit, save, stop. One file a kind of
//! work. Commands (SAVE, BGSAVE, SHUTDOWN, DEBUG) and the border start jobs here; what a job
//! needs of the disk is in `snapshot`, `rdb` and `durable`. No job holds the engine lock while it
//! waits for a disk, except those that Redis runs in the foreground (SAVE, FLUSHALL, DEBUG
//! RELOAD and LOADAOF, SHUTDOWN).

pub mod boot;
pub mod commit;
mod commit_log;
pub mod cut;
pub mod load;
mod open_log;
pub mod report;
mod rewrite;
mod save;
mod stage;
mod switch_log;
mod table;

pub use boot::reload_log;
pub use load::reload;
pub use rewrite::{BackgroundRewrite, rewrite_background, rewrite_if_due};
pub use save::{
    BackgroundSave, save_background, save_flushed, save_foreground, shut_down, shut_down_locked,
    start_bgsave,
};
pub use stage::Stages;
pub use switch_log::{SetOutcome, Setting, set_directives, switch, switch_in_background};
pub use table::{Job, Jobs, cancelled, panicked, thread_failed};
