//! What makes a session, a step before a code and a link for set-up real: keyed hashes, under the key of the audit
//! chain, which the database holds only sealed. Whoever writes rows makes none of them, and moves none to another
//! person or time.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use consign_core::id::UserId;
use consign_core::time::Timestamp;
use consign_core::vault::DerivedKey;
use serde_json::json;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    SecondStep,
    SetupLink,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::SecondStep => "second step",
            Self::SetupLink => "setup link",
        }
    }
}

/// What is stored of a token, to find it by.
pub(super) fn of_token(key: &DerivedKey, kind: Kind, token: &str) -> String {
    key.authenticate(json!(["token", kind.word(), token]).to_string().as_bytes())
}

/// What is stored beside it: that it belongs to this person, since then.
pub(super) fn of_person(key: &DerivedKey, kind: Kind, hash: &str, user: UserId, since: Timestamp) -> String {
    let whole = json!(["person", kind.word(), hash, user, since.millis()]);
    key.authenticate(whole.to_string().as_bytes())
}

/// That a link works until then.
pub(super) fn of_link(key: &DerivedKey, kind: Kind, token: &str, until: Timestamp) -> String {
    let whole = json!(["link", kind.word(), token, until.millis()]);
    key.authenticate(whole.to_string().as_bytes())
}

/// Compares without telling how much was right.
pub(super) fn same(stored: &str, made: &str) -> bool {
    verify_slices_are_equal(stored.as_bytes(), made.as_bytes()).is_ok()
}

#[cfg(test)]
pub(super) mod tests;
