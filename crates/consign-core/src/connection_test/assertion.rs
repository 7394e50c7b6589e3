//! Why a tool took no assertion: told apart by its words, and by its clock.

use crate::token::{OAuthError, TokenError};

/// From here on a clock is a reason by itself; the rule of the warning.
const APART_SECONDS_MAX: i64 = 60;

/// What was sent, and what was seen beside the answer.
#[derive(Clone, Copy, Debug)]
pub struct AssertionSeen<'a> {
    /// The SHA-256 of our certificate.
    pub fingerprint: &'a str,
    /// The Issuer.
    pub issuer: &'a str,
    /// The Audience.
    pub audience: &'a str,
    /// The Recipient.
    pub recipient: &'a str,
    /// How far the clock of the tool is ahead of ours, by its `Date`.
    pub seconds_ahead: Option<i64>,
    /// Nothing proves the client.
    pub without_client: bool,
}

/// What a tool does not like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Signature,
    Audience,
    Recipient,
    Clock,
    Issuer,
    NameId,
}

/// Words of tools. The first line that has one decides: an "audience" is also "not valid", and a "certificate expired" is
/// no matter of clocks.
const WORDS: &[(Trouble, &[&str])] = &[
    (Trouble::Audience, &["audience"]),
    (Trouble::Recipient, &["recipient", "subjectconfirmation", "subject confirmation", "destination"]),
    (
        Trouble::Signature,
        &["signature", "certificate", "digest", "x509", "public key", "thumbprint", "fingerprint"],
    ),
    (
        Trouble::Clock,
        &[
            "expired",
            "notonorafter",
            "not on or after",
            "notbefore",
            "not before",
            "clock",
            "not yet valid",
            "too old",
            "in the future",
            "issueinstant",
            "validity period",
            "timed out",
            "time skew",
        ],
    ),
    (Trouble::Issuer, &["issuer", "identity provider", "not trusted", "untrusted", "no trust"]),
    (Trouble::NameId, &["nameid", "name id", "subject", "user", "principal", "account"]),
    (Trouble::Signature, &["not signed", "verified", "verify", "verification"]),
];

/// What a refused assertion means; `None` when the refusal is not about the assertion.
pub fn of_assertion_error(seen: &AssertionSeen<'_>, error: &TokenError) -> Option<String> {
    let (TokenError::Refused { said, .. } | TokenError::GrantEnded { said, .. }) = error else { return None };
    let said = said.as_ref();
    match said.map(|said| said.code.as_str()) {
        Some("invalid_client") if seen.without_client => {
            let advice = "Choose Header or Body in Authentication information and enter them, or add client_id to the \
                          OAuth Token Requests.";
            return Some(format!("The tool asks for a client ID and client secret. {advice}"));
        }
        Some("invalid_client" | "invalid_scope" | "unauthorized_client" | "unsupported_grant_type") => {
            return None;
        }
        _ => {}
    }
    let about_it = said.is_some_and(|said| {
        matches!(
            said.code.as_str(),
            "invalid_grant" | "invalid_request" | "invalid_assertion" | "access_denied"
        )
    });
    let trouble = trouble(said);
    if trouble.is_none() && !about_it {
        return None;
    }
    let clock = clock(seen.seconds_ahead);
    Some(match (trouble, clock) {
        (Some(Trouble::Signature), _) => format!(
            "The tool could not check our signature. The certificate stored in the tool is probably not this one. Compare \
             fingerprints: ours is SHA256 {}.",
            seen.fingerprint
        ),
        (Some(Trouble::Audience), _) => format!(
            "The tool does not accept the Audience “{}”. Enter the entity ID or address that it expects.",
            seen.audience
        ),
        (Some(Trouble::Recipient), _) => format!(
            "The tool does not accept the Recipient “{}”. It must be the token address exactly as the tool knows it.",
            seen.recipient
        ),
        (Some(Trouble::Clock), Some(clock)) => {
            format!("The tool finds the assertion too early or too late. {clock} Set the clocks.")
        }
        (Some(Trouble::Clock), None) => {
            let apart = seen.seconds_ahead.map_or_else(String::new, |seconds| {
                format!(" By its Date header its clock is {} s apart from ours.", seconds.abs())
            });
            format!(
                "The tool finds the assertion too early or too late.{apart} Try a longer Assertion lifetime."
            )
        }
        (Some(Trouble::Issuer), _) => format!(
            "The tool does not know the Issuer “{}”. Enter the name under which it is registered there.",
            seen.issuer
        ),
        (Some(Trouble::NameId), _) => {
            "The tool does not know the user. Check Name ID and Name ID format.".to_owned()
        }
        (None, Some(clock)) => {
            format!("The tool refused the assertion and does not say why. {clock} That is the likely reason.")
        }
        (None, None) => format!(
            "The tool refused the assertion and does not say why. Check there: the certificate (ours is SHA256 {}), the \
             Issuer, the Audience, the Recipient and the Name ID.",
            seen.fingerprint
        ),
    })
}

fn trouble(said: Option<&OAuthError>) -> Option<Trouble> {
    let words = said?.description.to_lowercase();
    let named = |all: &[&str]| all.iter().any(|word| words.contains(word));
    WORDS.iter().find(|(_, all)| named(all)).map(|(trouble, _)| *trouble)
}

/// "Its clock is 90 s ahead of this server."
fn clock(seconds_ahead: Option<i64>) -> Option<String> {
    let seconds = seconds_ahead.filter(|seconds| seconds.abs() > APART_SECONDS_MAX)?;
    let side = if seconds < 0 { "behind" } else { "ahead of" };
    Some(format!("Its clock is {} s {side} this server.", seconds.abs()))
}

#[cfg(test)]
mod tests;
