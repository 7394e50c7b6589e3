//! What a connection test found, in words: steps with facts, one of three outcomes, what it means and what to do.

use serde::{Deserialize, Serialize};

use crate::auth::AuthorizationType;
use crate::catalog::{Field, Input, Tokens, in_sentence};
use crate::credential::NextAction;
use crate::delivery::CredentialLesson;
use crate::token::TokenError;

/// The three outcomes; nothing else counts as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// The tool accepted the sign-in.
    Working,
    /// The tool answered, and nothing proved the sign-in.
    Reached,
    /// A step failed.
    Failed,
}

impl TestOutcome {
    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Reached => "reached",
            Self::Failed => "failed",
        }
    }
}

/// The steps of a test, in order: over HTTPS with TLS, token and request, over SFTP with host key, sign-in and folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepCode {
    /// The addresses of the name.
    Name,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The token request.
    Token,
    /// A request with the sign-in.
    Request,
    /// The host key against the pinned ones.
    HostKey,
    /// The sign-in to the session.
    SignIn,
    /// A look into the folder.
    Folder,
    /// A small file that is written, renamed and deleted.
    Write,
}

impl StepCode {
    /// The name on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Name => "Name found",
            Self::Connect => "Network connection",
            Self::Tls => "Secure connection",
            Self::Token => "Access token received",
            Self::Request => "Signed-in request",
            Self::HostKey => "Host key matches",
            Self::SignIn => "Signed in",
            Self::Folder => "Folder can be read",
            Self::Write => "File written, renamed and deleted",
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It went well.
    Done,
    /// It failed; the steps after it were not tried.
    Failed,
    /// It was not needed or not reached.
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStep {
    /// Which.
    pub code: StepCode,
    /// Its name on the screen.
    pub label: String,
    /// How it ended.
    pub state: StepState,
    /// The host, when it is not that of the credential's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How long it took, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What was seen, such as `TLS 1.3, certificate until 2027-02-12`.
    pub fact: String,
}

/// A choice that would work where the present one does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The key of the field.
    pub field: String,
    /// The choice.
    pub value: String,
    /// The choice on the screen.
    pub label: String,
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// One of three.
    pub outcome: TestOutcome,
    /// What it means and what to do, for people.
    pub message: String,
    /// Each step.
    pub steps: Vec<TestStep>,
    /// What was seen exactly: status line, safe headers, start of the answer. Scrubbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What would work instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// What a person can do next about it, where something was refused or is missing.
    #[serde(rename = "action_code", skip_serializing_if = "Option::is_none")]
    pub action: Option<NextAction>,
    /// What is worth a look although nothing failed.
    pub warnings: Vec<String>,
    /// What it teaches about the credential; absent when nothing.
    #[serde(skip)]
    pub lesson: Option<CredentialLesson>,
}

/// What a signed-in request met.
#[derive(Clone, Copy, Debug)]
pub struct RequestSeen<'a> {
    /// The status.
    pub status: u16,
    /// The answer is a web page.
    pub is_html: bool,
    /// The message of the tool in it, scrubbed.
    pub message: Option<&'a str>,
    /// The reason in `WWW-Authenticate`, scrubbed.
    pub reason: Option<&'a str>,
    /// Where a redirect leads to.
    pub leads_to: Option<&'a str>,
    /// The credential has a test path.
    pub has_test_path: bool,
}

