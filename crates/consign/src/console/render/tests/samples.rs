//! Objects as pages get them.

use serde_json::json;

use super::{NOW, secret};

pub(super) fn credential() -> serde_json::Value {
    json!({
        "id": "crd_1", "etag": "\"7\"", "name": "<Tool> & “more”", "protocol": "https",
        "url_address": "https://tool.example/",
        "authorization_type": "basic", "authorization_type_label": "Basic", "username": "ana",
        "password": secret(),
        "custom_headers": [{ "name": "X_Key", "sent_with": "both", "value": secret() }],
        "ends_on": "2027-01-01",
        "labels": { "team": "itsm" }, "max_concurrency": 2, "max_per_second": 0.5,
        "status": {
            "code": "sign_in_refused", "label": "Sign-in refused", "reason": "401",
            "since": "2026-11-20T00:00:00Z", "action": "Replace secret", "action_code": "replace_secret", "needs_attention": true,
            "away": { "until": NOW, "reason": "the token address answered 429" },
        },
        "last_used_at": NOW, "used_by_count": 2, "managed_by": null, "created_at": NOW, "updated_at": NOW,
    })
}

/// The orders of a list that is sorted from the end.
pub(super) fn orders() -> serde_json::Value {
    json!([
        { "value": "", "label": "Name, A to Z", "chosen": false },
        { "value": "-name", "label": "Name, <Z> to A", "chosen": true },
    ])
}

pub(super) fn webhook() -> serde_json::Value {
    json!({
        "id": "con_1", "etag": "\"1\"", "name": "Incidents", "description": "All of them", "managed_by": null, "state": "held",
        "state_label": "On hold",
        "state_reason": "The tool refused the sign-in.", "state_since": NOW, "lost_credential": null,
        "hold_reason": "sign_in_refused", "away": null,
        "credential": {
            "id": "crd_1", "name": "Tool", "address": "https://tool.example/",
            "status": { "code": "working", "label": "Working", "action": "Replace secret", "action_code": "replace_secret" },
        },
        "event_types": ["device.*"], "method": "POST", "path": "/x", "payload": "template", "template": "{}",
        "last_24_hours": { "delivered": 1200, "failed": 3, "waiting": 4, "waiting_is_capped": false, "retrying": 3, "retrying_is_capped": false, "retrying_status": 404 },
        "last_delivery_at": NOW,
        "chart": chart(&json!({ "from": NOW, "delivered": vec![50; 24], "failed": vec![0; 24] })),
        "created_at": NOW, "updated_at": NOW,
    })
}

/// As the page of a webhook and the row of a list have it.
fn chart(by_hour: &serde_json::Value) -> serde_json::Value {
    let mut chart = crate::console::chart::strip(by_hour);
    let small = crate::console::chart::small_strip(by_hour);
    for shape in ["above", "under"] {
        chart[shape] = small[shape].clone();
    }
    chart
}

pub(super) fn delivery(state: &str) -> serde_json::Value {
    json!({
        "id": "dlv_1", "event": { "id": "evt_1", "type": "device.score.low", "subject": "LT-0231" },
        "connector": {
            "id": "con_1", "name": "Incidents", "kind": "webhook",
        }, "credential": { "id": "crd_1", "name": "Tool" },
        "state": state, "shown_state": state, "state_label": state, "hold_reason": "no_answer",
        "hold_text": "No answer came.", "away": null,
        "what_happened": "The tool answered 503.", "attempts": 3, "attempts_made": 4, "last_duration_ms": 12, "attempts_max": 10, "due_at": NOW,
        "last_outcome": "http_5xx",
        "last_outcome_label": "503", "last_status": 503, "last_message": "busy", "reference": "INC0010001", "idempotency_key": "dlv_1",
        "replay_of": "dlv_0", "operation": "op_1",
        "test": true, "created_at": NOW, "ended_at": NOW,
        "actions": ["send_again", "mark_delivered", "cancel", "replay", "try_now"],
    })
}

pub(super) fn attempt(number: u64, outcome: &str) -> serde_json::Value {
    json!({
        "id": "att_1", "number": number, "started_at": NOW, "duration_ms": 1200, "outcome": outcome,
        "outcome_label": "no answer", "status": null, "message": "m",
        "curl": "curl -H \"authorization: $TOKEN\"", "wait_ms": 240_000, "request_line": "POST https://tool.example/x",
        "request_headers": [{ "name": "authorization", "hidden": true }],
        "answer_headers": [{ "name": "content-type", "value": "text/html" }],
        "answer_excerpt": "<script>alert(1)</script>",
        "timing": {
            "dns": 2.5, "connect": null, "tls": 3, "first_byte": 4, "total": 9, "reused": true,
        }, "request_bytes": 12, "answer_bytes": null,
    })
}

