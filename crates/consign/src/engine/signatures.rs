//! Signatures of webhook requests: made with each attempt, and checked for receivers that find them wrong.

use consign_core::connector::signature::{self, Checked, Received};
use consign_core::id::{ConnectorId, EventId};
use consign_core::time::Timestamp;
use http::{HeaderName, HeaderValue};

use super::{Engine, authorize};

const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Engine {
    /// The header that signs a request.
    ///
    /// # Errors
    /// When there is no key, or one does not open.
    pub(super) fn signature(
        &self,
        webhook: ConnectorId,
        event: EventId,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(HeaderName, HeaderValue), &'static str> {
        let snapshot = self.snapshot();
        let keys = authorize::signing_keys(&self.vault, snapshot.signing_keys(webhook), now)?;
        if keys.is_empty() {
            return Err("there is no signing key");
        }
        let text = signature::header(&keys, &event.to_string(), now.seconds(), body);
        Ok((SIGNATURE, HeaderValue::from_str(&text).expect("Base64 and commas are visible ASCII")))
    }

    /// Whether a request carries a signature of a webhook.
    ///
    /// # Errors
    /// When a key of it does not open.
    pub fn check_signature(
        &self,
        webhook: ConnectorId,
        received: &Received<'_>,
    ) -> Result<Checked, &'static str> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let keys = authorize::signing_keys(&self.vault, snapshot.signing_keys(webhook), now)?;
        Ok(signature::check(&keys, received, now.seconds()))
    }
}
