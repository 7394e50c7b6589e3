//! Users and roles: list, invitation, role, and what is done to a person.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use consign_core::role::Role;
use serde_json::{Map, Value, json};

use super::Console;
use super::conflict::Conflict;
use super::errors::Failure;
use super::form::{errors, message_at, page, pages, password_again, seen_etag};
use super::visit::{Message, Signed};
use crate::ops::audit::Saved;
use crate::ops::people::{self, Deed};
use crate::ops::{IfMatch, OpError};

const PLACE: &str = "users";
const LIST: &str = "/users";
/// It makes a way in, as some deeds do: the password is asked for again.
const INVITE_AGAIN: &str = "invite-again";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/users/new", get(new).post(invite))
        .route("/users/{id}", get(show).post(change))
        .route("/users/{id}/{deed}", get(confirm).post(act))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let listed = people::list(visit.app(), &visit.actor, &page(form)).await?;
    let context = json!({
        "pages": pages(form, LIST, &listed),
        "roles": roles(""),
        "whole": listed.next.is_none() && listed.previous.is_none(),
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "users.html", (PLACE, "Users and roles"), context).await)
}

/// The roles to choose from, with the words of pages.
fn roles(chosen: &str) -> Value {
    let all = Role::ALL.iter().map(|role| {
        json!({
            "value": role.kind(), "label": role.label(), "hint": role.hint(), "chosen": role.kind() == chosen,
        })
    });
    all.collect()
}

fn role_field(value: &str, invalid: &[Invalid]) -> Value {
    json!({
        "key": "role", "label": "Role", "options": roles(value), "value": value,
        "error": message_at(invalid, "role"),
    })
}

async fn new(visit: Signed) -> Response {
    invite_page(&visit, StatusCode::OK, &[]).await
}

async fn invite_page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Response {
    let context = json!({
        "errors": errors(invalid),
        "email": {
            "key": "email", "label": "Email", "type": "email", "value": visit.form.text("email"),
            "error": message_at(invalid, "email"),
        },
        "role": role_field(visit.form.text("role"), invalid),
        "password": password_again(visit, invalid),
    });
    visit.page(status, "user_new.html", (PLACE, "Invite a person"), context).await
}

async fn invite(visit: Signed) -> Result<Response, Failure> {
    let sent = typed(&visit, &["email", "role"]);
    let mut made = None;
    let once = visit.once(|_| LIST.to_owned(), async {
        made = Some(people::invite(visit.app(), &visit.actor, sent).await?);
        Ok(Value::Null)
    });
    match once.await {
        Ok(_) => Ok(invited(&visit, made).await),
        Err(OpError::Invalid(invalid)) => {
            Ok(invite_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await)
        }
        Err(other) => Err(other.into()),
    }
}

/// Shows the link, once.
async fn invited(visit: &Signed, made: Option<Value>) -> Response {
    let Some(made) = made else {
        let text = "This person was invited already. Their link was shown once.";
        return visit.go_and_say(LIST, Message::done(text));
    };
    let context = json!({ "current": made });
    visit.page(StatusCode::OK, "user_invited.html", (PLACE, "Invitation"), context).await
}

/// What a form says, as a body of the API.
fn typed(visit: &Signed, keys: &[&str]) -> Map<String, Value> {
    let of = |key: &&str| ((*key).to_owned(), json!(visit.form.text(key)));
    keys.iter().chain(&["password"]).map(of).collect()
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = people::find(visit.app(), &visit.actor, &id).await?;
    Ok(person_page(&visit, StatusCode::OK, &current, &[]).await)
}

