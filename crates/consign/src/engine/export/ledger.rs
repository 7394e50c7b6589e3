//! What is written down about runs in transactions that many of them share.

use consign_store::runs::{self, Run};
use consign_store::{StoreError, Tx};

use super::Stop;
use crate::engine::Engine;
use crate::engine::commit::CommitError;

/// A change to a run; it comes about only while the lease of whoever asks is the last one.
pub(in crate::engine) enum Change {
    /// Its file may have its final name from now on.
    MayHaveItsName {
        /// With the fence of the lease.
        run: Run,
        /// The size of the file.
        bytes: u64,
        /// When its server wrote it, in seconds.
        at: Option<i64>,
    },
    /// It is done.
    Done {
        /// As far as it has come.
        run: Run,
        /// For its log.
        lines: Vec<String>,
        /// What there is to say.
        message: String,
    },
}

impl Change {
    /// Makes the change; `false`: the run is no longer ours, and nothing is changed.
    pub(in crate::engine) async fn write(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        match self {
            Self::MayHaveItsName { run, bytes, at } => runs::made(tx, run, *bytes, *at).await,
            Self::Done { run, lines, message } => {
                let now = tx.now();
                let ours = runs::finish(tx, run, message, now).await?;
                if ours {
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    runs::log_lines(tx, run.id, &lines, now).await?;
                }
                Ok(ours)
            }
        }
    }
}

impl Engine {
    /// Writes a change down together with others that wait; it is on disk when this returns.
    pub(super) async fn change_run(&self, change: Change) -> Result<bool, StoreError> {
        self.commit.run(change).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            CommitError::Stopping | CommitError::QueueFull => StoreError::Unreachable,
        })
    }
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Stopping | CommitError::QueueFull => Self::GiveBack,
        }
    }
}
