//! Settings of delivery: the waits between attempts, how long an answer may take, what is too large, and how long what
//! has ended is kept. What the operator set comes first.

use consign_core::catalog::{Fault, Reader};
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::refuse_fixed;
use crate::App;
use crate::config::{DAYS_MAX, EVENT_BYTES, EXPORT_BYTES, RETRIES_MAX, TIMEOUT_SECONDS_MAX, WEEK_SECONDS};
use crate::engine::{
    DeliveryChoice, DeliveryRules, DeliverySet, put_choice, read_choice, read_choice_to_change,
};
use crate::ops::audit::Saved;
use crate::ops::{Actor, IfMatch, Object, OpError, Sent, audit_entry, commit, differences};

const PART: &str = "Delivery";
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: PART };
const CHANGED: &str = "Changed delivery settings";
/// What is changed here, in the audit log.
pub const SAVED: Saved<'static> = Saved::Settings(CHANGED);
const SCHEDULE: &str = "retry_schedule_seconds";
const TIMEOUT: &str = "timeout_seconds";
const EVENT: &str = "event_bytes";
const EXPORT: &str = "export_bytes";
const PAYLOAD_DAYS: &str = "payload_days";
const DELIVERY_DAYS: &str = "delivery_days";
/// The members, in the order of their options.
const MEMBERS: [&str; 6] = [SCHEDULE, TIMEOUT, EVENT, EXPORT, PAYLOAD_DAYS, DELIVERY_DAYS];

/// The options that can be chosen here.
pub const OPTIONS: [&str; 6] = DeliverySet::OPTIONS;

/// What holds, and who set it.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let stored = read_choice(&mut *app.store.read().await?).await?;
    Ok(show(app, &stored))
}

fn show(app: &App, stored: &DeliveryChoice) -> Value {
    let mut shown = values(&app.config.delivery_set().with(stored));
    shown["etag"] = json!(format!("\"{}\"", stored.revision));
    for (member, option) in MEMBERS.into_iter().zip(DeliverySet::OPTIONS) {
        shown[format!("{member}_set_by")] = json!(app.config.set_by(option));
    }
    shown
}

fn values(rules: &DeliveryRules) -> Value {
    json!({
        SCHEDULE: rules.retry_schedule_seconds,
        TIMEOUT: rules.timeout_seconds,
        EVENT: rules.event_bytes,
        EXPORT: rules.export_bytes,
        PAYLOAD_DAYS: rules.payload_days,
        DELIVERY_DAYS: rules.delivery_days,
    })
}

/// Puts what was sent over what was chosen: absent members stay, and so does what is sent as it holds; `null` goes back
/// to the option or its default.
fn read(app: &App, reader: &mut Reader, before: &DeliveryChoice) -> DeliveryChoice {
    let present = values(&app.config.delivery_set().with(before));
    let mut after = before.clone();
    for (member, option) in MEMBERS.into_iter().zip(DeliverySet::OPTIONS) {
        let Some(sent) = reader.take_if_sent(member) else { continue };
        if let Some(by) = app.config.set_by(option) {
            if sent != present[member] {
                refuse_fixed(reader, member, label(member), &by);
            }
            continue;
        }
        match member {
            SCHEDULE => {
                let waits = reader.accept(SCHEDULE, schedule(&sent));
                if let Some(waits) = waits.filter(|waits| json!(waits) != present[SCHEDULE]) {
                    after.retry_schedule_seconds = waits;
                }
            }
            member => {
                let number = reader.accept(member, number(&sent, member));
                if let Some(number) = number.filter(|number| json!(number) != present[member]) {
                    put(&mut after, member, number);
                }
            }
        }
    }
    after
}

fn put(choice: &mut DeliveryChoice, member: &str, number: Option<u64>) {
    let small = number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    match member {
        TIMEOUT => choice.timeout_seconds = small,
        EVENT => choice.event_bytes = number,
        EXPORT => choice.export_bytes = number,
        PAYLOAD_DAYS => choice.payload_days = small,
        _ => choice.delivery_days = small,
    }
}

fn label(member: &str) -> &'static str {
    match member {
        SCHEDULE => "Retry schedule",
        TIMEOUT => "Timeout",
        EVENT => "Largest request with events",
        EXPORT => "Largest file",
        PAYLOAD_DAYS => "Payloads",
        _ => "Records of deliveries",
    }
}

fn schedule(sent: &Value) -> Result<Option<Vec<u64>>, Fault> {
    let sentence = "Retry schedule takes up to 20 waits, each from 1 second to 7 days";
    let wrong = || Fault::new("out_of_range", sentence);
    if sent.is_null() {
        return Ok(None);
    }
    let rows = sent.as_array().ok_or_else(wrong)?;
    let wait = |row: &Value| row.as_u64().filter(|wait| (1..=WEEK_SECONDS).contains(wait));
    let waits: Option<Vec<_>> = rows.iter().map(wait).collect();
    waits.filter(|waits| waits.len() <= RETRIES_MAX).map(Some).ok_or_else(wrong)
}

fn number(sent: &Value, member: &str) -> Result<Option<u64>, Fault> {
    let (least, most, unit) = match member {
        TIMEOUT => (1, TIMEOUT_SECONDS_MAX, "seconds"),
        EVENT => (EVENT_BYTES.0, EVENT_BYTES.1, "bytes"),
        EXPORT => (EXPORT_BYTES.0, EXPORT_BYTES.1, "bytes"),
        _ => (1, DAYS_MAX, "days"),
    };
    let read = match sent {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    let fits = read.filter(|number| (least..=most).contains(number));
    fits.map(Some).ok_or_else(|| {
        Fault::new("out_of_range", format!("{} must be from {least} to {most} {unit}", label(member)))
    })
}

/// Changes them, at once and on every server of the database.
///
/// # Errors
/// When a value was not accepted, or somebody else changed them meanwhile.
pub async fn change(app: &App, actor: &Actor, sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut tx = app.store.begin().await?;
    let before: DeliveryChoice = read_choice_to_change(&mut tx).await?;
    let mut reader = Reader::new(sent);
    let mut after = read(app, &mut reader, &before);
    let read_only: Vec<_> = MEMBERS.iter().map(|member| format!("{member}_set_by")).collect();
    let read_only: Vec<_> = read_only.iter().map(String::as_str).chain(["etag"]).collect();
    reader.refuse_unknown(&MEMBERS, &read_only);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    if_match.judge(before.revision)?;
    if after == before {
        return Ok(show(app, &before));
    }
    after.revision += 1;
    put_choice(&mut tx, &after).await?;
    let set = app.config.delivery_set();
    let changes = differences(&values(&set.with(&before)), &values(&set.with(&after)));
    audit_entry(app, &mut tx, actor, CHANGED, OBJECT, changes).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(show(app, &after))
}

/// Gives a connector that is saved without a time of its own the one that is usual here.
pub(in crate::ops) fn with_usual_timeout(app: &App, sent: &mut Sent) {
    let blank = sent.get(TIMEOUT).is_none_or(|value| value.is_null() || value == "");
    if blank {
        sent.insert(TIMEOUT.to_owned(), json!(app.engine.delivery_rules().timeout_seconds));
    }
}
