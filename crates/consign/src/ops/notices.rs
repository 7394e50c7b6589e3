//! Notices: what needs a person is told to people who do not look at the console. Each object and reason once until the
//! reason is gone, as an event that a webhook can carry, and by mail to those who are named in the settings.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use consign_core::audit::Table;
use consign_core::event::{Event, JSON, OWN_SOURCE};
use consign_core::id::EventId;
use consign_core::mail::Mailbox;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::notices::{self, Notice};
use consign_store::{Db, installation};
use serde_json::{Value, json};

use super::mail::{self, Mailed};
use super::{Actor, IfMatch, Object, OpError, Sent, audit, audit_rows, commit, exceptions, invalid};
use crate::App;

use facts::Facts;

mod facts;

/// The engine gives the events of this type.
const ENDS: &str = "consign.credential.ends";
/// Where the settings are kept, as one JSON text.
pub(super) const SETTINGS: &str = "notifications";
/// A page of a hundred lines is a mailing list's work.
const EMAILS_MAX: usize = 20;
/// How often it is looked.
const ROUND: Duration = Duration::from_secs(60);
/// A mail that was taken by a process that died goes out again after that.
const TAKEN: Duration = Duration::from_secs(300);
/// Between tries: twice as long each time, up to this.
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// What is over and still owes a mail or an event owes it no longer after that.
const GIVEN_UP: Duration = Duration::from_secs(7 * 86_400);
/// So many share an acceptance.
const PORTION: u32 = 100;
/// Of one mail.
const LINES_MAX: usize = 50;
const PART: &str = "Notifications";
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: PART };
const CHANGED: &str = "Changed notifications";
/// What is changed here, in the audit log.
pub const SAVED: audit::Saved<'static> = audit::Saved::Settings(CHANGED);

/// The settings, and what is told at present.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let stored = stored(app, &mut db).await?;
    Ok(show(app, &stored, &notices::all(&mut db).await?))
}

fn show(app: &App, stored: &Stored, told: &[Notice]) -> Value {
    let rows = told.iter().rev().map(|notice| {
        let mail = match (&notice.failure, notice.retry_at, notice.tries) {
            (Some(_), Some(_), _) => "failing",
            (Some(_), None, _) => "refused",
            (None, Some(_), _) => "waiting",
            (None, None, 0) => "none",
            (None, None, _) => "sent",
        };
        let mut row = notice.said.clone();
        row["type"] = json!(notice.kind);
        row["began_at"] = json!(notice.began_at);
        row["mail"] = json!(mail);
        row["mail_problem"] = json!(notice.failure);
        row
    });
    json!({
        "etag": format!("\"{}\"", stored.revision),
        "emails": stored.emails,
        "mail": { "is_set_up": mail::is_on(app), "from": app.config.smtp.from },
        "notices": rows.collect::<Vec<_>>(),
    })
}

/// Why mail does not go out, when it does not: for the banner.
///
/// # Errors
/// When the database cannot be read.
pub async fn problem(app: &App) -> Result<Option<String>, OpError> {
    Ok(notices::failure(&mut *app.store.read().await?).await?)
}

/// Changes who is told by mail.
///
/// # Errors
/// When a value was not accepted, or somebody else changed it meanwhile.
pub async fn change(app: &App, actor: &Actor, sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    if let Some(unknown) =
        sent.keys().find(|key| !["emails", "etag", "mail", "notices"].contains(&key.as_str()))
    {
        return Err(invalid(unknown, "unknown_field", "This field is not known. Send emails"));
    }
    let rows = sent.get("emails").and_then(Value::as_array).cloned().unwrap_or_default();
    let emails: Vec<String> = rows
        .iter()
        .filter_map(Value::as_str)
        .map(|row| row.trim().to_owned())
        .filter(|row| !row.is_empty())
        .collect();
    if emails.len() > EMAILS_MAX {
        return Err(invalid("emails", "too_many", "Name 20 people or fewer"));
    }
    if let Some(bad) = emails.iter().find(|email| Mailbox::parse(email).is_err()) {
        let shown: String = bad.chars().filter(|c| !c.is_control()).take(80).collect();
        let sentence = format!("“{shown}” is no email address. Enter one such as ana@acme.example");
        return Err(invalid("emails", "bad_form", &sentence));
    }
    let mut tx = app.store.begin().await?;
    let before = installation::get_to_set(&mut tx, SETTINGS).await?;
    let before = judged(app, &mut tx, &before).await?;
    if_match.judge(before.revision)?;
    let now = Stored { revision: before.revision + 1, emails };
    let text = json!({ "revision": now.revision, "emails": now.emails }).to_string();
    installation::put(&mut tx, SETTINGS, &text).await?;
    notices::forget_refusals(&mut tx).await?;
    let changes = json!({ "emails": { "old": before.emails, "new": now.emails } });
    let rows = [(Table::Setting, SETTINGS.to_owned())];
    audit_rows(app, &mut tx, actor, CHANGED, OBJECT, changes, &rows).await?;
    let told = notices::all(&mut tx).await?;
    commit(app, tx).await?;
    Ok(show(app, &now, &told))
}

