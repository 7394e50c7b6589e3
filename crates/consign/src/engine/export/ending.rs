//! What becomes of a run after an attempt: another one, a hold, or its end.

use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::exporter::RunState;
use consign_core::connector::{Connector, Exporter};
use consign_core::delivery::{FileAnswer, HoldReason, Next, Outcome, Progress as Tries, Refusal};
use consign_store::StoreError;
use consign_store::runs::{self, End, Run};

use super::{Change, Job, Told};
use crate::engine::Engine;
use crate::engine::deliver::Seen;
use crate::telemetry;

/// A server is asked this often whether a file arrived, once the attempts are used up.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);

/// Whether a file that cannot be sent any more may have arrived, and who can tell.
enum Doubt {
    /// It has not.
    None,
    /// The server, once it answers.
    Ask,
    /// Only a person: the server answers, and does not let us look.
    Person,
}

impl Engine {
    /// What an attempt that did not work leads to: another one, a hold, or the end.
    pub(super) async fn attempt_failed(
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
            Next::Deliver | Next::Hold(_) | Next::Fail => match self.doubt_of(run, &seen.outcome).await? {
                Doubt::None => return self.run_failed(run, &job.connector, outcome, &message).await,
                Doubt::Ask => (now.plus(ASK_AGAIN), run.attempts),
                Doubt::Person => return self.hold_run(run, &job.connector, (outcome, &message)).await,
            },
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

    /// Whether the file of a run may have its final name, although it cannot be sent any more. Its records would go twice.
    async fn doubt_of(&self, run: &Run, outcome: &Outcome) -> Result<Doubt, StoreError> {
        // That another file has the name is only said after a look at it.
        if matches!(outcome, Outcome::File { answer: FileAnswer::Exists }) {
            return Ok(Doubt::None);
        }
        let stored = runs::find(&mut *self.store.read().await?, run.id).await?;
        if stored.is_none_or(|stored| stored.made_bytes.is_none()) {
            return Ok(Doubt::None);
        }
        Ok(match outcome {
            Outcome::Unanswered { .. } | Outcome::Unreachable { .. } => Doubt::Ask,
            _ => Doubt::Person,
        })
    }

    /// A run that was there at too many crashes is given up, unless its file may have arrived.
    pub(super) async fn crashed_too_often(&self, run: &Run, connector: &Connector) -> Result<(), StoreError> {
        let message = "Sending it stopped the program five times.";
        match run.made_bytes {
            None => self.run_failed(run, connector, "stopped", message).await,
            Some(_) => self.hold_run(run, connector, ("stopped", message)).await,
        }
    }

    /// A person has to look whether the file arrived: we cannot.
    async fn hold_run(
        &self,
        run: &Run,
        connector: &Connector,
        (outcome, message): (&'static str, &str),
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        if runs::hold(&mut tx, run, HoldReason::NoAnswer, (outcome, message), now).await? {
            let line = format!(
                "{message} {} may have arrived: an answer was lost, and the server cannot be asked. Look there, then decide.",
                run.file_name
            );
            runs::log(&mut tx, run.id, &line, now).await?;
            tracing::warn!(run.id = %run.id, connector.id = %connector.id, outcome, "a run waits for a person");
        }
        tx.commit().await
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
    pub(super) async fn run_is_done(
        &self,
        run: &Run,
        connector: &Connector,
        told: Told,
    ) -> Result<(), StoreError> {
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

    /// Something of the run does not open here: it is looked at again in an hour, or by another server.
    pub(super) async fn look_again_later(&self, run: &Run, message: &str) -> Result<(), StoreError> {
        tracing::error!(run.id = %run.id, "{message}");
        let mut tx = self.store.begin().await?;
        let due_at = tx.now().plus(ASK_AGAIN);
        let state = (run.attempts, run.throttled_since);
        runs::retry(&mut tx, run, due_at, state, ("not_rendered", message)).await?;
        tx.commit().await
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
