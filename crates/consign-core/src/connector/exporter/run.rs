//! The life of a run: its states and its steps.

use serde::Serialize;

use crate::catalog::Protocol;

/// The states of a run. The last three are its only ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is being worked on.
    Running,
    /// It waits for its next attempt, for its turn, or for its exporter.
    Waiting,
    /// Everything arrived.
    Done,
    /// Given up; its records go with the next run.
    Failed,
    /// A person stopped it, or its exporter was deleted.
    Cancelled,
}

impl RunState {
    /// All, in the order of the filter.
    pub const ALL: &'static [Self] =
        &[Self::Running, Self::Waiting, Self::Done, Self::Failed, Self::Cancelled];

    /// The public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The word on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Reads the word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.kind() == kind)
    }

    /// Whether nothing happens any more.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Takes the records that have no run.
    Collect,
    /// Writes them in their format.
    Write,
    /// Sends what was written.
    Upload,
    /// Compares sizes.
    Check,
    /// Gives the file its name.
    Rename,
}

impl Step {
    /// All, in their order.
    pub const ALL: &'static [Self] = &[Self::Collect, Self::Write, Self::Upload, Self::Check, Self::Rename];

    /// Those of a run, by where it goes.
    pub const fn of(protocol: Protocol) -> &'static [Self] {
        match protocol {
            Protocol::Https => &[Self::Collect, Self::Upload],
            Protocol::Sftp => Self::ALL,
        }
    }

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Write => "write",
            Self::Upload => "upload",
            Self::Check => "check",
            Self::Rename => "rename",
        }
    }

    /// The word on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Collect => "Collect",
            Self::Write => "Write",
            Self::Upload => "Upload",
            Self::Check => "Check",
            Self::Rename => "Rename",
        }
    }

    /// Reads the word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.kind() == kind)
    }
}