struct Stored {
    revision: i64,
    emails: Vec<String>,
}

async fn stored(app: &App, db: &mut Db) -> Result<Stored, OpError> {
    let text = installation::get(db, SETTINGS).await?.unwrap_or_default();
    judged(app, db, &text).await
}

/// Nobody is told whom nobody named: a list that was changed outside Consign is empty until it is saved again.
async fn judged(app: &App, db: &mut Db, text: &str) -> Result<Stored, OpError> {
    let read: Value = serde_json::from_str(text).unwrap_or_default();
    let fits = app.records.fits(db, Table::Setting, SETTINGS).await?;
    if !fits {
        tracing::error!("the list of people who get notices was changed outside Consign: nobody is mailed");
    }
    let emails = read["emails"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|_| fits);
    Ok(Stored {
        revision: read["revision"].as_i64().unwrap_or(1),
        emails: emails.map(str::to_owned).collect(),
    })
}

/// Looks every minute, for as long as the product runs.
pub async fn watch(app: Weak<App>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(app) = app.upgrade() else { return };
        if app.engine.is_stopping() {
            return;
        }
        if let Err(error) = round(&app).await {
            tracing::warn!(%error, "notices could not be given; trying again in a minute");
        }
    }
}

/// Tells what is new, forgets what is over, and mails what is due.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn round(app: &Arc<App>) -> Result<(), OpError> {
    if let Err(error) = audit::look(app).await {
        tracing::warn!(%error, "the audit log could not be looked at; trying again in a minute");
    }
    exceptions::look(app).await;
    let facts = facts::present(app).await?;
    take_in(app, facts).await?;
    give_events(app).await?;
    mail_due(app).await
}

/// Stores what is new, with what is owed of it, and removes what is over and owes nothing.
async fn take_in(app: &App, facts: Facts) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let to_mail = mail::is_on(app) && !stored(app, &mut tx).await?.emails.is_empty();
    let present: HashSet<_> = facts.all.iter().map(|fact| fact.key.as_str()).collect();
    for notice in notices::all(&mut tx).await? {
        // Of more than is looked at nobody knows what is over.
        let over = !present.contains(notice.key.as_str()) && !facts.is_cut;
        if over != notice.over {
            notices::set_over(&mut tx, &notice.key, over).await?;
        }
    }
    notices::sweep(&mut tx, now.minus(GIVEN_UP)).await?;
    for fact in facts.all {
        let notice = Notice {
            key: fact.key,
            kind: fact.kind.to_owned(),
            said: fact.said,
            began_at: now,
            retry_at: to_mail.then_some(now),
            tries: 0,
            failure: None,
            owes_event: fact.kind != ENDS,
            over: false,
        };
        notices::begin(&mut tx, &notice).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Stores the events that are owed. Their source and its id make each of them one, though two replicas give it, or one
/// that ended before it was written down.
async fn give_events(app: &Arc<App>) -> Result<(), OpError> {
    loop {
        let owed = notices::owing_events(&mut *app.store.read().await?, PORTION).await?;
        if owed.is_empty() {
            return Ok(());
        }
        let events = owed.iter().map(|notice| event(notice, app.now())).collect();
        if let Err(error) = app.engine.accept(events).await {
            tracing::warn!(%error, "notices could not be stored as events; trying again in a minute");
            return Ok(());
        }
        let mut tx = app.store.begin().await?;
        notices::event_stored(&mut tx, &keys(&owed)).await?;
        tx.commit().await?;
    }
}

fn keys<'a>(notices: impl IntoIterator<Item = &'a Notice>) -> Vec<&'a str> {
    notices.into_iter().map(|notice| notice.key.as_str()).collect()
}

