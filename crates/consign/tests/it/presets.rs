//! New credentials that start from a preset: filled in beside what was typed, with and without scripts, and what the
//! preset knows of a first webhook.

use serde_json::json;

use crate::harness::TestConsign;
use crate::harness::page::{form_with, unescape};
use crate::peers::Tool;
use crate::peers::browser::Browser;

const CODE: &str = "oauth2_authorization_code";
/// The button for the fields of a choice.
const SHOW: (&str, &str) = ("show_fields", "1");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_fills_in_the_form_and_suggests_the_first_webhook_without_scripts() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let first = consign.form("/credentials/new", "start_from").await.set("name", "4me");
    // The button for the fields, and the Enter key.
    let first = first.set("start_from", "4me");
    let entered = consign.send_form(&first).await.expect(200).text();
    let entered = form_with(&entered, "/credentials/new", "authorization_type");
    let (form, page) = consign.pressed(first, SHOW).await;
    assert_eq!((form.value("authorization_type"), entered.names()), (Some("bearer"), form.names()));
    assert_eq!(form.value("url_address"), Some("https://api.4me.com/"));
    assert_eq!((form.value("test_path"), form.value("name")), (Some("/v1/people/me"), Some("4me")));
    assert_eq!(form.value("custom_headers.name"), Some("X-4me-Account"));
    assert!(page.contains("The id of the account that the requests are for."), "{page}");
    let form = form.set("url_address", &tool.origin()).set("token", &consign.canary("token"));
    let (form, page) = consign.pressed(form.set("test_path", ""), SHOW).await;
    assert_eq!(
        (form.value("url_address"), form.value("test_path")),
        (Some(tool.origin().as_str()), Some(""))
    );
    assert!(page.contains("Entered, not saved yet"), "{page}");
    let form = form.set("custom_headers.value", &consign.canary("account"));
    let saved = consign.send_form(&form).await.expect(303);
    let page = unescape(&consign.follow(&saved).await.text());
    let id = consign.all("/credentials").await[0]["id"].as_str().unwrap().to_owned();
    let link = format!("/webhooks/new?credential={id}&method=POST&path=%2Fv1%2Frequests");
    assert!(page.contains(&link), "{page}");
    let webhook = consign.form(&link, "event_types").await;
    assert_eq!((webhook.value("path"), webhook.value("method")), (Some("/v1/requests"), Some("POST")));
    assert_eq!(webhook.value("credential"), Some(id.as_str()));
    let odd = consign.form("/webhooks/new?method=DELETE&path=%22%3E%3Cb%3E", "event_types").await;
    assert_eq!((odd.value("path"), odd.value("method")), (Some("\"><b>"), Some("POST")));
    assert!(!consign.get(&format!("/credentials/{id}")).await.text().contains("start_from"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_preset_leaves_open_is_asked_for() {
    let consign = TestConsign::start().await;
    let first = consign.form("/credentials/new", "start_from").await.set("start_from", "jira");
    let first = first.set("authorization_type", CODE).set("name", "Jira");
    let (form, page) = consign.pressed(first, SHOW).await;
    assert_eq!(form.value("scope"), Some("offline_access"));
    assert_eq!(form.value("authorization_parameters.name"), Some("audience"));
    assert!(page.contains("Replace {cloudId} with yours."), "{page}");
    let form = form.set("client_id", "client").set("client_secret", &consign.canary("secret"));
    for button in ["save", "test"] {
        let refused = consign.send_form(&form.clone().with(button, "1")).await.expect(422).text();
        assert!(refused.contains("Replace {cloudId} in the test path with yours"), "{refused}");
    }
    let refused = consign.send_form(&form.clone().set("name", "")).await.expect(422).text();
    assert!(refused.contains("Enter a name") && refused.contains("{cloudId} in"), "{refused}");
    assert!(consign.all("/credentials").await.is_empty());
    // The page of an existing one knows the tool by its address; the site stands in the test path.
    let form = form.set("test_path", "/ex/jira/1324a887/rest/api/3/myself");
    let (form, _) = consign.pressed(form, SHOW).await;
    let at = consign.send_form(&form.with("authorize", "1")).await.expect(303).location();
    let page = consign.page(at.strip_suffix("/authorize").unwrap()).await.expect(200).text();
    assert!(
        unescape(&page).contains("path=%2Fex%2Fjira%2F1324a887%2Frest%2Fservicedeskapi%2Frequest"),
        "{page}"
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_is_chosen_with_scripts_and_what_was_typed_stays() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    browser.sign_in(&consign, &format!("http://{}", consign.address()), "/credentials/new").await;
    browser.choose("authorization_type", "basic").await;
    browser.until_there("#f-password").await;
    browser.fill("name", "Service desk").await;
    browser.fill("username", "ana@acme.example").await;
    browser.fill("password", &consign.canary("password")).await;
    browser.press("#custom-headers [data-rows-add]").await;
    browser.fill("custom_headers.name", "X-Own").await;
    browser.fill("custom_headers.value", &consign.canary("header")).await;
    browser.choose("start_from", "jira").await;
    browser.until_shows("An API token of the account.").await;
    let value = async |name: &str| {
        let script = "return document.querySelector(`[name='${arguments[0]}']`).value";
        browser.run(script, vec![json!(name)]).await.as_str().unwrap().to_owned()
    };
    assert_eq!(value("authorization_type").await, "basic");
    assert_eq!(value("url_address").await, "https://{site}.atlassian.net/");
    assert_eq!(
        (value("name").await, value("username").await),
        ("Service desk".into(), "ana@acme.example".into())
    );
    assert_eq!(value("custom_headers.name").await, "X-Own");
    for secret in ["password", "custom_headers.value"] {
        assert!(!value(secret).await.is_empty(), "the {secret} was typed");
    }
    assert_eq!(value("test_path").await, "/rest/api/3/myself");
    let focus = "return document.activeElement.id";
    assert_eq!(browser.run(focus, vec![]).await, json!("f-start_from"), "the choice keeps the focus");
    // Another tool: its own way in, its own addresses, which go where the first one goes.
    browser.choose("start_from", "servicenow").await;
    browser.until_shows("Usual for ServiceNow").await;
    browser.choose("authorization_type", "oauth2_client_credentials").await;
    browser.until_there("#f-access_token_url").await;
    assert_eq!(value("access_token_url").await, "https://{instance}.service-now.com/oauth_token.do");
    browser.fill("url_address", "https://acme.service-now.com").await;
    browser.press("#f-client_id").await;
    assert_eq!(value("access_token_url").await, "https://acme.service-now.com/oauth_token.do");
    browser.close().await;
    consign.finish().await;
}
