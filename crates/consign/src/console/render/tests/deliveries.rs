//! Pages of deliveries and events.

use super::samples::*;
use super::*;

#[test]
fn pages_of_deliveries_and_events_render() {
    let pages = json!({ "previous": null, "next": null });
    let states = ["waiting", "sending", "retrying", "held", "delivered", "failed", "cancelled"];
    let list = |items: Vec<serde_json::Value>| {
        json!({
            "items": items, "filtered": false, "q": "", "state": "", "connector": "", "type": "",
            "connectors": [], "types": ["device.<low>"], "pages": pages, "news": "/deliveries/news", "here": "/deliveries",
            "time": "", "times": [], "operation": null, "replay": "/deliveries/replay",
            "reason": { "kind": "no_answer", "text": "No answer came.", "without": "/deliveries?state=held" },
        })
    };
    let none = check("deliveries.html", list(Vec::new()));
    assert!(
        none.contains("data-live=") && none.contains("No deliveries yet"),
        "the first is announced: {none}"
    );
    let all = check("deliveries.html", list(states.iter().map(|state| delivery(state)).collect()));
    assert!(all.contains("<option value=\"device.&lt;low&gt;\">") && !all.contains("evt_1"), "{all}");
    let kept = "<input type=\"hidden\" name=\"reason\" value=\"no_answer\">";
    assert!(
        all.contains(kept)
            && all.contains("this reason: No answer came · <a href=\"&#x2f;deliveries?state=held\">"),
        "{all}"
    );
    let mut nameless = delivery("delivered");
    nameless["event"]["subject"] = json!(null);
    let nameless = check("deliveries.html", list(vec![nameless]));
    assert!(nameless.contains("<span class=\"reason mono\">evt_1</span>"), "{nameless}");
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
            "event": event, "sender": "API key “nxt-in”", "waited_ms": 5, "prepared_ms": 1_200, "others": 2, "payload": payload,
            "request_body": null, "request_kept": true,
        });
        let opened = check("delivery.html", full.clone());
        assert!(opened.contains("&lt;script&gt;alert(1)"));
        assert!(!opened.contains("data-poll"), "what was opened stays: {opened}");
        let mut sent = full.clone();
        sent["request_body"] = json!({
            "line": "POST /t?<b>", "content_type": "", "bytes": 12, "cut": false, "body": "{\"text\": \"<i>\"}",
        });
        let sent = check("delivery.html", sent);
        assert!(sent.contains("POST &#x2f;t?&lt;b&gt;</span> · 12 bytes</p>"), "{sent}");
        assert!(
            sent.contains("aria-label=\"Request body as sent\"") && sent.contains("Download request body")
        );
        let mut gone = full;
        gone["request_kept"] = json!(false);
        let gone = check("delivery.html", gone);
        assert!(gone.contains("or it was not kept") && !gone.contains("Show request body"), "{gone}");
        let bare = json!({
            "current": delivery(state), "attempt_list": [], "attempt": null, "event": null, "sender": "",
            "waited_ms": 5, "prepared_ms": 1_200, "others": 0, "payload": null,
            "request_body": null, "request_kept": false,
        });
        let bare = check("delivery.html", bare);
        assert!(!bare.contains("Request body as sent"), "nothing was sent yet: {bare}");
        let goes_on = ["waiting", "sending", "retrying"].contains(&state);
        assert_eq!(bare.contains("data-poll=\"/deliveries/dlv_1\""), goes_on, "{state}: {bare}");
    }
    let kept = json!({ "current": delivery("failed"), "why_not_as_first_sent": null });
    assert!(check("delivery_replay.html", kept).contains("value=\"as_first_sent\""));
    let gone = json!({ "current": delivery("failed"), "why_not_as_first_sent": "It is <gone>" });
    let gone = check("delivery_replay.html", gone);
    assert!(gone.contains("It is &lt;gone&gt;.") && !gone.contains("value=\"as_first_sent\""), "{gone}");
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

#[test]
fn who_may_not_repair_a_delivery_is_told_who_can() {
    let page = |rights: &[&str]| {
        let mut waits = delivery("held");
        waits["credential"] =
            json!({ "id": "crd_1", "name": "Tool", "action": "Authorize", "action_code": "authorize" });
        let may = consign_core::rights::Right::ALL.iter();
        let may = may.map(|right| (right.kind().replace(':', "_"), json!(rights.contains(&right.kind()))));
        check(
            "delivery.html",
            json!({
                "current": waits, "attempt_list": [], "attempt": null, "event": null, "sender": "", "waited_ms": 5, "prepared_ms": 1_200, "others": 0,
                "payload": null, "request_body": null, "request_kept": false, "may": may.collect::<serde_json::Map<_, _>>(),
            }),
        )
    };
    let theirs = "Someone with the role Credential manager can repair it.";
    let viewer = page(&["deliveries:read"]);
    assert!(!viewer.contains("crd_1&#x2f;authorize") && viewer.contains(theirs), "{viewer}");
    let manager = page(&["deliveries:read", "credentials:write"]);
    assert!(manager.contains("crd_1&#x2f;authorize") && !manager.contains(theirs), "{manager}");
}
