//! Approving access in pages, with and without scripts; a way back that is not the one that was asked for ends without
//! a token request.

use std::time::Duration;

use serde_json::json;

use crate::harness::page::unescape;
use crate::harness::{EMAIL, Reply, Session, TestConsign, form, parameter, session_of};
use crate::peers::authorization_server::{AuthorizationServer, Registered, Setup};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

const CODE: &str = "oauth2_authorization_code";

/// A browser comes back from the tool.
async fn back(consign: &TestConsign, session: &Session, id: &str, query: &[(&str, &str)]) -> (u16, String) {
    let path = format!("/oauth/callback/{id}?{}", form(query));
    let reply = consign.client.send("GET", &path, &[("cookie", &session.cookie)], "").await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    let page = unescape(&reply.text());
    for (name, value) in query.iter().filter(|(name, _)| ["state", "code"].contains(name)) {
        assert!(!page.contains(value), "the {name} is in the page\n{page}");
    }
    assert_eq!(page.matches("<h1").count(), 1);
    assert!(page.contains("Reference"), "{page}");
    (reply.status, page)
}

async fn another_session(consign: &TestConsign) -> Session {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let body = form(&[("email", EMAIL), ("password", &consign.password)]);
    let reply: Reply = consign.client.send("POST", "/sign-in", &headers, body).await.expect(303);
    let session = session_of(&consign.client, &reply).await;
    consign.canaries.never_shown("another session", session.cookie.split_once('=').unwrap().1);
    session
}

