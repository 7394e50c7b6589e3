//! Pages of connectors and what they send.

use super::samples::*;
use super::*;
use crate::console::form::Choices;

static NONE: Choices = Choices(Vec::new());

#[test]
fn pages_of_webhooks_render_empty_full_and_failing() {
    let list = |items: serde_json::Value, credentials: serde_json::Value| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "credential": "", "states": [], "orders": orders(), "many_credentials": false, "managed_by": "", "managers": [],
            "by": { "name": { "url": "/x?sort=", "direction": "descending" }, "last": { "url": "/x", "direction": "" } },
            "credentials": credentials, "whole": true,
            "pages": { "previous": null, "next": "/webhooks?after=1" },
        })
    };
    assert!(check("webhooks.html", list(json!([]), json!([]))).contains("Add a credential first"));
    let mut lost = webhook();
    lost["credential"] = json!(null);
    lost["lost_credential"] = json!("Old tool");
    let choice = json!([{ "value": "crd_1", "label": "Tool" }]);
    assert!(
        check("webhooks.html", list(json!([webhook(), lost.clone()]), choice.clone()))
            .contains("was Old tool")
    );
    lost["state"] = json!("credential_missing");
    let mut paused = webhook();
    paused["state"] = json!("paused");
    let mut active = webhook();
    active["state"] = json!("active");
    active["state_reason"] = json!("");
    for (one, link, has_age) in [
        (webhook(), "Repair the credential<span class=\"vh\">", true),
        (lost, "set-up\">Choose a credential<span class=\"vh\">", true),
        (paused, "form=\"go-con_1\">Resume<span class=\"vh\">", true),
        (active, "form id=\"go-con_1\"", false),
    ] {
        let page = check("webhooks.html", list(json!([one]), choice.clone()));
        let state = page.split("data-label=\"State\"").nth(1).unwrap().split("</td>").next().unwrap();
        assert!(page.contains(link), "{link}: {page}");
        assert_eq!(state.contains("<time datetime="), has_age, "{state}");
    }
    let form = |form: &WebhookForm, current: Option<serde_json::Value>, preview: serde_json::Value| {
        json!({
            "errors": [], "fields": form.fields(&NONE, &[], "/x"), "address": "/webhooks/new",
            "without_credentials": true, "without_typed": "", "filled": false, "current": current,
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
    let page = check("webhook_activity.html", json!({ "current": webhook(), "lines": lines }));
    for words in [
        "POST https:&#x2f;&#x2f;tool.example&#x2f;x",
        "Send test event",
        "Resume",
        "The tool refused the sign-in · ",
    ] {
        assert!(page.contains(words), "the head is that of its page: {words}\n{page}");
    }
    check("webhook_form.html", form(&WebhookForm::empty(""), None, json!(null)));
    let preview = json!({
        "method": "POST", "url": "https://x/", "headers": [{ "name": "a", "value": "b" }], "body": "{ <b> }", "cut": true,
    });
    let page = check("webhook_form.html", form(&WebhookForm::stored(&webhook()), Some(webhook()), preview));
    assert!(page.contains("{ &lt;b&gt; }</pre>") && page.contains("It is cut after 64 KiB."), "{page}");
    let pages = json!({ "previous": null, "next": null });
    check("webhook.html", json!({ "current": webhook(), "items": [], "pages": pages }));
    check(
        "webhook.html",
        json!({
            "current": webhook(), "items": [delivery("retrying")],
            "pages": pages,
        }),
    );
    assert!(
        check("webhook_delete.html", json!({ "current": webhook() }))
            .contains("4 waiting deliveries become cancelled.")
    );
}

#[test]
fn pages_of_gateways_render_empty_full_and_failing() {
    let list = |items: serde_json::Value, credentials: serde_json::Value| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "credential": "", "states": [], "orders": orders(), "many_credentials": false, "managed_by": "", "managers": [],
            "by": { "name": { "url": "/x?sort=", "direction": "descending" }, "last": { "url": "/x", "direction": "" } },
            "credentials": credentials, "whole": true,
            "pages": { "previous": null, "next": "/gateways?after=1" },
        })
    };
    assert!(check("gateways.html", list(json!([]), json!([]))).contains("Add a credential first"));
    let choice = json!([{ "value": "crd_1", "label": "Tool" }]);
    assert!(check("gateways.html", list(json!([]), choice.clone())).contains("No gateways yet"));
    let mut lost = gateway();
    lost["credential"] = json!(null);
    lost["lost_credential"] = json!("Old tool");
    lost["state"] = json!("credential_missing");
    let page = check("gateways.html", list(json!([gateway(), lost]), choice));
    assert!(page.contains("was Old tool") && page.contains("Help &lt;desk&gt;"), "{page}");

    let callers = [json!({ "id": "key_1", "key": "csg_01", "name": "nxt-in", "ended": true })];
    let form = |form: &GatewayForm, callers: &[serde_json::Value], current: Option<serde_json::Value>| {
        let around = Around { choices: &NONE, callers, public_url: "https://c.example" };
        let invalid = [Fault::new("missing", "Choose at least one method").at("methods")];
        json!({
            "errors": errors(&invalid), "fields": form.fields(&around, &invalid), "address": "/gateways/new",
            "without_credentials": current.is_none(), "without_typed": "", "filled": current.is_some(),
            "curl": "curl x", "current": current, "etag": "", "seen_at": "",
        })
    };
    let new = check("gateway_form.html", form(&GatewayForm::empty(""), &[], None));
    assert!(
        new.contains("There is none yet") && new.contains("https:&#x2f;&#x2f;c.example&#x2f;gateway&#x2f;"),
        "{new}"
    );
    let stored = form(&GatewayForm::stored(&gateway()), &callers, Some(gateway()));
    let stored = check("gateway_form.html", stored);
    for words in ["csg_01 · ended", "A revoked key", "def call(address", "Choose at least one method"] {
        assert!(stored.contains(words), "{words}: {stored}");
    }
    let shown = |current: serde_json::Value, items: serde_json::Value, filtered: bool| {
        json!({
            "current": current, "items": items, "filtered": filtered, "keys": [], "methods": [], "answers": [],
            "api_key": "", "method": "", "answer": "", "pages": { "previous": null, "next": "/gateways/con_3?after=1" },
        })
    };
    let calls = json!([call(json!(200), json!(null)), call(json!(null), json!("gateway_paused"))]);
    let full = check("gateway.html", shown(gateway(), calls, false));
    for words in
        ["nxt-&lt;in&gt;", "10,000 calls or more · 2 errors", "a secret was covered", "a token was renewed"]
    {
        assert!(full.contains(words), "{words}: {full}");
    }
    assert!(
        check("gateway.html", shown(gateway(), json!([]), true)).contains("No call matches these filters.")
    );
    let mut silent = gateway();
    silent["record_calls"] = json!(false);
    assert!(check("gateway.html", shown(silent, json!([]), false)).contains("Calls are not recorded"));
    let page = check("gateway.html", shown(gateway(), json!([]), false));
    assert!(page.contains("nxt-in, a revoked key") && page.contains("&lt;b&gt;"), "{page}");
    let mut held = gateway();
    held["state"] = json!("held");
    held["api_keys"] = json!([]);
    assert!(check("gateway.html", shown(held, json!([]), false)).contains("Repair the credential"));
    let tried = |methods: serde_json::Value, tried: serde_json::Value| {
        let field =
            json!({ "key": "path", "label": "Path", "value": "/<b>", "error": "Path must start with /" });
        let method = json!({ "key": "method", "label": "Method", "options": methods });
        json!({ "current": gateway(), "errors": [], "method": method, "path_field": field, "tried": tried })
    };
    let get = json!([{ "value": "GET", "label": "GET" }]);
    assert!(check("gateway_try.html", tried(json!([]), json!(null))).contains("neither GET nor HEAD"));
    let mut answer = json!({
        "method": "GET", "path": "/<b>", "status": 404, "code": null, "detail": null, "body": "<i>", "body_bytes": 3,
        "headers": [{ "name": "content-type", "value": "<u>" }], "is_whole": false, "duration_ms": 12,
    });
    let page = check("gateway_try.html", tried(get.clone(), answer.clone()));
    assert!(page.contains("&lt;i&gt;") && page.contains("The rest was not read."), "{page}");
    answer["body"] = json!(null);
    assert!(check("gateway_try.html", tried(get.clone(), answer.clone())).contains("The body is not text."));
    answer["status"] = json!(null);
    answer["code"] = json!("gateway_paused");
    answer["detail"] = json!("The gateway is paused.");
    assert!(
        check("gateway_try.html", tried(get, answer)).contains("Consign itself answered: gateway_paused")
    );
    let lines = json!([{ "at": NOW, "actor": "<b>", "action": "Edited gateway", "what": "methods" }]);
    check("gateway_activity.html", json!({ "current": gateway(), "lines": lines }));
    assert!(check("gateway_delete.html", json!({ "current": gateway() })).contains("get 404 from now on"));
}

