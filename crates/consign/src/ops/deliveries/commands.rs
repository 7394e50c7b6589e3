//! What can be done with a delivery, as text to paste into a terminal: commands of this program, and the same for curl.

use consign_core::id::DeliveryId;
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::{Actor, OpError, attempts_of, find, why_not_as_first_sent};
use crate::App;
use crate::commands::{Copied, get, send};

/// Each with its `title`, `command` and `curl`: read it, what its state and the rights of whoever asks allow, and the
/// request of its last attempt, which goes to the tool and has no command.
///
/// # Errors
/// Without the right, or when there is no such delivery.
pub async fn commands(app: &App, actor: &Actor, id: DeliveryId) -> Result<Vec<Value>, OpError> {
    let public_url = app.public_url();
    let mut all: Vec<Value> = copied(app, actor, id).await?.iter().map(|one| one.json(&public_url)).collect();
    let asked = attempts_of(app, id).await?.into_iter().rev().find(|attempt| attempt["curl"].is_string());
    all.extend(asked.map(|attempt| {
        let title = format!("Send the request of attempt {} to the tool", attempt["number"]);
        json!({ "title": title, "command": null, "curl": attempt["curl"] })
    }));
    Ok(all)
}

/// Those that go to this server.
///
/// # Errors
/// As [`commands`].
pub(crate) async fn copied(app: &App, actor: &Actor, id: DeliveryId) -> Result<Vec<Copied>, OpError> {
    let shown = find(app, actor, id).await?;
    let as_text = id.to_string();
    let id_text = as_text.as_str();
    let mut all = vec![get("Read it", &["delivery", "get", id_text], format!("/deliveries/{id}"))];
    if !actor.rights.allow(Right::DeliveriesOperate) {
        return Ok(all);
    }
    for action in shown["actions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let resolve = |title, word: &str, decision: &str| {
            let words = ["delivery", "resolve", id_text, "--as", word];
            send(title, &words, format!("/deliveries/{id}/resolution"), json!({ "as": decision }))
        };
        match action {
            "try_now" => {
                let words = ["delivery", "attempt", id_text];
                all.push(send("Try now", &words, format!("/deliveries/{id}/attempts"), Value::Null));
            }
            "cancel" => {
                let words = ["delivery", "cancel", id_text];
                all.push(send("Cancel it", &words, format!("/deliveries/{id}/cancellation"), Value::Null));
            }
            "send_again" => all.push(resolve("Send it again", "send-again", "send_again")),
            "mark_delivered" => all.push(resolve("Mark it as delivered", "delivered", "delivered")),
            _ => all.extend(replays(app, actor, id).await?),
        }
    }
    Ok(all)
}

/// The ways to send one that has ended again.
///
/// # Errors
/// As [`commands`].
pub(crate) async fn replays(app: &App, actor: &Actor, id: DeliveryId) -> Result<Vec<Copied>, OpError> {
    let (text, path) = (id.to_string(), format!("/deliveries/{id}/replays"));
    let words = ["delivery", "replay", &text, "--as-first-sent"];
    let mut all = vec![send("Send it again with the present set-up", &words[..3], path.clone(), Value::Null)];
    if why_not_as_first_sent(app, actor, id).await?.is_none() {
        let body = json!({ "request": "as_first_sent" });
        all.push(send("Send it again exactly as first sent", &words, path, body));
    }
    Ok(all)
}
