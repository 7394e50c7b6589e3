//! Group commit: accepted events and results of attempts that wait at the same time share one transaction.
//!
//! There is no timer. While one batch syncs to disk the next gathers, and a lone request waits for nobody.

use std::sync::Arc;

use consign_core::event::Event;
use consign_store::deliveries::{self, Recording};
use consign_store::events::{self, Accepted, NewDelivery, NewRow};
use consign_store::{Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::telemetry;

/// The most jobs and bytes in one transaction.
const BATCH_JOBS_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Jobs that may wait; beyond it the intake answers 503 at once.
const QUEUE_JOBS_MAX: usize = 2_048;

/// An event ready to be stored: its data is sealed.
pub(super) struct AcceptRow {
    /// The event.
    pub event: Arc<Event>,
    /// Its data, sealed.
    pub sealed_data: Vec<u8>,
    /// The payload key that sealed it.
    pub payload_key: i64,
    /// One for each interested connector.
    pub deliveries: Vec<NewDelivery>,
}

enum Job {
    Accept { rows: Vec<AcceptRow>, reply: oneshot::Sender<Result<Accepting, StoreError>> },
    Record { recording: Box<Recording>, reply: oneshot::Sender<Result<bool, StoreError>> },
}

/// The rows come back with what became of each.
pub(super) type Accepting = Vec<(AcceptRow, Accepted)>;

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Accept { rows, .. } => rows.iter().map(|row| row.sealed_data.len() + 512).sum(),
            Self::Record { recording, .. } => {
                recording.attempt.answer_excerpt.as_ref().map_or(0, Vec::len) + 1_024
            }
        }
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
}

impl Committer {
    /// Starts the tasks that commit: one on SQLite, which owns the writing connection, two on PostgreSQL.
    pub(super) fn start(store: &Store) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let tasks = if store.is_postgres() { 2 } else { 1 };
        for _ in 0..tasks {
            tokio::spawn(run(store.clone(), queue.clone()));
        }
        Self { jobs }
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
}

async fn run(store: Store, queue: Arc<Mutex<mpsc::Receiver<Job>>>) {
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
        commit(&store, batch).await;
    }
}

async fn commit(store: &Store, batch: Vec<Job>) {
    let mut accepts = Vec::new();
    let mut recordings = Vec::new();
    let mut waiting = Vec::new();
    for job in batch {
        match job {
            Job::Accept { rows, reply } => accepts.push((rows, reply)),
            Job::Record { recording, reply } => {
                recordings.push(*recording);
                waiting.push(reply);
            }
        }
    }
    let jobs = u32::try_from(accepts.len() + waiting.len()).unwrap_or(u32::MAX);
    metrics::histogram!(telemetry::COMMIT_BATCH_SIZE).record(f64::from(jobs));
    let tried = write(store, accepts.iter().flat_map(|(rows, _)| rows), &recordings).await;
    match tried {
        Ok((accepted, kept)) => {
            let mut accepted = accepted.into_iter();
            for (rows, reply) in accepts {
                // A client that hung up undoes nothing: its event stays accepted.
                let _ = reply.send(Ok(rows.into_iter().zip(accepted.by_ref()).collect()));
            }
            for (reply, kept) in waiting.into_iter().zip(kept) {
                let _ = reply.send(Ok(kept));
            }
        }
        Err(StoreError::SyncFailed) => stop_the_program(),
        // These concern every job alike.
        Err(StoreError::Full) => refuse_all(accepts, waiting, || StoreError::Full),
        Err(StoreError::Unreachable) => refuse_all(accepts, waiting, || StoreError::Unreachable),
        // One bad row must fail alone.
        Err(_) => one_by_one(store, accepts, recordings.into_iter().zip(waiting).collect()).await,
    }
}

/// After a failed sync nobody knows what is on disk; going on could acknowledge what is lost.
fn stop_the_program() -> ! {
    tracing::error!(
        "the disk did not confirm a write; the program stops so that nothing is acknowledged in error"
    );
    std::process::abort()
}

type Waiting<T, R> = Vec<(T, oneshot::Sender<Result<R, StoreError>>)>;

fn refuse_all(
    accepts: Waiting<Vec<AcceptRow>, Accepting>,
    records: Vec<oneshot::Sender<Result<bool, StoreError>>>,
    why: impl Fn() -> StoreError,
) {
    accepts.into_iter().for_each(|(_, reply)| drop(reply.send(Err(why()))));
    records.into_iter().for_each(|reply| drop(reply.send(Err(why()))));
}

async fn one_by_one(
    store: &Store,
    accepts: Waiting<Vec<AcceptRow>, Accepting>,
    records: Waiting<Recording, bool>,
) {
    for (rows, reply) in accepts {
        let tried = write(store, rows.iter(), &[]).await;
        let _ = reply.send(tried.map(|(accepted, _)| rows.into_iter().zip(accepted).collect()));
    }
    for (recording, reply) in records {
        let tried = write(store, std::iter::empty(), &[recording]).await;
        let _ = reply.send(tried.map(|(_, kept)| kept.first().copied().unwrap_or(false)));
    }
}

async fn write(
    store: &Store,
    rows: impl Iterator<Item = &AcceptRow>,
    recordings: &[Recording],
) -> Result<(Vec<Accepted>, Vec<bool>), StoreError> {
    let rows: Vec<_> = rows
        .map(|row| NewRow {
            event: &row.event,
            sealed_data: &row.sealed_data,
            payload_key: row.payload_key,
            deliveries: &row.deliveries,
        })
        .collect();
    let mut tx = store.begin().await?;
    let accepted = if rows.is_empty() { Vec::new() } else { events::accept(&mut tx, &rows).await? };
    let kept =
        if recordings.is_empty() { Vec::new() } else { deliveries::record(&mut tx, recordings).await? };
    tx.commit().await?;
    Ok((accepted, kept))
}
