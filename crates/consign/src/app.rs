//! Everything a running Consign is made of, as one value.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use consign_core::id::RequestId;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::vault::{DerivedKey, KeyRing, OpenError, Place, Sealed, Vault};
use consign_store::replicas::Replica;
use consign_store::{Db, Store, StoreError, installation};
use consign_transport::{Network, Settings};
use tokio::sync::{Mutex, Semaphore};

use crate::config::Config;
use crate::engine::{Accept, Engine, EngineSettings, PayloadKeys, Records, RecordsError};
use crate::ops::api_keys::Allowances;
use crate::ops::audit::AuditWatch;
use crate::ops::backup::{self, Backups};
use crate::ops::credential_tests::TestBrake;
use crate::ops::encryption;
use crate::ops::events::Opened;
use crate::ops::figures::Figures;
use crate::ops::notices;
use crate::ops::overview::Hours;
use crate::ops::replicas;
use crate::ops::troubles::DiskWatch;
use crate::ops::users::oidc::KnownProvider;
use crate::ops::users::{DemoLink, SignInBrake};

/// The longest wait for a connection, and again for its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Files that are no run yet are as large together as so many of the largest.
const WAITING_FILES: u64 = 4;
const INSTALLATION: &str = "id";
const CHECK: &str = "check";
const CHECK_TEXT: &str = "consign";
const AUDIT_KEY: &str = "audit_key";

/// A running Consign. Passed as `Arc<App>`; there are no globals.
pub struct App {
    /// The options in force.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// What seals and opens.
    pub vault: Arc<Vault>,
    /// The key of the audit chain.
    pub audit_key: Arc<DerivedKey>,
    /// What the audit log says about the rows that must not be changed behind our back.
    pub records: Arc<Records>,
    /// Accepts, delivers.
    pub engine: Arc<Engine>,
    /// Slows guesses of passwords.
    pub sign_ins: SignInBrake,
    /// The link into a demo; there is none in any other process.
    pub demo: DemoLink,
    /// The provider that people sign in with.
    pub provider: KnownProvider,
    /// Slows connection tests.
    pub tests: TestBrake,
    /// Slows API keys that ask too often.
    pub allowances: Allowances,
    /// Lets one at a time read the whole audit log.
    pub verifications: Semaphore,
    /// Who opened which event lately.
    pub opened: Opened,
    /// What came to its end in the last hours.
    pub hours: Hours,
    /// Figures that take long to count.
    pub figures: Figures,
    /// One change of the key ring at a time.
    pub rotation: Mutex<()>,
    /// Whether the audit log was looked at.
    pub audit_watch: AuditWatch,
    /// Whether the disk was low.
    pub disk: DiskWatch,
    /// Copies of the database, and when the last one was made.
    pub backups: Backups,
    /// What other processes of the database see of this one.
    pub replica: Replica,
    /// Of the demo: the page on which its stand-in tool shows what arrived.
    pub demo_tool: OnceLock<String>,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database was sealed with a key that the ring does not hold.
    #[error("the database was sealed with key {sealed_with}; the loaded key is {loaded}")]
    WrongKey {
        /// The key that the database needs.
        sealed_with: String,
        /// The first key of the ring.
        loaded: String,
    },
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// Something in the database was changed or damaged.
    #[error("the installation record does not open")]
    Damaged(#[source] OpenError),
    /// The audit log says that the database is not what it should be.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// An option does not fit.
    #[error("{0}")]
    Config(String),
}

impl App {
    /// Starts on an open database: checks the key ring, loads what is needed, starts the engine.
    ///
    /// # Errors
    /// When the key ring does not fit, or the database cannot be used.
    pub async fn start(config: Config, ring: KeyRing, store: Store) -> Result<Arc<Self>, StartError> {
        Self::start_on(config, ring, store, Accept::default()).await
    }

