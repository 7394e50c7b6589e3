//! The overview: what was delivered, what waits, and what needs a person, with the action that repairs it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consign_core::connector::{Connector, ConnectorState};
use consign_core::credential::{Credential, NextAction, Refuser, StatusCode};
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::ConnectorId;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::credentials::{CredentialFilter, CredentialSort};
use consign_store::deliveries::{ATTENTION_COUNT_MAX, DeliveryFilter};
use consign_store::overview::{HOUR_MS, HourCount, Pressing};
use consign_store::runs::{self, Run, WAITING_COUNT_MAX};
use consign_store::{
    COUNT_MAX, Db, PAGE_ITEMS_MAX, Page, StoreError, connectors, credentials, deliveries, overview, tokens,
};
use serde_json::{Value, json};

use super::credentials::refused_by;
use super::deliveries::answered;
use super::{Actor, OpError};
use crate::App;

/// The bars of a strip.
pub const HOURS: usize = 24;
const DAY: Duration = Duration::from_secs(86_400);
/// Results are written down within seconds of their time; after so long an hour is as it stays.
const SETTLED_MS: i64 = 300_000;
/// Of an hour that is not over so many are counted anew at each look; more are taken as they were for a while.
const COUNTED_ANEW_MAX: u64 = 20_000;
const AS_THEY_WERE_MS: i64 = 10_000;
/// For so many more they stand as long again: the count takes a small part of the time, however many there are.
const AS_LONG_AGAIN: u64 = 500_000;
/// More lines of one sort are a list of their own.
const LINES_MAX: usize = 20;
/// Of one sort are told elsewhere.
const TOLD_MAX: usize = 1_000;

/// What came to its end in each of the last hours, this one included.
#[derive(Clone, Debug, Default)]
pub struct ByHour {
    /// The first hour, since 1970.
    first: i64,
    counts: Vec<HourCount>,
}

/// Hours that are over do not change: each is counted once and kept in memory.
#[derive(Default)]
pub struct Hours {
    over: Mutex<BTreeMap<i64, Vec<HourCount>>>,
    recent: Mutex<Option<Recent>>,
}

/// Hours that are not over, when there was much in them.
#[derive(Clone)]
struct Recent {
    counted_at: Timestamp,
    first: i64,
    last: i64,
    counts: Vec<HourCount>,
}

impl Recent {
    fn serves(&self, first: i64, last: i64, now: Timestamp) -> bool {
        let age = now.millis() - self.counted_at.millis();
        let all: u64 = self.counts.iter().map(|one| one.delivered + one.failed).sum();
        let longer = i64::try_from(all / AS_LONG_AGAIN).unwrap_or(i64::MAX);
        let stands = AS_THEY_WERE_MS.saturating_mul(longer.saturating_add(1));
        (self.first, self.last) == (first, last) && (0..stands).contains(&age)
    }
}

impl Hours {
    /// The last hours; what is not known yet is counted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last(&self, db: &mut Db, now: Timestamp) -> Result<ByHour, StoreError> {
        let present = now.millis().div_euclid(HOUR_MS);
        let first = present - i64::try_from(HOURS).unwrap_or(24) + 1;
        let mut known = self.kept().clone();
        known.retain(|hour, _| *hour >= first);
        let mut from = None;
        for hour in first..=present {
            from = if known.contains_key(&hour) { None } else { from.or(Some(hour)) };
            let gap_ends = known.contains_key(&(hour + 1)) || hour == present;
            if let (Some(start), true) = (from, gap_ends) {
                let counted = self.count(db, start, hour, now).await?;
                for hour in start..=hour {
                    known.insert(hour, counted.iter().filter(|one| one.hour == hour).copied().collect());
                }
                from = None;
            }
        }
        let counts = known.values().flatten().copied().collect();
        known.retain(|hour, _| (hour + 1) * HOUR_MS + SETTLED_MS < now.millis());
        *self.kept() = known;
        Ok(ByHour { first, counts })
    }

    async fn count(
        &self,
        db: &mut Db,
        first: i64,
        last: i64,
        now: Timestamp,
    ) -> Result<Vec<HourCount>, StoreError> {
        let known = self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(recent) = known.filter(|recent| recent.serves(first, last, now)) {
            return Ok(recent.counts);
        }
        let counts = overview::by_hour(db, first, last + 1).await?;
        let all: u64 = counts.iter().map(|one| one.delivered + one.failed).sum();
        let recent = Recent { counted_at: now, first, last, counts: counts.clone() };
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) =
            (all > COUNTED_ANEW_MAX).then_some(recent);
        Ok(counts)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, Vec<HourCount>>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByHour {
    /// Delivered and failed in each hour, the oldest first; of one connector, or of all.
    pub fn of(&self, connector: Option<ConnectorId>) -> [(u64, u64); HOURS] {
        let mut hours = [(0, 0); HOURS];
        let wanted = self.counts.iter().filter(|one| connector.is_none_or(|id| id == one.connector));
        for one in wanted {
            let place = usize::try_from(one.hour - self.first).unwrap_or(HOURS);
            if let Some((delivered, failed)) = hours.get_mut(place) {
                *delivered += one.delivered;
                *failed += one.failed;
            }
        }
        hours
    }

    /// The hours in which deliveries of a connector failed.
    pub fn failed_hours(&self, connector: ConnectorId) -> Vec<i64> {
        let failed = self.counts.iter().filter(|one| one.connector == connector && one.failed > 0);
        failed.map(|one| one.hour).collect()
    }

    /// Delivered and failed in all of them.
    pub fn sum(&self, connector: Option<ConnectorId>) -> (u64, u64) {
        let hours = self.of(connector);
        hours.iter().fold((0, 0), |(all, lost), (delivered, failed)| (all + delivered, lost + failed))
    }

    /// The same as it is answered: when the first hour began, and a number for each.
    pub fn show(&self, connector: Option<ConnectorId>) -> Value {
        let hours = self.of(connector);
        json!({
            "from": Timestamp::from_millis(self.first * HOUR_MS),
            "delivered": hours.map(|(delivered, _)| delivered),
            "failed": hours.map(|(_, failed)| failed),
        })
    }
}

