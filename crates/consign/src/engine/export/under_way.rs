//! How many runs are under way: those that hold megabytes, and small files side by side.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consign_core::id::ConnectorId;

use crate::engine::Engine;

/// The runs under way.
#[derive(Default)]
pub(super) struct Counts(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By server; those without one are not in it.
    large: HashMap<String, usize>,
    /// By exporter; those without one are not in it.
    files: HashMap<ConnectorId, usize>,
}

impl Counts {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> usize {
        let table = self.table();
        table.large.values().sum::<usize>() + table.files.values().sum::<usize>()
    }

    /// Those that are no small files, by server.
    pub(super) fn large(&self) -> HashMap<String, usize> {
        self.table().large.clone()
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
    of: Of,
}

/// What a run is counted by.
enum Of {
    Server(String),
    Files(ConnectorId),
}

impl Counted {
    pub(super) fn large(engine: Arc<Engine>, server: String) -> Self {
        *engine.exports.counts.table().large.entry(server.clone()).or_default() += 1;
        Self { engine, of: Of::Server(server) }
    }

    pub(super) fn file_of(engine: Arc<Engine>, exporter: ConnectorId) -> Self {
        *engine.exports.counts.table().files.entry(exporter).or_default() += 1;
        Self { engine, of: Of::Files(exporter) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let exports = &self.engine.exports;
        let mut table = exports.counts.table();
        let last = match &self.of {
            Of::Server(server) => {
                one_less(&mut table.large, server);
                true
            }
            Of::Files(exporter) => one_less(&mut table.files, exporter) == 0,
        };
        drop(table);
        // What waits behind it has its turn: behind a small file it is another one, or, behind the last, anything.
        if last { exports.wake() } else { exports.wake_files.notify_one() }
    }
}

/// Takes one away, and tells how many are left.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, of: &K) -> usize {
    let Some(count) = counts.get_mut(of) else { return 0 };
    *count = count.saturating_sub(1);
    let left = *count;
    if left == 0 {
        counts.remove(of);
    }
    left
}
