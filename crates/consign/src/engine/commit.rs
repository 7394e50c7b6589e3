//! Group commit: accepted events, results of attempts, ends of runs, claims and records of calls that wait at the same
//! time share one transaction.
//!
//! There is no timer. While one batch syncs to disk the next gathers, and a lone request waits for nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Shelf, PoisonError};
use std::time::Duration;

use consign_core::event::Event;
use consign_core::id::ConnectorId;
use consign_store::deliveries::{self, Claimed, Recording};
use consign_store::events::{self, Accepted, NewDelivery, NewRow};
use consign_store::gateway_calls::{self, GatewayCall};
use consign_store::runs::{self, FilesWanted};
use consign_store::{Store, StoreError, Tx};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::LEASE;
use super::export::Change;
use crate::telemetry;

/// The most jobs and bytes in one transaction.
const BATCH_JOBS_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Jobs that may wait; beyond it the intake answers 503 at once.
const QUEUE_JOBS_MAX: usize = 2_048;

/// Calls are written at the latest so long after their end, with all that ended meanwhile.
const CALLS_WAIT: Duration = Duration::from_millis(250);
/// Calls that may wait; while the database takes none, the records of more are given up.
const CALLS_MAX: usize = 10_000;

/// An event ready to be stored: its data is sealed.
pub(super) struct AcceptRow {
    /// The event.
    pub event: Arc<Event>,
    /// Its data, sealed.
    pub sealed_data: Vec<u8>,
    /// The payload key that sealed it.
    pub payload_key: i64,
    /// One for each interested webhook.
    pub deliveries: Vec<NewDelivery>,
    /// The interested exporters.
    pub exporters: Vec<ConnectorId>,
}

impl AcceptRow {
    fn as_new(&self) -> NewRow<'_> {
        NewRow {
            event: &self.event,
            sealed_data: &self.sealed_data,
            payload_key: self.payload_key,
            deliveries: &self.deliveries,
            exporters: &self.exporters,
        }
    }
}

/// Due deliveries that are wanted from the queue.
pub(super) struct Wanted {
    /// From which lanes, and how many at most.
    pub lanes: Vec<(ConnectorId, u32)>,
    /// One that was leased at several crashes may be among them.
    pub suspect: bool,
    /// The run of the program that will have them.
    pub by: Arc<str>,
}

/// Deliveries that are leased to this process now.
#[derive(Default)]
pub(super) struct Claims {
    /// In the order of the lanes that were asked for.
    pub lanes: Vec<Vec<Claimed>>,
    /// One that was leased at several crashes.
    pub suspect: Option<Claimed>,
}

enum Job {
    Accept { rows: Vec<AcceptRow>, reply: Reply<Accepting> },
    Record { recording: Box<Recording>, reply: Reply<bool> },
    Claim { wanted: Wanted, reply: Reply<Claims> },
    Run { change: Box<Change>, reply: Reply<bool> },
    Files { wanted: FilesWanted, by: Arc<str>, reply: Reply<Vec<runs::Claimed>> },
    Calls(Noted),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The rows come back with what became of each.
pub(super) type Accepting = Vec<(AcceptRow, Accepted)>;

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Accept { rows, .. } => rows.iter().map(|row| row.sealed_data.len() + 512).sum(),
            Self::Record { recording, .. } => {
                recording.attempt.answer_excerpt.as_ref().map_or(0, Vec::len) + 1_024
            }
            Self::Claim { .. } | Self::Run { .. } | Self::Files { .. } => 0,
            Self::Calls(noted) => noted.calls.len() * 256,
        }
    }

    fn refuse(self, why: StoreError) {
        match self {
            Self::Accept { reply, .. } => drop(reply.send(Err(why))),
            Self::Record { reply, .. } => drop(reply.send(Err(why))),
            Self::Claim { reply, .. } => drop(reply.send(Err(why))),
            Self::Run { reply, .. } => drop(reply.send(Err(why))),
            Self::Files { reply, .. } => drop(reply.send(Err(why))),
            Self::Calls(noted) => {
                tracing::error!(calls = noted.calls.len(), error = %why, "records of calls are not on disk");
            }
        }
    }
}

/// Calls on their way to the disk; they count as unwritten until this is dropped.
struct Noted {
    calls: Vec<GatewayCall>,
    notes: Arc<Notes>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.notes.unwritten.fetch_sub(self.calls.len(), Ordering::Release);
    }
}

/// Calls that ended and wait for a transaction. Nobody waits for them.
#[derive(Default)]
struct Notes {
    calls: Shelf<Vec<GatewayCall>>,
    unwritten: AtomicUsize,
}

