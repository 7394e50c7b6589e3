//! Turns: who may start in a lane, what is claimed for it, and the place that an attempt takes.

use std::sync::Arc;
use std::time::Duration;

use consign_core::id::{ConnectorId, CredentialId, DeliveryId};
use consign_store::deliveries;

use super::commit::{CommitError, Wanted};
use super::lanes::{Rules, Turn};
use super::snapshot::Snapshot;
use super::work::Work;
use super::{CLAIM_LANES_MAX, Engine};

impl Engine {
    /// Starts everything in a lane that may start now.
    pub(super) fn pump(self: &Arc<Self>, connector: ConnectorId) {
        let snapshot = self.snapshot();
        let Some(connector) = snapshot.connector(connector) else { return };
        let Some(webhook) = connector.webhook() else { return };
        let credential = connector.credential.and_then(|id| snapshot.credential(id));
        let rules = Rules {
            connector,
            webhook,
            credential: credential.map(Arc::as_ref),
            attempts_max: self.settings.attempts_max,
        };
        loop {
            match self.lanes.next(&rules, self.now()) {
                Turn::Start(work) => {
                    tokio::spawn(self.clone().run(work, snapshot.clone()));
                }
                Turn::WaitUntil(at) => {
                    let engine = self.clone();
                    let id = connector.id;
                    tokio::spawn(async move {
                        tokio::time::sleep(at.since(engine.now())).await;
                        engine.lanes.timer_rang(id);
                        engine.pump(id);
                    });
                    return;
                }
                Turn::Nothing => return,
            }
        }
    }

    /// Delivers, frees the place, and lets the next one start. A panic costs this attempt and no other.
    pub(super) async fn run(self: Arc<Self>, work: Work, snapshot: Arc<Snapshot>) {
        let (id, delivery) = (work.connector, work.delivery);
        let connector = snapshot.connector(id).cloned();
        let credential_id = connector.as_ref().and_then(|connector| connector.credential);
        let credential = credential_id.and_then(|id| snapshot.credential(id)).cloned();
        let mut place = TakenPlace {
            engine: self.clone(),
            snapshot: snapshot.clone(),
            delivery,
            connector: id,
            credential: credential_id,
            failed: None,
        };
        if let Some((connector, webhook)) = connector.as_ref().and_then(|one| Some((one, one.webhook()?))) {
            place.failed = self.deliver(&work, (connector, webhook), credential.as_ref()).await;
        }
    }

    /// A place is free again: who may start now?
    fn place_is_free(self: &Arc<Self>, place: &TakenPlace) {
        self.lanes.finish(place.delivery, place.connector, place.credential, place.failed);
        if self.lanes.take_starved() {
            // Turns go round: those that found no place come before the one that has just had its turn.
            for (other, _) in place.snapshot.webhooks().filter(|(other, _)| other.id != place.connector) {
                self.pump(other.id);
            }
        }
        self.pump(place.connector);
        if self.lanes.wants_more(place.connector) {
            self.wake.notify_one();
        }
        for other in place.credential.into_iter().flat_map(|id| self.sharing(&place.snapshot, id)) {
            if other != place.connector {
                self.pump(other);
            }
        }
    }

    /// A request of a run has ended: others of its credential may start.
    pub(super) fn borrowed_place_is_free(self: &Arc<Self>, credential: CredentialId) {
        self.lanes.end_borrowing(credential);
        self.pump_sharing(credential);
    }

    /// A call through a gateway has ended: others of its credential may start.
    pub(super) fn call_has_ended(self: &Arc<Self>, connector: ConnectorId, credential: CredentialId) {
        self.lanes.end_call(connector, credential);
        self.pump_sharing(credential);
    }

    fn pump_sharing(self: &Arc<Self>, credential: CredentialId) {
        let snapshot = self.snapshot();
        for other in self.sharing(&snapshot, credential) {
            self.pump(other);
        }
    }

    /// The connectors of a credential that limits them together.
    fn sharing(&self, snapshot: &Snapshot, credential: CredentialId) -> Vec<ConnectorId> {
        let limited = snapshot.credential(credential).is_some_and(|credential| {
            credential.max_concurrency.is_some() || credential.max_per_second.is_some()
        });
        if !limited {
            return Vec::new();
        }
        let sharing =
            snapshot.connectors().iter().filter(|connector| connector.credential == Some(credential));
        sharing.map(|connector| connector.id).collect()
    }

    pub(super) async fn claim_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            // Registered before looking, so that no wake-up is lost.
            let woken = self.wake.notified();
            let round = self.rounds.read().await;
            let claimed = self.claim_round().await;
            drop(round);
            match claimed {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "due deliveries could not be claimed; trying again in a second");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            woken.await;
        }
    }

    /// Claims for every lane that is behind and has room, in one transaction. `true`: there may be more.
    async fn claim_round(self: &Arc<Self>) -> Result<bool, CommitError> {
        let snapshot = self.snapshot();
        let now = self.now();
        let mut wanted = Vec::new();
        for (connector, webhook) in snapshot.webhooks() {
            let attempts_max = self.settings.attempts_max;
            let rules = Rules { connector, webhook, credential: None, attempts_max };
            let room = self.lanes.claimable(&rules, now);
            if room > 0 {
                wanted.push((connector.id, room));
            }
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        let more = wanted.len() > CLAIM_LANES_MAX as usize;
        wanted.truncate(CLAIM_LANES_MAX as usize);
        let alone = self.suspects.clone().try_acquire_owned().ok();
        let suspect = alone.is_some();
        let claims =
            self.commit.claim(Wanted { lanes: wanted.clone(), suspect, by: self.by.clone() }).await?;
        let mut late = Vec::new();
        for ((connector, room), found) in wanted.into_iter().zip(claims.lanes) {
            late.extend(self.lanes.take_in(connector, found.into_iter().map(Work::from).collect(), room));
            self.pump(connector);
        }
        if let Some(suspect) = claims.suspect {
            let work = Work { alone, ..Work::from(suspect) };
            let connector = work.connector;
            late.extend(self.lanes.take_in(connector, vec![work], 1));
            self.pump(connector);
        }
        self.give_back(&late).await;
        Ok(more)
    }

    /// Puts leased deliveries back into the queue; they cost no attempt.
    pub(super) async fn give_back(&self, unsent: &[Work]) {
        if unsent.is_empty() {
            return;
        }
        // What the program did not survive once stays in doubt.
        let leases = |abandoned: bool| -> Vec<(DeliveryId, i64)> {
            let of = unsent.iter().filter(|work| work.abandoned == abandoned);
            of.map(|work| (work.delivery, work.fence)).collect()
        };
        let given = async {
            let mut tx = self.store.begin().await?;
            deliveries::give_back(&mut tx, &leases(false)).await?;
            deliveries::give_back_abandoned(&mut tx, &leases(true)).await?;
            tx.commit().await
        };
        if let Err(error) = given.await {
            tracing::error!(%error, "leases could not be given back; they run out by themselves");
        }
    }
}

/// A place in a lane, taken by an attempt. It is free again when the attempt ends, even by a panic: then the lease
/// runs out and counts as an attempt that the program did not survive.
struct TakenPlace {
    engine: Arc<Engine>,
    snapshot: Arc<Snapshot>,
    delivery: DeliveryId,
    connector: ConnectorId,
    credential: Option<CredentialId>,
    failed: Option<bool>,
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(delivery.id = %self.delivery, "sending it failed inside this program");
        }
        let engine = self.engine.clone();
        engine.place_is_free(self);
    }
}
