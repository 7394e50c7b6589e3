use super::*;
use crate::console::form::{CredentialForm, ExporterForm, Kept, WebhookForm, errors};
use consign_core::catalog::Fault;

const NOW: &str = "2026-11-22T14:02:00Z";

fn frame() -> serde_json::Value {
    json!({
        "title": "Title", "page": "credentials", "nav": { "deliveries": 3, "credentials": 2 },
        "user": { "name": "Ana Silva", "role": "Administrator" }, "may": may(),
        "theme": "", "csrf": "token", "banners": [], "flash": null, "instance": "", "docs": "/help",
        "path": "/x",
        "once": "req_1", "now": NOW, "signed_in": true,
    })
}

/// An administrator may do everything.
fn may() -> serde_json::Value {
    let all = consign_core::rights::Right::ALL.iter();
    all.map(|right| (right.kind().replace(':', "_"), json!(true))).collect::<serde_json::Map<_, _>>().into()
}

fn check(template: &str, context: serde_json::Value) -> String {
    let mut whole = frame();
    whole.as_object_mut().unwrap().extend(context.as_object().unwrap().clone());
    let page = Views::new().render(template, whole).unwrap_or_else(|error| panic!("{template}: {error:#}"));
    assert!(page.contains("<!doctype html>"), "{template}");
    assert!(!page.contains(" style="), "{template} has an inline style");
    page
}

fn secret() -> serde_json::Value {
    json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" })
}

fn credential() -> serde_json::Value {
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
        "last_used_at": NOW, "used_by_count": 2, "created_at": NOW, "updated_at": NOW,
    })
}

fn webhook() -> serde_json::Value {
    json!({
        "id": "con_1", "etag": "\"1\"", "name": "Incidents", "description": "All of them", "state": "held",
        "state_label": "On hold",
        "state_reason": "The tool refused the sign-in.", "state_since": NOW, "lost_credential": null,
        "hold_reason": "sign_in_refused", "away": null,
        "credential": {
            "id": "crd_1", "name": "Tool", "address": "https://tool.example/",
            "status": { "label": "Working" },
        },
        "event_types": ["device.*"], "method": "POST", "path": "/x", "payload": "template", "template": "{}",
        "last_24_hours": { "delivered": 1200, "failed": 3, "waiting": 4, "waiting_is_capped": false },
        "last_delivery_at": NOW,
        "chart": crate::console::chart::strip(&json!({
            "from": NOW, "delivered": vec![50; 24], "failed": vec![0; 24],
        })),
        "created_at": NOW, "updated_at": NOW,
    })
}

fn delivery(state: &str) -> serde_json::Value {
    json!({
        "id": "dlv_1", "event": { "id": "evt_1", "type": "device.score.low", "subject": "LT-0231" },
        "connector": {
            "id": "con_1", "name": "Incidents", "kind": "webhook",
        }, "credential": { "id": "crd_1", "name": "Tool" },
        "state": state, "shown_state": state, "state_label": state, "hold_reason": "no_answer",
        "hold_text": "No answer came.", "away": null,
        "what_happened": "The tool answered 503.", "attempts": 3, "attempts_max": 10, "due_at": NOW,
        "last_outcome": "http_5xx",
        "last_outcome_label": "503", "last_status": 503, "last_message": "busy", "reference": "INC0010001", "idempotency_key": "dlv_1",
        "replay_of": "dlv_0", "operation": "op_1",
        "test": true, "created_at": NOW, "ended_at": NOW,
        "actions": ["send_again", "mark_delivered", "cancel", "replay", "try_now"],
    })
}