/// What the answer to a signed-in request means.
pub fn of_request(entry: &AuthorizationType, seen: RequestSeen<'_>) -> (TestOutcome, String) {
    let RequestSeen { status, .. } = seen;
    match status {
        401 => {
            let reason = seen.reason.map(|reason| format!(" It says: {reason}")).unwrap_or_default();
            let advice = match entry.tokens {
                // The token address has just accepted the client.
                Tokens::Granted => "Someone must approve access again.".to_owned(),
                Tokens::None | Tokens::Fetched => format!("Check {}.", fields_of(entry)),
            };
            (TestOutcome::Failed, format!("The tool refused the sign-in (401). {advice}{reason}"))
        }
        _ if entry.address_is_secret && (200..500).contains(&status) => {
            let proof = "An incoming webhook can only be proven by sending something.";
            (TestOutcome::Reached, format!("Reached. The tool answered {status}. {proof}"))
        }
        403 => {
            let advice = "Check the account's role, or choose another test path.";
            let what = "The tool knows the account but does not allow this path (403).";
            (TestOutcome::Failed, format!("{what} {advice}"))
        }
        200..=299 if seen.has_test_path && seen.is_html => {
            let what = format!(
                "Reached. The tool answered {status} with a web page, which does not prove the sign-in."
            );
            (TestOutcome::Reached, format!("{what} Check the test path."))
        }
        200..=299 if seen.has_test_path => {
            (TestOutcome::Working, "Working. The tool accepted the sign-in.".to_owned())
        }
        200..=399 | 404 | 405 if !seen.has_test_path => {
            let what = format!("Reached. The tool answered {status}, which does not prove the sign-in.");
            (TestOutcome::Reached, format!("{what} Add a test path to prove it."))
        }
        300..=399 => {
            let host = seen.leads_to.unwrap_or("another address");
            let advice = "Redirects are not followed. Update the address.";
            (TestOutcome::Failed, format!("The tool sends us on to {host} ({status}). {advice}"))
        }
        _ => {
            let said = seen.message.map(|message| format!(": {message}")).unwrap_or_default();
            (TestOutcome::Failed, format!("The tool answered {status}{said}"))
        }
    }
}

/// What the answer to a token request means, when it is not a token.
pub fn of_token_error(entry: &AuthorizationType, grant: &str, scope: &str, error: &TokenError) -> String {
    let description = error.description();
    let said = if description.is_empty() { String::new() } else { format!(" It says: {description}") };
    let sentence = match error.code() {
        Some("invalid_client") => "The tool does not accept the client ID or client secret.".to_owned(),
        Some("invalid_scope") => format!("The tool does not know the scope “{scope}”."),
        Some("unauthorized_client" | "unsupported_grant_type") => {
            format!("This client is not allowed to use {grant}. Switch it on in the tool.")
        }
        // ServiceNow's words for a grant that is switched off.
        Some("server_error") if description == "access_denied" && grant == "client_credentials" => {
            "The tool denied access. Switch on client credentials in ServiceNow.".to_owned()
        }
        Some("invalid_grant") if matches!(error, TokenError::GrantEnded { .. }) => {
            "The tool no longer accepts the refresh token. Someone must approve access again.".to_owned()
        }
        Some(code) => format!("The tool gave no token: {code}."),
        None if error.reason().contains("web page") => {
            // Where the token address is only another one, the Recipient is meant.
            let mut named =
                entry.fields.iter().filter(|field| ["access_token_url", "recipient"].contains(&field.key));
            let label = named.next().map_or("Access Token URL", |field| field.label);
            format!("The {label} shows a web page, not a token. Check the address.")
        }
        None => format!("The tool gave no token: {}.", error.reason()),
    };
    format!("{sentence}{said}")
}

pub use assertion::{AssertionSeen, of_assertion_error};

mod assertion;

/// The sentence when another placement of the client works where the chosen one does not.
pub fn of_offer(works: &str, fails: &str) -> String {
    format!("The tool accepts the client secret in {works}, not in {fails}.")
}

/// The sentence when a server refused the sign-in to a session; `set` knows which secrets there are.
pub fn of_session(entry: &AuthorizationType, set: impl Fn(&str) -> bool) -> String {
    let offered =
        |field: &&Field| if field.is_secret() { set(field.key) } else { field.input == Input::Text };
    let fields = in_words(entry.fields.iter().filter(offered));
    format!("The server refused the sign-in. Check {fields}.")
}

/// A clock that is apart may make the tool refuse what is dated.
pub fn of_clocks(seconds_ahead: i64) -> Option<String> {
    const APART_SECONDS_MAX: i64 = 60;
    let apart = seconds_ahead.abs();
    let side = if seconds_ahead < 0 { "behind" } else { "ahead of" };
    (apart > APART_SECONDS_MAX)
        .then(|| format!("The tool's clock is {apart} s {side} this server. Assertions may be refused."))
}

/// "the username and password": what to check when a sign-in was refused.
fn fields_of(entry: &AuthorizationType) -> String {
    let checked = |field: &&Field| {
        let proves = field.is_secret() || (field.input == Input::Text && field.missing.is_some());
        proves && field.under.is_none()
    };
    in_words(entry.fields.iter().filter(checked))
}

fn in_words<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    let labels: Vec<_> = fields.map(|field| in_sentence(field.label)).collect();
    match labels.as_slice() {
        [] => "the address".to_owned(),
        [one] => format!("the {one}"),
        [all @ .., last] => format!("the {} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests;
