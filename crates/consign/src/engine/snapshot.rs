//! What every accept and every attempt asks, in memory: connectors, their credentials (sealed) and API keys, as of
//! one revision of the database.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use consign_core::api_key::ApiKey;
use consign_core::audit::Table;
use consign_core::connector::{Connector, ConnectorState, Exporter, Webhook};
use consign_core::credential::Credential;
use consign_core::id::{ConnectorId, CredentialId, KeyId};
use consign_core::time::Timestamp;
use consign_store::signing_keys::SigningKey;
use consign_store::{
    Store, StoreError, api_keys, connectors, credentials, installation, signing_keys, tokens,
};

use serde_json::{Value, json};

use super::chosen::{Chosen, Part as _, SignInChoice};
use super::records::Records;

/// One consistent view; never changed, only replaced.
#[derive(Default)]
pub struct Snapshot {
    revision: i64,
    connectors: Vec<Arc<Connector>>,
    by_id: HashMap<ConnectorId, Arc<Connector>>,
    by_slug: HashMap<String, Arc<Connector>>,
    credentials: HashMap<CredentialId, Arc<Credential>>,
    signing_keys: HashMap<ConnectorId, Vec<SigningKey>>,
    keys: HashMap<KeyId, ApiKey>,
    misfits: HashSet<Misfit>,
    pause: Option<SendingPause>,
    public_url: Option<String>,
    chosen: Chosen,
    public_url_fits: bool,
}

/// Where the installation keeps the address that a person chose for it.
pub const PUBLIC_URL: &str = "public_url";

/// A person paused all sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingPause {
    /// Since when.
    pub since: Timestamp,
    /// Their name.
    pub by: String,
}

/// Where the installation keeps it, as one JSON text.
pub const SENDING_PAUSE: &str = "sending_pause";

impl SendingPause {
    /// As it is kept.
    pub fn text(&self) -> String {
        json!({ "since": self.since, "by": self.by }).to_string()
    }

