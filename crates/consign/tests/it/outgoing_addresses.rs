//! The addresses for firewall requests: written by administrators, shown to them where a connection does not come about.

use serde_json::{Value, json};

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, bearer};
use crate::peers::free_port;
use crate::people::someone;

const PLACE: &str = "/settings/egress";
const MEMBER: &str = "outgoing_addresses";

on_both_databases! {
    they_are_written_down_and_shown
    what_was_written_outside_consign_is_not_shown
}

async fn they_are_written_down_and_shown(consign: TestConsign) {
    let first = consign.get(PLACE).await.expect(200).json();
    assert_eq!((&first[MEMBER], &first["etag"]), (&json!(""), &json!("\"1\"")));
    assert!(
        !consign.page(PLACE).await.expect(200).text().contains("data-copy=\"f-outgoing"),
        "there is nothing to copy"
    );
    consign.call("PATCH", PLACE, &[], Some(&json!({ MEMBER: "x" }))).await.expect(428);
    for wrong in [
        json!({ MEMBER: "x".repeat(2_001) }),
        json!({ MEMBER: "\u{1b}[31mred" }),
        json!({ MEMBER: 5 }),
        json!({ "allow": [] }),
    ] {
        consign.patch(PLACE, &wrong).await.expect(422);
    }
    let text = "Consign connects from 203.0.113.10\nand 203.0.113.11 <main>";
    let sent = json!({ MEMBER: format!(" {}\r\n", text.replace('\n', "\r\n")) });
    let saved = consign.patch(PLACE, &sent).await.expect(200).json();
    assert_eq!(saved[MEMBER], text);
    assert_eq!(
        consign.patch(PLACE, &saved).await.expect(200).json(),
        saved,
        "what was read can be sent back"
    );
    let etag = saved["etag"].as_str().unwrap();
    consign.call("GET", PLACE, &[("if-none-match", etag)], None).await.expect(304);
    let stale = [("if-match", "\"1\"")];
    let late = consign.call("PATCH", PLACE, &stale, Some(&json!({ MEMBER: "late" }))).await.expect(412);
    assert_eq!(late.json()["current"][MEMBER], text);

    let page = consign.page(PLACE).await.expect(200).text();
    assert!(page.contains("data-copy=\"f-outgoing_addresses\""), "{page}");
    let form = form_with(&page, PLACE, MEMBER);
    assert_eq!(form.value(MEMBER), Some(text));
    let refused = consign.send_form(&form.clone().set(MEMBER, &"y".repeat(2_001))).await.expect(422).text();
    assert!(refused.contains("2,000 characters or fewer"), "{refused}");
    let form = form.set(MEMBER, "203.0.113.12\r\n203.0.113.13");
    let reply = consign.send_form(&form).await.expect(303);
    assert!(consign.follow(&reply).await.text().contains("Saved."));
    assert_eq!(consign.get(PLACE).await.json()[MEMBER], "203.0.113.12\n203.0.113.13");
    let conflict = unescape(&consign.send_form(&form.set(MEMBER, "203.0.113.14")).await.expect(409).text());
    for words in ["changed these settings at ", ">Outgoing addresses</th>", "203.0.113.14", "203.0.113.13"] {
        assert!(conflict.contains(words), "{words}: {conflict}");
    }
    let entries = consign.all("/audit-entries?action=outgoing%20addresses").await;
    assert_eq!((entries.len(), &entries[1]["changes"]), (2, &json!({ MEMBER: { "old": "", "new": text } })));

    consign.run(&["settings", "set-egress", "--outgoing-addresses", "default"]).await.expect(0);
    let shown = consign.run(&["settings", "egress", "--json"]).await.expect(0).json();
    assert_eq!(shown[MEMBER], "default", "it is a text as any other");
    assert!(
        consign.run(&["settings", "egress"]).await.expect(0).stdout.contains("Outgoing addresses:\ndefault")
    );
    consign.run(&["settings", "set-egress", "--outgoing-addresses", ""]).await.expect(0);
    assert_eq!(consign.get(PLACE).await.json()[MEMBER], "");
    let viewer = consign.make_key(&["credentials:write"]).await;
    let headers = [("content-type", "application/json"), ("if-match", "*")];
    consign.call_as(&viewer, "PATCH", PLACE, &headers, r#"{"outgoing_addresses":"x"}"#).await.expect(403);
    consign.finish().await;
}

/// Nobody opens a firewall for an address that somebody wrote into the database.
async fn what_was_written_outside_consign_is_not_shown(consign: TestConsign) {
    let theirs = json!({ MEMBER: "203.0.113.10" });
    consign.patch(PLACE, &theirs).await.expect(200);
    let changed = async || consign.get("/settings").await.expect(200).json()["changed_outside"].clone();
    assert_eq!(changed().await, json!([]));
    let sql =
        "update installation set value = replace(value, '203.0.113.10', '198.51.100.6') where key = 'egress'";
    consign.database.execute(sql).await;
    assert_eq!(consign.get(PLACE).await.expect(200).json()[MEMBER], "");
    assert_eq!(changed().await, json!(["egress"]));
    let page = consign.page(PLACE).await.expect(200).text();
    assert!(page.contains("The outgoing addresses were changed outside Consign"), "{page}");
    assert!(!page.contains("198.51.100.6"), "{page}");
    // Saved again, they are shown again; also none.
    for again in [Value::Null, theirs[MEMBER].clone()] {
        consign.patch(PLACE, &json!({ MEMBER: again })).await.expect(200);
        assert_eq!(changed().await, json!([]));
    }
    assert_eq!(consign.get(PLACE).await.json()[MEMBER], theirs[MEMBER]);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_blames_a_firewall_leads_there() {
    let consign = TestConsign::start().await;
    let address = format!("https://127.0.0.1:{}/", free_port());
    let credential = consign.credential(&bearer("nobody", &address, &consign.canary("token"))).await;
    consign.act(&format!("/credentials/{credential}/tests")).await.expect(201);
    let page = format!("/credentials/{credential}");
    let link = "href=\"/settings/egress#outgoing\"";
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert!(shown.contains("a firewall may block it") && shown.contains(link), "{shown}");
    assert!(consign.page(PLACE).await.expect(200).text().contains("id=\"outgoing\""));
    let (_, bo) = someone(&consign, "bo@acme.example", "credential_manager").await;
    let shown = consign.client.send("GET", &page, &[("cookie", &bo.cookie)], "").await.expect(200).text();
    assert!(
        shown.contains("a firewall may block it") && !shown.contains(link),
        "only for whoever may see it"
    );
    consign.finish().await;
}
