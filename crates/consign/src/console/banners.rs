//! Banners at the top of every page: what concerns the whole server, the most severe first. Two are shown.

use consign_core::catalog::size;
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::ops::{backup, notices};

/// Less than this on the disk of the database is soon nothing.
const DISK_BYTES_LOW: u64 = 512 << 20;

/// What this person is told. Nobody is told who is not signed in.
pub(super) async fn of(visit: &Visit) -> Value {
    let Some(person) = &visit.person else { return json!([]) };
    let mut banners = Vec::new();
    banners.extend(pause(visit));
    if person.role.rights().allow(Right::Admin) {
        banners.extend(disk(visit));
        banners.extend(old_backup(visit));
        banners.extend(no_mail(visit).await);
    }
    banners.extend(demo(visit));
    Value::Array(banners)
}

fn pause(visit: &Visit) -> Option<Value> {
    let snapshot = visit.app().engine.snapshot();
    let pause = snapshot.sending_pause()?;
    Some(json!({
        "kind": "danger", "pause": { "since": pause.since, "by": pause.by },
        "resume": visit.person.as_ref().is_some_and(|person| person.role.rights().allow(Right::Admin)),
    }))
}

fn demo(visit: &Visit) -> Option<Value> {
    let page = visit.app().demo.get()?;
    Some(json!({
        "kind": "info",
        "text": "Demo: throw-away data, loopback only. The stand-in tool has a certificate of its own, of which your \
                 browser warns.",
        "action": "What arrived", "action_url": page,
    }))
}

fn disk(visit: &Visit) -> Option<Value> {
    let app = visit.app();
    if app.store.is_postgres() {
        return None;
    }
    let disk = rustix::fs::statvfs(&app.config.data.dir).ok()?;
    let left = disk.f_bavail.saturating_mul(disk.f_frsize);
    let text = format!("Disk almost full: {} left.", size(left));
    (left < DISK_BYTES_LOW).then(|| json!({ "kind": "danger", "text": text }))
}

fn old_backup(visit: &Visit) -> Option<Value> {
    let days = backup::overdue_days(visit.app())?;
    let text = format!("No backup for {days} days.");
    Some(json!({ "kind": "warning", "text": text, "action": "Backup", "action_url": "/settings/backup" }))
}

async fn no_mail(visit: &Visit) -> Option<Value> {
    let why = notices::problem(visit.app()).await.ok().flatten()?;
    Some(json!({
        "kind": "warning", "text": format!("Notices cannot be mailed. {why}"),
        "action": "Show", "action_url": "/settings/notifications",
    }))
}
