//! Runs of exporters: claimed by lease, collected, written page by page, sent; ended in one row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_core::connector::exporter::{Destination, RunState, Step};
use consign_core::connector::{Connector, ConnectorState, Exporter, HeldBy};
use consign_core::delivery::{CRASHES_MAX, Next, Outcome, Progress as Tries, Refusal};
use consign_core::id::ConnectorId;
use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::runs::{self, Chunk, Claimed, End, Run};
use tokio::sync::Notify;

use super::deliver::Seen;
use super::schedule::is_due;
use super::{Engine, LEASE};
use crate::telemetry;

pub use begin::{Again, Beginning, Begun};
pub use intake::{FILE_PIECE_BYTES, Intake, IntakeFault};
pub(super) use ledger::Change;

use job::{Job, Moving};
use under_way::{Counted, Counts};

mod begin;
mod bulk;
mod compress;
mod feed;
mod file;
mod intake;
mod job;
mod keep;
mod ledger;
mod outlet;
mod records;
mod server;
mod side_by_side;
mod under_way;

/// Runs at one time that are not small files: each holds a few megabytes.
const RUNS_MAX: usize = 4;
const TICK: Duration = Duration::from_secs(1);
/// Records that one transaction takes: short enough that an accept behind it hardly waits.
const COLLECT_PORTION: u32 = 5_000;
/// A server is asked this often whether a file arrived, once the attempts are used up.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);
/// A folder holds the parts that runs left behind for so long at least.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
/// Of runs that are done one after the other, that the last one was is written down this often.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// A lease is kept this often at least.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// The runs of this process.
#[derive(Default)]
pub(super) struct Exports {
    wake: Notify,
    wake_files: Notify,
    counts: Counts,
    /// When the folder of each exporter was last looked through for what runs left behind.
    cleaned_at: Mutex<HashMap<ConnectorId, Option<Timestamp>>>,
    /// When it was last written down that a run of each exporter was done.
    noted_at: Mutex<HashMap<ConnectorId, Option<Timestamp>>>,
}

impl Exports {
    /// There may be a run to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
        self.wake_files.notify_one();
    }

    fn is_noting_due(&self, exporter: ConnectorId, now: Timestamp) -> bool {
        let mut noted_at = self.noted_at.lock().unwrap_or_else(PoisonError::into_inner);
        is_due(noted_at.entry(exporter).or_default(), NOTE_EVERY, now)
    }

    fn is_cleaning_due(&self, exporter: ConnectorId, now: Timestamp) -> bool {
        let mut cleaned_at = self.cleaned_at.lock().unwrap_or_else(PoisonError::into_inner);
        is_due(cleaned_at.entry(exporter).or_default(), CLEAN_EVERY, now)
    }

    /// Runs that are worked on.
    pub(super) fn under_way(&self) -> usize {
        self.counts.all()
    }
}

/// What there is to say of a run that is done.
pub(super) struct Told {
    /// For its log, before the message.
    lines: Vec<String>,
    message: String,
}

impl From<String> for Told {
    fn from(message: String) -> Self {
        Self { lines: Vec::new(), message }
    }
}

/// Why the work on a run ended before the run did.
pub(super) enum Stop {
    /// The lease was lost, or a person stopped the run: nothing is to be written.
    Lost,
    /// The program stops, or the exporter was paused: the run stays due.
    GiveBack,
    /// An attempt did not work.
    Attempt(Box<Seen>),
    /// The server took new keys without a proof: with a new session it goes on.
    NewKeys(Box<Seen>),
    /// The database cannot be used.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Stop {
    fn refused(refusal: Refusal, message: Option<String>) -> Self {
        Self::Attempt(Box::new(Seen::nothing(Outcome::Refused { refusal }, message)))
    }

    /// What is to be sent cannot be read.
    fn unreadable(what: String) -> Self {
        let words = format!("The file could not be made: {what}.");
        Self::refused(Refusal::NotRendered(what), Some(words))
    }
}

