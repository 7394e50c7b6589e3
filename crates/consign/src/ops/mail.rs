//! Mail that Consign writes: invitations, notices, and one to try whether it arrives. Without `smtp.url` there is none.

use consign_core::mail::{Mail, MailServer, Mailbox};
use consign_core::rights::Right;
use consign_core::role::Role;
use consign_core::time::Timestamp;
use consign_store::users;
use serde_json::{Value, json};

use super::{Actor, ActorKind, Object, OpError, Sent, audit_entry, commit, invalid};
use crate::App;

/// How mail is told in the audit log.
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: "Mail" };

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// The mail server took it.
    Sent,
    /// It did not; why, a whole sentence.
    Failed(String),
    /// It never will, for this recipient; why, a whole sentence.
    Refused(String),
}

/// Whether mail can be sent at all.
pub fn is_on(app: &App) -> bool {
    app.config.smtp.url.is_some()
}

/// Sends a text to somebody. No transaction may be open. `None` when there is no mail server.
pub async fn send(app: &App, to: &str, subject: &str, text: String) -> Option<Mailed> {
    let (url, from) = (app.config.smtp.url.as_ref()?, app.config.smtp.from.as_deref()?);
    let (Ok(server), Ok(from)) = (MailServer::parse(url), Mailbox::parse(from)) else {
        return Some(Mailed::Failed("smtp.url or smtp.from cannot be read.".to_owned()));
    };
    let Ok(to) = Mailbox::parse(to) else {
        return Some(Mailed::Refused("This is no address that mail can be sent to.".to_owned()));
    };
    let at = app.now();
    let id = consign_core::id::RequestId::new(at).to_string();
    let mail = Mail { from, to, subject: subject.to_owned(), text, at, id };
    match app.engine.send_mail(&server, &mail).await {
        Ok(()) => Some(Mailed::Sent),
        Err(fault) => {
            tracing::warn!(%fault, "a mail was not sent");
            let (is_final, why) = (fault.is_of_recipient(), fault.to_string());
            Some(if is_final { Mailed::Refused(why) } else { Mailed::Failed(why) })
        }
    }
}

/// Sends one mail to try it. A person gets it themselves unless another address is given.
///
/// # Errors
/// When there is no mail server, no address, or it was tried too often.
pub async fn test(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    if let Some(unknown) = sent.keys().find(|key| *key != "to") {
        return Err(invalid(unknown, "unknown_field", "This field is not known. Send to"));
    }
    if !is_on(app) {
        let sentence = "Mail is not set up. Set smtp.url and smtp.from in the configuration of this server";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let typed = sent.get("to").and_then(Value::as_str).unwrap_or_default().trim();
    let to = match (&actor.kind, typed) {
        (ActorKind::User { id, .. }, "") => {
            let found = users::find(&mut *app.store.read().await?, *id).await?;
            found.map(|user| user.email).unwrap_or_default()
        }
        _ => typed.to_owned(),
    };
    if Mailbox::parse(&to).is_err() {
        return Err(invalid("to", "bad_form", "Enter an email address such as ana@acme.example"));
    }
    app.tests.take(format!("mail by {}", actor.caller()), app.now())?;
    let text = format!("This mail was sent to try it, by Consign at {}.\n", app.public_url());
    let mailed = send(app, &to, "Consign can send you mail", text).await;
    let (outcome, message) = match mailed {
        Some(Mailed::Sent) => ("sent", format!("The mail server took the mail to {to}.")),
        Some(Mailed::Failed(why) | Mailed::Refused(why)) => ("failed", why),
        None => ("failed", String::new()),
    };
    let mut tx = app.store.begin().await?;
    let changes = json!({ "to": to, "outcome": outcome });
    audit_entry(app, &mut tx, actor, "Sent test mail", OBJECT, changes).await?;
    commit(app, tx).await?;
    Ok(json!({ "to": to, "outcome": outcome, "message": message }))
}

/// Sends somebody the link of their invitation: what to say about it, when there is mail at all.
pub async fn invitation(app: &App, actor: &Actor, email: &str, role: Role, made: &Value) -> Option<Value> {
    let link = made["invitation"]["link"].as_str()?;
    let until = made["invitation"]["ends_at"].as_str()?;
    let by = actor.name();
    let text = format!(
        "{by} invites you to Consign at {} as {}.\n\nOpen this link to come in. It works once, until {until}:\n\n\
         {link}\n\nWhoever opens it first becomes this person. If you do not expect it, do nothing.\n",
        app.public_url(),
        role.label(),
    );
    Some(match send(app, email, "You are invited to Consign", text).await? {
        Mailed::Sent => json!({ "sent": true, "problem": null }),
        Mailed::Failed(why) | Mailed::Refused(why) => json!({ "sent": false, "problem": why }),
    })
}

/// A time for people who read it in mail.
pub fn shown(time: Timestamp) -> String {
    json!(time).as_str().unwrap_or_default().to_owned()
}
