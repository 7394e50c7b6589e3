//! What administrators chose while the server runs, beside what its operator set. Each part is one JSON text of the
//! installation; the snapshot holds those that the server heeds, so that every one of the database does within a
//! second.

use std::time::Duration;

use consign_store::{Db, StoreError, Tx, installation};
use serde::{Deserialize, Serialize};

use super::Kept;

/// The parts that the server heeds.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Name and time zone.
    pub general: GeneralChoice,
    /// Who gets in, and for how long.
    pub sign_in: SignInChoice,
    /// How it is sent, and how long it is kept.
    pub delivery: DeliveryChoice,
}

/// Name and time zone.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct GeneralChoice {
    /// Rises with each change.
    pub revision: i64,
    /// What the navigation shows; empty for none.
    pub instance_name: String,
    /// Where the clock of pages hangs; empty for UTC.
    pub time_zone: String,
    /// How dates and times are written; empty for the default.
    pub locale: String,
}

/// Who gets in, and for how long. What is absent is as the operator set it, or the default.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct SignInChoice {
    /// Rises with each change.
    pub revision: i64,
    /// Whether people sign in with a password that is kept here.
    pub local: Option<bool>,
    /// Whether who signs in with a password needs a second step.
    pub two_step_required: Option<bool>,
    /// Since when: sessions from before go on as they began.
    pub two_step_since_ms: i64,
    /// How long a web session lives.
    pub session_hours: Option<u32>,
    /// How long it lives unused.
    pub idle_minutes: Option<u32>,
}

impl SignInChoice {
    /// In place of what was changed outside Consign: nobody gets in more easily than by the options of the operator.
    pub fn in_doubt(revision: i64) -> Self {
        Self { revision, two_step_required: Some(true), ..Self::default() }
    }
}

/// How it is sent, and how long it is kept. What is absent is as the operator set it, or the default.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct DeliveryChoice {
    /// Rises with each change.
    pub revision: i64,
    /// The waits of webhooks and exporters that have none of their own.
    pub retry_schedule_seconds: Option<Vec<u64>>,
    /// How long an answer may take, of connectors that are made without a time of their own.
    pub timeout_seconds: Option<u32>,
    /// The largest request with events.
    pub event_bytes: Option<u64>,
    /// The largest file that is pushed.
    pub export_bytes: Option<u64>,
    /// Days that payloads of ended deliveries stay.
    pub payload_days: Option<u32>,
    /// Days that records of ended deliveries stay.
    pub delivery_days: Option<u32>,
}

/// What people need to know of connections that leave.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct EgressChoice {
    /// Rises with each change.
    pub revision: i64,
    /// The addresses that they come from, in the words of an administrator, for firewall requests; empty for none.
    pub outgoing_addresses: String,
}

impl Default for GeneralChoice {
    fn default() -> Self {
        Self { revision: 1, instance_name: String::new(), time_zone: String::new(), locale: String::new() }
    }
}

impl Default for SignInChoice {
    fn default() -> Self {
        Self {
            revision: 1,
            local: None,
            two_step_required: None,
            two_step_since_ms: 0,
            session_hours: None,
            idle_minutes: None,
        }
    }
}

impl Default for DeliveryChoice {
    fn default() -> Self {
        Self {
            revision: 1,
            retry_schedule_seconds: None,
            timeout_seconds: None,
            event_bytes: None,
            export_bytes: None,
            payload_days: None,
            delivery_days: None,
        }
    }
}

impl Default for EgressChoice {
    fn default() -> Self {
        Self { revision: 1, outgoing_addresses: String::new() }
    }
}

/// How it is sent, and how long it is kept, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRules {
    /// The waits of webhooks and exporters that have none of their own.
    pub retry_schedule_seconds: Vec<u64>,
    /// How long an answer may take, of connectors that are made without a time of their own.
    pub timeout_seconds: u32,
    /// The largest request with events.
    pub event_bytes: u64,
    /// The largest file that is pushed.
    pub export_bytes: u64,
    /// Days that payloads of ended deliveries stay.
    pub payload_days: u32,
    /// Days that records of ended deliveries stay.
    pub delivery_days: u32,
    /// Days that calls through gateways stay.
    pub gateway_days: u32,
}