pub(super) fn test() -> serde_json::Value {
    let test = json!({
        "id": "tst_1", "at": NOW, "by": "Ana", "outcome": "failed", "message": "The tool refused the sign-in (401).",
        "steps": [{ "code": "request", "label": "Signed-in request", "state": "failed", "fact": "<b>" }],
        "details": "<script>", "warnings": ["apart"], "offer": null,
    });
    crate::console::connection_test::panel(&test, "Basic")
}

pub(super) fn exporter() -> serde_json::Value {
    json!({
        "id": "con_2", "kind": "exporter", "etag": "\"1\"", "name": "Nightly <list>", "description": "", "managed_by": null,
        "credential": { "id": "crd_1", "name": "Tool", "address": "https://x/", "status": { "code": "working", "label": "Working", "action": "Replace secret", "action_code": "replace_secret" } },
        "source": "events", "event_types": ["*"], "schedule": "daily", "time_zone": "UTC", "format": "csv",
        "columns": [{ "name": "a", "path": "data.a", "default": null }], "method": "POST", "path": "/x",
        "schedule_in_words": "Every day at 02:00, UTC", "next_run_at": NOW, "waiting_records": 3, "waiting_is_capped": false, "state": "active",
        "state_label": "Active", "state_reason": "", "state_since": NOW, "hold_reason": null, "lost_credential": null, "last_run": null,
        "updated_at": NOW, "away": null, "destination": "https",
    })
}

pub(super) fn gateway() -> serde_json::Value {
    json!({
        "id": "con_3", "kind": "gateway", "etag": "\"1\"", "name": "Help <desk>", "description": "", "managed_by": null,
        "credential": { "id": "crd_1", "name": "Tool", "address": "https://x/", "status": { "code": "working", "label": "Working" } },
        "slug": "desk", "address": "https://c.example/gateway/desk/", "methods": ["GET", "POST"],
        "path_prefixes": ["/api/now", "/<b>"], "warnings": [], "timeout_seconds": 60, "idle_seconds": 60,
        "api_keys": [{ "id": "key_1", "key": "csg_01", "name": "nxt-in" }, { "id": "key_2", "name": null }],
        "max_request_bytes": 104_857_600, "max_concurrency": 32, "max_per_second": null, "scrub_answers": true,
        "record_calls": true, "state": "active", "state_label": "Active", "state_reason": "", "state_since": NOW,
        "lost_credential": null, "away": null, "updated_at": NOW,
        "last_24_hours": { "calls": 10_000, "errors": 2, "is_capped": true },
    })
}

pub(super) fn call(status: serde_json::Value, code: serde_json::Value) -> serde_json::Value {
    json!({
        "id": "att_1", "started_at": NOW, "duration_ms": 12, "api_key": null, "caller": "nxt-<in>",
        "method": "GET", "path": "/api/now/<b>", "status": status, "code": code, "answer": "Words",
        "request_bytes": 0, "answer_bytes": 5_000_000, "token_renewed": true, "secret_hidden": true,
    })
}

pub(super) fn run(state: &str, file: serde_json::Value) -> serde_json::Value {
    let ended = if ["running", "waiting"].contains(&state) { json!(null) } else { json!(NOW) };
    json!({
        "id": "run_1", "exporter": { "id": "con_2", "name": "Nightly <list>" }, "number": 4, "cause": "hand",
        "destination": "https", "exporter_edited": true,
        "started_by": "Ana", "repeats": null, "state": state, "state_label": state, "hold_text": null,
        "steps": [
            { "step": "collect", "label": "Collect", "state": "done" },
            { "step": "upload", "label": "Upload", "state": if state == "running" { "running" } else { "waiting" } },
        ],
        "file_name": null, "file": file, "records": 312_400, "sent_records": 1_000, "sent_bytes": 48_200_000,
        "requests": 1, "attempts": 1, "message": "The tool answered 503.", "next_attempt_at": NOW,
        "records_in_next_run": state == "failed", "may_have_arrived": state == "waiting", "duration_ms": 21_000, "created_at": NOW, "ended_at": ended,
        "actions": [if ended.is_null() { "cancel" } else { "repeat" }],
        "log": [{ "at": NOW, "line": "Collected 312,400 records." }],
    })
}

pub(super) fn operation(state: &str) -> serde_json::Value {
    json!({
        "id": "op_1", "kind": "replay", "state": state, "state_label": state, "done": 1000, "total": 1284,
        "unit": "deliveries", "rate_per_second": 2.0, "request": "as_first_sent", "seconds_left": 142, "problem": null, "started_by": "<b>",
        "filter": { "connector": "con_1", "state": ["failed", "held"], "q": "<b>", "created_after": NOW },
        "result": { "waiting": 2, "held": 0, "delivered": 990, "failed": 8, "cancelled": 0, "is_capped": false },
        "started_at": NOW, "ended_at": (state != "running").then_some(NOW),
    })
}