fn attempt(number: u64, outcome: &str) -> serde_json::Value {
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

#[test]
fn the_list_holds_every_file() {
    let check = |folder: &str, files: &[File]| {
        let path = format!("{}/src/console/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut found: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut listed: Vec<_> = files.iter().map(|file| file.name.to_owned()).collect();
        listed.sort();
        assert_eq!(listed, found, "{folder}");
    };
    check("templates", TEMPLATES);
    check("assets", ASSETS);
}

#[test]
fn every_template_compiles() {
    let views = Views::new();
    for file in TEMPLATES {
        views.environment.get_template(file.name).unwrap_or_else(|error| panic!("{}: {error:#}", file.name));
    }
}

#[test]
fn addresses_of_assets_change_with_their_content() {
    let address = asset_url("consign.css").unwrap();
    let parts: Vec<_> = address.split('/').collect();
    assert_eq!((parts[1], parts[2].len(), parts[3]), ("assets", 16, "consign.css"));
    assert_ne!(hash("a"), hash("b"));
    assert!(asset_url("other.css").is_err());
}

#[test]
fn pages_of_credentials_render_empty_full_and_failing() {
    let empty = json!({
        "items": [], "filtered": false, "q": "", "status": "", "type": "", "ends": "", "statuses": [],
        "types": [], "whole": true, "pages": { "previous": null, "next": null },
    });
    assert!(check("credentials.html", empty.clone()).contains("No credentials yet"));
    let mut filtered = empty.clone();
    filtered["filtered"] = json!(true);
    filtered["q"] = json!("<b>");
    assert!(check("credentials.html", filtered).contains("“&lt;b&gt;”"));
    let mut full = empty;
    full["items"] = json!([credential(), { "url_path": { "set": true } }]);
    let mut hidden = credential();
    hidden["url_path"] = secret();
    full["items"] = json!([credential(), hidden]);
    let page = check("credentials.html", full);
    assert!(page.contains("&lt;Tool&gt; &amp; “more”"));
    assert!(page.contains("2 days ago"));
}

#[test]
fn the_form_of_a_credential_renders_for_every_type() {
    let kept = Kept::default();
    let invalid = [
        Fault::new("missing", "Enter a name").at("name"),
        Fault::new("missing", "Enter a value for X_Key").at("custom_headers/0/value"),
        Fault::new("out_of_range", "Enter a number from 1 to 64").at("max_concurrency"),
    ];
    let new = |form: &CredentialForm, invalid: &[_]| {
        json!({
            "errors": errors(invalid), "fields": form.fields(&kept, None, invalid, "/x"), "draft": "d",
            "back": "", "current": null, "reserved": "crd_1", "redirect_url": "https://c.example/oauth/callback/crd_1",
            "public_url": "https://c.example", "other_origin": "http://localhost", "test": null, "fresh": false,
            "testing": "",
        })
    };
    check("credential.html", new(&CredentialForm::empty(), &[]));
    assert!(check("credential.html", new(&CredentialForm::empty(), &invalid)).contains("There is a problem"));
    for kind in consign_core::auth::AUTHORIZATION_TYPES.iter().map(|entry| entry.kind) {
        let mut stored = credential();
        stored["authorization_type"] = json!(kind);
        let facts = json!({
            "type": "Bearer", "obtained_at": NOW, "ends_at": NOW, "renewable": true, "refresh_ends_at": NOW,
            "scope": "read write",
        });
        // A secret of the same name is none of the facts.
        stored["token"] = if kind.starts_with("oauth2") { facts } else { secret() };
        if kind == "oauth2_saml_bearer" {
            let facts = json!({
                "subject": "CN=Consign crd_1", "key": "RSA 3072", "fingerprint": "AB:CD:EF:01:23", "ends_at": NOW,
                "begins_at": NOW,
            });
            stored["certificates"] =
                json!({ "present": facts, "next": facts, "previous": facts, "step_back_until": NOW });
        }
        let form = CredentialForm::stored(&stored);
        let current = json!({
            "certificate_base64": "MIIC",
            "errors": errors(&invalid), "fields": form.fields(&kept, Some(&stored), &invalid, "/x"),
            "draft": "d", "back": "", "redirect_url": "https://c.example/oauth/callback/crd_1",
            "public_url": "https://c.example", "other_origin": null, "test": test(), "fresh": true, "testing": "",
            "current": stored, "etag": "\"7\"", "seen_at": NOW,
            "users": [
                {
                    "id": "con_1", "kind": "webhook", "name": "Incidents", "state": "active",
                    "deliveries_24h": 1, "waiting": 2,
                },
            ],
            "history": [{ "at": NOW, "actor": "Ana", "action": "Replaced token" }],
            "first_webhook": "/webhooks/new?credential=crd_1",
        });
        let page = check("credential.html", current);
        assert!(page.contains("/credentials/crd_1/delete"));
        assert!(page.contains("Failed at Signed-in request") && page.contains("Copy for support"));
        let granted = kind == "oauth2_authorization_code";
        assert_eq!(page.contains("Add this address in the other tool before you authorize."), granted);
        assert_eq!(page.contains("/credentials/crd_1/forget-tokens"), granted);
    }
}

fn test() -> serde_json::Value {
    let test = json!({
        "id": "tst_1", "at": NOW, "by": "Ana", "outcome": "failed", "message": "The tool refused the sign-in (401).",
        "steps": [{ "code": "request", "label": "Signed-in request", "state": "failed", "fact": "<b>" }],
        "details": "<script>", "warnings": ["apart"], "offer": null,
    });
    crate::console::connection_test::panel(&test, "Basic")
}

#[test]
fn pages_of_an_approval_render_for_every_outcome() {
    let mut current = credential();
    current["redirect_url"] = json!("https://c.example/oauth/callback/crd_1");
    current["token"] = json!({ "ends_at": NOW, "renewable": true });
    for signed_in in [true, false] {
        for outcome in [
            "connected",
            "connected_will_stop",
            "access_denied",
            "redirect_mismatch",
            "link_used_or_old",
            "other_session",
            "code_refused",
        ] {
            for ends_at in [json!(NOW), json!(null)] {
                current["token"]["ends_at"] = ends_at;
                let page = check(
                    "consented.html",
                    json!({
                        "outcome": outcome, "said": "invalid_grant: <b>", "current": current, "reference": "req_1",
                        "signed_in": signed_in, "first_webhook": "/webhooks/new?credential=crd_1",
                    }),
                );
                assert_eq!(page.matches("<h1").count(), 1, "{outcome}");
                assert_eq!(page.contains("invalid_grant: &lt;b&gt;"), outcome == "code_refused");
                assert!(page.contains("req_1"));
            }
        }
    }
    for scopes in [json!([]), json!(["read", "write"])] {
        let url = "https://login.example/authorize?state=x&scope=a";
        let page =
            check("authorize.html", json!({ "id": "crd_1", "name": "Tool", "url": url, "scopes": scopes }));
        assert!(
            page.contains("rel=\"noreferrer\"")
                && page.contains("You will approve as whoever is signed in there.")
        );
    }
    check("credential_forget.html", json!({ "current": credential(), "users": [] }));
}

#[test]
fn the_deletion_and_the_conflict_of_a_credential_render() {
    let delete = |users: serde_json::Value| {
        json!({
            "errors": [], "current": credential(), "users": users, "confirm_error": "",
        })
    };
    assert!(!check("credential_delete.html", delete(json!([]))).contains("confirm_name"));
    let used = json!([
        {
            "id": "con_1", "kind": "webhook", "name": "Incidents", "state": "active", "deliveries_24h": 412,
            "waiting": 0,
        },
    ]);
    assert!(
        check("credential_delete.html", delete(used)).contains("1 connector uses it and will stop sending:")
    );
    let conflict = json!({
        "what": "credential", "address": "/credentials/crd_1", "name": "Tool", "etag": "\"8\"",
        "seen_at": NOW, "who": "Ana", "at": NOW,
        "rows": [{ "field": "Name", "theirs": "a", "mine": "b" }],
        "hidden": [{ "name": "name", "value": "b" }],
    });
    assert!(check("conflict.html", conflict).contains("Save mine over it"));
}

#[test]
fn pages_of_webhooks_render_empty_full_and_failing() {
    let list = |items: serde_json::Value, credentials: serde_json::Value| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "credential": "", "states": [],
            "credentials": credentials, "whole": true,
            "pages": { "previous": null, "next": "/webhooks?after=1" },
        })
    };
    assert!(check("webhooks.html", list(json!([]), json!([]))).contains("Add a credential first"));
    let mut lost = webhook();
    lost["credential"] = json!(null);
    lost["lost_credential"] = json!("Old tool");
    let choice = json!([{ "value": "crd_1", "label": "Tool" }]);
    assert!(check("webhooks.html", list(json!([webhook(), lost]), choice)).contains("was Old tool"));
    let form = |form: &WebhookForm, current: Option<serde_json::Value>, preview: serde_json::Value| {
        json!({
            "errors": [], "fields": form.fields(&[], &[], "/x"), "address": "/webhooks/new",
            "without_credentials": true, "current": current,
            "etag": "", "seen_at": "", "recent": [{ "id": "evt_1", "type": "t", "received_at": NOW }],
            "preview": preview, "preview_event": "evt_1", "preview_faults": ["Enter a name"],
        })
    };
    let tested = json!({
        "current": webhook(), "errors": [], "event": "evt_1", "event_error": "There is no such event",
        "recent": [{ "id": "evt_1", "type": "t", "subject": "<b>", "received_at": NOW }],
        "type": { "value": "", "error": "" }, "data": { "value": "{", "error": "Data is not JSON: line 1, column 1" },
    });
    assert!(check("webhook_test.html", tested).contains("t · &lt;b&gt;"));
    let lines = json!([{ "at": NOW, "actor": "<b>", "action": "Edited webhook", "what": "path" }]);
    check("webhook_activity.html", json!({ "current": webhook(), "lines": lines }));
    check("webhook_form.html", form(&WebhookForm::empty(""), None, json!(null)));
    let preview = json!({
        "method": "POST", "url": "https://x/", "headers": [{ "name": "a", "value": "b" }], "body": "{}",
    });
    check("webhook_form.html", form(&WebhookForm::stored(&webhook()), Some(webhook()), preview));
    let pages = json!({ "previous": null, "next": null });
    check(
        "webhook.html",
        json!({ "current": webhook(), "sends_to": "POST https://x/", "items": [], "pages": pages }),
    );
    check(
        "webhook.html",
        json!({
            "current": webhook(), "sends_to": "POST https://x/", "items": [delivery("retrying")],
            "pages": pages,
        }),
    );
    assert!(
        check("webhook_delete.html", json!({ "current": webhook() }))
            .contains("4 waiting deliveries become cancelled.")
    );
}

