//! Settings of delivery: what is chosen holds at once, and comes behind what the operator set.

use std::time::Duration;

use consign::config::Source;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::{TestConsign, id_of};
use crate::peers::{Answer, Tool};

const PLACE: &str = "/settings/delivery";
const DAY: Duration = Duration::from_secs(86_400);

on_both_databases! {
    waits_and_limits_hold_at_once
    what_has_ended_goes_after_the_days_that_were_chosen
}

async fn waits_and_limits_hold_at_once(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let first = consign.get(PLACE).await.expect(200).json();
    assert_eq!(first["timeout_seconds"], 20);
    for (wrong, sentence) in [
        (json!({ "timeout_seconds": 61 }), "Timeout must be from 1 to 60 seconds"),
        (
            json!({ "retry_schedule_seconds": [0] }),
            "Retry schedule takes up to 20 waits, each from 1 second to 7 days",
        ),
        (json!({ "retry_schedule_seconds": "5" }), "Retry schedule takes up to 20 waits"),
        (json!({ "event_bytes": 1023 }), "Largest request with events must be from 1024 to 16777216 bytes"),
        (json!({ "payload_days": 0 }), "Payloads must be from 1 to 3650 days"),
        (json!({ "delivery_days": "long" }), "Records of deliveries must be from 1 to 3650 days"),
        (json!({ "pace": 1 }), "“pace” is not known"),
    ] {
        let told = consign.patch(PLACE, &wrong).await.expect(422).text();
        assert!(told.contains(sentence), "{wrong}: {told}");
    }
    consign.call("PATCH", PLACE, &[], Some(&json!({ "timeout_seconds": 9 }))).await.expect(428);

    // One attempt alone, for whatever has no schedule of its own.
    tool.answer(Answer::status(503));
    consign.patch(PLACE, &json!({ "retry_schedule_seconds": [] })).await.expect(200);
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    let failed = consign.until(sent.delivery(), "failed").await;
    assert_eq!(failed["attempts"], 1, "{failed}");
    let form = consign.form(PLACE, "retry_schedule_seconds").await;
    assert_eq!(form.value("retry_schedule_seconds"), Some("none"));
    let told =
        consign.send_form(&form.clone().set("retry_schedule_seconds", "5, soon")).await.expect(422).text();
    assert!(
        told.contains("Retry schedule takes up to 20 waits") && told.contains("value=\"5, soon\""),
        "{told}"
    );
    let form = form.set("retry_schedule_seconds", "3600, 7200").set("event_bytes", "2048");
    let saved = consign.send_form(&form).await.expect(303);
    assert!(consign.follow(&saved).await.text().contains("Saved. It holds from now on."));
    consign.send_form(&form.set("event_bytes", "4096")).await.expect(409);
    let sent = consign.event("device.low", &json!({ "n": 2 })).await;
    consign.until(sent.delivery(), "retrying").await;
    tool.answer(Answer::status(200));
    consign.act(&format!("/deliveries/{}/replays", sent.delivery())).await;

    // A request that is too large by now.
    let big = json!({ "type": "device.low", "data": { "n": "x".repeat(3_000) } });
    assert_eq!(consign.post("/events", &big).await.expect(413).code(), "too_large");
    assert_eq!(consign.get("/meta").await.json()["limits"]["event_bytes"], 2_048);
    let words = [
        "settings",
        "set-delivery",
        "--event-bytes",
        "default",
        "--export-bytes",
        "2000",
        "--timeout-seconds",
        "7",
    ];
    consign.run(&words).await.expect(0);
    consign.post("/events", &big).await.expect(202);
    let exporter = json!({ "name": "Files", "credential": "itsm", "path": "/x", "source": "pushed",
        "columns": [{ "name": "n" }] });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    let file = json!({ "file_name": "devices.csv", "bytes": 2_001 });
    let (uploads, key) = (format!("/exporters/{exporter}/uploads"), [("idempotency-key", "upload")]);
    let told = consign.call("POST", &uploads, &key, Some(&file)).await.expect(422).text();
    assert!(told.contains("2,000 bytes") || told.contains("2000 bytes"), "{told}");

    // What is saved from now on has this timeout; what is there keeps its own.
    assert_eq!(consign.get(&format!("/webhooks/{webhook}")).await.json()["timeout_seconds"], 20);
    let more = json!({ "name": "second", "credential": "itsm", "path": "/y", "event_types": ["other.*"] });
    assert_eq!(consign.post("/webhooks", &more).await.expect(201).json()["timeout_seconds"], 7);
    assert_eq!(consign.get(&format!("/exporters/{exporter}")).await.json()["timeout_seconds"], 7);
    assert_eq!(consign.form("/webhooks/new", "timeout_seconds").await.value("timeout_seconds"), Some("7"));
    let back = consign.run(&["settings", "delivery", "--json"]).await.expect(0).json();
    assert_eq!(
        (&back["event_bytes"], &back["retry_schedule_seconds"]),
        (&first["event_bytes"], &json!([3600, 7200]))
    );
    let entries = consign.all("/audit-entries?action=delivery%20settings").await;
    let last = &entries[0]["changes"];
    assert_eq!(last["timeout_seconds"], json!({ "old": 20, "new": 7 }), "{last}");
    assert_eq!(entries.len(), 3);
    // It outlasts a restart.
    consign.restart().await;
    assert_eq!(consign.get(PLACE).await.json()["timeout_seconds"], 7);
    let viewer = consign.make_key(&["deliveries:read"]).await;
    consign.call_as(&viewer, "GET", PLACE, &[], "").await.expect(403);
    consign.allow_open();
    consign.finish().await;
}