#[test]
fn pages_of_exporters_render_empty_full_and_failing() {
    let list = |items: serde_json::Value, credentials: serde_json::Value| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "credential": "", "states": [], "orders": orders(), "many_credentials": false, "managed_by": "", "managers": [],
            "by": { "name": { "url": "/x?sort=", "direction": "descending" }, "last": { "url": "/x", "direction": "" } },
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
            "errors": [], "fields": form.fields(&NONE, &[], "/x", Timestamp::parse_rfc3339(NOW).unwrap()),
            "address": "/exporters/new", "without_credentials": true, "without_typed": "", "filled": false,
            "current": current, "etag": "", "seen_at": "",
            "preview": preview, "preview_faults": ["Enter a name"], "open": null,
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
    assert!(page.contains("data-poll") && page.contains("in the next run"), "{page}");
    let lines = json!([{ "at": NOW, "actor": "<b>", "action": "Edited exporter", "what": "path" }]);
    let page =
        check("exporter_activity.html", json!({ "current": exporter(), "lines": lines, "open": null }));
    assert!(
        page.contains("Run now") && page.contains("Every day at 02:00"),
        "the head is that of its page: {page}"
    );
    for state in ["running", "waiting", "done", "failed", "cancelled"] {
        for file in [json!(null), file.clone()] {
            let page = check("run.html", json!({ "current": run(state, file) }));
            assert_eq!(page.contains("data-poll"), ["running", "waiting"].contains(&state));
            assert_eq!(page.contains("The exporter was edited"), ["running", "waiting"].contains(&state));
        }
    }
    assert!(
        check("run_cancel.html", json!({ "current": run("running", json!(null)) }))
            .contains("Leave them out")
    );
    assert!(!check("run_cancel.html", json!({ "current": run("running", file) })).contains("Leave them out"));
    let delete = |runs: u32, records: u32, files: u32, capped: bool| {
        let unsent = json!({ "runs": runs, "records": records, "files": files, "capped": capped });
        check("exporter_delete.html", json!({ "current": exporter(), "unsent": unsent }))
    };
    let lost = delete(2, 3, 1, false);
    assert!(lost.contains("Not sent any more: 3 records and 1 pushed file."), "{lost}");
    assert!(lost.contains("2 runs that are not finished are cancelled"), "{lost}");
    let nothing = delete(0, 0, 0, false);
    assert!(nothing.contains("Nothing waits to be sent.") && !nothing.contains("cancelled"), "{nothing}");
    assert!(delete(0, 10_000_000, 0, true).contains("10,000,000 records or more."));
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
    for (state, result) in [
        ("running", json!(null)),
        ("done", json!({ "name": "consign-1.tar.zst", "bytes": 9_000_000, "left_out": "Not in it: <b>" })),
        ("done", json!({ "name": "consign-1.tar.zst", "bytes": null, "left_out": "Not in it: <b>" })),
    ] {
        let mut backup = operation(state);
        backup["kind"] = json!("backup");
        backup["step"] = json!((state == "running").then_some("Compressing it"));
        backup["result"] = result;
        let page = check("operation_backup.html", json!({ "current": backup }));
        assert_eq!(page.contains("data-poll"), state == "running");
        assert_eq!(page.contains("Not in it: &lt;b&gt;"), state == "done");
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
            "request": "as_first_sent",
            "ids": ids, "rate": "2", "field_errors": { "q": "", "type": "", "rate_per_second": "" },
            "preview": preview, "list": "/deliveries",
        })
    };
    check("replay.html", page(json!([]), json!(null)));
    let preview = |count: u64, too_many: bool| {
        json!({
            "count": count, "too_many": too_many, "without_payload": 3, "without_request": 2, "oldest_created_at": NOW,
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
            "keys": { "no_recovery_file": count > 5, "old_key": (count > 5).then(|| json!({ "id": "k-1", "days": 1_400 })) },
            "o": {
                "delivered": count * 24, "failed": count / 9 * 24, "by_hour": by_hour(count), "set_up": set_up,
                "waiting": { "count": count, "is_capped": count > 5, "oldest_created_at": (count > 0).then_some(NOW) },
                "need_attention": { "count": count, "is_capped": false }, "credentials_need_attention": count,
                "attention_is_cut": count > 5, "unmatched": { "count": count, "is_capped": false },
            },
        })
    };
    let steps = |credential: bool, webhook: Option<&str>, delivery: bool| {
        let connector = webhook.map(|id| json!({ "kind": "webhook", "id": id }));
        json!({ "credential": credential, "webhook": webhook, "connector": connector, "delivery": delivery })
    };
    let first = check("overview.html", page(steps(false, None, false), 0, json!([])));
    assert!(first.contains("New credential") && !first.contains("Nothing needs attention"));
    let second = check("overview.html", page(steps(true, Some("con_1"), false), 0, json!([])));
    assert!(second.contains("con_1&#x2f;test") && second.contains("Nothing needs attention"));
    let between = check("overview.html", page(steps(true, None, false), 0, json!([])));
    for link in ["New webhook", "href=\"/exporters/new\"", "href=\"/gateways/new\""] {
        assert!(
            between.contains(link) && !first.contains(link) && !second.contains(link),
            "{link}: {between}"
        );
    }
    for (kind, name, link) in [
        ("exporter", "Run the data exporter", "exporters&#x2f;con_2\""),
        ("gateway", "Call the gateway", "gateways&#x2f;con_2&#x2f;try\""),
    ] {
        let only = |delivery: bool| {
            let connector = json!({ "kind": kind, "id": "con_2" });
            json!({ "credential": true, "webhook": null, "connector": connector, "delivery": delivery })
        };
        let third = check("overview.html", page(only(false), 0, json!([])));
        assert!(third.contains(name) && third.contains(link), "{third}");
        assert!(!third.contains("New webhook") && !third.contains("Send test event"), "{third}");
        let done = check("overview.html", page(only(true), 0, json!([])));
        assert!(!done.contains("First steps"), "no webhook is needed: {done}");
    }
    let line = |kind: &str, code: &str| {
        json!({
            "kind": kind, "id": "con_1", "name": "<b>", "code": code, "label": "On hold", "reason": "Why.", "since": NOW,
            "webhooks": (kind == "credential").then_some(2), "deliveries": (kind == "webhook" || kind == "deliveries").then_some(41),
            "records": (kind == "exporter").then_some(1_200), "is_capped": false, "action": "Show",
            "page": "/webhooks/con_1", "repair": "/webhooks/con_1",
        })
    };
    let lines = json!([
        line("credential", "locked"),
        line("webhook", "not_allowed"),
        line("exporter", "credential_missing"),
        line("deliveries", "no_answer")
    ]);
    let full = check("overview.html", page(steps(true, Some("con_1"), true), 812, lines));
    assert!(!full.contains("First steps") && full.contains("41 deliveries on hold"));
    assert!(full.contains("2 webhooks on hold"), "the cause is told with what it stops: {full}");
    assert!(full.contains("Data exporter</span>") && full.contains("1,200 records wait"), "{full}");
    for words in ["No recovery file was taken.", "<code>k-1</code> is 1,400 days old"] {
        assert!(full.contains(words) && !second.contains(words), "{words}: {full}");
    }
    assert!(full.contains("812 events matched no webhook") && full.contains("or more</span>"));
    assert!(full.contains("15:00: 812 delivered, 90 failed"));
}

