//! A run that is worked on, and how far what it sends has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use consign_core::connector::Connector;
use consign_core::connector::exporter::{Destination, SetUp, Step};
use consign_core::credential::Credential;
use consign_store::runs::{Chunk, Run};

/// A run under way, with all that is known of it without a query.
pub(super) struct Job {
    pub(super) run: Run,
    pub(super) connector: Arc<Connector>,
    pub(super) credential: Arc<Credential>,
    /// What it is made by, as its exporter was when it began.
    pub(super) set_up: Arc<SetUp>,
    /// It is sent although its exporter is held, to see whether the tool lets us in again.
    pub(super) probe: bool,
    /// The first piece of its file, where it was read together with those of others.
    pub(super) piece: Mutex<Option<Chunk>>,
    /// What is shown while it moves.
    pub(super) moving: Moving,
}

impl Job {
    /// It leaves as one file, that is there or not, and not request by request.
    pub(super) fn is_one_piece(&self) -> bool {
        self.run.file.is_some() || matches!(self.set_up.exporter.destination, Destination::Sftp(_))
    }

    /// The first piece of its file, once.
    pub(super) fn take_piece(&self) -> Option<Chunk> {
        self.piece.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How far a request or file has come that is still being sent.
pub(super) struct Moving {
    bytes: Arc<AtomicU64>,
    /// All of it has left, and only the answer is missing.
    out: AtomicBool,
    step: Mutex<Step>,
}

impl Default for Moving {
    fn default() -> Self {
        Self { bytes: Arc::default(), out: AtomicBool::default(), step: Mutex::new(Step::Upload) }
    }
}

impl Moving {
    /// For whoever counts by himself.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.bytes.clone()
    }

    pub(super) fn has_left(&self) {
        self.out.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }

    pub(super) fn is_at_step(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    pub(super) fn step(&self) -> Step {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_at(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
