//! OAuth 2.0 from pages: credentials are set up, tested and approved by forms alone, and a way back that is not the
//! one that was asked for ends without a token request.

use std::time::Duration;

use serde_json::json;

use crate::harness::page::{Form, attribute, form_with, unescape};
use crate::harness::{EMAIL, Reply, Session, TestConsign, eventually, form, session_of};
use crate::peers::authorization_server::{AuthorizationServer, Registered, Setup};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

const CLIENT: &str = "oauth2_client_credentials";
const CODE: &str = "oauth2_authorization_code";

/// The form of a new credential of this type, without scripts.
async fn new_form(consign: &TestConsign, name: &str, kind: &str) -> Form {
    let first = consign.form("/credentials/new", "authorization_type").await;
    let first = first.set("name", name).set("authorization_type", kind).with("show_fields", "1");
    let page = consign.send_form(&first).await.expect(200).text();
    form_with(&page, "/credentials/new", "access_token_url")
}

/// The same form again, as the answer to one of its buttons.
async fn pressed(consign: &TestConsign, form: Form, button: (&str, &str)) -> (Form, String) {
    let action = form.action.clone();
    let reply = consign.send_form(&form.with(button.0, button.1)).await.expect(200);
    let page = unescape(&reply.text());
    (form_with(&reply.text(), &action, "access_token_url"), page)
}

/// Where the link of the page before the tool leads to.
async fn departure(consign: &TestConsign, id: &str) -> String {
    let page = consign.page(&format!("/credentials/{id}/authorize")).await.expect(200).text();
    assert!(page.contains("You will approve as whoever is signed in there."), "{page}");
    let link = page.split("<a ").find(|tag| tag.contains("rel=\"noreferrer\"")).expect("a link to the tool");
    attribute(&format!("a {}", link.split('>').next().unwrap()), "href").expect("an address")
}

fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').expect("a query").1;
    let pairs = form_urlencoded(query);
    pairs.into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {address}")).1
}

fn form_urlencoded(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_with_rows_are_created_and_edited_without_scripts() {
    let consign = TestConsign::start().await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    let (tool, tokens) = (Tool::start().await, Tool::start().await);
    tokens.answer(token(&json!({ "access_token": consign.canary("access") })));
    let secret = consign.canaries.plant_within("client secret", "a/", "+b");
    let (hidden, header) = (consign.canary("row"), consign.canary("header"));
    let new = new_form(&consign, "itsm", CLIENT)
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
    let (again, page) = pressed(&consign, again, ("add_row", "oauth_token_requests")).await;
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
    let (edit, _) = pressed(&consign, edit, ("remove_row", "oauth_token_requests.0")).await;
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
    let new = new_form(&consign, "itsm", CLIENT)
        .await
        .set("url_address", &tool.origin())
        .set("client_id", "machine")
        .set("access_token_url", &server.token_url())
        .set("test_path", "/me");
    let refused = unescape(&consign.send_form(&new.clone().with("test", "1")).await.expect(422).text());
    assert!(refused.contains("Enter the client secret"), "{refused}");
    let (form, page) = pressed(&consign, new.set("client_secret", &secret), ("test", "1")).await;
    for words in
        ["Failed at Access token received", "Use Body", "not saved", "Technical details", "Name found"]
    {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(consign.all("/credentials").await.is_empty(), "a test saves nothing");
    let offer = ("use_offer", "authentication_information=body");
    let (form, page) = pressed(&consign, form, offer).await;
    assert_eq!(form.value("authentication_information"), Some("body"), "{page}");
    let (form, page) = pressed(&consign, form, ("test", "1")).await;
    assert!(page.contains("The tool accepted the sign-in."), "{page}");
    assert_eq!(tool.asked_at("/me").len(), 1);

    let page = consign.save_credential(&form).await;
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert!(shown.contains("Last test") && shown.contains("Working"), "{shown}");
    // A test of what is stored sets the status; one of what is typed does not.
    tool.answer(Answer::status(401));
    let edit = || consign.form(&page, "etag");
    let (_, shown) = pressed(&consign, edit().await.set("test_path", "/other"), ("test", "1")).await;
    assert!(shown.contains("Check the client ID and client secret"), "{shown}");
    assert!(!shown.contains("Sign-in refused"), "{shown}");
    // A changed destination asks for the secret, before anything is sent there.
    let elsewhere = Tool::start().await;
    let moved =
        edit().await.set("access_token_url", &format!("{}token", elsewhere.origin())).with("test", "1");
    let refused = unescape(&consign.send_form(&moved).await.expect(422).text());
    assert!(refused.contains("Enter the client secret again."), "{refused}");
    assert_eq!(elsewhere.connections(), 0);
    let (_, shown) = pressed(&consign, edit().await, ("test", "1")).await;
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
    browser.goto(&format!("http://localhost:{}/credentials/new", consign.address().port())).await;
    browser.until_at("/sign-in").await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", &consign.password).await;
    browser.press_words("Sign in").await;
    browser.until_at("/credentials/new").await;
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
    let chosen = "return document.querySelector('[name=authentication_information]:checked').value";
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

/// A credential that a person has to approve, saved from its form; its id.
async fn to_approve(consign: &TestConsign, name: &str, tool: &Tool, tokens: &Tool) -> String {
    let new = new_form(consign, name, CODE)
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
    let state = async |id: &str| parameter(&departure(&consign, id).await, "state");
    let link = departure(&consign, &id).await;
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
    assert!(page.contains("You are signed in as someone else here."), "{page}");
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
    browser.goto(&format!("http://{}/credentials/new", consign.address())).await;
    browser.until_at("/sign-in").await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", &consign.password).await;
    browser.press_words("Sign in").await;
    browser.until_at("/credentials/new").await;
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