/// A credential that a person has to approve, saved from its form; its id.
async fn to_approve(consign: &TestConsign, name: &str, tool: &Tool, tokens: &Tool) -> String {
    let new = consign
        .new_credential(name, CODE)
        .await
        .set("url_address", &tool.origin())
        .set("client_id", "client")
        .set("client_secret", &consign.canary("client secret"))
        .set("authorization_code_url", &format!("{}authorize?tenant=1", tokens.origin()))
        .set("access_token_url", &format!("{}token", tokens.origin()))
        .set("scope", "read write");
    let reserved = new.value("reserved").unwrap().to_owned();
    let page = consign.send_form(&new.with("authorize", "1")).await.expect(303).location();
    assert_eq!(
        page,
        format!("/credentials/{reserved}/authorize"),
        "the redirect URL was right before the save"
    );
    reserved
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_back_ends_on_its_page_and_a_wrong_one_asks_for_no_token() {
    let consign = TestConsign::start().await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    let (tool, tokens) = (Tool::start().await, Tool::start().await);
    let refused = json!({ "error": "invalid_grant", "error_description": "<b>No</b>" });
    tokens.answer(Answer::json(400, &refused));
    let id = to_approve(&consign, "itsm", &tool, &tokens).await;
    let other = to_approve(&consign, "other", &tool, &tokens).await;
    let own = consign.session.clone();
    let asked = || tokens.asked_at("/token").len();
    let state = async |id: &str| parameter(&consign.departure(id).await, "state");
    let link = consign.departure(&id).await;
    assert!(link.starts_with(&format!("{}authorize?tenant=1&", tokens.origin())), "{link}");
    assert_eq!(parameter(&link, "scope"), "read write");
    assert!(parameter(&link, "redirect_uri").ends_with(&format!("/oauth/callback/{id}")));
    let list = unescape(&consign.page("/credentials").await.text());
    assert!(list.contains("Not authorized yet") && list.contains(&format!("/credentials/{id}/authorize")));

    let code = consign.canary("code");
    let old = "This link was already used or is older than 10 minutes.";
    // No state, an unknown one, one of another credential.
    for query in [vec![("code", code.as_str())], vec![("code", code.as_str()), ("state", "unknown-state")]] {
        let (status, page) = back(&consign, &own, &id, &query).await;
        assert!(status == 400 && page.contains(old), "{page}");
    }
    let foreign = state(&other).await;
    let (_, page) = back(&consign, &own, &id, &[("code", &code), ("state", &foreign)]).await;
    assert!(page.contains(old), "{page}");
    // Nobody is signed in; then someone else is. Neither uses up what the first asked for, or makes a request.
    let mine = state(&id).await;
    let nobody = Session { cookie: "none=1".to_owned(), csrf: String::new() };
    let (_, page) = back(&consign, &nobody, &id, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains("nobody is signed in") && page.contains("/sign-in?next="), "{page}");
    let stranger = another_session(&consign).await;
    let (_, page) = back(&consign, &stranger, &id, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains("This approval was started in another session."), "{page}");
    // Nothing of an answer may come twice, whatever the other one says.
    let iss = ("iss", "https://a.example");
    for (name, more) in [("code", vec![("code", "another-code")]), ("iss", vec![iss, iss])] {
        let mine = state(&id).await;
        let query = [vec![("code", code.as_str()), ("state", mine.as_str())], more].concat();
        let (_, page) = back(&consign, &own, &id, &query).await;
        assert!(page.contains(&format!("the answer holds {name} more than once")), "{page}");
        assert_eq!(asked(), 0, "{name}");
    }
    // Too old, and changed meanwhile.
    let mine = state(&id).await;
    consign.advance(Duration::from_secs(601));
    let (_, page) = back(&consign, &own, &id, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains(old), "{page}");
    let mine = state(&id).await;
    consign.patch(&format!("/credentials/{id}"), &json!({ "scope": "read" })).await.expect(200);
    let (_, page) = back(&consign, &own, &id, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains(old), "{page}");
    // The tool says no, in its own words, which are text.
    let mine = state(&id).await;
    let (_, page) = back(&consign, &own, &id, &[("error", "access_denied"), ("state", &mine)]).await;
    assert!(page.contains("You said no"), "{page}");
    let mine = state(&id).await;
    let query = [("error", "redirect_uri_mismatch"), ("state", &mine)];
    let (_, page) = back(&consign, &own, &id, &query).await;
    assert!(page.contains("Register this address in the tool:"), "{page}");
    let mine = state(&id).await;
    let words = "<script>alert(1)</script>";
    let query = [("error", "server_error"), ("error_description", words), ("state", &mine)];
    let path = format!("/oauth/callback/{id}?{}", form(&query));
    let raw = consign.page(&path).await.text();
    assert!(raw.contains("server_error") && !raw.contains(words), "{raw}");
    assert_eq!(asked(), 0, "no wrong way back may ask for a token");

    // A code that the tool refuses; a code that it takes, twice.
    let mine = state(&id).await;
    let (_, page) = back(&consign, &own, &id, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains("The tool refused the code") && page.contains("invalid_grant"), "{page}");
    let good =
        json!({ "access_token": consign.canary("access"), "refresh_token": consign.canary("refresh") });
    tokens.answer(token(&good));
    let mine = state(&id).await;
    let query = [("code", code.as_str()), ("state", mine.as_str()), ("iss", "https://login.example")];
    let (status, page) = back(&consign, &own, &id, &query).await;
    assert!(
        status == 200 && page.contains("itsm is connected.") && page.contains("renewed automatically"),
        "{page}"
    );
    let before = asked();
    let (_, page) = back(&consign, &own, &id, &query).await;
    assert!(page.contains(old), "{page}");
    // Another authorization server than the last time.
    let mine = state(&id).await;
    let query = [("code", code.as_str()), ("state", mine.as_str()), ("iss", "https://evil.example")];
    let (_, page) = back(&consign, &own, &id, &query).await;
    assert!(page.contains("The tool refused the code"), "{page}");
    assert_eq!(asked(), before);

    // Without a refresh token it will stop.
    let mine = state(&other).await;
    tokens.answer(token(&json!({ "access_token": consign.canary("short"), "refresh_token": null })));
    let (_, page) = back(&consign, &own, &other, &[("code", &code), ("state", &mine)]).await;
    assert!(page.contains("The tool did not give a refresh token."), "{page}");

    let page = format!("/credentials/{id}");
    let edit = consign.form(&page, "etag").await.set("scope", "read write");
    let said = consign.send_form(&edit).await.expect(303);
    let shown = consign.follow(&said).await.text();
    assert!(shown.contains("Authorize again to use the new scope."), "{shown}");
    let shown = consign.page(&format!("{page}/forget-tokens")).await.expect(200).text();
    assert!(shown.contains("Forget the tokens of “itsm”?"), "{shown}");
    consign.submit(&format!("{page}/forget-tokens"), &[]).await.expect(303);
    assert!(consign.page(&page).await.text().contains("Not authorized yet"));
    consign.finish().await;
}

/// From the empty form to a delivery, as a person does it.
async fn approve_in_a_browser(scripts: bool) {
    let consign = TestConsign::start().await;
    let server = AuthorizationServer::start(&Setup::with(Vec::new())).await;
    let tool = Tool::start().await;
    let browser = Browser::start(scripts).await;
    let secret = consign.canary("secret");
    browser.sign_in(&consign, &format!("http://{}", consign.address()), "/credentials/new").await;
    browser.fill("name", "Service desk").await;
    browser.choose("authorization_type", CODE).await;
    if !scripts {
        browser.press("[name='authorization_type'] ~ [name='show_fields']").await;
    }
    browser.until_there("#f-redirect_url").await;
    let redirect = browser.run("return document.getElementById('f-redirect_url').value", vec![]).await;
    server.register(&Registered::for_person("person", &secret, redirect.as_str().unwrap())).await;
    browser.fill("url_address", &tool.origin()).await;
    browser.fill("client_id", "person").await;
    browser.fill("client_secret", &secret).await;
    browser.fill("authorization_code_url", &server.authorization_url()).await;
    browser.fill("access_token_url", &server.token_url()).await;
    browser.fill("scope", "read").await;
    browser.press_words("Test connection").await;
    browser.until_shows("The client ID and secret are accepted. Authorize to finish.").await;
    if scripts {
        let typed = browser.run("return document.getElementById('f-client_secret').value.length > 0", vec![]);
        assert_eq!(typed.await, json!(true), "a test leaves what was typed");
    }
    browser.press_words("Save and authorize").await;
    browser.until_shows("You will approve as whoever is signed in there.").await;
    browser.press_words("Continue").await;
    browser.until_shows("person wants to: read").await;
    browser.press_words("Approve").await;
    browser.until_shows("Service desk is connected.").await;
    let page = browser.client.source().await.unwrap();
    consign.shown_elsewhere("the page after the approval", page);
    browser.press_words("Back to Service desk").await;
    browser.until_shows("by itself, with a refresh token").await;
    let body = json!({ "name": "x", "credential": "Service desk", "path": "/x", "event_types": ["*"] });
    consign.webhook(&body).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = tool.asked_at("/x").pop().unwrap();
    let access = asked.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
    assert!(server.is_valid(&access).await);
    // Taken back at the tool: said, and repaired from the same place.
    server.revoke_all().await;
    server.expire_access_tokens().await;
    tool.answer_next(Answer::status(401));
    let held = consign.event("a", &json!(2)).await;
    consign.until(held.delivery(), "held").await;
    browser.goto(&format!("http://{}/credentials", consign.address())).await;
    browser.until_shows("Reconnect needed").await;
    browser.press("td a[href$='/authorize']").await;
    browser.until_shows("You will approve as whoever is signed in there.").await;
    browser.press_words("Continue").await;
    browser.until_shows("person wants to: read").await;
    browser.press_words("Approve").await;
    browser.until_shows("Service desk is connected.").await;
    consign.until(held.delivery(), "delivered").await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_approved_in_a_browser_with_scripts() {
    approve_in_a_browser(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_approved_in_a_browser_without_scripts() {
    approve_in_a_browser(false).await;
}