async fn person_page(visit: &Signed, status: StatusCode, current: &Value, invalid: &[Invalid]) -> Response {
    let stored = |key: &str| current[key].as_str().unwrap_or_default();
    let typed = visit.form.text("role");
    let role = if typed.is_empty() { stored("role") } else { typed };
    let name = [stored("name"), stored("email")].into_iter().find(|name| !name.is_empty());
    let mut field = role_field(role, invalid);
    field["hint"] = if current["id"] == json!(visit.person.id) {
        json!("With another role your sessions end, this one too.")
    } else {
        json!("With another role their sessions end, and they sign in again.")
    };
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(&visit.form, current),
        "current": current,
        "role": field,
        "password": password_again(visit, invalid),
        "deeds": deeds(current),
    });
    visit.page(status, "user.html", (PLACE, name.unwrap_or_default()), context).await
}

async fn change(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = people::find(visit.app(), &visit.actor, &id).await?;
    let sent = typed(&visit, &["role"]);
    let address = format!("{LIST}/{}", current["id"].as_str().unwrap_or_default());
    if sent["role"] == current["role"] {
        let text = format!("{} has this role already. Nothing was changed.", name_of(&current));
        return Ok(visit.go_and_say(&address, Message::done(text)));
    }
    match people::change(visit.app(), &visit.actor, &id, sent, visit.form.if_match()).await {
        Ok(now) => {
            let role = Role::find(now["role"].as_str().unwrap_or_default()).map_or("", Role::label);
            let text = format!("{} is now {role}. Their sessions have ended.", name_of(&now));
            Ok(visit.go_and_say(&address, Message::done(text)))
        }
        Err(OpError::Invalid(invalid)) => {
            Ok(person_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &current, &invalid).await)
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&address, Message::refused(format!("{sentence}."))))
        }
        Err(OpError::Changed { .. }) => changed_meanwhile(&visit, &id, address).await,
        Err(other) => Err(other.into()),
    }
}

/// Somebody else changed this person meanwhile: the choice, with the role that was chosen.
async fn changed_meanwhile(visit: &Signed, id: &str, address: String) -> Result<Response, Failure> {
    let theirs = people::find(visit.app(), &visit.actor, id).await?;
    let label = |kind: &str| Role::find(kind).map_or("", Role::label);
    let role = label(theirs["role"].as_str().unwrap_or_default());
    let shown = json!({ "etag": theirs["etag"], "role": role });
    let conflict = Conflict {
        what: "this account",
        place: PLACE,
        address,
        name: name_of(&theirs),
        saved: Saved::Person(theirs["id"].as_str().unwrap_or_default()),
        fields: Value::Null,
        password: password_again(visit, &[]),
        theirs: &shown,
    };
    let mine = Map::from_iter([("role".to_owned(), json!(label(visit.form.text("role"))))]);
    conflict.page(visit, &mine).await
}

fn name_of(person: &Value) -> &str {
    let text = |key: &str| person[key].as_str().filter(|text| !text.is_empty());
    text("name").or_else(|| text("email")).unwrap_or_default()
}

/// Something that is asked about before it is done.
struct Question {
    word: &'static str,
    button: &'static str,
    kind: &'static str,
    question: &'static str,
    meaning: &'static str,
    done: &'static str,
}

static QUESTIONS: &[Question] = &[
    Question {
        word: "sign-out",
        button: "Sign out everywhere",
        kind: "secondary",
        question: "Sign out everywhere?",
        meaning: "Every session of this person ends. They can sign in again.",
        done: "is signed out everywhere",
    },
    Question {
        word: "reset-two-step",
        button: "Reset two-step sign-in",
        kind: "secondary",
        question: "Reset two-step sign-in?",
        meaning: "The password alone is enough until they set it up again. Make sure that it is really them who asks.",
        done: "signs in with the password alone now",
    },
    Question {
        word: "suspend",
        button: "Suspend",
        kind: "danger",
        question: "Suspend this person?",
        meaning: "They cannot sign in any more, and their sessions end. API keys stay: revoke those that they know.",
        done: "is suspended",
    },
    Question {
        word: "reactivate",
        button: "Reactivate",
        kind: "secondary",
        question: "Reactivate this person?",
        meaning: "They can sign in again, with the role and password they had.",
        done: "can sign in again",
    },
    Question {
        word: INVITE_AGAIN,
        button: "Make a new link",
        kind: "secondary",
        question: "Make a new link?",
        meaning: "The link before it no longer works. The new one works once, for 72 hours.",
        done: "has a new link",
    },
    Question {
        word: "delete",
        button: "Delete",
        kind: "danger",
        question: "Delete this person?",
        meaning: "What they did stays in the audit log. This cannot be undone.",
        done: "was deleted",
    },
];