fn exporter() -> serde_json::Value {
    json!({
        "id": "con_2", "kind": "exporter", "etag": "\"1\"", "name": "Nightly <list>", "description": "",
        "credential": { "id": "crd_1", "name": "Tool", "address": "https://x/", "status": { "label": "Working" } },
        "source": "events", "event_types": ["*"], "schedule": "daily", "time_zone": "UTC", "format": "csv",
        "columns": [{ "name": "a", "path": "data.a", "default": null }], "method": "POST", "path": "/x",
        "schedule_in_words": "Every day at 02:00, UTC", "next_run_at": NOW, "waiting_records": 3, "state": "active",
        "state_label": "Active", "state_reason": "", "state_since": NOW, "lost_credential": null, "last_run": null,
        "updated_at": NOW, "away": null, "destination": "https",
    })
}

fn run(state: &str, file: serde_json::Value) -> serde_json::Value {
    let ended = if ["running", "waiting"].contains(&state) { json!(null) } else { json!(NOW) };
    json!({
        "id": "run_1", "exporter": { "id": "con_2", "name": "Nightly <list>" }, "number": 4, "cause": "hand",
        "destination": "https",
        "started_by": "Ana", "repeats": null, "state": state, "state_label": state, "hold_text": null,
        "steps": [
            { "step": "collect", "label": "Collect", "state": "done" },
            { "step": "upload", "label": "Upload", "state": if state == "running" { "running" } else { "waiting" } },
        ],
        "file_name": null, "file": file, "records": 312_400, "sent_records": 1_000, "sent_bytes": 48_200_000,
        "requests": 1, "attempts": 1, "message": "The tool answered 503.", "next_attempt_at": NOW,
        "records_in_next_run": state == "failed", "duration_ms": 21_000, "created_at": NOW, "ended_at": ended,
        "actions": [if ended.is_null() { "cancel" } else { "repeat" }],
        "log": [{ "at": NOW, "line": "Collected 312,400 records." }],
    })
}