impl Notes {
    /// Puts one to the others: how many there are now, or `None` when there were too many.
    fn put(&self, call: GatewayCall) -> Option<usize> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= CALLS_MAX {
            return None;
        }
        calls.push(call);
        self.unwritten.fetch_add(1, Ordering::Release);
        Some(calls.len())
    }

    /// Takes all of them.
    fn take(self: &Arc<Self>) -> Option<Noted> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner));
        (!calls.is_empty()).then(|| Noted { calls, notes: self.clone() })
    }
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Too many wait already.
    #[error("the queue of this server is full")]
    QueueFull,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The database did not take it.
    #[error("the database did not take it")]
    Store(#[from] StoreError),
}

/// The way into the shared transactions.
#[derive(Clone)]
pub(super) struct Committer {
    jobs: mpsc::Sender<Job>,
    notes: Arc<Notes>,
}

impl Committer {
    /// Starts what commits: two tasks on PostgreSQL. On SQLite it is one with
    /// a thread to itself, which may wait for the disk: a batch costs no change of threads.
    pub(super) fn start(store: &Store) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let (queue, notes) = (Arc::new(Mutex::new(queue)), Arc::<Notes>::default());
        if store.is_postgres() {
            for _ in 0..2 {
                tokio::spawn(run(store.clone(), queue.clone(), notes.clone()));
            }
        } else {
            let committing = run(store.clone(), queue, notes.clone());
            tokio::task::spawn_blocking(|| Handle::current().block_on(committing));
        }
        Self { jobs, notes }
    }

    /// Stores events with their deliveries. Returns when they are on disk.
    ///
    /// # Errors
    /// At once when the queue is full; later when the database did not take them.
    pub(super) async fn accept(&self, rows: Vec<AcceptRow>) -> Result<Accepting, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::Accept { rows, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => CommitError::Stopping,
        })?;
        Ok(answer.await.map_err(|_| CommitError::Stopping)??)
    }

    /// Stores the result of an attempt; `false` when the lease was lost meanwhile.
    ///
    /// # Errors
    /// When the database did not take it.
    pub(super) async fn record(&self, recording: Recording) -> Result<bool, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Record { recording: Box::new(recording), reply };
        self.jobs.send(job).await.map_err(|_| CommitError::Stopping)?;
        Ok(answer.await.map_err(|_| CommitError::Stopping)??)
    }

    /// Leases due deliveries to this process. Returns when the leases are on disk.
    ///
    /// # Errors
    /// When the database did not take them; then nothing is leased.
    pub(super) async fn claim(&self, wanted: Wanted) -> Result<Claims, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Claim { wanted, reply }).await.map_err(|_| CommitError::Stopping)?;
        Ok(answer.await.map_err(|_| CommitError::Stopping)??)
    }

    /// Writes down how far a run has come; `false` when it is no longer ours, and then nothing was changed.
    ///
    /// # Errors
    /// When the database did not take it.
    pub(super) async fn run(&self, change: Change) -> Result<bool, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Run { change: Box::new(change), reply };
        self.jobs.send(job).await.map_err(|_| CommitError::Stopping)?;
        Ok(answer.await.map_err(|_| CommitError::Stopping)??)
    }

    /// Leases runs of pushed files to this process. Returns when the leases are on disk.
    ///
    /// # Errors
    /// When the database did not take them; then nothing is leased.
    pub(super) async fn claim_files(
        &self,
        wanted: FilesWanted,
        by: Arc<str>,
    ) -> Result<Vec<runs::Claimed>, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Files { wanted, by, reply };
        self.jobs.send(job).await.map_err(|_| CommitError::Stopping)?;
        Ok(answer.await.map_err(|_| CommitError::Stopping)??)
    }

    /// Keeps a call that has ended: with the next transaction, or soon. A crash in between loses it.
    pub(super) fn note_call(&self, call: GatewayCall) {
        match self.notes.put(call) {
            None => tracing::error!("too many records of calls wait for the database; one was given up"),
            Some(1) => {
                let (jobs, notes) = (self.jobs.clone(), self.notes.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(CALLS_WAIT).await;
                    if let Some(noted) = notes.take() {
                        // The program has ended.
                        let _ = jobs.send(Job::Calls(noted)).await;
                    }
                });
            }
            Some(_) => {}
        }
    }

    /// How many calls have ended and are not on disk.
    pub(super) fn unwritten_calls(&self) -> usize {
        self.notes.unwritten.load(Ordering::Acquire)
    }
}

async fn run(store: Store, queue: Arc<Mutex<mpsc::Receiver<Job>>>, notes: Arc<Notes>) {
    loop {
        let mut batch = Vec::new();
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            let mut bytes = first.bytes();
            batch.push(first);
            while batch.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.bytes();
                batch.push(next);
            }
        }
        batch.extend(notes.take().map(Job::Calls));
        commit(&store, batch).await;
    }
}

