//! The leases of the runs under way: each is kept while its run is worked on, and one look a second tells of all of them
//! whether they still count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_core::id::RunId;
use consign_store::StoreError;
use consign_store::runs::{self, Run};
use tokio::sync::oneshot;

use super::{Job, Stop, TICK};
use crate::engine::{Engine, LEASE};

/// A lease is kept this often at least.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// A run and the fence of a lease.
type Lease = (RunId, i64);

/// The leases that somebody here works by.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<Lease, oneshot::Sender<()>>>);

impl Leases {
    /// Tells when the lease of a run does not count any more, until the watch is dropped.
    fn watch(&self, run: &Run) -> (Watch<'_>, oneshot::Receiver<()>) {
        let (lost, told) = oneshot::channel();
        let lease = (run.id, run.fence);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease, lost);
        (Watch { leases: self, lease }, told)
    }

    fn all(&self) -> Vec<Lease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn is_lost(&self, lease: Lease) {
        let watch = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease);
        // Whoever worked by it may have ended in this moment.
        let _ = watch.map(|lost| lost.send(()));
    }
}

struct Watch<'a> {
    leases: &'a Leases,
    lease: Lease,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.leases.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.lease);
    }
}

impl Engine {
    pub(in crate::engine) async fn lease_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            tokio::time::sleep(TICK).await;
            if let Err(error) = self.look_at_leases().await {
                tracing::warn!(%error, "the leases of runs were not looked at");
            }
        }
    }

    /// A run that a person stopped, or that another process took over, is left at once.
    async fn look_at_leases(&self) -> Result<(), StoreError> {
        // Each of them is on disk already.
        let held = self.exports.leases.all();
        if held.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = held.iter().map(|(run, _)| *run).collect();
        let count = runs::leases_of(&mut *self.store.read().await?, &ids).await?;
        held.into_iter()
            .filter(|lease| !count.contains(lease))
            .for_each(|one| self.exports.leases.is_lost(one));
        Ok(())
    }

    /// Keeps the lease while requests are under way, and shows how far they are; ends when the run is no longer ours.
    pub(super) async fn keep_run(&self, job: &Job) -> Stop {
        let (_watch, mut lost) = self.exports.leases.watch(&job.run);
        let (mut shown, mut kept) = (0, self.now());
        loop {
            tokio::select! {
                _ = &mut lost => return Stop::Lost,
                () = tokio::time::sleep(TICK) => {}
            }
            // What has left as a whole is waited for: the tool may have it.
            if self.lanes.is_stopping() && job.is_one_piece() && !job.moving.is_out() {
                return Stop::GiveBack;
            }
            let bytes = job.moving.bytes();
            if bytes == shown && self.now().since(kept) < KEEP_EVERY {
                continue;
            }
            match self.keep_lease_of(job, bytes).await {
                Ok(true) => (shown, kept) = (bytes, self.now()),
                Ok(false) => return Stop::Lost,
                Err(error) => tracing::warn!(run.id = %job.run.id, %error, "the lease of a run was not kept"),
            }
        }
    }

    async fn keep_lease_of(&self, job: &Job, bytes: u64) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let until = tx.now().plus(LEASE);
        let kept = if job.is_one_piece() {
            runs::keep_lease(&mut tx, &job.run, job.moving.step(), bytes, until).await?
        } else {
            runs::keep_lease_only(&mut tx, &job.run, until).await?
        };
        tx.commit().await?;
        Ok(kept)
    }
}
