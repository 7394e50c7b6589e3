//! The public URL: chosen by a person unless the operator set it, and checked by a call to itself through a real proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use consign::config::{Config, Source};
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, id_of};
use crate::peers::{Nginx, Tool, free_port};

async fn check(consign: &TestConsign, url: &str) -> Value {
    consign.post("/public-url-checks", &json!({ "public_url": url })).await.expect(200).json()
}

fn texts(checked: &Value, good: bool) -> Vec<&str> {
    let seen = checked["seen"].as_array().unwrap().iter();
    seen.filter(|one| one["good"] == good).map(|one| one["text"].as_str().unwrap()).collect()
}

/// An administrator chooses another one, in a session that lasts over a change from http to https.
pub(crate) async fn choose(consign: &TestConsign, url: &str) {
    let token = consign.session.cookie.split_once('=').unwrap().1;
    let cookies = format!("consign-local={token}; __Host-consign={token}");
    let headers = [
        ("cookie", cookies.as_str()),
        ("consign-csrf", consign.session.csrf.as_str()),
        ("content-type", "application/json"),
        ("if-match", "*"),
    ];
    let body = json!({ "public_url": url, "password": consign.password }).to_string();
    consign.client.send("PATCH", "/api/v1/settings", &headers, body).await.expect(200);
}

