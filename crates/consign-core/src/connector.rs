//! Connectors: what uses a credential. An enum, because kinds differ in what starts them and in what they make.

use http::{HeaderName, HeaderValue, Method};

use crate::field_manager::FieldManager;
use crate::id::{ConnectorId, CredentialId};
use crate::name::Name;
use crate::target::RemotePath;
use crate::time::Timestamp;

pub use exporter::{Exporter, ExporterDraft};
pub use gateway::{Gateway, GatewayDraft};
pub use webhook::{Payload, Success, Webhook, WebhookDraft, WhenNoAnswer};

mod draft;
pub mod exporter;
pub mod format;
pub mod gateway;
pub mod kept;
pub mod signature;
pub mod webhook;

/// A stored connector.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Its id.
    pub id: ConnectorId,
    /// Unique among connectors without regard to case.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// The credential it uses; `None` after that was deleted.
    pub credential: Option<CredentialId>,
    /// The name of the credential it lost, to offer a new one of that name.
    pub lost_credential: Option<String>,
    /// What it sends.
    pub kind: Kind,
    /// Who manages it from a file.
    pub managed_by: Option<FieldManager>,
    /// Whether it sends.
    pub state: ConnectorState,
    /// Why it does not, in one line; may be empty.
    pub state_reason: String,
    /// Since when.
    pub state_since: Timestamp,
    /// Nothing is sent before this time: a tool asked to wait.
    pub closed_until: Option<Timestamp>,
    /// Since when every attempt has failed.
    pub failing_since: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
    /// Rises with every save; the ETag.
    pub revision: i64,
}

/// What a connector sends.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One request per event.
    Webhook(Webhook),
    /// Files or requests with many records, on a schedule.
    Exporter(Exporter),
    /// Calls of applications, passed on.
    Gateway(Gateway),
}

impl Kind {
    /// The words, in screen order.
    pub const WORDS: &'static [&'static str] = &["webhook", "exporter", "gateway"];

    /// The stored and public word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Exporter(_) => "exporter",
            Self::Gateway(_) => "gateway",
        }
    }

    /// The settings as they are shown, sent and stored.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Webhook(webhook) => webhook.to_json(),
            Self::Exporter(exporter) => exporter.to_json(),
            Self::Gateway(gateway) => gateway.to_json(),
        }
    }
}

impl Connector {
    /// Whether both are the same to whoever saves one over the other: only whether they send, and when they were saved,
    /// may differ.
    pub fn is_saved_like(&self, other: &Self) -> bool {
        // Taken apart whole: a field that comes is asked about.
        let Self {
            name,
            description,
            credential,
            kind,
            managed_by,
            id: _,
            lost_credential: _,
            state: _,
            state_reason: _,
            state_since: _,
            closed_until: _,
            failing_since: _,
            created_at: _,
            updated_at: _,
            revision: _,
        } = self;
        *name == other.name
            && *description == other.description
            && *credential == other.credential
            && kind.to_json() == other.kind.to_json()
            && *managed_by == other.managed_by
    }

    /// The webhook, if it is one.
    pub const fn webhook(&self) -> Option<&Webhook> {
        match &self.kind {
            Kind::Webhook(webhook) => Some(webhook),
            Kind::Exporter(_) | Kind::Gateway(_) => None,
        }
    }

    /// The exporter, if it is one.
    pub const fn exporter(&self) -> Option<&Exporter> {
        match &self.kind {
            Kind::Exporter(exporter) => Some(exporter),
            Kind::Webhook(_) | Kind::Gateway(_) => None,
        }
    }

    /// The gateway, if it is one.
    pub const fn gateway(&self) -> Option<&Gateway> {
        match &self.kind {
            Kind::Gateway(gateway) => Some(gateway),
            Kind::Webhook(_) | Kind::Exporter(_) => None,
        }
    }
}

/// Whether a connector sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorState {
    /// It sends.
    Active,
    /// A person paused it.
    Paused,
    /// Its credential, or an answer of the tool, holds it.
    Held(HeldBy),
    /// It only failed for five days, or the tool said that the address is gone.
    PausedAfterFailures,
    /// Its credential was deleted.
    CredentialMissing,
}

