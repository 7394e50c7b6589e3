//! The result of a connection test as the page shows it: steps, what they mean, and what would work instead.

use consign_core::connection_test::{StepCode, StepState, TestStep};
use consign_core::credential::NextAction;
use consign_core::time::Timestamp;
use serde_json::{Value, json};

/// A test that was to start after a save and has not come by then will not come.
const EXPECTED_MILLIS: i64 = 90_000;

/// What is said where nobody answered, or the connection was refused.
const BLAMES_A_FIREWALL: &str = "firewall may block it";

/// One result. `what` is what was tested, for the text that goes to somebody else.
pub(super) fn panel(test: &Value, what: &str) -> Value {
    let text = |key: &str| test[key].as_str().unwrap_or_default();
    let failed = array(&test["steps"]).iter().find(|step| step["state"] == "failed");
    let (kind, title) = match (text("outcome"), failed) {
        ("working", _) => ("success", "Working".to_owned()),
        ("reached", _) => ("info", "Reached, sign-in not proven".to_owned()),
        (_, Some(step)) => ("danger", format!("Failed at {}", step["label"].as_str().unwrap_or_default())),
        (_, None) => ("danger", "Failed".to_owned()),
    };
    let action = NextAction::ALL.iter().find(|action| action.kind() == text("action_code"));
    // The headline has said it.
    let message = text("message");
    let short = ["Working. ", "Reached. "].iter().find_map(|said| message.strip_prefix(said));
    json!({
        "kind": kind,
        "title": title,
        "message": short.unwrap_or(message),
        "steps": array(&test["steps"]).iter().map(|one| step(one, text("outcome"))).collect::<Vec<_>>(),
        "warnings": test["warnings"],
        "offer": test["offer"],
        // What would work instead comes first.
        "action": action.filter(|_| test["offer"].is_null()).map(|action| json!({
            "code": action.kind(), "label": action.label(),
        })),
        "firewall": failed.is_some() && message.contains(BLAMES_A_FIREWALL),
        "at": test["at"],
        "saved": test["id"].is_string(),
        "report": report(test, what),
    })
}

/// What stands there while the test after a save runs: nothing newer than the save came yet.
pub(super) fn running(latest: Option<&Value>, saved_at: &str, now: Timestamp) -> bool {
    let Some(saved) = Timestamp::parse_rfc3339(saved_at) else { return false };
    let tested = latest.and_then(|test| test["at"].as_str()).and_then(Timestamp::parse_rfc3339);
    tested.is_none_or(|at| at < saved) && now.millis() - saved.millis() < EXPECTED_MILLIS
}

/// Whether the status of a credential is newer than a test of it, and asks for something else.
pub(super) fn outdated(test: &Value, status: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(Timestamp::parse_rfc3339);
    time(&status["since"]) > time(&test["at"]) && status["action_code"] != test["action"]["code"]
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A step that has ended, while the test goes on; nothing of one whose meaning the end of the test says.
pub(super) fn live(step: &TestStep) -> Option<Value> {
    let says_little = step.code == StepCode::Request && step.state == StepState::Done;
    (!says_little).then(|| self::step(&json!(step), ""))
}

fn step(step: &Value, outcome: &str) -> Value {
    // Whoever answers anybody has not let us in.
    let unproven = outcome == "reached" && step["code"] == "request" && step["state"] == "done";
    let (kind, word) = match step["state"].as_str() {
        Some("done") if unproven => ("info", "done, proves nothing"),
        Some("done") => ("success", "done"),
        Some("failed") => ("danger", "failed"),
        _ => ("neutral", "skipped"),
    };
    let label = if unproven { "Request" } else { step["label"].as_str().unwrap_or_default() };
    let name = match step["host"].as_str() {
        Some(host) => format!("{label} · {host}"),
        None => label.to_owned(),
    };
    json!({
        "kind": kind,
        "word": word,
        "name": name,
        "fact": step["fact"],
        "ms": step["duration_ms"],
    })
}

/// The whole result as text. What a tool said in it was scrubbed before it was stored.
fn report(test: &Value, what: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![
        format!("Connection test of {what}, {}", text(&test["at"])),
        text(&test["message"]),
        String::new(),
    ];
    for one in array(&test["steps"]) {
        let host = one["host"].as_str().map(|host| format!(" ({host})")).unwrap_or_default();
        let took = one["duration_ms"].as_u64().map(|ms| format!(", {ms} ms")).unwrap_or_default();
        let fact = text(&one["fact"]);
        let fact = if fact.is_empty() { fact } else { format!(": {fact}") };
        lines.push(format!("{}{host} – {}{took}{fact}", text(&one["label"]), text(&one["state"])));
    }
    lines.extend(array(&test["warnings"]).iter().map(text));
    if let Some(details) = test["details"].as_str() {
        lines.extend([String::new(), details.to_owned()]);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