/// The overview.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn show(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let now = app.now();
    let hours = app.hours.last(&mut db, now).await?;
    let (delivered, failed) = hours.sum(None);
    let waiting = overview::waiting(&mut db).await?;
    let pressing = deliveries::attention_count(&mut db, ATTENTION_COUNT_MAX).await?;
    let unmatched = overview::unmatched(&mut db, now.minus(DAY)).await?;
    let (lines, is_cut) = lines(app, &mut db, now).await?;
    let snapshot = app.engine.snapshot();
    Ok(json!({
        "delivered": delivered,
        "failed": failed,
        "by_hour": hours.show(None),
        "waiting": {
            "count": waiting.count,
            "is_capped": waiting.count >= COUNT_MAX,
            "oldest_created_at": waiting.oldest,
        },
        "need_attention": { "count": pressing, "is_capped": pressing >= ATTENTION_COUNT_MAX },
        "credentials_need_attention": credentials::attention_count(&mut db, now).await?,
        "attention": lines,
        "attention_is_cut": is_cut,
        "unmatched": { "count": unmatched, "is_capped": unmatched >= COUNT_MAX },
        "set_up": {
            "credential": snapshot.credentials().next().is_some(),
            "webhook": snapshot.webhooks().next().map(|(connector, _)| connector.id),
            "connector": snapshot.connectors().first().map(|connector| {
                json!({ "kind": connector.kind.word(), "id": connector.id })
            }),
            "delivery": overview::anything_sent(&mut db).await?,
        },
    }))
}

/// Credentials and connectors that need a person, for those who are told of it elsewhere; and whether there are more. How
/// much waits for an exporter is not counted.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn pressing_lines(
    app: &App,
    db: &mut Db,
    now: Timestamp,
) -> Result<(Vec<Value>, bool), StoreError> {
    let (mut lines, credentials_cut) = credential_lines(db, TOLD_MAX, now).await?;
    let (stopped, connectors_cut) = connector_lines(app, db, (TOLD_MAX, false), &mut []).await?;
    lines.extend(stopped);
    let (runs, runs_cut) = run_lines(app, db, TOLD_MAX).await?;
    lines.extend(runs);
    Ok((lines, credentials_cut || connectors_cut || runs_cut))
}

/// The credentials that need a person, and whether there are more.
async fn credential_lines(db: &mut Db, max: usize, now: Timestamp) -> Result<(Vec<Value>, bool), StoreError> {
    let filter = CredentialFilter::default();
    let mut page = Page::first(u32::try_from(max).unwrap_or(u32::MAX).min(PAGE_ITEMS_MAX));
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let listed = credentials::list(db, &filter, CredentialSort::NeedsAttention, &page, now).await?;
        let pressing = |credential: &&Credential| credential.status(now).code.needs_attention();
        let pressing: Vec<_> = listed.items.iter().filter(pressing).collect();
        let ids: Vec<_> = pressing.iter().map(|credential| credential.id).collect();
        let rows = tokens::of(db, &ids).await?;
        let line =
            |credential: &&Credential| of_credential(credential, refused_by(rows.get(&credential.id)), now);
        lines.extend(pressing.iter().map(line));
        // Those that need nobody come after those that do.
        let more = listed.next.filter(|_| pressing.len() == listed.items.len());
        if more.is_none() || lines.len() >= max {
            return Ok((lines, more.is_some()));
        }
        page.after = more;
    }
}

