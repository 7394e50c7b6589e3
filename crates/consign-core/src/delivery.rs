//! The life of a delivery, as pure functions: what was seen, what happens next, and why it waits.

use std::time::Duration;

use serde::Serialize;

use crate::connector::WhenNoAnswer;
use crate::time::Timestamp;

pub use outcome::{FileAnswer, NoAnswer, Outcome, Refusal, Unreached};

mod outcome;

/// The default waits between attempts: ten attempts in about three days.
pub const DEFAULT_SCHEDULE_SECONDS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Without a stated wait, 429 waits at least this long.
const THROTTLED_WAIT_MIN: Duration = Duration::from_secs(30);
/// A delivery that met nothing but throttling for this long fails.
pub const THROTTLED_LIFE_MAX: Duration = Duration::from_secs(72 * 3_600);
/// Each wait of the schedule is this much longer or shorter.
const JITTER: f64 = 0.2;
/// A wait that the tool asked for is up to this much longer, never shorter.
const ASKED_JITTER: f64 = 0.1;
/// After so many attempts that ended with the program, a person decides.
pub const CRASHES_MAX: u32 = 5;
/// An answer kept for the record: enough for an error page.
pub const EXCERPT_BYTES_MAX: usize = 4 << 10;

/// The states of a delivery. The last three are its only ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// An attempt is scheduled or under way.
    Pending,
    /// Waits for a person or a repaired credential.
    Held,
    /// The tool took it.
    Delivered,
    /// Given up; can be replayed.
    Failed,
    /// A person stopped it, or its connector was deleted.
    Cancelled,
}

impl DeliveryState {
    /// All, in the order of the filter.
    pub const ALL: &'static [Self] =
        &[Self::Pending, Self::Held, Self::Delivered, Self::Failed, Self::Cancelled];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.kind() == kind)
    }
}

/// Why a delivery is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The credential was deleted.
    CredentialMissing,
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
    /// The egress rules block the destination.
    DestinationBlocked,
    /// The connector was changed behind our back.
    NotAsSaved,
    /// The request could not be made.
    NotRendered,
    /// Sending it stopped the program five times.
    RepeatedCrash,
    /// No answer came, and the webhook asks a person.
    NoAnswer,
    /// The connector is paused.
    ConnectorPaused,
    /// The connector was paused after failures.
    PausedAfterFailures,
}

impl HoldReason {
    /// All.
    pub const ALL: &'static [Self] = &[
        Self::CredentialMissing,
        Self::CredentialLocked,
        Self::SignInRefused,
        Self::HostKeyChanged,
        Self::NotAuthorized,
        Self::ReconnectNeeded,
        Self::NotAllowed,
        Self::DestinationBlocked,
        Self::NotAsSaved,
        Self::NotRendered,
        Self::RepeatedCrash,
        Self::NoAnswer,
        Self::ConnectorPaused,
        Self::PausedAfterFailures,
    ];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::CredentialMissing => "credential_missing",
            Self::CredentialLocked => "credential_locked",
            Self::SignInRefused => "sign_in_refused",
            Self::HostKeyChanged => "host_key_changed",
            Self::NotAuthorized => "not_authorized",
            Self::ReconnectNeeded => "reconnect_needed",
            Self::NotAllowed => "not_allowed",
            Self::DestinationBlocked => "destination_blocked",
            Self::NotAsSaved => "not_as_saved",
            Self::NotRendered => "not_rendered",
            Self::RepeatedCrash => "repeated_crash",
            Self::NoAnswer => "no_answer",
            Self::ConnectorPaused => "connector_paused",
            Self::PausedAfterFailures => "paused_after_failures",
        }
    }

    /// The sentence on the screen.
    pub const fn text(self) -> &'static str {
        match self {
            Self::CredentialMissing => "The credential was deleted.",
            Self::CredentialLocked => "The credential cannot be opened.",
            Self::SignInRefused => "The tool refused the sign-in.",
            Self::HostKeyChanged => "The server showed another host key than the pinned one.",
            Self::NotAuthorized | Self::ReconnectNeeded => "Someone must approve access.",
            Self::NotAllowed => "The tool does not allow this request (403).",
            Self::DestinationBlocked => "This server may not call the address.",
            Self::NotAsSaved => "The connector was changed outside Consign.",
            Self::NotRendered => "The request could not be made.",
            Self::RepeatedCrash => "Sending it stopped the program five times.",
            Self::NoAnswer => "No answer came. It may have been processed.",
            Self::ConnectorPaused => "The connector is paused.",
            Self::PausedAfterFailures => "Paused after 5 days of failures.",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.kind() == kind)
    }

    /// Whether the hold is written on the delivery itself; the others are states of its connector.
    pub const fn is_own(self) -> bool {
        matches!(self, Self::NotRendered | Self::RepeatedCrash | Self::NoAnswer)
    }
}

