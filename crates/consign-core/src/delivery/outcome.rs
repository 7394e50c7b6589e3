//! What one attempt saw, and what became of it in words.

use std::time::Duration;

use crate::time::Timestamp;

/// What one attempt saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tool took it.
    Accepted {
        /// 2xx.
        status: u16,
    },
    /// It answered, and did not take it. A 2xx stands here when the answer is not the JSON that was asked for.
    Rejected {
        /// The status of the answer.
        status: u16,
        /// The wait it asked for.
        wait: Option<Duration>,
    },
    /// The request left, and no answer came.
    Unanswered {
        /// What was seen instead.
        reason: NoAnswer,
    },
    /// Nothing left.
    Unreachable {
        /// Where it ended.
        reason: Unreached,
    },
    /// We may not, or cannot, ask.
    Refused {
        /// Why not.
        refusal: Refusal,
    },
    /// A file server let us in, and did something about the file.
    File {
        /// What.
        answer: FileAnswer,
    },
}

/// What a file server did about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAnswer {
    /// It has it, whole.
    Taken,
    /// It did not do what was asked: no such folder, permission, space.
    Declined,
    /// The name is taken, and what has it stays.
    Exists,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not in time.
    TimedOut,
    /// The connection ended first.
    ConnectionLost,
    /// The program stopped while it was under way.
    ProgramStopped,
}

/// Where it ended when nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The name was not found.
    Name,
    /// The connection failed.
    Connect,
    /// The TLS handshake failed.
    Tls,
}

/// Why we may not, or cannot, ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connector has no credential.
    CredentialMissing,
    /// Its secrets do not open.
    CredentialLocked,
    /// The egress rules block the address; the rule or range in words.
    DestinationBlocked(String),
    /// The connector is not as it was saved last.
    NotAsSaved,
    /// The request could not be made of the event; what could not be filled in.
    NotRendered(String),
    /// It was to be sent exactly as first sent, and that request cannot be; a sentence.
    NotAsFirstSent(String),
    /// No token came, for a passing reason. While the token address may not be asked, all that use its credential
    /// wait with it, by what is stored of the token.
    TokenAway {
        /// The delivery itself is due again at this time.
        until: Timestamp,
        /// What was seen.
        reason: String,
    },
    /// The token address refused; the credential waits for a person.
    TokenRefused(String),
    /// A person must grant access.
    NoGrant(String),
    /// The server showed another host key than the pinned ones; nothing was offered to it.
    HostKeyChanged,
    /// A file server did not let us in.
    SignInRefused,
    /// The attempt was stopped before anything left.
    Stopping,
}

impl Outcome {
    /// The closed word for records and metrics.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "ok",
            Self::Rejected { status: 429, .. } | Self::Rejected { status: 403 | 503, wait: Some(_) } => {
                Self::THROTTLED
            }
            Self::Rejected { status: 300..=399, .. } => "http_3xx",
            Self::Rejected { status: 401, .. } => "sign_in",
            Self::Rejected { status: 400..=499, .. } => "http_4xx",
            Self::Rejected { status: 200..=299, .. } => "not_json",
            // A status outside 100 to 599 counts as a server's error: RFC 9110 section 15.
            Self::Rejected { .. } => "http_5xx",
            Self::Unanswered { .. } => "no_answer",
            Self::Unreachable { reason: Unreached::Name } => "dns",
            Self::Unreachable { reason: Unreached::Connect } => "connect",
            Self::Unreachable { reason: Unreached::Tls } => "tls",
            Self::Refused { refusal: Refusal::CredentialMissing | Refusal::CredentialLocked } => "credential",
            Self::Refused { refusal: Refusal::NotAsSaved } => "not_as_saved",
            Self::Refused { refusal: Refusal::DestinationBlocked(_) } => "blocked",
            Self::Refused { refusal: Refusal::NotRendered(_) | Refusal::NotAsFirstSent(_) } => "not_rendered",
            Self::Refused { refusal: Refusal::TokenAway { .. } } => "token",
            Self::Refused {
                refusal: Refusal::TokenRefused(_) | Refusal::NoGrant(_) | Refusal::SignInRefused,
            } => "sign_in",
            Self::Refused { refusal: Refusal::HostKeyChanged } => "host_key",
            Self::Refused { refusal: Refusal::Stopping } => "stopped",
            Self::File { answer: FileAnswer::Taken } => "ok",
            Self::File { answer: FileAnswer::Declined } => "declined",
            Self::File { answer: FileAnswer::Exists } => "exists",
        }
    }

    /// What a class of [`Outcome::class`] means to people, in a word or two, where no answer came.
    pub fn class_label(class: &str) -> &'static str {
        match class {
            "sign_in" => "no sign-in",
            "token" => "no token",
            "no_answer" => "no answer",
            "dns" => "name not found",
            "connect" => "no connection",
            "tls" => "no secure connection",
            "blocked" => "blocked",
            "not_as_saved" => "changed outside",
            "not_rendered" => "not made",
            "host_key" => "another host key",
            "declined" => "not taken",
            "exists" => "name is taken",
            // Nothing was asked for this delivery: the credential is missing or locked, or the server stopped.
            _ => "not sent",
        }
    }

    /// The word of [`Outcome::class`] for a tool that asks to wait.
    pub const THROTTLED: &'static str = "throttled";

    /// The status of the answer, if one came.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Accepted { status } | Self::Rejected { status, .. } => Some(*status),
            Self::Unanswered { .. } | Self::Unreachable { .. } | Self::Refused { .. } | Self::File { .. } => {
                None
            }
        }
    }

    /// Whether it counts towards *slowly* and *Paused after failures*: time-out, connect, TLS, name or 5xx.
    pub const fn is_failure_of_the_tool(&self) -> bool {
        match self {
            Self::Unanswered { reason: NoAnswer::ProgramStopped } => false,
            Self::Unanswered { .. } | Self::Unreachable { .. } => true,
            Self::Rejected { status, .. } => *status < 200 || *status >= 500,
            Self::Accepted { .. } | Self::Refused { .. } | Self::File { .. } => false,
        }
    }
}
