//! The engine: accepts events, gives each lane its turns, stops cleanly.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_core::address::Blocked;
use consign_core::connector::{ConnectorState, HeldBy};
use consign_core::delivery::CredentialLesson;
use consign_core::host::Host;
use consign_core::id::{ConnectorId, CredentialId, DeliveryId, KeyId, RequestId};
use consign_core::mail::{Mail, MailServer};
use consign_core::target::{Origin, SftpAddress, Target};
use consign_core::time::Timestamp;
use consign_core::vault::Vault;
use consign_store::{Store, StoreError, connectors, deliveries, idempotency, runs};
use consign_transport::sftp::{ScannedKey, SftpFault};
use consign_transport::smtp::MailFault;
use consign_transport::{Explained, Network};
use tokio::sync::{Notify, RwLock, Semaphore};

pub use accept::AcceptedEvent;
pub use call::{Call, CallAnswer, CallBody, CallFault, Hangup, Ledger, Unread, seconds_of};
pub use chosen::{
    DeliveryChoice, DeliveryRules, DeliverySet, EgressChoice, GeneralChoice, Part, SignInChoice,
    put as put_choice, read as read_choice, read_to_change as read_choice_to_change,
};
pub use commit::CommitError;
pub use consent::{Consented, Departure, Return};
pub use exceptions::Exception;
pub use export::{Again, Beginning, Begun, FILE_PIECE_BYTES, Intake, IntakeFault, Unfinished};
pub use key_pairs::NotInUse;
pub use oidc::{OidcFault, Redeem, shown as shown_of_provider};
pub use payload::{PayloadKeys, place as payload_key_place};
pub use probe::{StepWatch, TestHow};
pub use records::{Accept, PutBack, RESTORED, Records, RecordsError};
pub use retention::{Kept, UPLOADS_KEPT};
pub use snapshot::{PUBLIC_URL, SENDING_PAUSE, SendingPause, Snapshot};

use call::Calls;
use commit::Committer;
use exceptions::Exceptions;
use export::Exports;
use lanes::Lanes;
use snapshot::Snapshots;
use tokens::Tokens;

mod accept;
mod authorize;
mod call;
mod chosen;
mod commit;
mod consent;
mod deliver;
mod exceptions;
mod export;
mod key_pairs;
mod lanes;
mod learn;
mod oidc;
mod payload;
mod probe;
mod records;
mod reminders;
mod replay;
mod retention;
mod schedule;
mod signatures;
mod snapshot;
mod token_request;
mod tokens;
mod turns;
mod work;

/// A delivery is leased for so long; the attempt must end well before.
const LEASE: Duration = Duration::from_secs(120);
/// Lanes that one claim looks at.
const CLAIM_LANES_MAX: u32 = 64;

/// How the engine works.
pub struct EngineSettings {
    /// How the operator had it sent and kept.
    pub delivery: DeliverySet,
    /// The most attempts at one time.
    pub attempts_max: usize,
    /// What opens and seals payloads.
    pub payloads: PayloadKeys,
    /// Of files that are no run yet, no more bytes are kept.
    pub waiting_bytes_max: u64,
    /// The address of this server, for links in what it says by itself.
    pub public_url: String,
    /// Whether its operator set it: a person cannot choose another one then.
    pub public_url_fixed: bool,
}

/// Accepts events and delivers them.
pub struct Engine {
    settings: EngineSettings,
    store: Store,
    vault: Arc<Vault>,
    network: Network,
    /// Names this process in leases.
    by: Arc<str>,
    snapshots: Snapshots,
    records: Arc<Records>,
    commit: Committer,
    lanes: Lanes,
    exports: Exports,
    calls: Calls,
    wake: Notify,
    /// Long work was started.
    operations: Notify,
    /// Held while something is taken from the queue or put into it: a stop waits for that.
    rounds: RwLock<()>,
    /// Deliveries that were there at several crashes go one at a time.
    suspects: Arc<Semaphore>,
    tokens: Tokens,
    /// The database's clock minus ours, in milliseconds.
    clock_offset: AtomicI64,
    memory: Mutex<Memory>,
}

/// What need not survive a restart.
#[derive(Default)]
struct Memory {
    used_credentials: HashSet<CredentialId>,
    /// And from where.
    used_keys: HashMap<KeyId, Option<IpAddr>>,
    unreached: HashMap<CredentialId, u32>,
    probed: HashMap<CredentialId, Timestamp>,
    /// When unused grants were last looked for.
    kept_alive_at: Option<Timestamp>,
    /// When key pairs whose time is over were last looked for.
    pairs_dropped_at: Option<Timestamp>,
    /// When ends that come nearer were last looked for.
    ends_seen_at: Option<Timestamp>,
    /// The reminders that are due and were given, by their keys.
    reminded: HashSet<String>,
    exceptions: Exceptions,
}

