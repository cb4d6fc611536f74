//! The crash matrix: what goes on, under which policy, and at which hit of which step the server
//! dies. The steps are failpoints (docs/operations/failpoints.md).

use crate::harness::Random;

/// What goes on besides the writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Idle,
    Rewrite,
    Bgsave,
    SwitchOn,
    SwitchOff,
    Restore,
    Boot,
}

/// One life.
#[derive(Debug, Clone)]
pub struct Case {
    pub policy: &'static str,
    pub work: Work,
    /// `None`: at any moment.
    pub step: Option<&'static str>,
    pub hit: usize,
}

pub const POLICIES: [&str; 3] = ["always", "everysec", "no"];

/// Steps of writing, which any work goes with: hits up to this.
const WRITING: &[(&str, usize)] = &[
    ("aof.write", 60),
    ("aof.written", 60),
    ("aof.ring_write", 60),
    ("aof.ring_written", 60),
    ("aof.ring_fsynced", 60),
    ("aof.fsync", 60),
    ("aof.fsynced", 60),
];
const CHILD: &[(&str, usize)] = &[
    ("snapshot.fork", 2),
    ("snapshot.forked", 2),
    ("snapshot.before_rename", 2),
    ("snapshot.after_rename", 2),
];
const REWRITE: &[(&str, usize)] = &[
    ("aof.incr_created", 2),
    ("aof.before_manifest", 6),
    ("aof.after_manifest", 6),
    ("durable.written", 8),
    ("durable.fsynced", 8),
    ("durable.renamed", 6),
    ("aof.switch", 2),
    ("aof.base_named", 2),
    ("aof.base_listed", 2),
    ("aof.history_deleted", 4),
];
const SWITCH_ON: &[(&str, usize)] = &[
    ("aof.before_state", 2),
    ("aof.after_state", 2),
    ("aof.directory_created", 1),
    ("aof.incr_created", 1),
    ("snapshot.fork", 1),
    ("snapshot.forked", 1),
    ("snapshot.before_rename", 1),
    ("snapshot.after_rename", 1),
    ("durable.written", 4),
    ("durable.fsynced", 4),
    ("durable.renamed", 3),
    ("aof.bound", 1),
    ("aof.base_named", 1),
    ("aof.before_manifest", 1),
    ("aof.after_manifest", 1),
    ("aof.switched_on", 1),
];
const SWITCH_OFF: &[(&str, usize)] = &[
    ("durable.written", 2),
    ("durable.fsynced", 2),
    ("durable.renamed", 1),
    ("aof.off_prepared", 1),
    ("aof.off_renamed", 1),
    ("aof.before_state", 1),
    ("aof.after_state", 1),
];
const RESTORE: &[(&str, usize)] = &[
    ("durable.written", 5),
    ("durable.fsynced", 5),
    ("durable.renamed", 4),
    ("commit.base_written", 1),
    ("snapshot.fork", 1),
    ("snapshot.forked", 1),
    ("commit.writes_paused", 1),
    ("snapshot.before_rename", 1),
    ("snapshot.after_rename", 1),
    ("commit.safety_cut", 1),
    ("commit.base_named", 1),
    ("aof.incr_created", 1),
    ("commit.before_rename", 1),
    ("commit.after_rename", 1),
    ("commit.before_fsync_directory", 1),
    ("aof.before_state", 1),
    ("aof.after_state", 1),
    ("aof.switch", 1),
    ("commit.durable", 1),
    ("aof.history_deleted", 3),
    ("aof.before_manifest", 1),
    ("aof.after_manifest", 1),
];
const BOOT: &[(&str, usize)] = &[
    ("aof.ring_filled", 1),
    ("aof.tail_kept", 1),
    ("aof.tail_cut", 1),
    ("aof.tail_fsynced", 1),
    ("aof.set_aside", 1),
    ("aof.incr_created", 1),
    ("aof.write", 1),
    ("aof.written", 1),
    ("aof.fsync", 1),
    ("aof.fsynced", 1),
    ("aof.epoch_begun", 1),
    ("aof.before_manifest", 2),
    ("aof.after_manifest", 2),
    ("aof.before_state", 1),
    ("aof.after_state", 1),
    ("durable.written", 3),
    ("durable.fsynced", 3),
    ("durable.renamed", 3),
    ("aof.booted", 1),
];

impl Work {
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Rewrite,
        Self::Bgsave,
        Self::SwitchOn,
        Self::SwitchOff,
        Self::Restore,
        Self::Boot,
    ];

    /// Its steps, and up to which hit of each a kill is drawn.
    pub fn steps(self) -> Vec<(&'static str, usize)> {
        match self {
            Self::Idle => WRITING.to_vec(),
            Self::Rewrite => [REWRITE, CHILD].concat(),
            Self::Bgsave => CHILD.to_vec(),
            Self::SwitchOn => SWITCH_ON.to_vec(),
            Self::SwitchOff => SWITCH_OFF.to_vec(),
            Self::Restore => RESTORE.to_vec(),
            Self::Boot => BOOT.to_vec(),
        }
    }
}

/// Whether a step can come at all: the ring is for `always`, and after a SIGKILL the log's file lacks
/// nothing that the ring has.
fn is_possible(policy: &str, step: &str, is_power_cut: bool) -> bool {
    match step {
        "aof.ring_filled" => policy == "always" && is_power_cut,
        _ => policy == "always" || !step.starts_with("aof.ring_"),
    }
}

/// The cells of the matrix, each once, in a drawn order; one in eight at any moment instead of at a
/// step.
pub fn shuffled(draw: &mut Random, is_power_cut: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for policy in POLICIES {
        for work in Work::ALL {
            let steps = work.steps().into_iter();
            for (step, hits) in steps.filter(|(it, _)| is_possible(policy, it, is_power_cut)) {
                let hit = 1 + draw.below(hits);
                let step = if draw.one_in(8) && work != Work::Boot { None } else { Some(step) };
                cases.push(Case { policy, work, step, hit });
            }
        }
    }
    for last in (1..cases.len()).rev() {
        cases.swap(last, draw.below(last + 1));
    }
    cases
}