#[test]
fn pages_of_exporters_render_empty_full_and_failing() {
    let list = |items: serde_json::Value, credentials: serde_json::Value| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "credential": "", "states": [],
            "credentials": credentials, "whole": true,
            "pages": { "previous": null, "next": "/exporters?after=1" },
        })
    };
    assert!(check("exporters.html", list(json!([]), json!([]))).contains("Add a credential first"));
    let choice = json!([{ "value": "crd_1", "label": "Tool" }]);
    assert!(check("exporters.html", list(json!([]), choice.clone())).contains("No data exporters yet"));
    let (mut ran, mut lost) = (exporter(), exporter());
    ran["last_run"] = json!({ "id": "run_1", "state": "done", "state_label": "Done", "created_at": NOW, "file_name": "a.csv" });
    lost["credential"] = json!(null);
    lost["lost_credential"] = json!("Old tool");
    assert!(check("exporters.html", list(json!([exporter(), ran, lost]), choice)).contains("was Old tool"));

    let form = |form: &ExporterForm, current: Option<serde_json::Value>, preview: serde_json::Value| {
        json!({
            "errors": [], "fields": form.fields(&[], &[], "/x", Timestamp::parse_rfc3339(NOW).unwrap()),
            "address": "/exporters/new", "without_credentials": true, "current": current, "etag": "", "seen_at": "",
            "preview": preview,
        })
    };
    check("exporter_form.html", form(&ExporterForm::empty(""), None, json!(null)));
    let preview = json!({
        "schedule_in_words": "Every hour, UTC", "next_runs": [NOW, NOW], "sends_to": "POST https://x/",
        "file_name": null, "sample": "a,b\n",
    });
    check("exporter_form.html", form(&ExporterForm::stored(&exporter()), Some(exporter()), preview));
    let mut other = exporter();
    for (key, value) in [
        ("format", "json"),
        ("json_shape", "object_with_array"),
        ("source", "pushed"),
        ("schedule", "5 * * * *"),
    ] {
        other[key] = json!(value);
    }
    let page =
        check("exporter_form.html", form(&ExporterForm::stored(&other), Some(other.clone()), json!(null)));
    assert!(page.contains("Name of the array") && page.contains("5 * * * *"), "{page}");

    let pages = json!({ "previous": null, "next": null });
    let none = json!({ "current": exporter(), "items": [], "open": null, "pages": pages });
    assert!(check("exporter.html", none).contains("No runs yet"));
    let file = json!({ "bytes": 9, "content_type": "text/csv", "sha256": "ab" });
    let open = run("running", json!(null));
    let all = json!([open, run("failed", json!(null)), run("done", file.clone())]);
    let page =
        check("exporter.html", json!({ "current": exporter(), "items": all, "open": open, "pages": pages }));
    assert!(page.contains("data-under-way") && page.contains("in the next run"), "{page}");
    for state in ["running", "waiting", "done", "failed", "cancelled"] {
        for file in [json!(null), file.clone()] {
            let page = check("run.html", json!({ "current": run(state, file) }));
            assert_eq!(page.contains("data-under-way"), ["running", "waiting"].contains(&state));
        }
    }
    assert!(
        check("run_cancel.html", json!({ "current": run("running", json!(null)) }))
            .contains("Leave them out")
    );
    assert!(!check("run_cancel.html", json!({ "current": run("running", file) })).contains("Leave them out"));
    let delete = check("exporter_delete.html", json!({ "current": exporter() }));
    assert!(delete.contains("3 records that wait are not sent."), "{delete}");
}

