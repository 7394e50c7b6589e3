//! What is known about a credential: its status, why, since when, and what to do about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::Tokens;
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
/// From here on an end date is the status.
const ENDS_SOON_DAYS: i64 = 30;
/// The same as a span.
pub const ENDS_SOON: Duration = DAY.saturating_mul(30);

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

    /// The next action of a person, if one is needed. A grant that the tool does not let in is approved again;
    /// everything else that is refused needs another secret.
    pub const fn action(self, tokens: Tokens, refused_by: Refuser) -> Option<NextAction> {
        match (self, tokens, refused_by) {
            (Self::Locked, ..) => Some(NextAction::WhatToDo),
            (Self::HostKeyChanged, ..) => Some(NextAction::CompareKeys),
            (Self::ReconnectNeeded, ..) | (Self::SignInRefused, Tokens::Granted, Refuser::Tool) => {
                Some(NextAction::AuthorizeAgain)
            }
            (Self::NotAuthorized, ..) => Some(NextAction::Authorize),
            (Self::SignInRefused | Self::Ended | Self::EndsSoon, ..) => Some(NextAction::ReplaceSecret),
            (Self::CannotReach | Self::NotTested, ..) => Some(NextAction::TestConnection),
            (Self::NotProven, ..) => Some(NextAction::AddTestPath),
            (Self::Working, ..) => None,
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

/// Who refused a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuser {
    /// The tool itself, which was asked with a token or with the secrets.
    Tool,
    /// The token address, which did not accept the client.
    TokenAddress,
}

/// What a person can do next about a credential: the same wherever its state is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// Load the right encryption key, or enter the secrets again.
    WhatToDo,
    /// Compare the host key that the server showed with the pinned ones.
    CompareKeys,
    /// Approve access for the first time.
    Authorize,
    /// Approve access once more.
    AuthorizeAgain,
    /// Enter another secret.
    ReplaceSecret,
    /// See whether it works.
    TestConnection,
    /// Give it a path that proves the sign-in.
    AddTestPath,
}

impl NextAction {
    /// All.
    pub const ALL: &'static [Self] = &[
        Self::WhatToDo,
        Self::CompareKeys,
        Self::Authorize,
        Self::AuthorizeAgain,
        Self::ReplaceSecret,
        Self::TestConnection,
        Self::AddTestPath,
    ];

    /// The public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::WhatToDo => "what_to_do",
            Self::CompareKeys => "compare_keys",
            Self::Authorize => "authorize",
            Self::AuthorizeAgain => "authorize_again",
            Self::ReplaceSecret => "replace_secret",
            Self::TestConnection => "test_connection",
            Self::AddTestPath => "add_test_path",
        }
    }

    /// The words on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WhatToDo => "What to do",
            Self::CompareKeys => "Compare keys",
            Self::Authorize => "Authorize",
            Self::AuthorizeAgain => "Authorize again",
            Self::ReplaceSecret => "Replace secret",
            Self::TestConnection => "Test connection",
            Self::AddTestPath => "Add a test path",
        }
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
    pub(super) fn with_end(&self, ends_at: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(ends_at) = ends_at else { return self.clone() };
        let day = last_day(ends_at);
        let (code, reason) = match days_until(&day, now) {
            _ if ends_at <= now => (StatusCode::Ended, format!("ended on {day}")),
            ..=0 => (StatusCode::EndsSoon, "ends today".to_owned()),
            1 => (StatusCode::EndsSoon, "ends tomorrow".to_owned()),
            days @ 2..=ENDS_SOON_DAYS => (StatusCode::EndsSoon, format!("ends in {days} days")),
            _ => return self.clone(),
        };
        // It is about the end, not about what was last seen: the age is that of the end, or of its nearness.
        let since = match code {
            StatusCode::Ended => ends_at,
            _ => midnight(&day).unwrap_or(ends_at).minus(ENDS_SOON).max(self.since),
        };
        if self.code < code { self.clone() } else { Self { code, reason, since } }
    }
}

/// The last day (UTC) on which something is good: one that ends with the first second of a day is not good on it.
pub(super) fn last_day(ends_at: Timestamp) -> String {
    ends_at.minus(Duration::from_secs(1)).day()
}

/// The last second of a day.
pub(super) fn last_second(day: &str) -> Option<Timestamp> {
    Some(midnight(day)?.plus(DAY).minus(Duration::from_secs(1)))
}

/// Whole days from today (UTC) until a day; negative once it has passed.
pub(super) fn days_until(day: &str, now: Timestamp) -> i64 {
    let (Some(day), Some(today)) = (midnight(day), midnight(&now.day())) else { return 0 };
    (day.millis() - today.millis()).div_euclid(i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX))
}

fn midnight(day: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))
}

#[cfg(test)]
mod tests;