    /// Reads what was kept; what cannot be read is a pause all the same.
    pub fn read(text: &str) -> Self {
        let read: Value = serde_json::from_str(text).unwrap_or_default();
        let since = read["since"].as_str().and_then(Timestamp::parse_rfc3339);
        Self {
            since: since.unwrap_or(Timestamp::from_millis(0)),
            by: read["by"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// A row that is not as it was saved last. Nothing is sent with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Misfit {
    Credential(CredentialId),
    Connector(ConnectorId),
}

impl From<CredentialId> for Misfit {
    fn from(id: CredentialId) -> Self {
        Self::Credential(id)
    }
}

impl From<ConnectorId> for Misfit {
    fn from(id: ConnectorId) -> Self {
        Self::Connector(id)
    }
}

impl Snapshot {
    /// All connectors that are not deleted.
    pub fn connectors(&self) -> &[Arc<Connector>] {
        &self.connectors
    }

    /// The webhooks among them.
    pub fn webhooks(&self) -> impl Iterator<Item = (&Arc<Connector>, &Webhook)> {
        self.connectors.iter().filter_map(|connector| Some((connector, connector.webhook()?)))
    }

    /// The exporters among them.
    pub(super) fn exporters(&self) -> impl Iterator<Item = (&Arc<Connector>, &Exporter)> {
        self.connectors.iter().filter_map(|connector| Some((connector, connector.exporter()?)))
    }

    /// A connector.
    pub fn connector(&self, id: ConnectorId) -> Option<&Arc<Connector>> {
        self.by_id.get(&id)
    }

    /// The gateway with this part of its address.
    pub fn gateway(&self, slug: &str) -> Option<&Arc<Connector>> {
        self.by_slug.get(slug)
    }

    /// The credential of a connector.
    pub fn credential(&self, id: CredentialId) -> Option<&Arc<Credential>> {
        self.credentials.get(&id)
    }

    /// All credentials.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credentials.values()
    }

    /// Whether a credential or connector is as it was saved last.
    pub(super) fn fits(&self, row: impl Into<Misfit>) -> bool {
        !self.misfits.contains(&row.into())
    }

    /// What a webhook signs with, the newest first.
    pub(super) fn signing_keys(&self, id: ConnectorId) -> &[SigningKey] {
        self.signing_keys.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who paused all sending, while it is.
    pub fn sending_pause(&self) -> Option<&SendingPause> {
        self.pause.as_ref()
    }

    /// The address that a person chose for this installation.
    pub(super) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// All API keys.
    pub fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.keys.values()
    }

    /// What administrators chose.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Whether that address is the one that was chosen last; another one is not used.
    pub fn public_url_fits(&self) -> bool {
        self.public_url_fits
    }

    /// An API key.
    pub fn key(&self, id: KeyId) -> Option<&ApiKey> {
        self.keys.get(&id)
    }

    async fn load(store: &Store, records: &Records) -> Result<Self, StoreError> {
        let (mut db, found) = records.view(store).await?;
        let revision = installation::revision(&mut db).await?;
        let pause = installation::get(&mut db, SENDING_PAUSE).await?;
        let pause = pause.map(|text| SendingPause::read(&text));
        let public_url_fits = !found.contains(&(Table::Setting, PUBLIC_URL.to_owned()));
        let public_url = installation::get(&mut db, PUBLIC_URL).await?;
        let public_url = public_url.filter(|url| !url.is_empty() && public_url_fits);
        let mut chosen = Chosen::load(&mut db).await?;
        if found.contains(&(Table::Setting, SignInChoice::KEY.to_owned())) {
            chosen.sign_in = SignInChoice::in_doubt(chosen.sign_in.revision);
        }
        // A token address that is away closes the connectors of its credential, by its one row.
        let away = tokens::away(&mut db).await?;
        let closed = |connector: Connector| {
            let until = connector.credential.and_then(|id| away.get(&id).copied());
            Connector { closed_until: connector.closed_until.max(until), ..connector }
        };
        let connectors: Vec<_> = connectors::all(&mut db)
            .await?
            .into_iter()
            .map(|connector| Arc::new(closed(connector)))
            .collect();
        let credentials = credentials::all(&mut db).await?.into_iter();
        let credentials = credentials.map(|credential| (credential.id, Arc::new(credential))).collect();
        let mut keys: HashMap<_, _> =
            api_keys::all(&mut db).await?.into_iter().map(|key| (key.id, key)).collect();
        let by_id = connectors.iter().map(|connector| (connector.id, connector.clone())).collect();
        let slug = |connector: &Connector| connector.gateway().map(|gateway| gateway.slug.to_string());
        let by_slug = connectors.iter().filter_map(|one| Some((slug(one)?, one.clone()))).collect();
        let mut signing_keys: HashMap<_, Vec<_>> = HashMap::new();
        for key in signing_keys::all(&mut db).await? {
            signing_keys.entry(key.connector).or_default().push(key);
        }
        let mut misfits = HashSet::new();
        for (table, id) in found {
            tracing::error!(?table, id, "a row is not as it was saved last: it was changed outside Consign");
            match table {
                Table::Credential => misfits.extend(id.parse().map(Misfit::Credential)),
                Table::Connector => misfits.extend(id.parse().map(Misfit::Connector)),
                Table::ApiKey => drop(id.parse().map(|id: KeyId| keys.remove(&id))),
                // Asked anew where they are used.
                Table::User | Table::Setting => {}
            }
        }
        Ok(Self {
            revision,
            connectors,
            by_id,
            by_slug,
            credentials,
            signing_keys,
            keys,
            misfits,
            pause,
            public_url,
            chosen,
            public_url_fits,
        })
    }
}

/// The present snapshot.
pub(super) struct Snapshots {
    store: Store,
    records: Arc<Records>,
    present: RwLock<Arc<Snapshot>>,
}

impl Snapshots {
    /// Loads the first one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) async fn load(store: Store, records: Arc<Records>) -> Result<Self, StoreError> {
        let first = Snapshot::load(&store, &records).await?;
        Ok(Self { store, records, present: RwLock::new(Arc::new(first)) })
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
        let new = Snapshot::load(&self.store, &self.records).await?;
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
pub(super) fn is_open(connector: &Connector, now: Timestamp) -> bool {
    connector.state == ConnectorState::Active && connector.closed_until.is_none_or(|until| until <= now)
}