/// What the operator set, or left at its default.
#[derive(Clone, Debug)]
pub struct DeliverySet {
    /// The values.
    pub rules: DeliveryRules,
    /// The options that the operator gave: nobody chooses another value.
    pub fixed: Vec<&'static str>,
}

impl DeliverySet {
    /// The options behind the members of [`DeliveryRules`] that can be chosen, in their order.
    pub const OPTIONS: [&'static str; 6] = [
        "delivery.retry_schedule_seconds",
        "delivery.timeout_seconds",
        "limits.event_bytes",
        "limits.export_bytes",
        "retention.payload_days",
        "retention.delivery_days",
    ];

    /// What holds, with what was chosen.
    pub fn with(&self, chosen: &DeliveryChoice) -> DeliveryRules {
        let [schedule, timeout, event, export, payloads, records] =
            Self::OPTIONS.map(|option| !self.fixed.contains(&option));
        let own = &self.rules;
        let waits = chosen.retry_schedule_seconds.as_ref().filter(|_| schedule);
        DeliveryRules {
            retry_schedule_seconds: waits.unwrap_or(&own.retry_schedule_seconds).clone(),
            timeout_seconds: chosen.timeout_seconds.filter(|_| timeout).unwrap_or(own.timeout_seconds),
            event_bytes: chosen.event_bytes.filter(|_| event).unwrap_or(own.event_bytes),
            export_bytes: chosen.export_bytes.filter(|_| export).unwrap_or(own.export_bytes),
            payload_days: chosen.payload_days.filter(|_| payloads).unwrap_or(own.payload_days),
            delivery_days: chosen.delivery_days.filter(|_| records).unwrap_or(own.delivery_days),
            gateway_days: own.gateway_days,
        }
    }
}

impl DeliveryRules {
    /// The waits between attempts.
    pub fn retry_schedule(&self) -> Vec<Duration> {
        self.retry_schedule_seconds.iter().copied().map(Duration::from_secs).collect()
    }

    /// How long what has ended is kept.
    pub(super) fn kept(&self) -> Kept {
        let days = |count: u32| Duration::from_secs(u64::from(count) * 86_400);
        Kept {
            payloads: days(self.payload_days),
            deliveries: days(self.delivery_days),
            calls: days(self.gateway_days),
        }
    }
}

/// One part, as it is kept.
pub trait Part: Default + Serialize + for<'a> Deserialize<'a> {
    /// Where the installation keeps it.
    const KEY: &'static str;
}

impl Part for GeneralChoice {
    const KEY: &'static str = "settings";
}

impl Part for SignInChoice {
    const KEY: &'static str = "sign_in";
}

impl Part for DeliveryChoice {
    const KEY: &'static str = "delivery";
}

impl Part for EgressChoice {
    const KEY: &'static str = "egress";
}

/// Reads a part. What a newer program may have written that this one cannot read counts as not chosen.
///
/// # Errors
/// When the database cannot be read.
pub async fn read<P: Part>(db: &mut Db) -> Result<P, StoreError> {
    let text = installation::get(db, P::KEY).await?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// The same, and nobody else changes it until the transaction ends: of two who saw the same part, one saves it.
///
/// # Errors
/// When the database cannot be written.
pub async fn read_to_change<P: Part>(tx: &mut Tx) -> Result<P, StoreError> {
    let text = installation::get_to_set(tx, P::KEY).await?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Keeps a part, and tells every server of the database.
///
/// # Errors
/// When the database cannot be written.
pub async fn put<P: Part>(db: &mut Db, part: &P) -> Result<(), StoreError> {
    let text = serde_json::to_string(part).expect("a choice is JSON");
    installation::put(db, P::KEY, &text).await?;
    installation::bump(db).await
}

impl Chosen {
    pub(super) async fn load(db: &mut Db) -> Result<Self, StoreError> {
        Ok(Self { general: read(db).await?, sign_in: read(db).await?, delivery: read(db).await? })
    }
}

#[cfg(test)]
mod tests;