#[test]
fn pages_of_deliveries_and_events_render() {
    let pages = json!({ "previous": null, "next": null });
    let states = ["waiting", "sending", "retrying", "held", "delivered", "failed", "cancelled"];
    let list = |items: Vec<serde_json::Value>| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "connector": "", "type": "",
            "connectors": [], "pages": pages, "news": "/deliveries/news", "here": "/deliveries",
            "time": "", "times": [], "operation": null, "replay": "/deliveries/replay",
        })
    };
    check("deliveries.html", list(Vec::new()));
    check("deliveries.html", list(states.iter().map(|state| delivery(state)).collect()));
    let event = json!({
        "id": "evt_1", "type": "device.score.low", "source": "s", "source_id": "1", "subject": null,
        "time": NOW, "content_type": "application/json",
        "received_at": NOW, "received_from": "key_1", "test": true, "payload_kept": true,
        "deliveries": [
            {
                "id": "dlv_1", "connector": { "id": "con_1", "name": "I" }, "state": "held",
                "created_at": NOW,
            },
        ],
    });
    let payload = json!({ "content_type": "application/json", "bytes": 12_400, "cut": true, "body": "{}" });
    for state in states {
        let full = json!({
            "current": delivery(state), "attempt_list": [attempt(2, "no_answer"), attempt(1, "ok")],
            "attempt": attempt(2, "no_answer"),
            "event": event, "sender": "API key “nxt-in”", "others": 2, "payload": payload,
        });
        assert!(check("delivery.html", full).contains("&lt;script&gt;alert(1)"));
        let bare = json!({
            "current": delivery(state), "attempt_list": [], "attempt": null, "event": null, "sender": "",
            "others": 0, "payload": null,
        });
        check("delivery.html", bare);
    }
    check("delivery_replay.html", json!({ "current": delivery("failed") }));
    let summary = json!([
        {
            "id": "evt_1", "type": "t", "source": "s", "subject": null, "received_at": NOW, "test": false,
            "deliveries_count": 0,
        },
    ]);
    check(
        "events.html",
        json!({ "items": summary, "filtered": false, "q": "", "match": "", "pages": pages }),
    );
    check("events.html", json!({ "items": [], "filtered": true, "q": "", "match": "none", "pages": pages }));
    check("event.html", json!({ "current": event, "sender": "Ana", "payload": null }));
    check("event.html", json!({ "current": event, "sender": "Ana", "payload": payload }));
}