async fn commit(store: &Store, mut batch: Vec<Job>) {
    metrics::histogram!(telemetry::COMMIT_BATCH_SIZE).record(batch.len() as f64);
    match write(store, &batch).await {
        Ok(written) => written.answer(batch),
        Err(StoreError::SyncFailed) => stop_the_program(),
        // These concern every job alike.
        Err(StoreError::Full) => batch.into_iter().for_each(|job| job.refuse(StoreError::Full)),
        Err(StoreError::Unreachable) => batch.into_iter().for_each(|job| job.refuse(StoreError::Unreachable)),
        Err(error) if batch.len() == 1 => batch.remove(0).refuse(error),
        // One bad row must fail alone.
        Err(_) => {
            for job in batch {
                Box::pin(commit(store, vec![job])).await;
            }
        }
    }
}

/// After a failed sync nobody knows what is on disk; going on could acknowledge what is lost.
fn stop_the_program() -> ! {
    tracing::error!(
        "the disk did not confirm a write; the program stops so that nothing is acknowledged in error"
    );
    std::process::abort()
}

/// What became of the jobs of a batch, in their order.
struct Written {
    accepted: Vec<Accepted>,
    kept: Vec<bool>,
    claims: Vec<Claims>,
    changed: Vec<bool>,
    files: Vec<Vec<runs::Claimed>>,
}

impl Written {
    fn answer(self, batch: Vec<Job>) {
        let mut accepted = self.accepted.into_iter();
        let (mut kept, mut claims) = (self.kept.into_iter(), self.claims.into_iter());
        let (mut changed, mut files) = (self.changed.into_iter(), self.files.into_iter());
        for job in batch {
            // A client that hung up undoes nothing: its event stays accepted.
            match job {
                Job::Accept { rows, reply } => {
                    drop(reply.send(Ok(rows.into_iter().zip(accepted.by_ref()).collect())));
                }
                Job::Record { reply, .. } => drop(reply.send(Ok(kept.next().unwrap_or(false)))),
                Job::Claim { reply, .. } => drop(reply.send(Ok(claims.next().unwrap_or_default()))),
                Job::Run { reply, .. } => drop(reply.send(Ok(changed.next().unwrap_or(false)))),
                Job::Files { reply, .. } => drop(reply.send(Ok(files.next().unwrap_or_default()))),
                Job::Calls(noted) => drop(noted),
            }
        }
    }
}

async fn write(store: &Store, batch: &[Job]) -> Result<Written, StoreError> {
    let (mut rows, mut recordings, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changes, mut files_wanted, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for job in batch {
        match job {
            Job::Accept { rows: more, .. } => rows.extend(more.iter().map(AcceptRow::as_new)),
            Job::Record { recording, .. } => recordings.push(&**recording),
            Job::Claim { wanted: more, .. } => wanted.push(more),
            Job::Run { change, .. } => changes.push(change),
            Job::Files { wanted, by, .. } => files_wanted.push((wanted, by)),
            Job::Calls(noted) => calls.extend(&noted.calls),
        }
    }
    let mut tx = store.begin_on_this_thread().await?;
    let accepted = if rows.is_empty() { Vec::new() } else { events::accept(&mut tx, &rows).await? };
    let kept =
        if recordings.is_empty() { Vec::new() } else { deliveries::record(&mut tx, &recordings).await? };
    let mut claims = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        claims.push(claim(&mut tx, wanted).await?);
    }
    let mut changed = Vec::with_capacity(changes.len());
    for change in changes {
        changed.push(change.write(&mut tx).await?);
    }
    let mut files = Vec::with_capacity(files_wanted.len());
    for (wanted, by) in files_wanted {
        let (now, until) = (tx.now(), tx.now().plus(LEASE));
        files.push(runs::claim_files(&mut tx, wanted, now, until, by).await?);
    }
    gateway_calls::insert(&mut tx, &calls).await?;
    tx.commit().await?;
    Ok(Written { accepted, kept, claims, changed, files })
}

async fn claim(tx: &mut Tx, wanted: &Wanted) -> Result<Claims, StoreError> {
    let (now, until) = (tx.now(), tx.now().plus(LEASE));
    let mut claims = Claims::default();
    for &(connector, room) in &wanted.lanes {
        let found = deliveries::claim(tx, connector, room, now, until, &wanted.by).await?;
        if wanted.suspect && claims.suspect.is_none() && found.len() < room as usize {
            claims.suspect = deliveries::claim_suspect(tx, connector, now, until, &wanted.by).await?;
        }
        claims.lanes.push(found);
    }
    Ok(claims)
}