#[test]
fn who_may_not_change_a_connector_sees_it_and_no_buttons() {
    let may = |changes: bool| {
        let rights = consign_core::rights::Right::ALL.iter();
        let may = rights.map(|right| (right.kind().replace(':', "_"), json!(changes)));
        may.collect::<serde_json::Map<_, _>>()
    };
    let form = |changes: bool| {
        check(
            "webhook_form.html",
            json!({
                "errors": [], "fields": WebhookForm::stored(&webhook()).fields(&NONE, &[], "/x"), "address": "/x",
                "without_credentials": false, "without_typed": "", "filled": false, "current": webhook(),
                "etag": "", "seen_at": "", "recent": [],
                "preview": null, "preview_event": "", "preview_faults": [], "may": may(changes),
            }),
        )
    };
    for (changes, words) in [(true, ">Cancel</a>"), (false, ">Back</a>")] {
        let page = form(changes);
        assert!(page.contains(words), "{words}\n{page}");
        assert_eq!(page.contains("<fieldset class=\"as-is\" disabled>"), !changes);
        assert_eq!(page.contains("data-preview="), changes);
        for button in
            ["Replace secret", "Send test event", "Save", "Save and send test event", "New credential"]
        {
            assert_eq!(page.contains(&format!(">{button}</")), changes, "{button}\n{page}");
        }
    }
}

