//! Pages of what a file manages: the band, fields that are only shown, and a change that is made all the same.

use serde_json::{Value, json};

use crate::browser::press_in_confirmation;
use crate::harness::page::form_with;
use crate::harness::{TestConsign, bearer, id_of, merge};
use crate::peers::Tool;
use crate::peers::browser::Browser;
use crate::tours::Tour;

const BAND: &str = "A change here is overwritten at the next apply.";
const SHOWN_ONLY: &str = "<fieldset class=\"as-is\" disabled>";

/// One of each, managed as `platform-itsm`: the pages of their forms.
async fn managed(consign: &TestConsign, tool: &Tool) -> Vec<(&'static str, String)> {
    let credential = bearer("Service desk", &tool.origin(), &consign.canary("token"));
    let connector = |name: &str, more: &Value| {
        let mut body = json!({ "name": name, "credential": "Service desk" });
        merge(&mut body, more);
        body
    };
    let bodies = [
        ("credentials", credential),
        ("webhooks", connector("Incidents", &json!({ "path": "/x", "event_types": ["a.*"] }))),
        (
            "exporters",
            connector("Nightly", &json!({ "path": "/x", "event_types": ["b.*"], "format": "ndjson" })),
        ),
        ("gateways", connector("Desk", &json!({ "slug": "desk", "path_prefixes": ["/api"] }))),
    ];
    let mut forms = Vec::new();
    for (kind, body) in bodies {
        let path = format!("/{kind}?field_manager=platform-itsm");
        let made = consign.post(&path, &body).await.expect(201).json();
        assert_eq!(made["managed_by"], "platform-itsm");
        let page = format!("/{kind}/{}", id_of(&made));
        forms.push((kind, if kind == "credentials" { page } else { format!("{page}/set-up") }));
    }
    forms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_what_a_file_manages_are_only_shown_until_somebody_edits_it_anyway() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    for (kind, path) in managed(&consign, &tool).await {
        let page = consign.page(&path).await.expect(200).text();
        assert!(
            page.contains("Managed from a file (<code>platform-itsm</code>).") && page.contains(BAND),
            "{page}"
        );
        assert!(page.contains(SHOWN_ONLY), "{kind}\n{page}");
        assert!(!page.contains("class=\"btn primary\" type=\"submit\">Save<"), "{kind}\n{page}");
        let detail = path.trim_end_matches("/set-up");
        assert!(consign.page(detail).await.expect(200).text().contains(BAND), "{detail}");
        let dialog = consign.page(&format!("{detail}/delete")).await.expect(200).text();
        assert!(dialog.contains(BAND), "{dialog}");

        // A save of a form that was open before: what was typed is kept, and the question is put.
        let (edit, object) = (format!("{path}?edit=anyway"), detail.to_owned());
        let form = consign.form(&edit, "name").await;
        let typed = form.clone().without("edit").set("name", &format!("{kind} by hand"));
        let asked = consign.send_form(&typed).await.expect(409).text();
        assert!(asked.contains("Nothing was saved: this is managed from a file (platform-itsm)"), "{asked}");
        let name = consign.get(&object).await.json()["name"].clone();
        let again = form_with(&asked, &path, "name");
        assert_eq!(again.value("name"), Some(format!("{kind} by hand").as_str()));
        assert_ne!(name, format!("{kind} by hand"));
        consign.send_form(&again).await.expect(303);

        let saved = consign.get(&object).await.json();
        assert_eq!(
            (&saved["name"], &saved["managed_by"]),
            (&json!(format!("{kind} by hand")), &json!("platform-itsm"))
        );
        let history = consign.all("/audit-entries").await;
        let edited = history
            .iter()
            .find(|entry| entry["object_id"] == saved["id"] && entry["changes"]["name"].is_object());
        let edited = edited.unwrap_or_else(|| panic!("{history:?}"));
        assert_eq!(edited["changes"]["managed_from_a_file_by"], "platform-itsm", "{edited}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_the_hands_of_a_file_is_managed_by_people_again() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    for (kind, path) in managed(&consign, &tool).await {
        let object = path.trim_end_matches("/set-up").to_owned();
        let manager = async || consign.get(&object).await.json()["managed_by"].clone();
        // A save that is not accepted keeps the tick.
        let form = consign.form(&format!("{path}?edit=anyway"), "name").await.with("release", "on");
        let refused = consign.send_form(&form.clone().set("name", "")).await.expect(422).text();
        assert!(
            refused.contains("name=\"release\" value=\"on\"") && refused.contains(" checked>"),
            "{refused}"
        );
        assert_eq!(manager().await, "platform-itsm");
        consign.send_form(&form).await.expect(303);
        assert_eq!(manager().await, json!(null));
        let edited = consign.all("/audit-entries").await[0].clone();
        assert_eq!(
            edited["changes"]["managed_by"],
            json!({ "old": "platform-itsm", "new": null }),
            "{edited}"
        );
        assert!(!consign.page(&path).await.expect(200).text().contains(BAND));

        // Over the API, and by a command.
        for by_command in [false, true] {
            let whole = consign.get(&object).await.json();
            consign
                .call("PUT", &format!("{object}?field_manager=again"), &[("if-match", "*")], Some(&whole))
                .await
                .expect(200);
            assert_eq!(manager().await, "again");
            consign.patch(&object, &json!({ "name": whole["name"] })).await.expect(200);
            assert_eq!(manager().await, "again", "a change by hand gives nothing back");
            if by_command {
                let name = whole["name"].as_str().unwrap();
                consign
                    .run(&[kind.trim_end_matches('s'), "edit", name, "--no-longer-managed"])
                    .await
                    .expect(0);
            } else {
                consign.patch(&object, &json!({ "managed_by": null })).await.expect(200);
            }
            assert_eq!(manager().await, json!(null), "{kind}");
        }
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_test_needs_no_edit() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let forms = managed(&consign, &tool).await;
    let (_, path) = &forms[0];
    let tested = consign.submit(path, &[("test", "1")]).await.expect(200).text();
    assert!(tested.contains("Reached, sign-in not proven") && tested.contains(SHOWN_ONLY), "{tested}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_by_manager_where_something_is_managed() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("By hand", &tool.origin(), &json!({})).await;
    for list in ["/credentials", "/webhooks"] {
        let page = consign.page(list).await.expect(200).text();
        assert!(!page.contains("Managed by: all"), "{list}\n{page}");
    }
    managed(&consign, &tool).await;
    for list in ["/credentials", "/webhooks", "/exporters", "/gateways"] {
        let page = consign.page(list).await.expect(200).text();
        assert!(page.contains("Managed by: all"), "{list}\n{page}");
    }
    for list in ["/credentials", "/webhooks"] {
        let page = consign.page(&format!("{list}?managed_by=platform-itsm")).await.expect(200).text();
        assert!(!page.contains(">By hand</a>"), "{page}");
        assert!(page.contains("--managed-by=platform-itsm"), "the command asks for the same\n{page}");
        let page = consign.page(&format!("{list}?managed_by=nobody")).await.expect(200).text();
        assert!(page.contains("matches these filters."), "{page}");
    }
    let listed =
        consign.run(&["credential", "list", "--managed-by", "platform-itsm", "--json"]).await.expect(0);
    assert_eq!(listed.json()["items"].as_array().map(Vec::len), Some(1));
    let listed = consign.run(&["webhook", "list", "--managed-by", "platform-itsm", "--json"]).await.expect(0);
    assert_eq!(listed.json()["items"].as_array().map(Vec::len), Some(1));
    consign.finish().await;
}

/// The form of a managed webhook, from the band to the save.
async fn edit_anyway(scripts: bool) {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let forms = managed(&consign, &tool).await;
    let (_, path) = &forms[1];
    let browser = Browser::start(scripts).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;
    browser.goto(&format!("{base}{path}")).await;
    browser.until_shows(BAND).await;
    let disabled =
        browser.run("return document.querySelector('[name=path]').matches(':disabled')", vec![]).await;
    assert_eq!(disabled, json!(true));
    browser.press_words("Edit anyway").await;
    browser.until_there("[name='path']:enabled").await;
    browser.fill("path", "/by-hand").await;
    browser.press_words("Save").await;
    browser.until_shows("Saved.").await;
    let saved = consign.get("/webhooks/Incidents").await.json();
    assert_eq!((&saved["path"], &saved["managed_by"]), (&json!("/by-hand"), &json!("platform-itsm")));
    browser.goto(&format!("{base}{path}")).await;
    browser.press_words("Delete this webhook …").await;
    browser.until_shows(BAND).await;
    press_in_confirmation(&browser, "Delete webhook").await;
    browser.until_shows("Deleted Incidents.").await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_webhook_is_edited_and_deleted_with_scripts() {
    edit_anyway(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_webhook_is_edited_and_deleted_without_scripts() {
    edit_anyway(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_what_a_file_manages_are_accessible() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let forms = managed(&consign, &tool).await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;
    let mut tour = Tour::start("managed from a file", &browser, &base).await;
    let mut pages = vec!["/credentials?managed_by=platform-itsm".to_owned()];
    for (_, path) in &forms {
        let detail = path.trim_end_matches("/set-up");
        pages.extend([path.clone(), format!("{path}?edit=anyway"), format!("{detail}/delete")]);
        pages.extend((detail != path).then(|| detail.to_owned()));
    }
    tour.look(&pages).await;
    tour.end();
    browser.close().await;
    consign.finish().await;
}