/// The connectors that stopped, and whether there are more. Webhooks that are held by a credential which is told already are told with it.
async fn connector_lines(
    app: &App,
    db: &mut Db,
    (max, counted): (usize, bool),
    told: &mut [Value],
) -> Result<(Vec<Value>, bool), StoreError> {
    let snapshot = app.engine.snapshot();
    let stopped = |connector: &&std::sync::Arc<Connector>| {
        !matches!(connector.state, ConnectorState::Active | ConnectorState::Paused)
    };
    let mut stopped: Vec<_> = snapshot.connectors().iter().filter(stopped).collect();
    stopped.sort_by_key(|connector| connector.state_since);
    let is_cut = stopped.len() > max;
    let mut lines = Vec::new();
    for connector in stopped.into_iter().take(max) {
        if connector.gateway().is_some() {
            // Calls do not wait: they are refused.
            lines.push(of_connector(connector));
            continue;
        }
        if let Some(cause) = cause_of(connector, told) {
            add_held(cause, overview::waiting_for(db, connector.id).await?);
            continue;
        }
        if connector.webhook().is_none() {
            // Also when nothing waits: its times come and nothing is sent.
            let records = if counted { runs::waiting_count(db, connector.id).await? } else { 0 };
            lines.push(of_exporter(connector, records));
            continue;
        }
        let waiting = overview::waiting_for(db, connector.id).await?;
        // The credential stands there already; a webhook of it only when something waits.
        if waiting > 0 || !matches!(connector.state, ConnectorState::Held(by) if by.is_of_credential()) {
            lines.push(of_webhook(connector, waiting));
        }
    }
    Ok((lines, is_cut))
}

/// The runs that a person decides about, and whether there are more.
async fn run_lines(app: &App, db: &mut Db, max: usize) -> Result<(Vec<Value>, bool), StoreError> {
    let snapshot = app.engine.snapshot();
    let held = runs::undecided(db, u32::try_from(max + 1).unwrap_or(u32::MAX)).await?;
    let of = |run: &Run| snapshot.connector(run.connector).map(|connector| of_run(connector, run));
    Ok((held.iter().take(max).filter_map(of).collect(), held.len() > max))
}

/// The line of the credential that a webhook is held by, where it is told. An exporter has a line of its own: its times
/// come and nothing is sent.
fn cause_of<'a>(connector: &Connector, told: &'a mut [Value]) -> Option<&'a mut Value> {
    match connector.state {
        ConnectorState::Held(by) if by.is_of_credential() && connector.webhook().is_some() => {}
        _ => return None,
    }
    let id = connector.credential?.to_string();
    told.iter_mut().find(|line| line["kind"] == "credential" && line["id"] == id.as_str())
}

/// Tells one more webhook that is on hold with the line of its credential.
fn add_held(line: &mut Value, waiting: u64) {
    let so_far = |key: &str| line[key].as_u64().unwrap_or_default();
    let (webhooks, deliveries) = (so_far("webhooks") + 1, so_far("deliveries") + waiting);
    line["webhooks"] = json!(webhooks);
    line["deliveries"] = json!(deliveries);
    line["is_capped"] = json!(line["is_capped"] == true || waiting >= connectors::WAITING_MAX);
}

/// What needs a person, the causes before their consequences; and whether there is more than is told.
async fn lines(app: &App, db: &mut Db, now: Timestamp) -> Result<(Vec<Value>, bool), StoreError> {
    let (mut lines, mut is_cut) = credential_lines(db, LINES_MAX, now).await?;
    let (stopped, connectors_cut) = connector_lines(app, db, (LINES_MAX, true), &mut lines).await?;
    lines.extend(stopped);
    is_cut |= connectors_cut;
    let (runs, runs_cut) = run_lines(app, db, LINES_MAX).await?;
    lines.extend(runs);
    is_cut |= runs_cut;
    let snapshot = app.engine.snapshot();
    let pressing = overview::pressing(db).await?;
    for state in [DeliveryState::Held, DeliveryState::Failed] {
        let of_state: Vec<_> = pressing.iter().filter(|one| one.state == state).collect();
        is_cut |= of_state.len() > LINES_MAX;
        for one in of_state.into_iter().take(LINES_MAX) {
            // What a deleted webhook left behind cannot be repaired any more.
            if let Some(connector) = snapshot.connector(one.connector) {
                let mut line = of_deliveries(connector, one);
                if one.state == DeliveryState::Failed {
                    line["reason"] = json!(newest_failure(db, one.connector).await?);
                }
                lines.push(line);
            }
        }
    }
    Ok((lines, is_cut))
}

