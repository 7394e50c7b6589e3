//! Once a second: due retries, other replicas' changes, credentials to try again. Once in a while: retention.

use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::{ConnectorState, HeldBy};
use consign_core::credential::Credential;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_store::{StoreError, api_keys, connectors, credentials, deliveries};

use super::lanes::Rules;
use super::work::Work;
use super::{CLAIM_LANES_MAX, Engine, LEASE};

const TICK: Duration = Duration::from_secs(1);
/// Uses are written down this seldom.
const FLUSH_EVERY_TICKS: u64 = 5;
/// Grants that nobody uses are looked for this seldom.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(60);
/// Key pairs whose time is over are looked for this seldom.
const DROP_PAIRS_EVERY: Duration = HOUR;
/// Ends that come nearer are looked for this seldom.
const REMIND_EVERY: Duration = Duration::from_secs(60);
/// A refused credential is tried again after these minutes, then hourly.
const PROBE_MINUTES: [u64; 3] = [1, 5, 15];
const HOUR: Duration = Duration::from_secs(3_600);

impl Engine {
    pub(super) async fn tick_loop(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u64;
        while !self.lanes.is_stopping() {
            ticks.tick().await;
            count += 1;
            if let Err(error) = self.tick(count).await {
                tracing::error!(%error, "the database could not be asked for due work; trying again in a second");
            }
        }
    }

    async fn tick(self: &Arc<Self>, count: u64) -> Result<(), StoreError> {
        if self.store.is_postgres() {
            self.clone().set_clock().await?;
        }
        if self.snapshots.refresh_if_changed().await? {
            self.tokens.forget_known();
            self.heed_pause();
            self.mark_misfits().await?;
            self.wake_all();
        }
        self.give_back_surplus().await;
        self.end_dead_calls(self.now());
        for connector in self.snapshot().connectors() {
            self.pump(connector.id);
        }
        let now = self.now();
        let work = deliveries::lanes(&mut *self.store.read().await?, now, CLAIM_LANES_MAX).await?;
        for lane in &work {
            self.lanes.note_behind(lane.connector);
        }
        if !work.is_empty() {
            self.wake.notify_one();
        }
        self.probe_refused(now).await?;
        if count.is_multiple_of(FLUSH_EVERY_TICKS) {
            self.flush_uses().await;
        }
        let due = is_due(&mut self.memory().kept_alive_at, KEEP_ALIVE_EVERY, now);
        if due {
            self.keep_grants_alive(now).await?;
        }
        let due = is_due(&mut self.memory().pairs_dropped_at, DROP_PAIRS_EVERY, now);
        if due {
            self.drop_ended_pairs(now).await?;
        }
        let due = is_due(&mut self.memory().ends_seen_at, REMIND_EVERY, now);
        if due {
            self.remind(now).await?;
        }
        Ok(())
    }

    /// Windows give back what their lane can no longer send in time.
    pub(super) async fn give_back_surplus(&self) {
        let snapshot = self.snapshot();
        let now = self.now();
        let mut back = Vec::new();
        for id in self.lanes.known() {
            let surplus = match snapshot.connector(id).and_then(|one| Some((one, one.webhook()?))) {
                Some((connector, webhook)) => {
                    let attempts_max = self.settings.attempts_max;
                    let rules = Rules { connector, webhook, credential: None, attempts_max };
                    self.lanes.surplus(&rules, now)
                }
                None => self.lanes.forget(id),
            };
            back.extend(surplus);
        }
        self.give_back(&back).await;
    }

    /// One held delivery tells whether the tool lets us in again. What is held for a credential that needs no repair
    /// goes on.
    async fn probe_refused(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        for connector in snapshot.connectors() {
            let Some(credential) = connector.credential.and_then(|id| snapshot.credential(id)) else {
                continue;
            };
            let ConnectorState::Held(by) = connector.state else { continue };
            if by.is_of_credential() && !credential.seen.code.holds() {
                self.release_left_behind(credential.id, now).await?;
                continue;
            }
            // Runs of exporters are probed where they are claimed.
            let probed = connector.webhook().is_some()
                && !self.lanes.is_paused()
                && matches!(by, HeldBy::SignInRefused | HeldBy::CredentialLocked);
            if !probed || !self.probe_is_due(credential, now) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let until = tx.now().plus(LEASE);
            let claimed = deliveries::claim(&mut tx, connector.id, 1, now, until, &self.by).await?;
            tx.commit().await?;
            if let Some(probe) = claimed.into_iter().next() {
                self.memory().probed.insert(credential.id, now);
                let work = Work::from(probe);
                if self.lanes.take_place(&work, credential.id) {
                    tokio::spawn(self.clone().run(work, snapshot.clone()));
                } else {
                    self.give_back(&[work]).await;
                }
            }
        }
        Ok(())
    }

    /// A hold whose reason is gone would be lifted by nobody: neither a repair nor a probe looks for it.
    async fn release_left_behind(&self, id: CredentialId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let present = credentials::lock(&mut tx, id).await?;
        if present.is_none_or(|present| present.seen.code.holds()) {
            return Ok(());
        }
        let released = connectors::release_by_credential(&mut tx, id, now).await?;
        tx.commit().await?;
        if released > 0 {
            tracing::warn!(credential.id = %id, connectors = released, "connectors were held for a credential that needs no repair; they go on");
            self.changed().await;
        }
        Ok(())
    }

    pub(super) fn probe_is_due(&self, credential: &Credential, now: Timestamp) -> bool {
        let since = credential.seen.since;
        let probed = self.memory().probed.get(&credential.id).copied().unwrap_or(since).max(since);
        // Refusals of a password can lock the account.
        let gentle = credential.authorization_type.refusals_lock;
        let early = PROBE_MINUTES.map(|minutes| since.plus(Duration::from_secs(minutes * 60)));
        let next_early = early.into_iter().find(|at| *at > probed).filter(|_| !gentle);
        next_early.unwrap_or_else(|| probed.plus(HOUR)) <= now
    }

    /// Writes down which credentials and API keys were used.
    pub(super) async fn flush_uses(&self) {
        let (used_credentials, used_keys) = {
            let mut memory = self.memory();
            (std::mem::take(&mut memory.used_credentials), std::mem::take(&mut memory.used_keys))
        };
        if used_credentials.is_empty() && used_keys.is_empty() {
            return;
        }
        let now = self.now();
        let written = async {
            let mut tx = self.store.begin().await?;
            for id in used_credentials {
                credentials::mark_used(&mut tx, id, now).await?;
            }
            for (id, from) in used_keys {
                api_keys::mark_used(&mut tx, id, from, now).await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, "the last uses could not be written down");
        }
    }
}

/// Whether it is time to do again what was done last `at`; then it is done now.
pub(super) fn is_due(at: &mut Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    let due = at.is_none_or(|at| now.since(at) >= every);
    if due {
        *at = Some(now);
    }
    due
}