impl Engine {
    pub(super) async fn export_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            let woken = self.exports.wake.notified();
            // A stop waits for what is being taken.
            let round = self.rounds.read().await;
            if self.lanes.is_stopping() {
                return;
            }
            if let Err(error) = self.export_round().await {
                tracing::error!(%error, "runs of exporters could not be looked for; trying again in a second");
            }
            drop(round);
            drop(tokio::time::timeout(TICK, woken).await);
        }
    }

    async fn export_round(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = self.now();
        self.take_ticks(now).await?;
        if self.lanes.is_paused() {
            return Ok(());
        }
        let room = RUNS_MAX.saturating_sub(self.exports.counts.large());
        if room > 0 && runs::has_due(&mut *self.store.read().await?, now).await? {
            let mut tx = self.store.begin().await?;
            let until = tx.now().plus(LEASE);
            let max = u32::try_from(room).unwrap_or(u32::MAX);
            let now = tx.now();
            let claimed = runs::claim(&mut tx, max, now, until, &self.by).await?;
            tx.commit().await?;
            for claimed in claimed {
                self.spawn_run(claimed, false);
            }
        }
        self.probe_held_exporters(now).await
    }

    /// One held run tells whether the tool lets us in again.
    async fn probe_held_exporters(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        for (connector, _) in snapshot.exporters() {
            let held = ConnectorState::Held(HeldBy::SignInRefused);
            let locked = ConnectorState::Held(HeldBy::CredentialLocked);
            let credential = connector.credential.and_then(|id| snapshot.credential(id));
            let Some(credential) = credential.filter(|one| one.seen.code.holds()) else { continue };
            if ![held, locked].contains(&connector.state) || !self.probe_is_due(credential, now) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let (now, until) = (tx.now(), tx.now().plus(LEASE));
            let claimed = runs::claim_held(&mut tx, connector.id, now, until, &self.by).await?;
            tx.commit().await?;
            if let Some(claimed) = claimed {
                self.memory().probed.insert(credential.id, now);
                self.spawn_run(claimed, true);
            }
        }
        Ok(())
    }

    fn spawn_run(self: &Arc<Self>, claimed: Claimed, probe: bool) {
        self.spawn_counted(Counted::large(self.clone()), claimed, None, probe);
    }

    fn spawn_counted(
        self: &Arc<Self>,
        counted: Counted,
        claimed: Claimed,
        piece: Option<Chunk>,
        probe: bool,
    ) {
        let engine = self.clone();
        tokio::spawn(async move {
            let _counted = counted;
            let run = claimed.run.id;
            if let Err(error) = engine.work_on(claimed, piece, probe).await {
                // The lease runs out, and the run goes on from where it was.
                tracing::error!(run.id = %run, %error, "a run could not be written down; it goes on later");
            }
        });
    }

    async fn work_on(
        self: &Arc<Self>,
        claimed: Claimed,
        piece: Option<Chunk>,
        probe: bool,
    ) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let Claimed { run, abandoned } = claimed;
        let Some(connector) = snapshot.connector(run.connector).cloned() else {
            return self.put_run_back(&run).await;
        };
        let Some(exporter) = connector.exporter() else { return self.put_run_back(&run).await };
        if abandoned && run.crashes >= CRASHES_MAX {
            let message = "Sending it stopped the program five times.";
            return self.run_failed(&run, &connector, "stopped", message).await;
        }
        let credential = connector.credential.and_then(|id| snapshot.credential(id)).cloned();
        let Some(credential) = credential else { return self.put_run_back(&run).await };
        let fits = snapshot.fits(connector.id) && snapshot.fits(credential.id);
        let set_up = match self.set_up_of(&run).await {
            Ok(Some(set_up)) => set_up,
            // Another key ring may open it.
            Ok(None) => return self.look_again_later(&run).await,
            Err(error) => {
                self.put_run_back(&run).await?;
                return Err(error);
            }
        };
        let set_up = Arc::new(set_up.within_limits_of(exporter));
        let exporter = &set_up.exporter;
        let (connector, set_up) = (connector.clone(), set_up.clone());
        let (piece, moving) = (Mutex::new(piece), Moving::default());
        let mut job = Job { run, connector: connector.clone(), credential, set_up, probe, piece, moving };
        let worked = if fits {
            self.run_steps(&mut job, exporter).await
        } else {
            Err(Stop::refused(Refusal::NotAsSaved, None))
        };
        match worked {
            Ok(told) => self.run_is_done(&job.run, &connector, told).await,
            Err(Stop::Lost) => {
                tracing::info!(run.id = %job.run.id, "the run is no longer ours");
                Ok(())
            }
            Err(Stop::GiveBack) => self.put_run_back(&job.run).await,
            Err(Stop::Store(error)) => {
                self.put_run_back(&job.run).await?;
                Err(error)
            }
            Err(Stop::Attempt(seen) | Stop::NewKeys(seen)) => {
                self.attempt_failed(&job, exporter, *seen).await
            }
        }
    }

    /// Collects and sends. The answer is what there is to say about it.
    async fn run_steps(self: &Arc<Self>, job: &mut Job, exporter: &Exporter) -> Result<Told, Stop> {
        if !job.run.collected {
            self.collect_records(&mut job.run).await?;
        }
        if job.run.file.is_none() && job.run.records == 0 && !exporter.send_empty {
            return Ok("There was nothing to send.".to_owned().into());
        }
        let mut run = job.run.clone();
        let sent = async {
            match &exporter.destination {
                Destination::Https(bulk) if run.file.is_some() => {
                    self.send_file(job, exporter, bulk, &mut run).await.map(Told::from)
                }
                Destination::Https(bulk) => {
                    self.send_records(job, exporter, bulk, &mut run).await.map(Told::from)
                }
                Destination::Sftp(place) => self.send_to_server(job, exporter, place, &mut run).await,
            }
        };
        let sent = tokio::select! {
            sent = sent => sent,
            stop = self.keep_run(job) => Err(stop),
        };
        job.run = run;
        sent
    }

    /// Takes the records that have no run, in portions; afterwards they stay the same.
    async fn collect_records(&self, run: &mut Run) -> Result<(), Stop> {
        let mut tx = self.store.begin().await?;
        let to = runs::begin_collecting(&mut tx, run).await?.ok_or(Stop::Lost)?;
        tx.commit().await?;
        loop {
            if self.lanes.is_stopping() {
                return Err(Stop::GiveBack);
            }
            let mut tx = self.store.begin().await?;
            let until = tx.now().plus(LEASE);
            if !runs::keep_lease(&mut tx, run, Step::Collect, 0, until).await? {
                return Err(Stop::Lost);
            }
            let taken = runs::collect(&mut tx, run, &to, COLLECT_PORTION).await?;
            if taken >= u64::from(COLLECT_PORTION) {
                tx.commit().await?;
                continue;
            }
            run.records = runs::end_collecting(&mut tx, run).await?.ok_or(Stop::Lost)?;
            run.collected = true;
            let line = format!("Collected {}.", counted(run.records, "record", "records"));
            let now = tx.now();
            runs::log(&mut tx, run.id, &line, now).await?;
            tx.commit().await?;
            return Ok(());
        }
    }

    /// Keeps the lease while requests are under way, and shows how far they are; ends when the run is no longer ours.
    async fn keep_run(&self, job: &Job) -> Stop {
        let (mut shown, mut kept) = (0, self.now());
        loop {
            tokio::time::sleep(TICK).await;
            if self.lanes.is_stopping() && job.is_one_piece() {
                return Stop::GiveBack;
            }
            let bytes = job.moving.bytes();
            let quiet = bytes == shown && self.now().since(kept) < KEEP_EVERY;
            let ours = async {
                match quiet {
                    true => runs::is_ours(&mut *self.store.read().await?, &job.run).await,
                    false => self.keep_lease_of(job, bytes).await,
                }
            };
            match ours.await {
                Ok(true) if quiet => {}
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

    /// What an attempt that did not work leads to: another one, a hold, or the end.
    async fn attempt_failed(
        self: &Arc<Self>,
        job: &Job,
        exporter: &Exporter,
        seen: Seen,
    ) -> Result<(), StoreError> {
        let (run, now) = (&job.run, self.now());
        let throttled = seen.outcome.class() == Outcome::THROTTLED;
        let throttled_since = throttled.then(|| run.throttled_since.unwrap_or(now));
        let tries = Tries {
            attempt: run.attempts + 1,
            throttled_for: throttled_since.map(|since| now.since(since)).unwrap_or_default(),
        };
        let retry = exporter.retry(&self.delivery_rules().retry_schedule());
        let verdict = retry.next(tries, &seen.outcome, now, self.jitter());
        self.learn(&job.connector, Some(&job.credential), &seen, &verdict, now).await;
        let outcome = seen.outcome.class();
        let message = seen.message.clone().unwrap_or_else(|| words_of(&seen.outcome));
        tracing::info!(run.id = %run.id, connector.id = %job.connector.id, outcome, "a run did not get on");
        let (due_at, attempts) = match verdict.next {
            Next::RetryAt(at) => (at, run.attempts + 1),
            Next::WaitUntil(at) => (at, run.attempts),
            // Its records would go twice: the server has to be asked first.
            Next::Fail if self.may_have_arrived(run, &seen.outcome).await? => {
                (now.plus(ASK_AGAIN), run.attempts)
            }
            Next::Deliver | Next::Hold(_) | Next::Fail => {
                return self.run_failed(run, &job.connector, outcome, &message).await;
            }
        };
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let state = (attempts, throttled_since);
        if runs::retry(&mut tx, run, due_at, state, (outcome, &message)).await? {
            let next =
                if due_at > now { format!(" The next attempt is at {due_at}.") } else { String::new() };
            runs::log(&mut tx, run.id, &format!("{message}{next}"), now).await?;
        }
        tx.commit().await
    }

    /// Whether the file of a run may have its final name, and the server did not answer when it was asked.
    async fn may_have_arrived(&self, run: &Run, outcome: &Outcome) -> Result<bool, StoreError> {
        if !matches!(outcome, Outcome::Unanswered { .. } | Outcome::Unreachable { .. }) {
            return Ok(false);
        }
        let stored = runs::find(&mut *self.store.read().await?, run.id).await?;
        Ok(stored.is_some_and(|stored| stored.made_bytes.is_some()))
    }

    /// A run has ended without what it was to do.
    async fn run_failed(
        &self,
        run: &Run,
        connector: &Connector,
        outcome: &'static str,
        message: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let end = End { state: RunState::Failed, outcome, message };
        if !runs::end(&mut tx, run, &end, now).await? {
            return tx.commit().await;
        }
        let line = if run.file.is_none() {
            format!("{message} The run failed; its records go with the next run.")
        } else {
            format!("{message} The run failed.")
        };
        runs::log(&mut tx, run.id, &line, now).await?;
        tx.commit().await?;
        self.ended(run, connector, RunState::Failed);
        Ok(())
    }

    /// What arrived and the end of the run are one step: between them nothing is sent again.
    async fn run_is_done(&self, run: &Run, connector: &Connector, told: Told) -> Result<(), StoreError> {
        let Told { mut lines, message } = told;
        lines.push(message.clone());
        let done = Change::Done { run: run.clone(), lines, message };
        if !self.change_run(done).await? {
            return Ok(());
        }
        self.ended(run, connector, RunState::Done);
        let now = self.now();
        if self.exports.is_noting_due(connector.id, now) {
            let mut tx = self.store.begin().await?;
            runs::note_done(&mut tx, connector.id, now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn ended(&self, run: &Run, connector: &Connector, state: RunState) {
        tracing::info!(
            run.id = %run.id, connector.id = %connector.id, state = state.kind(), records = run.sent_records,
            bytes = run.sent_bytes, "run ended"
        );
        metrics::counter!(telemetry::EXPORTER_RUNS, "outcome" => state.kind()).increment(1);
        // A file that was pushed meanwhile has its turn.
        self.exports.wake();
    }

    /// What the run is made by does not open here: it is looked at again in an hour, or by another server.
    async fn look_again_later(&self, run: &Run) -> Result<(), StoreError> {
        let message = "What the run is made by cannot be opened with the key ring of this server.";
        tracing::error!(run.id = %run.id, "{message}");
        let mut tx = self.store.begin().await?;
        let due_at = tx.now().plus(ASK_AGAIN);
        let state = (run.attempts, run.throttled_since);
        runs::retry(&mut tx, run, due_at, state, ("not_rendered", message)).await?;
        tx.commit().await
    }

    /// Whether a run may send now: a person may have paused its exporter, or all sending, since it began. To see whether a
    /// tool lets us in again, one request goes to it all the same.
    fn may_send(&self, job: &Job, is_first: bool) -> bool {
        !self.lanes.is_paused() && (self.still_sends(job.connector.id) || (job.probe && is_first))
    }

    async fn put_run_back(&self, run: &Run) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        runs::give_back(&mut tx, run.id, run.fence).await?;
        tx.commit().await
    }

    /// Whether an exporter still sends, as a person may have paused it since its run began.
    pub(super) fn still_sends(&self, connector: ConnectorId) -> bool {
        let snapshot = self.snapshot();
        let active = |one: &Arc<Connector>| one.state == ConnectorState::Active;
        !self.lanes.is_paused() && snapshot.connector(connector).is_some_and(active)
    }
}

/// What a person reads when the outcome came without words.
fn words_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { refusal: Refusal::CredentialMissing } => "The credential was deleted.",
        Outcome::Refused { refusal: Refusal::CredentialLocked } => "The credential cannot be opened.",
        Outcome::Refused { refusal: Refusal::NotAsSaved } => "The exporter was changed outside Consign.",
        Outcome::Refused { refusal: Refusal::DestinationBlocked(_) } => {
            "This server may not call the address."
        }
        Outcome::Refused { refusal: Refusal::HostKeyChanged } => {
            "The server showed another host key than the pinned one."
        }
        Outcome::Rejected { status, .. } => return format!("The tool answered {status}."),
        _ => "It did not work.",
    }
    .to_owned()
}

/// "1 record", "1,000 records".
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    let digits = consign_core::catalog::with_commas(usize::try_from(count).unwrap_or(usize::MAX));
    format!("{digits} {}", if count == 1 { one } else { many })
}