#[test]
fn what_a_file_manages_is_shown_until_somebody_edits_it_anyway() {
    let form = |managed_by: serde_json::Value, anyway: bool| {
        let mut current = webhook();
        current["managed_by"] = managed_by;
        let fields = WebhookForm::stored(&current).fields(&NONE, &[], "/x");
        check(
            "webhook_form.html",
            json!({
                "errors": [], "fields": fields, "address": "/webhooks/con_1/set-up", "anyway": anyway,
                "without_credentials": false, "without_typed": "", "filled": false, "current": current,
                "etag": "", "seen_at": "", "recent": [],
                "preview": null, "preview_event": "", "preview_faults": [],
            }),
        )
    };
    let band = "Managed from a file (<code>platform</code>). A change here is overwritten at the next apply.";
    let edit = "href=\"&#x2f;webhooks&#x2f;con_1&#x2f;set-up?edit=anyway\"";
    let carried = "<input type=\"hidden\" name=\"edit\" value=\"anyway\">";
    for (managed_by, anyway) in [(json!(null), false), (json!("platform"), false), (json!("platform"), true)]
    {
        let page = form(managed_by.clone(), anyway);
        let managed = !managed_by.is_null();
        assert_eq!(page.contains(band), managed, "{page}");
        assert_eq!(page.contains(edit), managed && !anyway, "{page}");
        assert_eq!(page.contains(carried), managed && anyway, "{page}");
        assert_eq!(page.contains("<fieldset class=\"as-is\" disabled>"), managed && !anyway, "{page}");
        assert_eq!(page.contains(">Cancel</a>"), !managed || anyway, "{page}");
    }
    let mut current = webhook();
    current["managed_by"] = json!("platform");
    assert!(check("webhook_delete.html", json!({ "current": current })).contains(band));
}