fn question(word: &str) -> Result<&'static Question, Failure> {
    QUESTIONS.iter().find(|question| question.word == word).ok_or(Failure::NotFound)
}

fn deed(word: &str) -> Option<Deed> {
    Some(match word {
        "suspend" => Deed::Suspend,
        "reactivate" => Deed::Reactivate,
        "sign-out" => Deed::SignOut,
        "reset-two-step" => Deed::ResetTwoStep,
        _ => return None,
    })
}

/// What can be done to a person as they are now.
fn deeds(current: &Value) -> Value {
    let state = current["state"].as_str().unwrap_or_default();
    let fits = |question: &&Question| match question.word {
        INVITE_AGAIN => state == "invited",
        "reactivate" => state == "suspended",
        "suspend" | "sign-out" => state == "active",
        "reset-two-step" => current["two_step"] == json!(true),
        "delete" => state != "active",
        _ => false,
    };
    let of = |one: &Question| json!({ "word": one.word, "button": one.button, "kind": one.kind });
    QUESTIONS.iter().filter(fits).map(of).collect()
}

async fn confirm(visit: Signed, Path((id, word)): Path<(String, String)>) -> Result<Response, Failure> {
    let question = question(&word)?;
    let current = people::find(visit.app(), &visit.actor, &id).await?;
    Ok(deed_page(&visit, StatusCode::OK, question, &current, &[]).await)
}

async fn deed_page(
    visit: &Signed,
    status: StatusCode,
    question: &Question,
    current: &Value,
    invalid: &[Invalid],
) -> Response {
    let asks = question.word == INVITE_AGAIN || deed(question.word).is_some_and(Deed::makes_a_way_in);
    let context = json!({
        "errors": errors(invalid),
        "password": if asks { password_again(visit, invalid) } else { Value::Null },
        "current": current,
        "question": question.question,
        "meaning": question.meaning,
        "word": question.word,
        "button": question.button,
        "danger": question.kind == "danger",
    });
    visit.page(status, "user_deed.html", (PLACE, name_of(current)), context).await
}

async fn act(visit: Signed, Path((id, word)): Path<(String, String)>) -> Result<Response, Failure> {
    let question = question(&word)?;
    let (app, actor) = (visit.app(), &visit.actor);
    let current = people::find(app, actor, &id).await?;
    let done = match question.word {
        INVITE_AGAIN => {
            return match people::invite_again(app, actor, &id, typed(&visit, &[])).await {
                Ok(made) => Ok(invited(&visit, Some(made)).await),
                Err(OpError::Invalid(invalid)) => {
                    let status = StatusCode::UNPROCESSABLE_ENTITY;
                    Ok(deed_page(&visit, status, question, &current, &invalid).await)
                }
                Err(other) => Err(other.into()),
            };
        }
        "delete" => people::delete(app, actor, &id, IfMatch::Any).await.map(drop),
        word => {
            let deed = deed(word).ok_or(Failure::NotFound)?;
            let sent = if deed.makes_a_way_in() { typed(&visit, &[]) } else { Map::new() };
            people::act(app, actor, &id, deed, sent).await.map(drop)
        }
    };
    let address = format!("{LIST}/{}", current["id"].as_str().unwrap_or_default());
    match done {
        Ok(()) => {
            let place = if question.word == "delete" { LIST } else { &address };
            let text = format!("{} {}.", name_of(&current), question.done);
            Ok(visit.go_and_say(place, Message::done(text)))
        }
        Err(OpError::Invalid(invalid)) => {
            Ok(deed_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, question, &current, &invalid).await)
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&address, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}