    /// Starts, and accepts that the database is older than it was, or was changed behind our back.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_on(
        config: Config,
        ring: KeyRing,
        store: Store,
        accept: Accept,
    ) -> Result<Arc<Self>, StartError> {
        let own = unlock(&store, &ring).await?;
        let (vault, audit_key) = (Arc::new(own.vault), Arc::new(own.audit_key));
        let folder = &config.data.dir;
        let records = Records::open(&store, audit_key.clone(), folder, &own.installation, accept).await?;
        let records = Arc::new(records);
        let extra_roots = config.extra_roots().map_err(StartError::Config)?;
        let network = Network::new(Settings {
            egress: config.egress().map_err(StartError::Config)?,
            proxy: config.proxy().map_err(StartError::Config)?,
            extra_roots,
            tls_min: config.tls_min(),
            system_roots: true,
            own_ports: config.own_ports(),
            connect_timeout: CONNECT_TIMEOUT,
        });
        let settings = EngineSettings {
            delivery: config.delivery_set(),
            attempts_max: config.delivery.workers,
            payloads: PayloadKeys::new(vault.clone(), store.clone()),
            waiting_bytes_max: config.limits.export_bytes.saturating_mul(WAITING_FILES),
            public_url: config.public_url(),
            public_url_fixed: config.server.public_url.is_some(),
        };
        let engine = Engine::start(settings, store.clone(), vault.clone(), network, records.clone()).await?;
        let replica = replicas::own(engine.name(), &store, vault.sealing_key_id());
        let app = Arc::new(Self {
            config,
            store,
            vault,
            audit_key,
            records,
            engine,
            sign_ins: SignInBrake::default(),
            demo: DemoLink::default(),
            provider: KnownProvider::default(),
            tests: TestBrake::default(),
            allowances: Allowances::default(),
            verifications: Semaphore::new(1),
            opened: Opened::default(),
            hours: Hours::default(),
            figures: Figures::default(),
            rotation: Mutex::new(()),
            audit_watch: AuditWatch::default(),
            disk: DiskWatch::default(),
            backups: Backups::default(),
            replica,
            demo_tool: OnceLock::new(),
        });
        encryption::go_on(&app).await?;
        backup::finish_deletions(&app).await?;
        backup::finish_coming(&app).await?;
        backup::keep(&app).await?;
        replicas::start(&app).await?;
        tokio::spawn(notices::watch(Arc::downgrade(&app)));
        Ok(app)
    }

    /// Whether the ring opens what the database holds; an empty one fits every ring. Nothing is changed, so this can
    /// be asked before a newer program migrates.
    ///
    /// # Errors
    /// When it does not.
    pub async fn judge_key(store: &Store, ring: &KeyRing) -> Result<(), StartError> {
        match store.installation(INSTALLATION).await? {
            Some(id) => open_own(&mut *store.read().await?, ring, id).await.map(drop),
            None => Ok(()),
        }
    }

    /// The time, by the database's clock where that is cheap.
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// The address under which people and tools reach this server, without a slash at the end.
    pub fn public_url(&self) -> String {
        self.engine.public_url()
    }

    /// Stops cleanly: running attempts end, the others go back to the queue, everything is on disk.
    pub async fn stop(&self) {
        self.engine.stop(self.config.shutdown_grace()).await;
        replicas::leave(self).await;
        self.store.close().await;
    }
}

/// The place of the program's own keys and its check row.
pub(crate) fn place<'a>(field: &'a str, binding: &'a Binding) -> Place<'a> {
    Place { table: "installation", record: "own", field, generation: 1, binding }
}

/// What the program keeps for itself in the database.
struct Own {
    installation: String,
    vault: Vault,
    audit_key: DerivedKey,
}

/// Opens the check row with the ring, or creates it in an empty database.
async fn unlock(store: &Store, ring: &KeyRing) -> Result<Own, StartError> {
    let mut tx = store.begin().await?;
    if let Some(id) = installation::get(&mut tx, INSTALLATION).await? {
        return open_own(&mut tx, ring, id).await;
    }
    let own = Binding::of(&[]);
    let id = RequestId::new(tx.now()).to_string();
    let vault = Vault::new(ring, &id);
    let check = vault.seal(&place(CHECK, &own), &Secret::new(CHECK_TEXT.to_owned()));
    let (audit_key, sealed) = vault.create_key(&place(AUDIT_KEY, &own));
    installation::put(&mut tx, INSTALLATION, &id).await?;
    installation::put(&mut tx, CHECK, check.as_stored()).await?;
    installation::put(&mut tx, AUDIT_KEY, sealed.as_stored()).await?;
    tx.commit().await?;
    Ok(Own { installation: id, vault, audit_key })
}

async fn open_own(db: &mut Db, ring: &KeyRing, id: String) -> Result<Own, StartError> {
    let own = Binding::of(&[]);
    let vault = Vault::new(ring, &id);
    let stored = async |db: &mut Db, key| {
        let text = installation::get(db, key).await?.unwrap_or_default();
        Ok::<_, StoreError>(Sealed::from_stored(text))
    };
    let check = stored(db, CHECK).await?;
    let sealed = stored(db, AUDIT_KEY).await?;
    let wrong = |error| match error {
        OpenError::NoKey(sealed_with) => {
            StartError::WrongKey { sealed_with, loaded: ring.sealing().id().to_owned() }
        }
        other => StartError::Damaged(other),
    };
    vault.verify(&place(CHECK, &own), &check).map_err(wrong)?;
    let audit_key = vault.open_key(&place(AUDIT_KEY, &own), &sealed).map_err(wrong)?;
    Ok(Own { installation: id, vault, audit_key })
}
