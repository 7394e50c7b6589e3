//! Payload keys: what was received is encrypted at rest under a key that lives one day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::vault::{DerivedKey, Place, Vault};
use consign_store::{Store, StoreError, payload_keys};

const DAY_MILLIS: i64 = 86_400_000;
/// Keys kept open: two weeks of payloads, and a few more.
const OPEN_KEYS_MAX: usize = 32;

/// Opens and makes payload keys; keeps the recent ones at hand.
pub struct PayloadKeys {
    vault: Arc<Vault>,
    store: Store,
    open: Mutex<HashMap<i64, Arc<DerivedKey>>>,
}

impl PayloadKeys {
    /// None at hand yet.
    pub fn new(vault: Arc<Vault>, store: Store) -> Self {
        Self { vault, store, open: Mutex::new(HashMap::new()) }
    }

    /// The number of a day's key.
    pub fn day(now: Timestamp) -> i64 {
        now.millis().div_euclid(DAY_MILLIS)
    }

    /// Today's key and its number; made on its first use.
    ///
    /// # Errors
    /// When the database cannot be used or the stored key does not open.
    pub async fn current(&self, now: Timestamp) -> Result<(i64, Arc<DerivedKey>), StoreError> {
        let day = Self::day(now);
        let key = match self.at_hand(day) {
            Some(key) => key,
            None => Box::pin(self.make(day, now)).await?,
        };
        Ok((day, key))
    }

    async fn make(&self, day: i64, now: Timestamp) -> Result<Arc<DerivedKey>, StoreError> {
        let own = Binding::of(&[]);
        let record = day.to_string();
        let (_, sealed) = self.vault.create_key(&place(&record, &own));
        let mut tx = self.store.begin().await?;
        let stored = payload_keys::insert_if_absent(&mut tx, day, &sealed, now).await?;
        tx.commit().await?;
        self.keep(day, &stored)
    }

    /// The key of a day gone by; `None` once it was destroyed.
    ///
    /// # Errors
    /// As [`PayloadKeys::current`].
    pub async fn of_day(&self, day: i64) -> Result<Option<Arc<DerivedKey>>, StoreError> {
        if let Some(key) = self.at_hand(day) {
            return Ok(Some(key));
        }
        let stored = payload_keys::find(&mut *self.store.read().await?, day).await?;
        stored.map(|sealed| self.keep(day, &sealed)).transpose()
    }

    fn at_hand(&self, day: i64) -> Option<Arc<DerivedKey>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&day).cloned()
    }

    fn keep(&self, day: i64, sealed: &consign_core::vault::Sealed) -> Result<Arc<DerivedKey>, StoreError> {
        let own = Binding::of(&[]);
        let key = self.vault.open_key(&place(&day.to_string(), &own), sealed);
        let key = Arc::new(key.map_err(|error| StoreError::Damaged(error.to_string()))?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_KEYS_MAX {
            let oldest = open.keys().min().copied();
            oldest.and_then(|day| open.remove(&day));
        }
        open.insert(day, key.clone());
        Ok(key)
    }
}

/// The place of the key of a day.
pub fn place<'a>(record: &'a str, binding: &'a Binding) -> Place<'a> {
    Place { table: "payload_key", record, field: "key", generation: 1, binding }
}
