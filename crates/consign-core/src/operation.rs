//! Long work that survives a restart: what it is, and how it stands.

use serde::Serialize;

/// What is done at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Deliveries are sent again.
    Replay,
    /// The database is copied into a file.
    Backup,
}

impl OperationKind {
    /// All.
    pub const ALL: &'static [Self] = &[Self::Replay, Self::Backup];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Backup => "backup",
        }
    }

    /// What is counted.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Replay => "deliveries",
            Self::Backup => "bytes",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.kind() == kind)
    }
}

/// How an operation stands. All but the first are ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It goes on, also after a restart.
    Running,
    /// Everything was done.
    Done,
    /// It cannot go on.
    Failed,
    /// A person stopped it.
    Stopped,
}

impl OperationState {
    /// All.
    pub const ALL: &'static [Self] = &[Self::Running, Self::Done, Self::Failed, Self::Stopped];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The word on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.kind() == kind)
    }
}
