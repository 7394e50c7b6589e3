//! Banners at the top of every page: what concerns the whole server, the most severe first. Two are shown.

use consign_core::rights::Right;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::ops::notices;
use crate::ops::troubles::{self, Trouble};

/// What this person is told: what they may do something about. Nobody is told who is not signed in.
pub(super) async fn of(visit: &Visit) -> Value {
    let Some(person) = &visit.person else { return json!([]) };
    let rights = person.role.rights();
    let mut banners = Vec::new();
    banners.extend(pause(visit));
    let troubles = match rights.allow(Right::Admin) || rights.allow(Right::AuditRead) {
        true => troubles::present(visit.app()).await.unwrap_or_default(),
        false => Vec::new(),
    };
    banners.extend(troubles.iter().filter(|trouble| rights.allow(trouble.right)).map(of_trouble));
    if rights.allow(Right::Admin) {
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
    let page = visit.app().demo_tool.get()?;
    Some(json!({
        "kind": "info",
        "text": "Demo: throw-away data, loopback only. The stand-in tool has a certificate of its own, of which your \
                 browser warns.",
        "action": "What arrived", "action_url": page,
    }))
}

fn of_trouble(trouble: &Trouble) -> Value {
    json!({
        "kind": if trouble.is_severe { "danger" } else { "warning" },
        "text": format!("{}.", trouble.title),
        "action": trouble.page.1,
        "action_url": trouble.page.0,
    })
}

async fn no_mail(visit: &Visit) -> Option<Value> {
    let why = notices::problem(visit.app()).await.ok().flatten()?;
    Some(json!({
        "kind": "warning", "text": format!("Notices cannot be mailed. {why}"),
        "action": "Show", "action_url": "/settings/notifications",
    }))
}
