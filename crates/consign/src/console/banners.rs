//! Banners at the top of every page: what concerns the whole server, the most severe first. Two are shown.

use consign_core::rights::Right;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::ops::troubles::{self, Trouble};
use crate::ops::{notices, settings};

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
    if rights.allow(Right::Admin) {
        banners.extend(changed_outside(visit).await);
    }
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

/// What leads people somewhere was changed in the database, and its default is used.
async fn changed_outside(visit: &Visit) -> Vec<Value> {
    let app = visit.app();
    let Ok(mut db) = app.store.read().await else { return Vec::new() };
    let changed = settings::changed_outside(app, &mut db).await.unwrap_or_default();
    let banner = |key: &'static str| {
        let (text, address) = match key {
            "public_url" => {
                ("The public URL was changed outside Consign and is not used. Save it again.", "/settings")
            }
            "sign_in" => (
                "The settings of sign-in were changed outside Consign: two-step sign-in is required. Save them again.",
                "/settings/sign-in",
            ),
            "egress" => (
                "The outgoing addresses were changed outside Consign and are not shown. Save them again.",
                "/settings/egress",
            ),
            _ => (
                "The list of people who get notices was changed outside Consign: nobody is mailed. Save it again.",
                "/settings/notifications",
            ),
        };
        json!({ "kind": "danger", "text": text, "action": "Show", "action_url": address })
    };
    changed.into_iter().map(banner).collect()
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
