//! Settings: what is shown is what is in force, and the check of an address says what a delivery would meet.

use consign::config::Source;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::page::{Form, form_with, unescape};
use crate::harness::{TestConsign, id_of};
use crate::people::someone;

on_both_databases! { the_name_of_the_installation_stands_in_the_navigation }

async fn the_name_of_the_installation_stands_in_the_navigation(consign: TestConsign) {
    let first = consign.get("/settings").await.expect(200).json();
    assert_eq!(first["instance_name"], "");
    consign.call("PATCH", "/settings", &[], Some(&json!({ "instance_name": "x" }))).await.expect(428);
    let name = "Acme <production> & “main”";
    let named = consign.patch("/settings", &json!({ "instance_name": name })).await.expect(200).json();
    assert_eq!(named["instance_name"], name);
    let page = consign.page("/webhooks").await.expect(200).text();
    assert!(page.contains("<small>Acme &lt;production&gt; &amp; “main”</small>"), "{page}");
    assert!(!consign.client.send("GET", "/sign-in", &[], "").await.text().contains("Acme"));
    let stale = first["etag"].as_str().unwrap();
    let body = json!({ "instance_name": "late" });
    let late = consign.call("PATCH", "/settings", &[("if-match", stale)], Some(&body)).await.expect(412);
    assert_eq!(late.json()["current"]["instance_name"], name);
    let long = json!({ "instance_name": "x".repeat(61) });
    consign.patch("/settings", &long).await.expect(422);
    consign.patch("/settings", &json!({ "public_url2": "x" })).await.expect(422);
    let entries = consign.all("/audit-entries?action=settings").await;
    assert_eq!(entries[0]["changes"], json!({ "instance_name": { "old": "", "new": name } }));

    let form = consign.form("/settings", "instance_name").await;
    assert_eq!(form.value("instance_name").map(unescape).as_deref(), Some(name));
    let form = form.set("instance_name", "Test");
    consign.send_form(&form.clone().without("etag")).await.expect(409);
    let reply = consign.send_form(&form).await.expect(303);
    assert!(consign.follow(&reply).await.text().contains("Saved."));
    consign.run(&["settings", "set", "--instance-name", "Lab"]).await.expect(0);
    let shown = consign.run(&["settings", "get", "--json"]).await.expect(0).json();
    assert_eq!(shown["instance_name"], "Lab");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_shown_with_their_source_and_secrets_only_as_set() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.egress.allow.push("10.20.0.0/16:443".to_owned());
        config.sources.insert("egress.allow", Source::Environment("CONSIGN_EGRESS_ALLOW".to_owned()));
    })
    .await;
    let shown = consign.get("/settings").await.expect(200).json();
    let option = |key: &str| {
        shown["options"].as_array().unwrap().iter().find(|option| option["key"] == key).unwrap().clone()
    };
    let allow = option("egress.allow");
    assert!(allow["value"].as_str().unwrap().contains("10.20.0.0/16:443"), "{allow}");
    assert_eq!(
        (&allow["source"], &allow["source_name"]),
        (&json!("environment"), &json!("CONSIGN_EGRESS_ALLOW"))
    );
    assert_eq!(option("egress.tls_min")["source"], "default");
    assert!(["set", "none"].contains(&option("database.url")["value"].as_str().unwrap()));
    let page = unescape(&consign.page("/settings/egress").await.expect(200).text());
    for words in ["10.20.0.0/16:443", "set by CONSIGN_EGRESS_ALLOW", "egress.allow_loopback"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let about = unescape(&consign.page("/settings/about").await.expect(200).text());
    assert!(about.contains(env!("CARGO_PKG_VERSION")) && about.contains("SQLite"));
    assert!(about.contains("Running since") && about.contains("/settings/about/licences"), "{about}");
    let running = consign.get("/about").await.expect(200).json();
    assert_eq!((&running["database"], &running["build"]), (&json!("sqlite"), &json!("debug")));
    assert!(
        running["uptime_seconds"].as_u64().unwrap() < 600 && running["started_at"].is_string(),
        "{running}"
    );
    let said = consign.run(&["about", "--json"]).await.expect(0).json();
    assert_eq!(said["started_at"], running["started_at"]);
    let licences = consign.get("/about/licences").await.expect(200).json();
    let page = consign.page("/settings/about/licences").await.expect(200).text();
    let list = consign.run(&["about", "--licences"]).await.expect(0).stdout;
    for name in ["rustls", "aws-lc-sys", "libsqlite3-sys"] {
        assert!(licences["items"].as_array().unwrap().iter().any(|one| one["name"] == name), "{name}");
        assert!(page.contains(&format!(">{name}<")) && list.contains(name), "{name}");
    }
    assert!(!page.contains("src=\"http"), "nothing is asked of anybody");
    let meta = consign.get("/meta").await.expect(200).json();
    assert_eq!((&meta["database"], &meta["licence"]), (&json!("sqlite"), &json!("Apache-2.0 OR MIT")));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_judged_by_the_rule_that_decides() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.egress.allow =
            vec!["10.20.0.0/16:443".to_owned(), "!10.20.9.0/24:443".to_owned(), "127.0.0.1:*".to_owned()];
        config.egress.allow_loopback = false;
    })
    .await;
    for (address, allowed, message) in [
        ("https://10.20.0.5/", true, "Yes. The rule 10.20.0.0/16:443 of egress.allow opens 10.20.0.5."),
        (
            "https://10.20.0.5/api/x?y=1",
            true,
            "Yes. The rule 10.20.0.0/16:443 of egress.allow opens 10.20.0.5.",
        ),
        ("https://10.20.9.5/", false, "No. The rule !10.20.9.0/24:443 of egress.allow closes 10.20.9.5."),
        (
            "https://10.21.0.5/",
            false,
            "No. 10.21.0.5 is on a private network and no rule of egress.allow names it.",
        ),
        (
            "https://127.0.0.1/",
            false,
            "No. 127.0.0.1 is this computer itself. Rules open it only while egress.allow_loopback is true.",
        ),
        ("https://8.8.8.8/", true, "Yes. 8.8.8.8 is public, and no rule closes it."),
        ("https://8.8.8.8:25/", false, "No. Port 25 belongs to another protocol."),
        ("https://erp/", false, "No. erp is a short name and no rule of egress.allow names it."),
    ] {
        let verdict = consign.post("/egress-checks", &json!({ "address": address })).await.expect(200).json();
        assert_eq!(
            (&verdict["allowed"], &verdict["message"]),
            (&json!(allowed), &json!(message)),
            "{address}"
        );
        let form = consign.form("/settings/egress", "address").await.set("address", address);
        let page = unescape(&consign.send_form(&form).await.expect(200).text());
        assert!(page.contains(message), "{message}\n{page}");
        let code = if allowed { 0 } else { 8 };
        let ran = consign.run(&["settings", "check-address", address]).await.expect(code);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
    for wrong in ["", "10.0.0.1", "http://10.0.0.1/", "https://user@10.0.0.1/"] {
        consign.post("/egress-checks", &json!({ "address": wrong })).await.expect(422);
    }
    let form = consign.form("/settings/egress", "address").await.set("address", "http://10.0.0.1/");
    let page = unescape(&consign.send_form(&form).await.expect(422).text());
    assert!(page.contains("Address must start with https://"), "{page}");
    let key = consign.make_key(&["credentials:write"]).await;
    let body = json!({ "address": "https://8.8.8.8/" }).to_string();
    consign
        .call_as(&key, "POST", "/egress-checks", &[("content-type", "application/json")], body)
        .await
        .expect(403);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_saw_the_same_settings_one_saves() {
    let consign = TestConsign::on_postgres().await;
    let body = |path: &str, n: u64| match path {
        "/settings" => json!({ "instance_name": format!("Acme {n}") }),
        "/settings/sign-in" => json!({ "session_hours": 20 + n }),
        "/settings/delivery" => json!({ "timeout_seconds": 20 + n }),
        "/settings/egress" => json!({ "outgoing_addresses": format!("203.0.113.{n}") }),
        _ => json!({ "emails": [format!("ops{n}@acme.example")] }),
    };
    for path in ["/settings", "/settings/sign-in", "/settings/delivery", "/settings/egress", "/notifications"]
    {
        // The first save of all, and one over it.
        for n in [1, 3] {
            let seen = consign.get(path).await.expect(200).json()["etag"].as_str().unwrap().to_owned();
            let save = async |n: u64| {
                consign.call("PATCH", path, &[("if-match", &seen)], Some(&body(path, n))).await.status
            };
            // Both have come as far as they can before one of them goes on.
            let busy = consign.database.begin("select * from audit_head for update").await;
            let (one, two, ()) = tokio::join!(save(n), save(n + 1), async {
                consign.database.until_waiting(2).await;
                busy.commit().await;
            });
            let mut statuses = [one, two];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path} {n}");
        }
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_comes_back_overwrites_nothing() {
    let consign = TestConsign::start().await;
    let (bo, _) = someone(&consign, "bo@acme.example", "viewer").await;
    let person = format!("/users/{}", id_of(&bo));
    for (page, field, place, wrong, right, theirs) in [
        ("/settings", "time_zone", "/settings", "Nowhere", "UTC", json!({ "instance_name": "Theirs" })),
        ("/settings/sign-in", "session_hours", "/settings/sign-in", "0", "9", json!({ "idle_minutes": 20 })),
        (
            "/settings/delivery",
            "timeout_seconds",
            "/settings/delivery",
            "0",
            "9",
            json!({ "payload_days": 3 }),
        ),
        (
            "/settings/notifications",
            "emails",
            "/notifications",
            "x",
            "",
            json!({ "emails": ["a@b.example"] }),
        ),
        ("/welcome", "public_url", "/settings", "x", "https://a.example", json!({ "instance_name": "More" })),
        (&person, "role", &person, "king", "auditor", json!({ "role": "operator" })),
    ] {
        let typed = |form: Form, value: &str| {
            let form = form.without(field).with(field, value);
            if form.has("password") { form.set("password", &consign.password) } else { form }
        };
        let form = consign.form(page, field).await;
        consign.patch(place, &theirs).await.expect(200);
        let back = consign.send_form(&typed(form.clone(), wrong)).await.expect(422).text();
        // Mended where it came back, it still knows what it was filled in over.
        let mended = typed(form_with(&back, &form.action, "etag"), right);
        consign.send_form(&mended).await.expect(409);
        let now = consign.get(place).await.expect(200).json();
        for (key, value) in theirs.as_object().unwrap() {
            assert_eq!(&now[key], value, "{page}");
        }
    }
    consign.finish().await;
}