impl Engine {
    /// Loads the snapshot, takes over what an earlier run left, and starts the loops.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(
        settings: EngineSettings,
        store: Store,
        vault: Arc<Vault>,
        network: Network,
        records: Arc<Records>,
    ) -> Result<Arc<Self>, StoreError> {
        let now = store.now().await?;
        let by: Arc<str> = RequestId::new(now).to_string().into();
        if !store.is_postgres() {
            // One process owns this database: whatever is leased or half answered belongs to a run that is over.
            let mut tx = store.begin().await?;
            deliveries::abandon_foreign_leases(&mut tx, &by, now).await?;
            runs::abandon_foreign_leases(&mut tx, &by, now).await?;
            consign_store::uploads::delete_cut_off(&mut tx).await?;
            consign_store::tokens::end_foreign_leases(&mut tx, &by).await?;
            idempotency::forget_running(&mut tx).await?;
            tx.commit().await?;
        }
        try_blocked_again(&store, now).await?;
        let engine = Arc::new(Self {
            snapshots: Snapshots::load(store.clone(), records.clone()).await?,
            records,
            commit: Committer::start(&store),
            settings,
            store,
            vault,
            network,
            by,
            lanes: Lanes::default(),
            exports: Exports::default(),
            calls: Calls::default(),
            wake: Notify::new(),
            operations: Notify::new(),
            rounds: RwLock::default(),
            suspects: Arc::new(Semaphore::new(1)),
            tokens: Tokens::default(),
            clock_offset: AtomicI64::new(0),
            memory: Mutex::default(),
        });
        engine.clone().set_clock().await?;
        engine.mark_misfits().await?;
        engine.heed_pause();
        tokio::spawn(engine.clone().claim_loop());
        tokio::spawn(engine.clone().tick_loop());
        tokio::spawn(engine.clone().export_loop());
        tokio::spawn(engine.clone().file_loop());
        tokio::spawn(engine.clone().lease_loop());
        tokio::spawn(engine.clone().retention_loop());
        tokio::spawn(engine.clone().replay_loop());
        Ok(engine)
    }

    /// The time by the database's clock, without asking it.
    pub fn now(&self) -> Timestamp {
        let offset = self.clock_offset.load(Ordering::Relaxed);
        Timestamp::from_millis(self.store.local_now().millis().saturating_add(offset))
    }

    /// Connectors, credentials in use and API keys, as they are now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.present()
    }

    /// Whether the egress rules would refuse a connection. Nothing is sent.
    ///
    /// # Errors
    /// What is blocked.
    pub async fn judge_destination(&self, target: &Target, within: Duration) -> Result<(), Blocked> {
        self.network.judge(target, within).await
    }

    /// Reads the host keys of a file server, without signing in.
    ///
    /// # Errors
    /// When it cannot be reached, or may not be.
    pub async fn scan_host_keys(&self, address: &SftpAddress) -> Result<Vec<ScannedKey>, SftpFault> {
        self.network.scan_host_keys(address).await
    }

    /// What the egress rules say of a destination, address by address. Nothing is sent.
    pub async fn explain_destination(&self, origin: &Origin, within: Duration) -> Explained {
        self.network.explain(origin.host(), origin.port(), within).await
    }

    /// The proxy through which a destination is reached, as `host:port`.
    pub fn proxy_to(&self, host: &Host) -> Option<String> {
        self.network.proxy_to(host)
    }

    /// The address under which people and tools reach this server, without a slash at the end.
    pub fn public_url(&self) -> String {
        let snapshot = self.snapshot();
        let chosen = snapshot.public_url().filter(|_| !self.settings.public_url_fixed);
        chosen.unwrap_or(&self.settings.public_url).to_owned()
    }

    /// Whether that address is reached by TLS.
    pub fn is_public_by_tls(&self) -> bool {
        let snapshot = self.snapshot();
        let chosen = snapshot.public_url().filter(|_| !self.settings.public_url_fixed);
        chosen.unwrap_or(&self.settings.public_url).starts_with("https://")
    }

    /// What the leases of this process are called by.
    pub fn name(&self) -> &str {
        &self.by
    }

    /// Hands a mail to the server that takes them.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send_mail(&self, server: &MailServer, mail: &Mail) -> Result<(), MailFault> {
        self.network.send_mail(server, mail).await
    }

    /// What opens and seals payloads.
    pub fn payloads(&self) -> &PayloadKeys {
        &self.settings.payloads
    }

    /// How it is sent and kept, as the operator set it and administrators chose.
    pub fn delivery_rules(&self) -> DeliveryRules {
        self.settings.delivery.with(&self.snapshot().chosen().delivery)
    }

    /// Something that the snapshot holds was changed and committed: everyone sees it from now on.
    pub async fn changed(&self) {
        self.tokens.forget_known();
        let seen = async {
            self.snapshots.refresh().await?;
            self.heed_pause();
            self.mark_misfits().await?;
            // What waits in the window of a lane that was closed takes its place in the queue again.
            self.give_back_surplus().await;
            self.end_dead_calls(self.now());
            Ok::<(), StoreError>(())
        };
        if let Err(error) = seen.await {
            tracing::error!(%error, "the present set-up could not be read; the one before stays");
        }
        self.wake_all();
    }

    /// While all sending is paused every lane is closed.
    fn heed_pause(&self) {
        self.lanes.set_paused(self.snapshot().sending_pause().is_some());
    }

    /// There may be due work in the database.
    pub fn wake_all(&self) {
        for (connector, _) in self.snapshot().webhooks() {
            self.lanes.note_behind(connector.id);
        }
        self.wake.notify_one();
        self.exports.wake();
    }

    /// An API key was used.
    pub fn key_used(&self, id: KeyId, from: Option<IpAddr>) {
        self.memory().used_keys.insert(id, from);
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.lanes.is_stopping()
    }

    /// Whether a delivery is being sent by this process right now.
    pub fn is_under_way(&self, connector: ConnectorId, delivery: DeliveryId) -> bool {
        self.lanes.is_under_way(connector, delivery)
    }

    /// Stops cleanly: nothing new starts, what is under way ends within the grace time, the rest goes back.
    pub async fn stop(&self, grace: Duration) {
        let waiting = self.lanes.stop();
        self.give_back(&waiting).await;
        let deadline = self.now().plus(grace);
        // What a round has just claimed goes back before the database is closed.
        let _ = tokio::time::timeout(grace, self.rounds.write()).await;
        let under_way = || {
            let sending = self.lanes.under_way() + self.tokens.under_way() + self.exports.under_way();
            sending + self.calls_under_way()
        };
        while under_way() > 0 && self.now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let left = self.lanes.under_way();
        if left > 0 {
            tracing::warn!(attempts = left, "attempts did not end in time; they count as not answered");
        }
        self.flush_uses().await;
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self, credential: CredentialId) {
        self.memory().used_credentials.insert(credential);
    }

    /// How many uses in a row reached nothing.
    fn count_unreached(&self, credential: CredentialId, lesson: CredentialLesson) -> u32 {
        let mut memory = self.memory();
        let count = memory.unreached.entry(credential).or_default();
        match lesson {
            CredentialLesson::Unreachable(_) => *count += 1,
            CredentialLesson::Works
            | CredentialLesson::Answered
            | CredentialLesson::Refused(_)
            | CredentialLesson::HostKeyChanged
            | CredentialLesson::Locked => *count = 0,
        }
        *count
    }

    /// A delivery is pending again. What is due at once is claimed at once; the rest is found by the tick.
    fn due_at(&self, connector: ConnectorId, at: Timestamp) {
        if at <= self.now() {
            self.lanes.note_behind(connector);
            self.wake.notify_one();
        }
    }

    /// A random number from −1 to 1.
    fn jitter(&self) -> f64 {
        let mut bytes = [0_u8; 4];
        match aws_lc_rs::rand::fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX) * 2.0 - 1.0,
            Err(_) => 0.0,
        }
    }

    async fn set_clock(self: Arc<Self>) -> Result<(), StoreError> {
        let there = self.store.now().await?;
        let offset = there.millis() - self.store.local_now().millis();
        self.clock_offset.store(offset, Ordering::Relaxed);
        Ok(())
    }
}

/// What was held because of the egress rules is tried again at each start: they may have changed.
async fn try_blocked_again(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    for connector in connectors::all(&mut tx).await? {
        let blocked = Some(ConnectorState::Held(HeldBy::DestinationBlocked));
        connectors::set_state(&mut tx, connector.id, blocked, ConnectorState::Active, "", now).await?;
    }
    tx.commit().await
}
