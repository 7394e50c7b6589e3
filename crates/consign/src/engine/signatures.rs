//! Signatures of webhook requests: made with each attempt, and checked for receivers that find them wrong.

use consign_core::connector::signature::{self, Checked, Received};
use consign_core::id::{ConnectorId, EventId};
use consign_core::time::Timestamp;
use consign_store::signing_keys::SigningKey;
use http::{HeaderName, HeaderValue};

use super::snapshot::Snapshot;
use super::{Engine, authorize};

const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Engine {
    /// The header that signs a request.
    ///
    /// # Errors
    /// When there is no key, or the newest does not open.
    pub(super) fn signature(
        &self,
        snapshot: &Snapshot,
        webhook: ConnectorId,
        event: EventId,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(HeaderName, HeaderValue), &'static str> {
        let keys = authorize::signing_keys(&self.vault, snapshot.signing_keys(webhook), now)?;
        let text = signature::header(&keys, &event.to_string(), now.seconds(), body);
        Ok((SIGNATURE, HeaderValue::from_str(&text).expect("Base64 and commas are visible ASCII")))
    }

    /// Whether a request carries a signature of a webhook.
    ///
    /// # Errors
    /// As there is no key, or the newest does not open.
    pub fn check_signature(
        &self,
        webhook: ConnectorId,
        received: &Received<'_>,
    ) -> Result<Checked, &'static str> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let keys = authorize::signing_keys(&self.vault, snapshot.signing_keys(webhook), now)?;
        Ok(signature::check(&keys, received, now.seconds()))
    }

    /// The public half of a key of a webhook, made of the key itself.
    pub fn public_key(&self, key: &SigningKey) -> Option<String> {
        let alone = SigningKey { ends_at: None, ..key.clone() };
        let opened = authorize::signing_keys(&self.vault, std::slice::from_ref(&alone), self.now()).ok()?;
        opened.first()?.public()
    }
}