const PASSES_ON: &str = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_passes_everything_on_is_good() {
    let consign = TestConsign::on(Kind::Sqlite, |config: &mut Config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let proxy = Nginx::in_front_of(consign.address(), PASSES_ON).await;
    let checked = check(&consign, &proxy.origin()).await;
    let url = proxy.origin().trim_end_matches('/').to_owned();
    assert_eq!(checked["message"], format!("{url} leads here."), "{checked}");
    assert_eq!((checked["reached"] == true, texts(&checked, true).len()), (true, 3), "{checked}");
    let said = consign.run(&["settings", "check-public-url", &url]).await.expect(0).stderr;
    assert!(said.contains("leads here."), "{said}");
    // Nobody else is told anything.
    consign.client.send("GET", "/url-check/guessed", &[], "").await.expect(404);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_changes_is_named() {
    let consign = TestConsign::start().await;
    let plain = Nginx::in_front_of(consign.address(), "").await;
    let checked = check(&consign, &plain.origin()).await;
    let bad = texts(&checked, false).join("\n");
    assert!(checked["reached"] == true && bad.contains("The proxy changes the host from"), "{checked}");
    assert!(bad.contains("does not name the client"), "{bad}");
    // Somebody behind the proxy, whose address this server has no reason to believe.
    let other = PASSES_ON.replace("$remote_addr", "203.0.113.9");
    let untrusted = Nginx::in_front_of(consign.address(), &other).await;
    let bad = check(&consign, &untrusted.origin()).await;
    let bad = texts(&bad, false).join("\n");
    assert!(bad.contains("server.trusted_proxies does not list it"), "{bad}");
    let said = consign.run(&["settings", "check-public-url", &plain.origin()]).await.expect(8).stderr;
    assert!(said.contains("a proxy on the way changes something"), "{said}");

    let elsewhere = Nginx::in_front_of(consign.address(), "return 301 https://other.example/;").await;
    let message = check(&consign, &elsewhere.origin()).await["message"].as_str().unwrap().to_owned();
    assert!(message.contains("use the one that it leads to"), "{message}");
    let tool = Tool::start().await;
    let message = check(&consign, &tool.origin()).await["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Something else than this server answers at"), "{message}");
    let message = check(&consign, &format!("https://127.0.0.1:{}", free_port())).await;
    assert!(message["message"].as_str().unwrap().contains("was not reached from this server"), "{message}");
    let message = check(&consign, "").await;
    assert!(message["message"].as_str().unwrap().contains("is not https"), "{message}");
    consign.post("/public-url-checks", &json!({ "public_url": "consign" })).await.expect(422);
    let form = consign.form("/settings", "instance_name").await;
    let page = consign.send_form(&form.with("act", "check")).await.expect(200).text();
    assert!(page.contains("is not https"), "{page}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_public_url_names_the_redirect_urls_that_change() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let body = json!({
        "name": "Service desk", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        "client_secret": consign.canary("client secret"),
        "authorization_code_url": format!("{}authorize", tool.origin()),
        "access_token_url": format!("{}token", tool.origin()), "authentication_information": "body",
    });
    let id = id_of(&consign.post("/credentials", &body).await.expect(201).json());
    let before = consign.get("/settings").await.expect(200).json();
    assert_eq!(before["public_url_set_by"], Value::Null);
    let other = format!("http://localhost:{}", consign.address().port());
    let page = consign.page("/settings").await.expect(200).text();
    assert!(page.contains("Redirect URLs that change with it: 1") && page.contains("Service desk"), "{page}");
    let form = consign.form("/settings", "instance_name").await.set("public_url", &other);
    let refused = consign.send_form(&form).await.expect(422).text();
    assert!(refused.contains("Enter your password again"), "{refused}");
    let wrong = form.clone().set("password", "not the password");
    consign.send_form(&wrong).await.expect(422);
    assert_eq!(consign.get("/settings").await.json()["public_url"], before["public_url"]);
    let reply = consign.send_form(&form.set("password", &consign.password.clone())).await.expect(303);
    let said = consign.follow(&reply).await.text();
    assert!(said.contains("Enter the new redirect URL in the tools of “Service desk”."), "{said}");
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(shown["redirect_url"], format!("{other}/oauth/callback/{id}"));
    consign.restart().await;
    assert_eq!(consign.get("/settings").await.json()["public_url"], other, "it outlasts a restart");
    consign.patch("/settings", &json!({ "public_url": "consign.example" })).await.expect(422);
    let entries = consign.all("/audit-entries?action=settings").await;
    assert_eq!(entries[0]["changes"]["public_url"]["new"], other);
    let back = before["public_url"].as_str().unwrap();
    // Whoever holds an API key leads nobody elsewhere; what is so already can be sent back.
    let refused = consign.patch("/settings", &json!({ "public_url": back })).await.expect(403).json();
    assert!(refused["detail"].as_str().unwrap().contains("API keys choose no other public URL"), "{refused}");
    let said = consign.run(&["settings", "set", "--public-url", back]).await.expect(5).stderr;
    assert!(said.contains("Sign in as a person and do it in Settings"), "{said}");
    consign.patch("/settings", &json!({ "public_url": other, "instance_name": "Acme" })).await.expect(200);
    choose(&consign, back).await;
    assert_eq!(consign.get("/settings").await.json()["public_url"], back);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_operator_set_it_nobody_changes_it() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.server.public_url = Some(format!("http://{}", config.server.listen));
        config
            .sources
            .insert("server.public_url", Source::Environment("CONSIGN_SERVER_PUBLIC_URL".to_owned()));
    })
    .await;
    let page = consign.page("/settings").await.expect(200).text();
    assert!(page.contains("Set by CONSIGN_SERVER_PUBLIC_URL."), "{page}");
    let refused =
        consign.patch("/settings", &json!({ "public_url": "https://other.example" })).await.expect(422);
    assert!(refused.text().contains("Public URL is set by CONSIGN_SERVER_PUBLIC_URL"), "{}", refused.text());
    let present = consign.get("/settings").await.json();
    consign.patch("/settings", &json!({ "public_url": present["public_url"] })).await.expect(200);
    let page = consign.page("/settings/egress").await.expect(200).text();
    assert!(page.contains("Extra CA certificates") && page.contains("CN="), "{page}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_up_goes_on_with_the_address_and_the_recovery_file() {
    let consign = TestConsign::start().await;
    let page = unescape(&consign.page("/welcome").await.expect(200).text());
    assert!(
        page.contains("Step 2 of 3") && page.contains("You opened this page at http://127.0.0.1"),
        "{page}"
    );
    let form = consign.form("/welcome", "public_url").await;
    let checked = consign.send_form(&form.clone().with("act", "check")).await.expect(200).text();
    assert!(checked.contains("is not https"), "{checked}");
    let wrong = consign.send_form(&form.clone().set("public_url", "consign")).await.expect(422).text();
    assert!(wrong.contains("Public URL needs an address without a path"), "{wrong}");
    let url = format!("http://localhost:{}", consign.address().port());
    let form = form.set("public_url", &url);
    consign.send_form(&form).await.expect(422);
    let next = consign.send_form(&form.set("password", &consign.password.clone())).await.expect(303);
    assert_eq!(next.location(), "/welcome/key");
    assert_eq!(consign.get("/settings").await.json()["public_url"], url);
    let form = consign.form("/welcome/key", "passphrase").await;
    let form =
        form.set("passphrase", &consign.canary("passphrase")).set("password", &consign.password.clone());
    let file = consign.send_form(&form).await.expect(200);
    assert!(file.text().contains("CONSIGN RECOVERY FILE"), "{}", file.text());
    let done = consign.submit("/welcome/key", &[("stored", "yes")]).await.expect(303);
    assert!(consign.follow(&done).await.text().contains("Consign is set up."));
    consign.finish().await;
}

