//! Failures as pages: what happened, what it means, what to do. Never a trace, never a dead end.

use std::error::Error;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consign_core::catalog::with_commas;
use consign_core::rights::Right;
use consign_core::role::Role;
use consign_store::StoreError;
use serde_json::json;

use super::FORM_BYTES_MAX;
use super::visit::Visit;
use crate::ops::{OpError, users};

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Failure {
    /// An operation was not done.
    Op(OpError),
    /// Nobody is signed in.
    SignIn,
    /// A second step has to be set up before anything else is done.
    SecondStepNeeded,
    /// There is no administrator yet.
    NotSetUp,
    /// No such page.
    NotFound,
    /// The page is there, but not for this method.
    WrongMethod,
    /// A form was sent from another site.
    OtherSite,
    /// A form of an older session.
    FormTooOld,
    /// What was sent is larger than any form.
    TooLarge,
    /// A file that was sent along is larger than this server takes.
    FileTooLarge {
        /// What it may have.
        bytes_max: u64,
    },
    /// What was sent is no form.
    NotAForm,
    /// Too many tries.
    TooMany {
        /// The wait until the next one.
        seconds: u64,
    },
    /// A set-up link was used, or is too old.
    SetUpLinkUsed,
    /// The sign-in link of the demo waits to be opened.
    DemoNotOpened,
    /// An invitation was used or replaced, or is too old.
    InvitationUsed,
    /// The sign-in link of the demo was used, or is too old.
    SignInLinkUsed,
    /// The provider signed nobody in: a heading, what happened and what to do.
    Provider {
        /// The status of the page.
        status: StatusCode,
        /// What happened.
        title: &'static str,
        /// What it means, and what to do.
        text: String,
    },
    /// A sign-in by plain http from another machine.
    PlainHttp,
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

/// The middleware of the console makes the page; it knows who is signed in.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

pub(super) async fn not_found() -> Failure {
    Failure::NotFound
}

pub(super) async fn wrong_method() -> Failure {
    Failure::WrongMethod
}

/// What a page of failure says.
struct Words {
    status: StatusCode,
    title: &'static str,
    text: String,
    /// What it means for whoever looks at it, and what else can be done.
    more: String,
    /// A command that helps.
    command: Option<&'static str>,
}

fn words(status: StatusCode, title: &'static str, text: impl Into<String>) -> Words {
    Words { status, title, text: text.into(), more: String::new(), command: None }
}

/// The lists, and what is said of one that cannot be shown: it is not empty.
const LISTS: [(&str, &str); 9] = [
    ("/credentials", "Credentials could not be loaded. They are not lost."),
    ("/webhooks", "Webhooks could not be loaded. They are not lost."),
    ("/exporters", "Data exporters could not be loaded. They are not lost."),
    ("/gateways", "Gateways could not be loaded. They are not lost."),
    ("/deliveries", "Deliveries could not be loaded. They are not lost."),
    ("/events", "Events could not be loaded. They are not lost."),
    ("/audit", "The audit log could not be loaded. It is not lost."),
    ("/users", "Users could not be loaded. They are not lost."),
    ("/api-keys", "API keys could not be loaded. They are not lost."),
];

/// The page of a failure.
pub(super) async fn show(visit: &Visit, failure: &Failure) -> Response {
    let said = match failure {
        Failure::SignIn => return visit.go(&sign_in_address(&visit.address)),
        Failure::SecondStepNeeded => return visit.go(super::policy::SECOND_STEP),
        Failure::Op(OpError::NotAllowed(right)) => not_allowed(visit, *right).await,
        Failure::Op(error) => operation(visit, error),
        other => request(other),
    };
    let passes = said.status.is_server_error() || said.status == StatusCode::TOO_MANY_REQUESTS;
    let context = json!({
        "text": said.text,
        "more": said.more,
        "command": said.command,
        "reference": visit.request_id,
        "search": matches!(failure, Failure::NotFound | Failure::Op(OpError::NotFound(_))),
        // What failed while it was looked at can be looked at again; what was sent is not sent twice by a link.
        "again": passes && visit.looks,
        "with_reference": said.status == StatusCode::INTERNAL_SERVER_ERROR,
        "sign_in": !matches!(failure, Failure::NotSetUp | Failure::DemoNotOpened | Failure::PlainHttp),
    });
    let mut response = visit.page(said.status, "error.html", ("", said.title), context).await;
    let wait = match failure {
        Failure::TooMany { seconds } => Some(*seconds),
        Failure::Op(OpError::StorageFull | OpError::QueueFull | OpError::Draining | OpError::Unavailable) => {
            Some(10)
        }
        _ => None,
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The sign-in page, and where to go afterwards. Only pages are come back to, not forms.
fn sign_in_address(asked: &str) -> String {
    let plain = asked.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if asked == "/" || !plain { "/sign-in".to_owned() } else { format!("/sign-in?next={asked}") }
}

fn request(failure: &Failure) -> Words {
    match failure {
        Failure::NotSetUp => Words {
            command: Some("consign admin setup-link"),
            ..words(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not set up yet",
                "Open the set-up link that the terminal or the log of this server shows. \
                 For a new one, stop Consign, make it with this command, and start Consign again:",
            )
        },
        Failure::DemoNotOpened => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "Open the console link first",
            "The demo signs you in by a link. Open the link behind “Console” in the terminal of the demo, \
             then this page again. The link behind “Approve” does both.",
        ),
        Failure::SetUpLinkUsed => Words {
            command: Some("consign admin setup-link"),
            ..words(
                StatusCode::NOT_FOUND,
                "This link does not work any more",
                "This set-up link was used or is older than 30 minutes. Stop Consign, make a new one with this \
                 command, and start Consign again:",
            )
        },
        Failure::InvitationUsed => words(
            StatusCode::NOT_FOUND,
            "This link does not work any more",
            "This invitation was used, replaced, or is older than 72 hours. Ask an administrator for a new link.",
        ),
        Failure::SignInLinkUsed => words(
            StatusCode::NOT_FOUND,
            "This link does not work any more",
            "This link was already used or is older than 30 minutes. Start the demo again for a new one.",
        ),
        Failure::PlainHttp => words(
            StatusCode::FORBIDDEN,
            "Signing in needs https",
            "Over plain http, others on the network could read your password. Open Consign by https, \
             or on the computer it runs on at http://127.0.0.1.",
        ),
        Failure::WrongMethod => words(
            StatusCode::METHOD_NOT_ALLOWED,
            "This page cannot be opened this way",
            "Use the button on its page instead.",
        ),
        Failure::OtherSite => words(
            StatusCode::FORBIDDEN,
            "This form was sent from another site",
            "Nothing was changed. Open the page here and send the form from it.",
        ),
        Failure::FormTooOld => words(
            StatusCode::FORBIDDEN,
            "This form is from an earlier session",
            "Nothing was changed. Open the page again and send the form from it.",
        ),
        Failure::TooLarge => {
            let limit = FORM_BYTES_MAX / 1_024;
            words(StatusCode::PAYLOAD_TOO_LARGE, "Too large", format!("The form is larger than {limit} KiB."))
        }
        Failure::FileTooLarge { bytes_max } => {
            let limit = with_commas(usize::try_from(*bytes_max).unwrap_or(usize::MAX));
            let text = format!("The file is larger than {limit} bytes.");
            let more = "The limit is “Largest file in bytes” in Settings > Delivery.".to_owned();
            Words { more, ..words(StatusCode::PAYLOAD_TOO_LARGE, "Too large", text) }
        }
        Failure::NotAForm => {
            words(StatusCode::BAD_REQUEST, "Not readable", "What was sent is not a form of this console.")
        }
        Failure::Provider { status, title, text } => words(*status, title, text.as_str()),
        Failure::TooMany { seconds } => words(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many tries",
            format!("Too many tries. Wait {seconds} seconds."),
        ),
        Failure::NotFound | Failure::SignIn | Failure::SecondStepNeeded | Failure::Op(_) => {
            let more = "It may be mistyped, or lead to something that was deleted. Search the manual, or go on below.";
            let said = words(StatusCode::NOT_FOUND, "Page not found", "There is no page at this address.");
            Words { more: more.to_owned(), ..said }
        }
    }
}

/// The role that is needed, and who can give it.
async fn not_allowed(visit: &Visit, right: Right) -> Words {
    let said = role_needed(right, &users::administrators(visit.app()).await.unwrap_or_default());
    let own = visit.person.as_ref().map_or("", |person| person.role.label());
    Words { more: format!("Your role is {own}. Nothing was changed."), ..said }
}

fn role_needed(right: Right, administrators: &[String]) -> Words {
    let role = Role::least_with(right).label();
    let names = listed(administrators);
    words(
        StatusCode::FORBIDDEN,
        "This page is not for your role",
        format!("You need the role {role} for this page. {names} can give it to you."),
    )
}

/// "Ana, Bo or Cy"; of many the first three.
fn listed(names: &[String]) -> String {
    const NAMED_MAX: usize = 3;
    match names {
        [] => "An administrator".to_owned(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= NAMED_MAX => format!("{} or {last}", first.join(", ")),
        _ => format!("{} or another administrator", names[..NAMED_MAX].join(", ")),
    }
}

fn operation(visit: &Visit, error: &OpError) -> Words {
    match error {
        OpError::NotAllowed(right) => role_needed(*right, &[]),
        OpError::PeopleOnly(sentence) => {
            words(StatusCode::FORBIDDEN, "Not for programs", format!("{sentence}."))
        }
        OpError::NotFound(what) => words(
            StatusCode::NOT_FOUND,
            "Page not found",
            format!("There is no such {what}. It may have been deleted."),
        ),
        OpError::Invalid(invalid) => {
            let sentences: Vec<_> = invalid.iter().map(|one| one.message.as_str()).collect();
            words(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Some values were not accepted",
                format!("{}.", sentences.join(". ")),
            )
        }
        OpError::Changed { .. } => words(
            StatusCode::CONFLICT,
            "Someone else changed it meanwhile",
            "Nothing was changed. Open the page again.",
        ),
        OpError::StillUsed(_) => words(StatusCode::CONFLICT, "Connectors use it", "Nothing was changed."),
        OpError::ManagedElsewhere(manager) => words(
            StatusCode::CONFLICT,
            "Managed from a file",
            format!("A file that is applied as {manager} manages it. Nothing was changed."),
        ),
        OpError::WrongState(sentence) => {
            words(StatusCode::CONFLICT, "Not possible now", format!("{sentence}."))
        }
        OpError::Idempotency(_) => {
            words(StatusCode::CONFLICT, "This form was sent already", "Open the list to see what came of it.")
        }
        OpError::TooMany { seconds } => words(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many tries",
            format!("Too many tries. Wait {seconds} seconds."),
        ),
        OpError::QueueFull => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "The queue is full",
            "The queue of this server is full. Nothing was changed.",
        ),
        OpError::StorageFull => words(
            StatusCode::INSUFFICIENT_STORAGE,
            "The disk is full",
            "The disk of this server is full. Nothing was changed. It goes on by itself once there is room.",
        ),
        OpError::Draining => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is stopping",
            "Nothing was changed. Try again in a moment.",
        ),
        OpError::Unavailable => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database cannot be reached",
            "Nothing was changed and nothing is lost. Try again in a moment.",
        ),
        OpError::Internal(cause) => internal(visit, &**cause),
    }
}

fn internal(visit: &Visit, cause: &(dyn Error + Send + Sync + 'static)) -> Words {
    if matches!(cause.downcast_ref(), Some(StoreError::BadCursor)) {
        let text = "There is no such page of this list. Open the list again.";
        return words(StatusCode::NOT_FOUND, "Page not found", text);
    }
    tracing::error!(error = cause as &dyn Error, request_id = %visit.request_id, "a page failed");
    let happened = "Something went wrong on this server. Nothing was changed.";
    let list = LISTS.iter().find(|(list, _)| visit.looks && *list == visit.pattern);
    let (text, more) = list.map_or((happened, ""), |(_, not_loaded)| (not_loaded, happened));
    let said = words(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text);
    Words { more: more.to_owned(), ..said }
}
