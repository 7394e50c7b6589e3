//! OAuth 2.0 in the form of a credential: set up with rows, tested before it is saved, and told what would work.

use serde_json::json;

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, eventually};
use crate::peers::authorization_server::{AuthorizationServer, Registered, Setup};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

const CLIENT: &str = "oauth2_client_credentials";
const CODE: &str = "oauth2_authorization_code";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_with_rows_are_created_and_edited_without_scripts() {
    let consign = TestConsign::start().await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    let (tool, tokens) = (Tool::start().await, Tool::start().await);
    tokens.answer(token(&json!({ "access_token": consign.canary("access") })));
    let secret = consign.canaries.plant_within("client secret", "a/", "+b");
    let (hidden, header) = (consign.canary("row"), consign.canary("header"));
    let new = consign
        .new_credential("itsm", CLIENT)
        .await
        .set("url_address", &tool.origin())
        .set("client_id", "client")
        .set("client_secret", &secret)
        .set("access_token_url", &format!("{}token", tokens.origin()))
        .set("scope", "read,write")
        .set_row("oauth_token_requests.name", 0, "company_id")
        .set_row("oauth_token_requests.value", 0, "acme")
        .set_row("oauth_token_requests.sent_in", 0, "query")
        .set_row("oauth_token_requests.name", 1, "api_key")
        .set_row("oauth_token_requests.value", 1, &hidden)
        .set_row("custom_headers.name", 0, "X-Tenant")
        .set_row("custom_headers.value", 0, &header)
        .set_row("custom_headers.sent_with", 0, "token_request");
    assert_eq!(new.value("authentication_information"), Some("header"), "the default is chosen");
    let second =
        new.fields.iter().filter(|(name, _)| name == "oauth_token_requests.id").nth(1).unwrap().1.clone();
    let new = new.with("oauth_token_requests.secret", &second);

    // A refused save keeps rows and secrets, and shows none of them.
    let refused = consign.send_form(&new.clone().set("url_address", "")).await.expect(422).text();
    assert!(refused.contains("Enter the URL address") && refused.contains("company_id"), "{refused}");
    // More rows than are there: the button asks for them, and what was typed stays.
    let again =
        form_with(&refused, "/credentials/new", "access_token_url").set("url_address", &tool.origin());
    let (again, page) = consign.pressed(again, ("add_row", "oauth_token_requests")).await;
    assert!(page.contains("The client secret has special characters (/ +)."), "{page}");
    assert!(page.contains("Is “read,write” one scope?"), "{page}");
    let page = consign.save_credential(&again.set("scope", "read write")).await;

    let webhook = json!({ "name": "itsm", "credential": "itsm", "path": "/x", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = tokens.asked().pop().unwrap();
    let body = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!(asked.target, "/token?company_id=acme");
    assert!(body.contains(&format!("api_key={hidden}")) && body.contains("scope=read+write"), "{body}");
    assert_eq!(asked.header("x-tenant"), header);
    assert!(tool.asked().iter().all(|asked| asked.headers_named("x-tenant").is_empty()));

    // Nothing touched: every secret stays. Then one row goes and the secret of the other is still its own.
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert_eq!(shown.matches("It cannot be shown.").count(), 3, "{shown}");
    assert!(shown.contains("acme") && shown.contains("obtained"), "{shown}");
    let edit = consign.form(&page, "etag").await.set("authentication_information", "body");
    consign.save_credential(&edit).await;
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert!(shown.contains("Body works, but the OAuth standard prefers Header"), "{shown}");
    let edit = consign.form(&page, "etag").await;
    let (edit, _) = consign.pressed(edit, ("remove_row", "oauth_token_requests.0")).await;
    consign.save_credential(&edit.set("scope", "read")).await;
    let sent = consign.event("a", &json!(2)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = tokens.asked().pop().unwrap();
    let body = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!(asked.target, "/token");
    assert!(body.contains(&format!("api_key={hidden}")) && body.contains("client_secret="), "{body}");

    // Someone else was faster: the page of the choice shows no typed secret, and "mine" still has it.
    let replaced = consign.canary("another-row");
    let stale = consign.form(&page, "etag").await.set("oauth_token_requests.value", &replaced);
    consign.patch(&page, &json!({ "labels": { "team": "network" } })).await.expect(200);
    let conflict = consign.send_form(&stale).await.expect(409).text();
    consign.save_credential(&form_with(&conflict, &page, "etag")).await;
    let sent = consign.event("a", &json!(3)).await;
    consign.until(sent.delivery(), "delivered").await;
    let body = String::from_utf8(tokens.asked().pop().unwrap().body).unwrap();
    assert!(body.contains(&format!("api_key={replaced}")), "{body}");

    // Another name for a secret row is another row: its value is asked for.
    let edit = consign.form(&page, "etag").await.set("oauth_token_requests.name", "other_key");
    let refused = unescape(&consign.send_form(&edit).await.expect(422).text());
    assert!(refused.contains("Enter a value for other_key"), "{refused}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_is_tested_and_what_would_work_is_offered() {
    let consign = TestConsign::start().await;
    let secret = consign.canary("secret");
    let machine = Registered::machine("machine", &secret).by_body();
    let server = AuthorizationServer::start(&Setup::with(vec![machine])).await;
    let tool = Tool::start().await;
    let new = consign
        .new_credential("itsm", CLIENT)
        .await
        .set("url_address", &tool.origin())
        .set("client_id", "machine")
        .set("access_token_url", &server.token_url())
        .set("test_path", "/me");
    let refused = unescape(&consign.send_form(&new.clone().with("test", "1")).await.expect(422).text());
    assert!(refused.contains("Enter the client secret"), "{refused}");
    let (form, page) = consign.pressed(new.set("client_secret", &secret), ("test", "1")).await;
    for words in
        ["Failed at Access token received", "Use Body", "not saved", "Technical details", "Name found"]
    {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(consign.all("/credentials").await.is_empty(), "a test saves nothing");
    let offer = ("use_offer", "authentication_information=body");
    let (form, page) = consign.pressed(form, offer).await;
    assert_eq!(form.value("authentication_information"), Some("body"), "{page}");
    let (form, page) = consign.pressed(form, ("test", "1")).await;
    assert!(page.contains("The tool accepted the sign-in."), "{page}");
    assert_eq!(tool.asked_at("/me").len(), 1);

    let page = consign.save_credential(&form).await;
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert!(shown.contains("Last test") && shown.contains("Working"), "{shown}");
    // A test of what is stored sets the status; one of what is typed does not.
    tool.answer(Answer::status(401));
    let edit = || consign.form(&page, "etag");
    let (_, shown) = consign.pressed(edit().await.set("test_path", "/other"), ("test", "1")).await;
    assert!(shown.contains("Check the client ID and client secret"), "{shown}");
    assert!(!shown.contains("Sign-in refused"), "{shown}");
    // A changed destination asks for the secret, before anything is sent there.
    let elsewhere = Tool::start().await;
    let moved =
        edit().await.set("access_token_url", &format!("{}token", elsewhere.origin())).with("test", "1");
    let refused = unescape(&consign.send_form(&moved).await.expect(422).text());
    assert!(refused.contains("Enter the client secret again."), "{refused}");
    assert_eq!(elsewhere.connections(), 0);
    let (_, shown) = consign.pressed(edit().await, ("test", "1")).await;
    assert!(shown.contains("Sign-in refused"), "{shown}");
    let braked = async || {
        let reply = consign.send_form(&edit().await.with("test", "1")).await;
        (reply.status == 429).then_some(reply)
    };
    let reply = eventually("the brake", braked).await;
    let seconds: u64 = reply.header("retry-after").expect("how long to wait").parse().unwrap();
    let shown = unescape(&reply.text());
    assert!(shown.contains(&format!("Too many tests. Wait {seconds} seconds.")), "{shown}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_offers_are_worked_with_scripts() {
    let consign = TestConsign::start().await;
    let secret = consign.canary("secret");
    let machine = Registered::machine("machine", &secret).by_body();
    let server = AuthorizationServer::start(&Setup::with(vec![machine])).await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    // By another name than the one that tools send people to.
    let base = format!("http://localhost:{}", consign.address().port());
    browser.sign_in(&consign, &base, "/credentials/new").await;
    browser.choose("authorization_type", CLIENT).await;
    browser.until_there("#f-client_secret").await;
    browser.fill("name", "itsm").await;
    browser.press("#tool [data-rows-add]").await;
    browser.fill("oauth_token_requests.name", "resource").await;
    browser.fill("oauth_token_requests.value", "shown").await;
    browser.press("#tool [data-rows-add]").await;
    let hidden = consign.canary("hidden row");
    let type_last = "const rows = document.querySelectorAll('#tool .row'); const row = rows[rows.length - 1];
        row.querySelector('[name$=\".name\"]').value = 'api_key';
        row.querySelector('[type=checkbox]').click();
        const value = row.querySelector('[name$=\".value\"]'); value.value = arguments[0]; return value.type";
    assert_eq!(browser.run(type_last, vec![json!(hidden)]).await, json!("password"));
    // Another type and back: what was typed is there. The secret was not sent for that; it stayed in the browser.
    browser.choose("authorization_type", CODE).await;
    browser.until_there("#f-redirect_url").await;
    browser.until_shows("You opened this page at http://localhost:").await;
    browser.choose("authorization_type", CLIENT).await;
    eventually("the fields of the first type", async || {
        let gone = browser.run("return !document.getElementById('f-redirect_url')", vec![]).await;
        (gone == json!(true)).then_some(())
    })
    .await;
    let values =
        "return [...document.querySelectorAll('#tool .row [name$=\".value\"]')].map((one) => one.value)";
    assert_eq!(browser.run(values, vec![]).await, json!(["shown", hidden]));
    browser.press("#tool .row:last-child [data-rows-remove]").await;
    browser.press("#tool .row:last-child [data-rows-remove]").await;
    browser.fill("url_address", &tool.origin()).await;
    browser.fill("client_id", "machine").await;
    browser.fill("client_secret", &secret).await;
    browser.fill("access_token_url", &server.token_url()).await;
    browser.press_words("Test connection").await;
    browser.until_shows("Failed at Access token received").await;
    browser.press_words("Use Body").await;
    let chosen = "return document.querySelector('[name=authentication_information]').value";
    assert_eq!(browser.run(chosen, vec![]).await, json!("body"));
    browser.press_words("Test connection").await;
    browser.until_shows("Reached, sign-in not proven").await;
    browser.press_words("Save").await;
    browser.until_at("/credentials/crd_").await;
    browser.until_shows("Not proven").await;
    // A secret that was typed, tested and taken back is not the one that is saved.
    browser.press("details.secret summary").await;
    browser.fill("client_secret", &consign.canary("wrong secret")).await;
    browser.press_words("Test connection").await;
    browser.until_shows("Test of what is typed").await;
    browser.until_shows("Failed at Access token received").await;
    browser.press("details.secret summary").await;
    browser.press_words("Replace secret").await;
    let focused = "return document.activeElement.id + document.querySelector('details.secret').open";
    assert_eq!(browser.run(focused, vec![]).await, json!("f-client_secrettrue"));
    browser.press("details.secret summary").await;
    browser.press_words("Save").await;
    browser.until_shows("Saved.").await;
    browser.until_shows("Last test").await;
    browser.until_shows("Reached, sign-in not proven").await;
    browser.close().await;
    consign.finish().await;
}