/// What the newest failed delivery of a connector met.
async fn newest_failure(db: &mut Db, connector: ConnectorId) -> Result<String, StoreError> {
    let filter = DeliveryFilter {
        connector: Some(connector),
        state: Some(DeliveryState::Failed),
        ..DeliveryFilter::default()
    };
    let newest = deliveries::list(db, &filter, &Page::first(1)).await?;
    Ok(newest.items.first().map(|line| answered(&line.delivery)).unwrap_or_default())
}

fn line(kind: &str, id: &str, name: &str) -> Value {
    json!({
        "kind": kind, "id": id, "name": name, "webhooks": null, "deliveries": null, "records": null,
        "is_capped": false,
        "action_code": null,
    })
}

fn of_credential(credential: &Credential, refused_by: Refuser, now: Timestamp) -> Value {
    let status = credential.status(now);
    let mut line = line("credential", &credential.id.to_string(), credential.name.as_str());
    line["code"] = json!(status.code.kind());
    line["label"] = json!(status.code.label());
    let unsaid = status.reason.is_empty() && status.code == StatusCode::NotAuthorized;
    line["reason"] = if unsaid { json!("Nobody has approved access yet") } else { json!(status.reason) };
    line["since"] = json!(status.since);
    let action = status.code.action(credential.authorization_type.tokens, refused_by);
    line["action"] = json!(action.map(NextAction::label));
    line["action_code"] = json!(action);
    line
}

fn of_webhook(connector: &Connector, waiting: u64) -> Value {
    let mut line = of_connector(connector);
    line["deliveries"] = json!(waiting);
    line["is_capped"] = json!(waiting >= connectors::WAITING_MAX);
    line
}

fn of_exporter(connector: &Connector, records: u64) -> Value {
    let mut line = of_connector(connector);
    line["records"] = json!(records);
    line["is_capped"] = json!(records >= u64::from(WAITING_COUNT_MAX));
    line
}

/// What is told of every kind.
fn of_connector(connector: &Connector) -> Value {
    let state = connector.state;
    let mut line = line(connector.kind.word(), &connector.id.to_string(), connector.name.as_str());
    line["code"] = json!(state.hold_reason().map_or_else(|| state.kind(), HoldReason::kind));
    line["label"] = json!(state.label());
    line["reason"] = match connector.state_reason.as_str() {
        "" => json!(state.hold_reason().map(HoldReason::text).unwrap_or_default()),
        reason => json!(reason),
    };
    line["since"] = json!(connector.state_since);
    line["action"] = json!(match state {
        ConnectorState::CredentialMissing => "Choose a credential",
        ConnectorState::Held(by) if by.is_of_credential() => "Show",
        ConnectorState::PausedAfterFailures | ConnectorState::Held(_) => "Look and resume",
        ConnectorState::Active | ConnectorState::Paused => "Show",
    });
    line
}

fn of_run(connector: &Connector, run: &Run) -> Value {
    let mut line = line("run", &run.id.to_string(), connector.name.as_str());
    line["code"] = json!(run.hold.map(HoldReason::kind));
    line["label"] = json!("On hold");
    line["reason"] = json!(run.hold.map(HoldReason::text));
    line["since"] = json!(run.due_at);
    line["action"] = json!("Decide");
    line
}

fn of_deliveries(connector: &Connector, pressing: &Pressing) -> Value {
    let held = pressing.state == DeliveryState::Held;
    let mut line = line("deliveries", &connector.id.to_string(), connector.name.as_str());
    line["code"] = json!(pressing.reason.map_or_else(|| pressing.state.kind(), HoldReason::kind));
    line["label"] = json!(if held { "On hold" } else { "Failed" });
    line["reason"] = json!(pressing.reason.map(HoldReason::text).unwrap_or_default());
    line["since"] = json!(pressing.since);
    line["deliveries"] = json!(pressing.count);
    line["is_capped"] = json!(pressing.count >= COUNT_MAX);
    line["action"] = json!(match pressing.reason {
        Some(HoldReason::NotRendered) => "Edit the webhook",
        Some(_) => "Decide",
        None => "Recover",
    });
    line
}

#[cfg(test)]
mod tests;