/// What is wrong with the form of the recovery file is said in the step of setting up that it belongs to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_file_that_is_refused_stays_a_step_of_setting_up() {
    let consign = TestConsign::start().await;
    let passphrase = consign.canary("passphrase");
    let form = consign.form("/welcome/key", "passphrase").await;
    let short = form.clone().set("passphrase", "short").set("password", &consign.password);
    let wrong = form.set("passphrase", &passphrase).set("password", "not the password");
    let mut page = String::new();
    for (form, sentence) in [
        (short, "Passphrase must be 12 characters or more. Longer is better"),
        (wrong, "The password is not right"),
    ] {
        page = consign.send_form(&form).await.expect(422).text();
        let told = unescape(&page);
        assert_eq!(told.matches(sentence).count(), 2, "in the summary and at the field: {told}");
        assert!(told.contains("Step 3 of 3") && told.contains("<title>Error: "), "{told}");
        assert!(!told.contains("Rotate key") && !told.contains("aria-label=\"Main\""), "{told}");
    }
    let step = consign.page("/welcome/key").await.expect(200).text();
    assert!(!step.contains("A recovery file was taken"), "{step}");
    let again = form_with(&page, "/welcome/key", "passphrase");
    let again = again.set("passphrase", &passphrase).set("password", &consign.password);
    let file = consign.send_form(&again).await.expect(200);
    assert!(file.header("content-disposition").is_some_and(|it| it.starts_with("attachment; filename=")));
    assert!(file.text().contains("CONSIGN RECOVERY FILE"), "{}", file.text());
    let step = consign.page("/welcome/key").await.expect(200).text();
    assert!(step.contains("A recovery file was taken"), "{step}");
    consign.finish().await;
}

/// Only an address that the operator set is called against the egress rules: what a person chose tells nothing of what is
/// behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_looks_around_nowhere_else() {
    let consign = TestConsign::on(Kind::Sqlite, |config| config.egress.allow.clear()).await;
    let proxy = Nginx::in_front_of(consign.address(), PASSES_ON).await;
    let tool = Tool::start().await;
    let open = tool.origin().trim_end_matches('/').to_owned();
    let nobody = format!("https://127.0.0.1:{}", free_port());
    let metadata = "https://169.254.169.254".to_owned();
    let closed = [proxy.origin().trim_end_matches('/').to_owned(), open, nobody, metadata];
    for url in &closed {
        let checked = check(&consign, url).await;
        assert_eq!(checked["reached"], false, "{checked}");
        let before = checked["message"].as_str().unwrap().to_owned();
        assert!(before.starts_with("The egress rules of this server close"), "{before}");
        choose(&consign, url).await;
        for asked in [url.as_str(), ""] {
            let checked = check(&consign, asked).await;
            assert_eq!(checked["message"], before, "also when it is the public one");
        }
    }
    assert_eq!(tool.connections(), 0);
    let entries = consign.all("/audit-entries?action=Checked%20public%20URL").await;
    assert_eq!((entries.len(), &entries[0]["changes"]["reached"]), (12, &json!(false)), "{entries:?}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_operator_set_is_called_whatever_the_rules_say() {
    let url = format!("https://127.0.0.1:{}", free_port());
    // People sign in before it is https.
    let is_set = Arc::new(AtomicBool::new(false));
    let (set, later) = (url.clone(), is_set.clone());
    let mut consign = TestConsign::on(Kind::Sqlite, move |config| {
        config.egress.allow.clear();
        if later.load(Ordering::Relaxed) {
            config.server.public_url = Some(set.clone());
            config.sources.insert("server.public_url", Source::File);
        }
    })
    .await;
    let before = check(&consign, &url).await;
    assert!(before["message"].as_str().unwrap().starts_with("The egress rules of this server close"));
    is_set.store(true, Ordering::Relaxed);
    consign.restart().await;
    let checked = check(&consign, "").await;
    let message = checked["message"].as_str().unwrap();
    assert_eq!(message, format!("{url} was not reached from this server."));
    consign.abandon().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_told_to_come_by_tls_while_that_is_the_public_url() {
    let consign = TestConsign::start().await;
    let tls_only = async || {
        let reply = consign.client.send("GET", "/healthz", &[], "").await.expect(200);
        reply.header("strict-transport-security").is_some()
    };
    assert!(!tls_only().await);
    let before = consign.get("/settings").await.json();
    choose(&consign, "https://consign.example").await;
    assert!(tls_only().await);
    choose(&consign, before["public_url"].as_str().unwrap()).await;
    assert!(!tls_only().await);
    consign.finish().await;
}