/// What happens to the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Deliver,
    /// The next attempt of the schedule.
    RetryAt(Timestamp),
    /// Due again without having used up an attempt.
    WaitUntil(Timestamp),
    /// Held on its own account.
    Hold(HoldReason),
    /// Given up.
    Fail,
}

/// What happens to the connector, and so to everything behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneChange {
    /// Nothing is sent before this time.
    ClosedUntil(Timestamp),
    /// Held until repaired, edited or resumed.
    Hold(crate::connector::HeldBy),
    /// The tool said that the address is gone.
    Pause,
}

/// What was learnt about the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialLesson {
    /// The tool let us in.
    Works,
    /// The tool answered, which proves nothing about the sign-in.
    Answered,
    /// The tool refused the sign-in with this status; zero from a server that has none.
    Refused(u16),
    /// Name, network or TLS failed.
    Unreachable(Unreached),
    /// The server showed another host key than the pinned ones.
    HostKeyChanged,
    /// Its secrets do not open.
    Locked,
}

/// The whole consequence of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For the delivery.
    pub next: Next,
    /// For the connector.
    pub lane: Option<LaneChange>,
    /// For the credential.
    pub credential: Option<CredentialLesson>,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The number of this attempt among those that count, from 1.
    pub attempt: u32,
    /// How long it has met nothing but throttling; zero when it met something else last.
    pub throttled_for: Duration,
}

/// How a connector tries again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The waits between attempts; one attempt more than waits.
    pub schedule: Vec<Duration>,
    /// Whether 400, 413, 415 and 422 are tried again.
    pub retry_client_errors: bool,
    /// What happens to a request that left and was not answered.
    pub when_no_answer: WhenNoAnswer,
}

impl Retry {
    /// What an attempt leads to. `jitter` is a random number from −1 to 1.
    pub fn next(&self, progress: Progress, outcome: &Outcome, now: Timestamp, jitter: f64) -> Verdict {
        let verdict = |next| Verdict { next, lane: None, credential: None };
        match outcome {
            Outcome::Accepted { .. } => {
                Verdict { credential: Some(CredentialLesson::Works), ..verdict(Next::Deliver) }
            }
            Outcome::Rejected { status, wait } => self.rejected(progress, *status, *wait, now, jitter),
            Outcome::Unanswered { .. } => match self.when_no_answer {
                WhenNoAnswer::Retry => verdict(self.again(progress, now, jitter)),
                WhenNoAnswer::Hold => verdict(Next::Hold(HoldReason::NoAnswer)),
            },
            Outcome::Unreachable { reason } => Verdict {
                credential: Some(CredentialLesson::Unreachable(*reason)),
                ..verdict(self.again(progress, now, jitter))
            },
            Outcome::Refused { refusal } => refused(refusal, now),
            // Whatever it did, it let us in.
            Outcome::File { answer } => {
                let next = match answer {
                    FileAnswer::Taken => Next::Deliver,
                    FileAnswer::Declined => self.again(progress, now, jitter),
                    FileAnswer::Exists => Next::Fail,
                };
                Verdict { credential: Some(CredentialLesson::Works), ..verdict(next) }
            }
        }
    }