/// What holds a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The credential cannot be opened.
    CredentialLocked,
    /// The tool refused the sign-in.
    SignInRefused,
    /// The server showed another host key than the pinned one.
    HostKeyChanged,
    /// A person never approved access.
    NotAuthorized,
    /// A person must approve access again.
    ReconnectNeeded,
    /// The tool does not allow this request (403).
    NotAllowed,
    /// The destination is blocked by the egress rules.
    DestinationBlocked,
    /// It is not as it was saved last.
    NotAsSaved,
}

impl HeldBy {
    /// Whether it waits for a repair of its credential, whose status says so too.
    pub const fn is_of_credential(self) -> bool {
        match self {
            Self::CredentialLocked
            | Self::SignInRefused
            | Self::HostKeyChanged
            | Self::NotAuthorized
            | Self::ReconnectNeeded => true,
            Self::NotAllowed | Self::DestinationBlocked | Self::NotAsSaved => false,
        }
    }
}

impl ConnectorState {
    /// All, in the order of the filter.
    pub const ALL: &'static [Self] = &[
        Self::Active,
        Self::Paused,
        Self::Held(HeldBy::SignInRefused),
        Self::Held(HeldBy::HostKeyChanged),
        Self::Held(HeldBy::NotAuthorized),
        Self::Held(HeldBy::ReconnectNeeded),
        Self::Held(HeldBy::CredentialLocked),
        Self::Held(HeldBy::NotAllowed),
        Self::Held(HeldBy::DestinationBlocked),
        Self::Held(HeldBy::NotAsSaved),
        Self::PausedAfterFailures,
        Self::CredentialMissing,
    ];

    /// The stored word; unlike the public one it tells what holds.
    pub const fn stored(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Held(HeldBy::SignInRefused) => "held_sign_in_refused",
            Self::Held(HeldBy::HostKeyChanged) => "held_host_key_changed",
            Self::Held(HeldBy::NotAuthorized) => "held_not_authorized",
            Self::Held(HeldBy::ReconnectNeeded) => "held_reconnect_needed",
            Self::Held(HeldBy::CredentialLocked) => "held_credential_locked",
            Self::Held(HeldBy::NotAllowed) => "held_not_allowed",
            Self::Held(HeldBy::DestinationBlocked) => "held_destination_blocked",
            Self::Held(HeldBy::NotAsSaved) => "held_not_as_saved",
            Self::PausedAfterFailures => "paused_after_failures",
            Self::CredentialMissing => "credential_missing",
        }
    }

    /// Reads the stored word.
    pub fn find(stored: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.stored() == stored)
    }

    /// The public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Held(_) => "held",
            Self::PausedAfterFailures => "paused_after_failures",
            Self::CredentialMissing => "credential_missing",
        }
    }

    /// The word on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Paused => "Paused",
            Self::Held(_) => "On hold",
            Self::PausedAfterFailures => "Paused after failures",
            Self::CredentialMissing => "Credential missing",
        }
    }

    /// Why its waiting deliveries are shown as held; `None` while it sends.
    pub const fn hold_reason(self) -> Option<crate::delivery::HoldReason> {
        use crate::delivery::HoldReason;
        match self {
            Self::Active => None,
            Self::Paused => Some(HoldReason::ConnectorPaused),
            Self::Held(HeldBy::SignInRefused) => Some(HoldReason::SignInRefused),
            Self::Held(HeldBy::HostKeyChanged) => Some(HoldReason::HostKeyChanged),
            Self::Held(HeldBy::NotAuthorized) => Some(HoldReason::NotAuthorized),
            Self::Held(HeldBy::ReconnectNeeded) => Some(HoldReason::ReconnectNeeded),
            Self::Held(HeldBy::CredentialLocked) => Some(HoldReason::CredentialLocked),
            Self::Held(HeldBy::NotAllowed) => Some(HoldReason::NotAllowed),
            Self::Held(HeldBy::DestinationBlocked) => Some(HoldReason::DestinationBlocked),
            Self::Held(HeldBy::NotAsSaved) => Some(HoldReason::NotAsSaved),
            Self::PausedAfterFailures => Some(HoldReason::PausedAfterFailures),
            Self::CredentialMissing => Some(HoldReason::CredentialMissing),
        }
    }
}

/// The head of a request; the body follows.
#[derive(Clone, Debug)]
pub struct Message {
    /// The method.
    pub method: Method,
    /// The path below the origin of the credential; empty: the credential's own address.
    pub path: RemotePath,
    /// The headers that are no secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}