fn event(notice: &Notice, now: Timestamp) -> Event {
    Event {
        id: EventId::new(now),
        event_type: notice.kind.clone(),
        source: OWN_SOURCE.to_owned(),
        source_id: format!("{}/{}", notice.key, notice.began_at.millis()),
        subject: notice.said["id"].as_str().map(str::to_owned),
        time: now,
        content_type: JSON.to_owned(),
        data: Bytes::from(notice.said.to_string()),
        extensions: Vec::new(),
        received_at: now,
        received_from: "Consign".to_owned(),
        test: false,
    }
}

/// Mails what is due: one mail to each person, with all of it that they were not mailed yet.
async fn mail_due(app: &App) -> Result<(), OpError> {
    let by = app.engine.name();
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let emails = stored(app, &mut tx).await?.emails;
    let due = notices::take_due(&mut tx, by, now, now.plus(TAKEN)).await?;
    let mut settled = notices::settled(&mut tx, &keys(&due)).await?;
    tx.commit().await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut failure = None;
    for email in &emails {
        let is_settled = |notice: &&Notice| settled.get(&notice.key).is_some_and(|all| all.contains(email));
        let left: Vec<_> = due.iter().filter(|notice| !is_settled(notice)).collect();
        if left.is_empty() {
            continue;
        }
        if !keep_taken(app, by, due.len()).await? {
            return Ok(());
        }
        let (subject, text) = written(app, &left);
        let refusal = match mail::send(app, email, &subject, text).await {
            Some(Mailed::Failed(why)) => {
                failure = Some(why);
                continue;
            }
            Some(Mailed::Refused(why)) => Some(format!("{email} does not get them. {why}")),
            Some(Mailed::Sent) | None => None,
        };
        let mut tx = app.store.begin().await?;
        notices::settle(&mut tx, &keys(left.iter().copied()), email, refusal.as_deref()).await?;
        tx.commit().await?;
        for notice in left {
            settled.entry(notice.key.clone()).or_default().insert(email.clone());
        }
    }
    end_mail(app, (&emails, &due), &settled, failure.as_deref()).await
}

/// Renews the taking before each mail, which ends long before it: `false` when another process has it.
async fn keep_taken(app: &App, by: &str, count: usize) -> Result<bool, OpError> {
    let mut tx = app.store.begin().await?;
    let again = tx.now().plus(TAKEN);
    let kept = notices::keep_taken(&mut tx, by, again).await?;
    tx.commit().await?;
    Ok(usize::try_from(kept).is_ok_and(|kept| kept >= count))
}

/// Writes down which mail is done, and when the rest is tried again.
async fn end_mail(
    app: &App,
    (emails, due): (&[String], &[Notice]),
    settled: &HashMap<String, HashSet<String>>,
    failure: Option<&str>,
) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    for notice in due {
        let done = |email| settled.get(&notice.key).is_some_and(|all| all.contains(email));
        let failure = failure.filter(|_| !emails.iter().all(done));
        let wait = RETRY_MAX.min(ROUND.saturating_mul(1 << notice.tries.clamp(0, 6)));
        let retry_at = failure.map(|_| now.plus(wait));
        notices::mailed(&mut tx, (&notice.key, app.engine.name()), retry_at, failure).await?;
    }
    notices::sweep(&mut tx, now.minus(GIVEN_UP)).await?;
    tx.commit().await?;
    Ok(())
}

fn written(app: &App, due: &[&Notice]) -> (String, String) {
    let text = |notice: &Notice, key: &str| notice.said[key].as_str().unwrap_or_default().to_owned();
    let subject = match due {
        [one] => format!("Consign: {}", text(one, "title")),
        many => format!("Consign: {} things need a person", many.len()),
    };
    let mut whole = String::new();
    for notice in due.iter().take(LINES_MAX) {
        whole.push_str(&format!("{}\n{}\n\n", text(notice, "message"), text(notice, "url")));
    }
    if due.len() > LINES_MAX {
        whole.push_str(&format!("And {} more.\n\n", due.len() - LINES_MAX));
    }
    whole.push_str(&format!(
        "Sent by Consign at {}. Who gets this: {0}/settings/notifications\n",
        app.public_url()
    ));
    (subject, whole)
}