fn operation(state: &str) -> serde_json::Value {
    json!({
        "id": "op_1", "kind": "replay", "state": state, "state_label": state, "done": 1000, "total": 1284,
        "unit": "deliveries", "rate_per_second": 2.0, "seconds_left": 142, "problem": null, "started_by": "<b>",
        "filter": { "connector": "con_1", "state": ["failed", "held"], "q": "<b>", "created_after": NOW },
        "result": { "waiting": 2, "held": 0, "delivered": 990, "failed": 8, "cancelled": 0 },
        "started_at": NOW, "ended_at": (state != "running").then_some(NOW),
    })
}

#[test]
fn pages_of_replays_render_empty_full_and_failing() {
    let pages = json!({ "previous": null, "next": null });
    assert!(check("operations.html", json!({ "items": [], "pages": pages })).contains("No replays yet"));
    let all = ["running", "done", "failed", "stopped"].map(operation);
    assert!(check("operations.html", json!({ "items": all, "pages": pages })).contains("1,000 of 1,284"));
    for one in &all {
        let page = check("operation.html", json!({ "current": one, "connector": "Incidents" }));
        assert_eq!(page.contains("data-poll"), one["state"] == "running");
        assert_eq!(page.contains("/operations/op_1/stop"), one["state"] == "running");
    }
    let mut bare = operation("failed");
    bare["filter"] = json!(null);
    bare["rate_per_second"] = json!(null);
    bare["problem"] = json!("It was started by a newer program.");
    check("operation.html", json!({ "current": bare, "connector": null }));

    let page = |ids: serde_json::Value, preview: serde_json::Value| {
        json!({
            "errors": [], "refused": "", "connectors": [], "connector": "", "times": [], "time": "day", "type": "",
            "states": [{ "value": "failed", "label": "Failed", "ticked": true }], "q": "<b>", "test": true,
            "ids": ids, "rate": "2", "field_errors": { "q": "", "type": "", "rate_per_second": "" },
            "preview": preview, "list": "/deliveries",
        })
    };
    check("replay.html", page(json!([]), json!(null)));
    let preview = |count: u64, too_many: bool| {
        json!({
            "count": count, "too_many": too_many, "without_payload": 3, "oldest_created_at": NOW,
            "connectors": [{ "id": "con_1", "name": "Incidents", "count": count }], "rate_per_second": 2.0,
            "seconds": 642, "filter": { "state": ["failed"] }, "before": NOW,
        })
    };
    let full = check("replay.html", page(json!(["dlv_1"]), preview(1284, false)));
    assert!(full.contains("Replay 1,284 deliveries") && full.contains("About 11 minutes at 2 per second."));
    assert!(check("replay.html", page(json!([]), preview(0, false))).contains("Nothing to replay"));
    assert!(check("replay.html", page(json!([]), preview(9, true))).contains("Narrow the filter"));
}

#[test]
fn the_overview_renders_empty_full_and_failing() {
    let by_hour = |count: u64| json!({ "from": "2026-11-21T15:00:00Z", "delivered": vec![count; 24], "failed": vec![count / 9; 24] });
    let page = |set_up: serde_json::Value, count: u64, lines: serde_json::Value| {
        json!({
            "chart": crate::console::chart::strip(&by_hour(count)), "lines": lines,
            "o": {
                "delivered": count * 24, "failed": count / 9 * 24, "by_hour": by_hour(count), "set_up": set_up,
                "waiting": { "count": count, "is_capped": count > 5, "oldest_created_at": (count > 0).then_some(NOW) },
                "need_attention": { "count": count, "is_capped": false }, "credentials_need_attention": count,
                "attention_is_cut": count > 5, "unmatched": { "count": count, "is_capped": false },
            },
        })
    };
    let steps = |credential: bool, webhook: Option<&str>, delivery: bool| json!({ "credential": credential, "webhook": webhook, "delivery": delivery });
    let first = check("overview.html", page(steps(false, None, false), 0, json!([])));
    assert!(first.contains("New credential") && !first.contains("Nothing needs attention"));
    let second = check("overview.html", page(steps(true, Some("con_1"), false), 0, json!([])));
    assert!(second.contains("con_1&#x2f;test") && second.contains("Nothing needs attention"));
    let line = |kind: &str, code: &str| {
        json!({
            "kind": kind, "id": "con_1", "name": "<b>", "code": code, "label": "On hold", "reason": "Why.", "since": NOW,
            "deliveries": (kind != "credential").then_some(41), "is_capped": false, "action": "Show",
            "page": "/webhooks/con_1", "repair": "/webhooks/con_1",
        })
    };
    let lines = json!([
        line("credential", "locked"),
        line("webhook", "not_allowed"),
        line("deliveries", "no_answer")
    ]);
    let full = check("overview.html", page(steps(true, Some("con_1"), true), 812, lines));
    assert!(!full.contains("First steps") && full.contains("41 deliveries on hold"));
    assert!(full.contains("812 events matched no webhook") && full.contains("or more</span>"));
    assert!(full.contains("15:00 UTC: 812 delivered, 90 failed"));
}