    fn rejected(
        &self,
        progress: Progress,
        status: u16,
        wait: Option<Duration>,
        now: Timestamp,
        jitter: f64,
    ) -> Verdict {
        use crate::connector::HeldBy;
        let (next, lane, credential) = match status {
            401 => {
                let lane = LaneChange::Hold(HeldBy::SignInRefused);
                (Next::WaitUntil(now), Some(lane), Some(CredentialLesson::Refused(status)))
            }
            429 => return throttled(progress, wait.unwrap_or(THROTTLED_WAIT_MIN), now, jitter),
            503 | 403 if wait.is_some() => {
                return throttled(progress, wait.unwrap_or(THROTTLED_WAIT_MIN), now, jitter);
            }
            403 => (Next::WaitUntil(now), Some(LaneChange::Hold(HeldBy::NotAllowed)), None),
            410 => (Next::Fail, Some(LaneChange::Pause), None),
            404 | 405 | 408 | 409 | 425 | ..200 | 500.. => (self.again(progress, now, jitter), None, None),
            400 | 413 | 415 | 422 if self.retry_client_errors => {
                (self.again(progress, now, jitter), None, None)
            }
            _ => (Next::Fail, None, None),
        };
        Verdict { next, lane, credential }
    }

    fn again(&self, progress: Progress, now: Timestamp, jitter: f64) -> Next {
        let place = usize::try_from(progress.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.schedule.get(place) {
            Some(wait) => Next::RetryAt(now.plus(wait.mul_f64(1.0 + JITTER * jitter.clamp(-1.0, 1.0)))),
            None => Next::Fail,
        }
    }
}

/// A throttled answer slows the connector and uses up no attempt.
fn throttled(progress: Progress, wait: Duration, now: Timestamp, jitter: f64) -> Verdict {
    let until = now.plus(wait.mul_f64(1.0 + ASKED_JITTER * jitter.clamp(-1.0, 1.0).abs()));
    let next = if progress.throttled_for > THROTTLED_LIFE_MAX { Next::Fail } else { Next::WaitUntil(until) };
    Verdict { next, lane: Some(LaneChange::ClosedUntil(until)), credential: None }
}

fn refused(refusal: &Refusal, now: Timestamp) -> Verdict {
    use crate::connector::HeldBy;
    let wait = Next::WaitUntil(now);
    let (next, lane, credential) = match refusal {
        // Who fetched the token has drawn the consequences for the credential and all that use it.
        Refusal::CredentialMissing | Refusal::Stopping | Refusal::TokenRefused(_) | Refusal::NoGrant(_) => {
            (wait, None, None)
        }
        Refusal::TokenAway { until, .. } => (Next::WaitUntil(*until), None, None),
        Refusal::CredentialLocked => {
            (wait, Some(LaneChange::Hold(HeldBy::CredentialLocked)), Some(CredentialLesson::Locked))
        }
        Refusal::DestinationBlocked(_) => (wait, Some(LaneChange::Hold(HeldBy::DestinationBlocked)), None),
        Refusal::NotAsSaved => (wait, Some(LaneChange::Hold(HeldBy::NotAsSaved)), None),
        Refusal::NotRendered(_) => (Next::Hold(HoldReason::NotRendered), None, None),
        // Waiting would not bring it back, and editing the webhook would not change it.
        Refusal::NotAsFirstSent(_) => (Next::Fail, None, None),
        Refusal::HostKeyChanged => {
            let lane = LaneChange::Hold(HeldBy::HostKeyChanged);
            (wait, Some(lane), Some(CredentialLesson::HostKeyChanged))
        }
        Refusal::SignInRefused => {
            (wait, Some(LaneChange::Hold(HeldBy::SignInRefused)), Some(CredentialLesson::Refused(0)))
        }
    };
    Verdict { next, lane, credential }
}

#[cfg(test)]
mod tests;
