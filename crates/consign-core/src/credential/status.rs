//! What is known about a credential: its status, why, since when, and what to do about it.

use std::time::Duration;

use serde::Serialize;

use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
/// From here on an end date is the status.
const ENDS_SOON_DAYS: i64 = 30;

/// The states of a credential, the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCode {
    /// The secret does not open with the loaded keys, or its destination was changed behind our back.
    Locked,
    /// The server showed another host key than the pinned ones.
    HostKeyChanged,
    /// The grant ended, or the token ended and cannot be renewed: a person must approve again.
    ReconnectNeeded,
    /// A person never approved.
    NotAuthorized,
    /// The tool refused the sign-in.
    SignInRefused,
    /// Name, network or TLS failed on the last uses.
    CannotReach,
    /// The end date has passed.
    Ended,
    /// The end date is near.
    EndsSoon,
    /// The tool answered, and nothing proved the sign-in.
    NotProven,
    /// The last use proved it.
    Working,
    /// Nothing happened yet.
    NotTested,
}

impl StatusCode {
    /// All, the most pressing first.
    pub const ALL: &'static [Self] = &[
        Self::Locked,
        Self::HostKeyChanged,
        Self::ReconnectNeeded,
        Self::NotAuthorized,
        Self::SignInRefused,
        Self::CannotReach,
        Self::Ended,
        Self::EndsSoon,
        Self::NotProven,
        Self::Working,
        Self::NotTested,
    ];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::HostKeyChanged => "host_key_changed",
            Self::ReconnectNeeded => "reconnect_needed",
            Self::NotAuthorized => "not_authorized",
            Self::SignInRefused => "sign_in_refused",
            Self::CannotReach => "cannot_reach",
            Self::Ended => "ended",
            Self::EndsSoon => "ends_soon",
            Self::NotProven => "not_proven",
            Self::Working => "working",
            Self::NotTested => "not_tested",
        }
    }

    /// The word on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Locked => "Locked",
            Self::HostKeyChanged => "Host key changed",
            Self::ReconnectNeeded => "Reconnect needed",
            Self::NotAuthorized => "Not authorized yet",
            Self::SignInRefused => "Sign-in refused",
            Self::CannotReach => "Cannot reach",
            Self::Ended => "Ended",
            Self::EndsSoon => "Ends soon",
            Self::NotProven => "Not proven",
            Self::Working => "Working",
            Self::NotTested => "Not tested",
        }
    }

    /// The next action of a person, if one is needed.
    pub const fn action(self) -> Option<&'static str> {
        match self {
            Self::Locked => Some("What to do"),
            Self::HostKeyChanged => Some("Compare keys"),
            Self::ReconnectNeeded => Some("Authorize again"),
            Self::NotAuthorized => Some("Authorize"),
            Self::SignInRefused | Self::Ended | Self::EndsSoon => Some("Replace secret"),
            Self::CannotReach | Self::NotTested => Some("Test connection"),
            Self::NotProven => Some("Add a test path"),
            Self::Working => None,
        }
    }

    /// Whether deliveries of its connectors wait until it is repaired.
    pub const fn holds(self) -> bool {
        matches!(self, Self::Locked | Self::HostKeyChanged | Self::SignInRefused) || self.needs_consent()
    }

    /// Whether a person has to grant access.
    pub const fn needs_consent(self) -> bool {
        matches!(self, Self::ReconnectNeeded | Self::NotAuthorized)
    }

    /// Whether a person should look at it.
    pub const fn needs_attention(self) -> bool {
        self.holds() || matches!(self, Self::CannotReach | Self::Ended | Self::EndsSoon)
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.kind() == kind)
    }
}

/// A status with its reason and age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which.
    pub code: StatusCode,
    /// One line: what was seen; may be empty.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Status {
    /// Nothing happened yet.
    pub fn not_tested(now: Timestamp) -> Self {
        Self { code: StatusCode::NotTested, reason: String::new(), since: now }
    }

    /// A person has to grant access before the first use.
    pub fn not_authorized(now: Timestamp) -> Self {
        Self { code: StatusCode::NotAuthorized, reason: String::new(), since: now }
    }

    /// The first true status: an end date outranks *Working*, a failure outranks an end date.
    pub(super) fn with_end(&self, ends_on: Option<&str>, now: Timestamp) -> Self {
        let Some(days) = ends_on.and_then(|day| days_until(day, now)) else { return self.clone() };
        let (code, reason) = match days {
            ..0 => (StatusCode::Ended, format!("ended on {}", ends_on.unwrap_or_default())),
            0 => (StatusCode::EndsSoon, "ends today".to_owned()),
            1 => (StatusCode::EndsSoon, "ends tomorrow".to_owned()),
            2..=ENDS_SOON_DAYS => (StatusCode::EndsSoon, format!("ends in {days} days")),
            _ => return self.clone(),
        };
        if self.code < code { self.clone() } else { Self { code, reason, since: self.since } }
    }
}

/// Whole days from today (UTC) until a day; negative once it has passed.
fn days_until(day: &str, now: Timestamp) -> Option<i64> {
    let end = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))?;
    let today = Timestamp::parse_rfc3339(&format!("{}T00:00:00Z", now.day()))?;
    Some((end.millis() - today.millis()).div_euclid(i64::try_from(DAY.as_millis()).ok()?))
}

#[cfg(test)]
mod tests;
