//! How many runs are under way: those that hold megabytes, and small files side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consign_core::id::ConnectorId;

use crate::engine::Engine;

/// The runs under way.
#[derive(Default)]
pub(super) struct Counts(Mutex<Table>);

#[derive(Default)]
struct Table {
    large: usize,
    /// By exporter; those without one are not in it.
    files: HashMap<ConnectorId, usize>,
}

impl Counts {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> usize {
        let table = self.table();
        table.large + table.files.values().sum::<usize>()
    }

    pub(super) fn large(&self) -> usize {
        self.table().large
    }

    pub(super) fn files(&self) -> usize {
        self.table().files.values().sum()
    }

    pub(super) fn files_of(&self, exporter: ConnectorId) -> usize {
        self.table().files.get(&exporter).copied().unwrap_or_default()
    }
}

/// Counts a run among those under way until it is dropped, also by a panic.
pub(super) struct Counted {
    engine: Arc<Engine>,
    files_of: Option<ConnectorId>,
}

impl Counted {
    pub(super) fn large(engine: Arc<Engine>) -> Self {
        engine.exports.counts.table().large += 1;
        Self { engine, files_of: None }
    }

    pub(super) fn file_of(engine: Arc<Engine>, exporter: ConnectorId) -> Self {
        *engine.exports.counts.table().files.entry(exporter).or_default() += 1;
        Self { engine, files_of: Some(exporter) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let exports = &self.engine.exports;
        let mut table = exports.counts.table();
        let last = match self.files_of {
            None => {
                table.large = table.large.saturating_sub(1);
                true
            }
            Some(exporter) => {
                let left = table.files.get(&exporter).copied().unwrap_or_default().saturating_sub(1);
                match left {
                    0 => drop(table.files.remove(&exporter)),
                    left => drop(table.files.insert(exporter, left)),
                }
                left == 0
            }
        };
        drop(table);
        // What waits behind it has its turn: behind a small file it is another one, or, behind the last, anything.
        if last { exports.wake() } else { exports.wake_files.notify_one() }
    }
}