async fn what_has_ended_goes_after_the_days_that_were_chosen(consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "delivered").await;
    consign.patch(PLACE, &json!({ "payload_days": 3, "delivery_days": 30 })).await.expect(200);
    let kept = consign.get("/storage").await.expect(200).json();
    assert_eq!(
        (&kept["payload_days"], &kept["delivery_days"], &kept["payloads"]),
        (&json!(3), &json!(30), &json!(1))
    );
    let bytes = kept["payload_bytes"].as_u64().unwrap();
    assert!(bytes > 0 && kept["forecast_payload_bytes"] == 3 * bytes, "{kept}");
    let page = consign.page(PLACE).await.expect(200).text();
    assert!(page.contains("after 3 days") && page.contains("30 deliveries after 30 days"), "{page}");

    consign.advance(2 * DAY);
    consign.remove_what_is_old().await;
    assert_eq!(consign.get("/storage").await.json()["payloads"], 1);
    consign.advance(2 * DAY);
    consign.remove_what_is_old().await;
    let kept = consign.get("/storage").await.json();
    assert_eq!((&kept["payloads"], &kept["deliveries"]), (&json!(0), &json!(1)));
    consign.advance(30 * DAY);
    consign.remove_what_is_old().await;
    assert_eq!(consign.get("/storage").await.json()["deliveries"], 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_set_comes_first() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.retention.payload_days = 5;
        config.sources.insert("retention.payload_days", Source::File);
    })
    .await;
    let page = consign.page(PLACE).await.expect(200).text();
    assert!(
        page.contains("Set by the configuration file.") && !page.contains("name=\"payload_days\""),
        "{page}"
    );
    let told = consign.patch(PLACE, &json!({ "payload_days": 9 })).await.expect(422).json();
    assert_eq!(told["errors"][0]["message"], "Payloads is set by the configuration file");
    let whole = consign.get(PLACE).await.json();
    assert_eq!((&whole["payload_days"], &whole["delivery_days_set_by"]), (&json!(5), &json!(null)));
    let same = consign.patch(PLACE, &whole).await.expect(200).json();
    assert_eq!(same["etag"], whole["etag"], "what was read can be sent back");
    consign.finish().await;
}

/// What ends with it is told before: tools that it signed for are not believed from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extra_authorities_are_told_over_api_and_command_line() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        let folder = config.data.dir.clone();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("roots.pem");
        let text = [authority("Acme Root 1", 10), authority("Acme Root 2", 400)].concat();
        std::fs::write(&file, text).unwrap();
        config.egress.ca_file = Some(file);
    })
    .await;
    let shown = consign.get("/settings/egress").await.expect(200).json();
    let found = shown["extra_authorities"].as_array().unwrap();
    assert_eq!(found.len(), 2, "{shown}");
    assert!(found[0]["subject"].as_str().unwrap().contains("Acme Root 1"), "{shown}");
    assert_eq!(
        (&found[0]["ends_soon"], &found[0]["ended"], &found[1]["ends_soon"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert!(
        shown["options"]
            .as_array()
            .unwrap()
            .iter()
            .all(|option| option["key"].as_str().unwrap().starts_with("egress."))
    );
    let ran = consign.run(&["settings", "egress"]).await.expect(0);
    assert!(ran.stdout.contains("Acme Root 2") && ran.stdout.contains("egress.ca_file"), "{}", ran.stdout);
    let json = consign.run(&["settings", "egress", "--json"]).await.expect(0).json();
    assert_eq!(json["extra_authorities"], shown["extra_authorities"]);
    let page = consign.page("/settings/egress").await.expect(200).text();
    assert!(page.contains("Ends soon") && page.contains("Acme Root 2"), "{page}");
    consign.look_for_notices().await;
    let told = consign.get("/notifications").await.expect(200).text();
    assert!(told.contains("Acme Root 1") && !told.contains("Acme Root 2"), "{told}");
    let viewer = consign.make_key(&["deliveries:read"]).await;
    consign.call_as(&viewer, "GET", "/settings/egress", &[], "").await.expect(403);
    consign.finish().await;
}

/// A certificate authority that ends in so many days.
fn authority(name: &str, days: u32) -> String {
    let ends = consign_store::local_now().plus(days * DAY).day();
    let parts: Vec<u16> = ends.split('-').map(|part| part.parse().unwrap()).collect();
    let small = |part: u16| u8::try_from(part).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.not_after = rcgen::date_time_ymd(i32::from(parts[0]), small(parts[1]), small(parts[2]));
    let key = rcgen::KeyPair::generate().unwrap();
    parameters.self_signed(&key).unwrap().pem()
}
