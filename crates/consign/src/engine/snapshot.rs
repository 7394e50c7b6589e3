//! What every accept and every attempt asks, in memory: connectors, their credentials (sealed) and API keys, as of
//! one revision of the database.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use consign_core::api_key::ApiKey;
use consign_core::connector::{Connector, ConnectorState};
use consign_core::credential::Credential;
use consign_core::id::{ConnectorId, CredentialId, KeyId};
use consign_store::{Store, StoreError, api_keys, connectors, credentials, installation};

/// One consistent view; never changed, only replaced.
#[derive(Default)]
pub struct Snapshot {
    revision: i64,
    connectors: Vec<Arc<Connector>>,
    by_id: HashMap<ConnectorId, Arc<Connector>>,
    credentials: HashMap<CredentialId, Arc<Credential>>,
    keys: HashMap<KeyId, ApiKey>,
}

impl Snapshot {
    /// All connectors that are not deleted.
    pub fn connectors(&self) -> &[Arc<Connector>] {
        &self.connectors
    }

    /// A connector.
    pub fn connector(&self, id: ConnectorId) -> Option<&Arc<Connector>> {
        self.by_id.get(&id)
    }

    /// The credential of a connector.
    pub fn credential(&self, id: CredentialId) -> Option<&Arc<Credential>> {
        self.credentials.get(&id)
    }

    /// An API key.
    pub fn key(&self, id: KeyId) -> Option<&ApiKey> {
        self.keys.get(&id)
    }

    async fn load(store: &Store) -> Result<Self, StoreError> {
        let mut db = store.read().await?;
        // The revision first: a change that slips in between is seen as a newer revision and loaded again.
        let revision = installation::revision(&mut db).await?;
        let connectors: Vec<_> = connectors::all(&mut db).await?.into_iter().map(Arc::new).collect();
        let mut held: HashMap<CredentialId, Arc<Credential>> = HashMap::new();
        for id in connectors.iter().filter_map(|connector| connector.credential) {
            if held.contains_key(&id) {
                continue;
            }
            if let Some(credential) = credentials::find(&mut db, id).await? {
                held.insert(id, Arc::new(credential));
            }
        }
        let keys = api_keys::all(&mut db).await?.into_iter().map(|key| (key.id, key)).collect();
        let by_id = connectors.iter().map(|connector| (connector.id, connector.clone())).collect();
        Ok(Self { revision, connectors, by_id, credentials: held, keys })
    }
}

/// The present snapshot.
pub(super) struct Snapshots {
    store: Store,
    present: RwLock<Arc<Snapshot>>,
}

impl Snapshots {
    /// Loads the first one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) async fn load(store: Store) -> Result<Self, StoreError> {
        let first = Snapshot::load(&store).await?;
        Ok(Self { store, present: RwLock::new(Arc::new(first)) })
    }

    /// The present one.
    pub(super) fn present(&self) -> Arc<Snapshot> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads a new one after a change of our own.
    ///
    /// # Errors
    /// When the database cannot be read; the old one stays.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let new = Snapshot::load(&self.store).await?;
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        if new.revision >= present.revision {
            *present = Arc::new(new);
        }
        Ok(())
    }

    /// Loads a new one if another replica changed something.
    ///
    /// # Errors
    /// As [`Snapshots::refresh`].
    pub(super) async fn refresh_if_changed(&self) -> Result<bool, StoreError> {
        let revision = installation::revision(&mut *self.store.read().await?).await?;
        let changed = revision != self.present().revision;
        if changed {
            self.refresh().await?;
        }
        Ok(changed)
    }
}

/// Whether a connector may send now, as far as the snapshot knows.
pub(super) fn is_open(connector: &Connector, now: consign_core::time::Timestamp) -> bool {
    connector.state == ConnectorState::Active && connector.closed_until.is_none_or(|until| until <= now)
}