#[test]
fn the_other_pages_render() {
    let key = |last: serde_json::Value| {
        json!({
            "id": "key_1", "name": "nxt-in", "key": "csg_01", "scopes": ["events:write"], "ends_at": NOW,
            "ended": true, "last_used_at": last, "created_at": NOW,
        })
    };
    check("api_keys.html", json!({ "items": [], "unused_since": NOW }));
    check(
        "api_keys.html",
        json!({ "items": [key(json!(null)), key(json!("2026-01-01T00:00:00Z"))], "unused_since": NOW }),
    );
    let field = json!({ "value": "x", "error": "Enter a name" });
    let form = json!({
        "errors": [{ "field": "name", "message": "Enter a name" }], "name": field,
        "scopes": [{ "value": "admin", "checked": true, "hint": "h" }], "scopes_error": "Choose",
        "ends_on": field, "never": true,
        "password": { "key": "password", "label": "Your password, again", "error": "Enter your password again" },
    });
    check("api_key.html", form.clone());
    let mut without = form;
    without["password"] = json!(null);
    check("api_key.html", without);
    check("api_key_created.html", json!({ "current": key(json!(null)), "text": "csg_secret" }));
    check("api_key_revoke.html", json!({ "current": key(json!(null)) }));
    check("help.html", json!({ "origin": "http://127.0.0.1:8420" }));
    check("design.html", json!({}));
    for signed_in in [true, false] {
        let context = json!({
            "signed_in": signed_in, "text": "What", "command": "consign admin setup-link",
            "reference": "req_1", "with_reference": true, "sign_in": true,
        });
        check("error.html", context);
    }
    check(
        "sign_in.html",
        json!({ "errors": [{ "field": "email", "message": "No" }], "email": "a@b", "next": "/" }),
    );
    check(
        "setup.html",
        json!({
            "errors": [], "name": field, "email": field, "password": { "error": "" }, "keys_file": "keys",
        }),
    );
    check("demo.html", json!({ "next": "/credentials" }));
}

#[test]
fn nothing_is_inline_and_nothing_escapes_escaping() {
    for file in TEMPLATES.iter().filter(|file| file.name != "design.html") {
        let text = file.text().unwrap();
        assert!(!text.contains("|safe"), "{} leaves something unescaped", file.name);
        assert!(!text.contains("<style"), "{} has an inline style", file.name);
        assert!(
            !text.contains(" onclick") && !text.contains("javascript:"),
            "{} has an inline script",
            file.name
        );
    }
}

#[test]
fn times_are_relative_to_now() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    for (time, words) in [
        ("2026-11-22T14:01:55Z", "just now"),
        ("2026-11-22T14:01:00Z", "1 minute ago"),
        ("2026-11-22T12:02:00Z", "2 hours ago"),
        ("2026-11-19T14:02:00Z", "3 days ago"),
        ("2026-11-22T14:06:00Z", "in 4 minutes"),
    ] {
        assert_eq!(relative(at(time), at(NOW)), words);
    }
    assert_eq!(day("2026-11-03T10:12:00Z").unwrap(), "3 November 2026");
    assert_eq!(day("2026-11-03").unwrap(), "3 November 2026");
    assert_eq!((took(184), took(1_234)), ("184 ms".to_owned(), "1.2 s".to_owned()));
}
