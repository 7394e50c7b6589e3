//! Signing in with an OpenID provider: oidc-provider as the real one, with and without a browser, and a scripted one that
//! answers what it should not.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use consign::config::Config;
use consign_core::secret::Secret;
use serde_json::{Value, json};

use crate::harness::http::Served;
use crate::harness::page::{form_with, unescape};
use crate::harness::{
    Client, Database, EMAIL, Folder, Kind, Replica, Reply, TestConsign, form, id_of, parameter,
};
use crate::peers::authorization_server::{AuthorizationServer, Decision, Registered, Setup};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

const SECRET: &str = "a secret of the client at its provider";
const BACK: &str = "/sign-in/oidc/callback";

/// A browser without scripts: the cookies that it was given.
#[derive(Default)]
pub(crate) struct Jar(Vec<(String, String)>);

impl Jar {
    pub(crate) async fn get(&mut self, client: &Client, path: &str) -> Reply {
        let path = path.strip_prefix(&format!("http://{}", client.address)).unwrap_or(path);
        let reply = client.send("GET", path, &[("cookie", &self.cookies())], "").await;
        for cookie in reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    /// As a request sends them.
    pub(crate) fn cookies(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// A Consign that knows a provider, and the provider that knows it.
pub(crate) async fn with_provider(
    kind: Kind,
    claims_in_id_token: bool,
) -> (TestConsign, AuthorizationServer) {
    let provider = AuthorizationServer::start(&Setup { claims_in_id_token, ..Setup::with(vec![]) }).await;
    let issuer = provider.issuer();
    let consign = TestConsign::on(kind, move |config| {
        config.auth.oidc.issuer = Some(issuer.clone());
        config.auth.oidc.client_id = Some("consign".to_owned());
        config.auth.oidc.client_secret = Some(Secret::new(SECRET.to_owned()));
        config.auth.oidc.admin_group = Some("consign admins".to_owned());
        config.auth.oidc.name = Some("Acme ID".to_owned());
    })
    .await;
    consign.canaries.never_shown("the client's secret", SECRET);
    register(&consign.client, &provider).await;
    (consign, provider)
}

async fn register(client: &Client, provider: &AuthorizationServer) {
    let redirect = format!("http://{}{BACK}", client.address);
    provider.register(&Registered::for_person("consign", SECRET, &redirect)).await;
}

pub(crate) fn person(name: &str, more: &Value) -> Value {
    let mut person = json!({ "sub": format!("{name}-1"), "name": format!("{name} of Acme"),
                             "email": format!("{name}@acme.example"), "email_verified": true });
    crate::harness::merge(&mut person, more);
    person
}

/// Out to the provider, and back with what it says; the answer to the way back.
pub(crate) async fn come(
    client: &Client,
    provider: &AuthorizationServer,
    jar: &mut Jar,
    person: &Value,
) -> Reply {
    provider.is_asked_by(person).await;
    let out = jar.get(client, "/sign-in/oidc?next=/webhooks").await.expect(303).location();
    let back = provider.decide(&out, Decision::Approve).await;
    jar.get(client, &back).await
}

fn page(reply: &Reply) -> String {
    let page = unescape(&reply.text());
    assert!(!page.contains("code=") && !page.contains("state="), "the way back is not in the page\n{page}");
    page
}

async fn actions(consign: &TestConsign, object: &str) -> Vec<String> {
    let entries = consign.all(&format!("/audit-entries?object={object}")).await;
    entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

async fn who_is_invited_comes_in_and_is_known_from_then_on(kind: Kind) {
    let (consign, provider) = with_provider(kind, false).await;
    let body = json!({ "email": "Bo@acme.example", "role": "operator" });
    let invited = consign.post("/users", &body).await.expect(201).json();
    consign.canaries.shown_once("an invitation", invited["invitation"]["link"].as_str().unwrap());
    let mut jar = Jar::default();
    let reply = come(&consign.client, &provider, &mut jar, &person("bo", &json!({}))).await.expect(303);
    assert_eq!(reply.location(), "/webhooks");
    assert!(jar.has("consign-local") && !jar.has("consign-local-way"));
    jar.get(&consign.client, "/webhooks").await.expect(200);
    let shown = consign.get("/users/bo@acme.example").await.expect(200).json();
    assert_eq!(
        (&shown["name"], &shown["role"], &shown["state"], &shown["signs_in_with"]),
        (&json!("bo of Acme"), &json!("operator"), &json!("active"), &json!("oidc"))
    );
    let id = id_of(&shown);
    assert_eq!(actions(&consign, &id).await, ["Signed in", "Accepted invitation", "Invited person"]);
    // Now it is who they are that counts, whatever their address.
    let renamed = person("bo", &json!({ "email": "robert@acme.example", "email_verified": false }));
    come(&consign.client, &provider, &mut Jar::default(), &renamed).await.expect(303);
    assert_eq!(actions(&consign, &id).await[0], "Signed in");
    // Somebody else with their address is somebody else.
    let other = person("bo", &json!({ "sub": "another" }));
    let told = page(&come(&consign.client, &provider, &mut Jar::default(), &other).await.expect(403));
    assert!(told.contains("belongs to an account that signs in another way"), "{told}");
    consign.act(&format!("/users/{id}/suspension")).await.expect(200);
    let told = come(&consign.client, &provider, &mut Jar::default(), &renamed).await;
    assert!(page(&told.expect(403)).contains("This account is suspended"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_comes_in_and_is_known_from_then_on_sqlite() {
    who_is_invited_comes_in_and_is_known_from_then_on(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_comes_in_and_is_known_from_then_on_postgresql() {
    who_is_invited_comes_in_and_is_known_from_then_on(Kind::PostgreSql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_come_in_is_told_why() {
    let (consign, provider) = with_provider(Kind::Sqlite, true).await;
    let check = async |person: Value, words: &str| {
        let mut jar = Jar::default();
        let told = page(&come(&consign.client, &provider, &mut jar, &person).await.expect(403));
        assert!(told.contains(words), "{person}: {words}\n{told}");
        assert!(!jar.has("consign-local"));
    };
    check(person("cy", &json!({})), "Nobody invited this address to Consign").await;
    check(person("cy", &json!({ "email_verified": false })), "Your email address is not confirmed").await;
    check(person("cy", &json!({ "email": null })), "Your email address is not confirmed").await;
    check(person("cy", &json!({ "groups": ["others"] })), "You are not invited").await;
    // An account with a password is not taken over, not even by an administrator of the provider.
    check(person("ana", &json!({ "groups": ["consign admins"] })), "There is another account").await;
    let refusals = consign.all("/audit-entries?action=Refused%20sign-in").await;
    assert!(refusals.len() >= 5, "{refusals:?}");
    let said = refusals.iter().any(|entry| entry["object"] == "cy@acme.example");
    assert!(said, "{refusals:?}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_that_is_not_this_browsers_own_asks_for_nothing() {
    let (consign, provider) = with_provider(Kind::Sqlite, false).await;
    let bo = person("bo", &json!({ "groups": ["consign admins"] }));
    provider.is_asked_by(&bo).await;
    let mut jar = Jar::default();
    let out = jar.get(&consign.client, "/sign-in/oidc").await.expect(303).location();
    for (name, value) in [
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("scope", "openid email profile groups"),
    ] {
        assert_eq!(parameter(&out, name), value);
    }
    let back = provider.decide(&out, Decision::Approve).await;
    let asked = provider.token_requests().await.len();
    let other = "This sign-in does not belong to this browser";
    // No cookie, and the cookie of another sign-in.
    let mut another = Jar::default();
    assert!(page(&another.get(&consign.client, &back).await.expect(400)).contains(other));
    another.get(&consign.client, "/sign-in/oidc").await.expect(303);
    assert!(page(&another.get(&consign.client, &back).await.expect(400)).contains(other));
    let path = |query: &[(&str, &str)]| format!("{BACK}?{}", form(query));
    let (state, code, iss) = (parameter(&back, "state"), parameter(&back, "code"), parameter(&back, "iss"));
    assert_eq!(iss, provider.issuer());
    assert!(page(&jar.get(&consign.client, &path(&[("code", &code)])).await.expect(400)).contains(other));
    for issuer in [vec![("iss", "https://evil.example")], vec![], vec![("iss", &*iss), ("iss", &*iss)]] {
        let query = [vec![("code", &*code), ("state", &*state)], issuer].concat();
        let told = page(&jar.get(&consign.client, &path(&query)).await.expect(400));
        assert!(told.contains("Somebody else answered"), "{told}");
    }
    let denied = [("error", "access_denied"), ("state", &*state), ("iss", &*iss)];
    assert!(page(&jar.get(&consign.client, &path(&denied)).await.expect(403)).contains("You said no"));
    let broken =
        [("error", "server_error"), ("error_description", "<b>x</b>"), ("state", &*state), ("iss", &*iss)];
    let told = jar.get(&consign.client, &path(&broken)).await.expect(502);
    assert!(told.text().contains("server_error: &lt;b&gt;x"), "{}", told.text());
    assert_eq!(provider.token_requests().await.len(), asked, "no code was sent anywhere");
    // All of that changed nothing for the sign-in itself; the code is good once.
    jar.get(&consign.client, &back).await.expect(303);
    assert!(page(&jar.get(&consign.client, &back).await.expect(400)).contains(other), "the cookie is gone");
    // Ten minutes later it is over.
    let mut late = Jar::default();
    let out = late.get(&consign.client, "/sign-in/oidc").await.expect(303).location();
    let back = provider.decide(&out, Decision::Approve).await;
    consign.advance(Duration::from_secs(601));
    assert!(page(&late.get(&consign.client, &back).await.expect(400)).contains("longer than 10 minutes"));
    // Another site cannot choose where a person ends up.
    for next in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let mut jar = Jar::default();
        let path = format!("/sign-in/oidc?{}", form(&[("next", next)]));
        let out = jar.get(&consign.client, &path).await.expect(303).location();
        let back = provider.decide(&out, Decision::Approve).await;
        assert_eq!(jar.get(&consign.client, &back).await.expect(303).location(), "/", "{next}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_brings_the_first_administrator_without_a_set_up_page_and_without_passwords() {
    let provider = AuthorizationServer::start(&Setup::with(vec![])).await;
    let issuer = provider.issuer();
    let folder = Folder::new("consign");
    let database = Database::sqlite(&folder);
    let edit = move |config: &mut Config| {
        config.auth.local = false;
        config.auth.oidc.issuer = Some(issuer.clone());
        config.auth.oidc.client_id = Some("consign".to_owned());
        config.auth.oidc.client_secret = Some(Secret::new(SECRET.to_owned()));
        config.auth.oidc.admin_group = Some("consign admins".to_owned());
    };
    let replica = Replica::start(&folder, &database, &edit).await.unwrap();
    let client = Client::new(replica.address, Served::default());
    register(&client, &provider).await;
    let text = client.send("GET", "/sign-in", &[], "").await.expect(200).text();
    assert!(text.contains("Continue with 127.0.0.1") && !text.contains("name=\"password\""), "{text}");
    assert_eq!(
        client.send("GET", "/webhooks", &[], "").await.expect(303).location(),
        "/sign-in?next=/webhooks"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let typed = form(&[("email", EMAIL), ("password", "correct horse battery")]);
    let told = client.send("POST", "/sign-in", &headers, typed).await.expect(422).text();
    assert!(told.contains("Passwords are switched off here"), "{told}");
    let told =
        page(&come(&client, &provider, &mut Jar::default(), &person("cy", &json!({}))).await.expect(403));
    assert!(told.contains("You are not invited"), "{told}");
    // What answers for the keys is a moment behind.
    provider.keep_keys_back(1).await;
    let mut jar = Jar::default();
    let bo = person("bo", &json!({ "groups": ["x", "consign admins"] }));
    come(&client, &provider, &mut jar, &bo).await.expect(303);
    let people = jar.get(&client, "/users").await.expect(200).text();
    assert!(people.contains("bo of Acme") && people.contains("Administrator"), "{people}");
    let audit = jar.get(&client, "/audit").await.expect(200).text();
    assert!(audit.contains("Came as administrator by group"), "{audit}");
    // Without a password, it is a fresh sign-in that is asked for again.
    let form =
        form_with(&jar.get(&client, "/api-keys/new").await.expect(200).text(), "/api-keys/new", "name");
    let csrf = form.value("csrf").unwrap().to_owned();
    let new_key = async |name: &str, jar: &Jar| {
        let cookies: Vec<_> = jar.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let headers = [
            ("cookie", cookies.as_str()),
            ("consign-csrf", csrf.as_str()),
            ("content-type", "application/json"),
        ];
        let body = json!({ "name": name, "scopes": ["events:write"] }).to_string();
        client.send("POST", "/api/v1/api-keys", &headers, body).await
    };
    new_key("fresh", &jar).await.expect(201);
    replica.app.store.advance(Duration::from_secs(601));
    let told = new_key("late", &jar).await.expect(422);
    assert_eq!(told.faults()[0].1, "sign_in_again", "{}", told.text());
    // A key that is not published at all.
    provider.keep_keys_back(2).await;
    let told = come(&client, &provider, &mut Jar::default(), &bo).await.expect(502);
    assert!(page(&told).contains("The key of the provider is not known"));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_the_provider_in_a_browser() {
    let (consign, provider) = with_provider(Kind::Sqlite, false).await;
    provider.is_asked_by(&person("bo", &json!({ "groups": ["consign admins"] }))).await;
    for scripts in [true, false] {
        let browser = Browser::start(scripts).await;
        let base = format!("http://{}", consign.address());
        browser.goto(&format!("{base}/webhooks")).await;
        browser.until_at("/sign-in").await;
        browser.press_words("Continue with Acme ID").await;
        browser.until_at("/interaction/").await;
        browser.press("[value='approve']").await;
        browser.until_at("/webhooks").await;
        browser.goto(&format!("{base}/users")).await;
        browser.until_shows("bo of Acme").await;
        browser.until_shows("OIDC").await;
        browser.goto(&format!("{base}/sign-in/oidc")).await;
        browser.until_at("/interaction/").await;
        browser.press("[value='deny']").await;
        browser.until_shows("You said no").await;
        browser.close().await;
    }
    consign.finish().await;
}

/// A provider that signs what it is told to.
struct Liar {
    tool: Tool,
    key: EcdsaKeyPair,
}

impl Liar {
    async fn start() -> Self {
        let (tool, key) = (Tool::start().await, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING));
        let liar = Self { tool, key: key.unwrap() };
        liar.describe(&json!({}));
        let point = liar.key.public_key().as_ref();
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": text(&point[1..33]), "y": text(&point[33..]) });
        liar.tool.answer_at("/keys", Answer::json(200, &json!({ "keys": [key] })));
        liar
    }

    fn issuer(&self) -> String {
        self.tool.origin().trim_end_matches('/').to_owned()
    }

    fn describe(&self, changes: &Value) {
        let at = |path: &str| format!("{}/{path}", self.issuer());
        let mut said = json!({ "issuer": self.issuer(), "authorization_endpoint": at("auth"),
                               "token_endpoint": at("token"), "jwks_uri": at("keys") });
        crate::harness::merge(&mut said, changes);
        self.tool.answer_at("/.well-known/openid-configuration", Answer::json(200, &said));
    }

    /// The answer at the token address: an ID token for this nonce, with changes.
    fn say(&self, nonce: &str, changes: &Value) {
        let now = consign_store::local_now().millis() / 1_000;
        let mut content = json!({ "iss": self.issuer(), "aud": "consign", "sub": "bo", "nonce": nonce,
            "iat": now, "exp": now + 300, "email": "bo@acme.example", "email_verified": true,
            "groups": ["consign admins"] });
        crate::harness::merge(&mut content, changes);
        let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&json!({ "alg": "ES256", "kid": "k" })), text(&content));
        let signed = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        let token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signed));
        let answer = json!({ "access_token": "x", "token_type": "Bearer", "id_token": token });
        self.tool.answer_at("/token", Answer::json(200, &answer));
    }
}

/// A Consign that is told by a liar who somebody is.
async fn with_liar(liar: &Liar) -> TestConsign {
    let issuer = liar.issuer();
    let consign = TestConsign::on(Kind::Sqlite, move |config| {
        config.auth.oidc.issuer = Some(issuer.clone());
        config.auth.oidc.client_id = Some("consign".to_owned());
        config.auth.oidc.client_secret = Some(Secret::new(SECRET.to_owned()));
        config.auth.oidc.admin_group = Some("consign admins".to_owned());
    })
    .await;
    consign.canaries.never_shown("the client's secret", SECRET);
    consign
}

/// Out to the liar, and back with what it says, so changed; the answer, and whether a session has begun.
async fn told_by(liar: &Liar, consign: &TestConsign, changes: &Value) -> (Reply, bool) {
    let mut jar = Jar::default();
    let out = jar.get(&consign.client, "/sign-in/oidc").await.expect(303).location();
    liar.say(&parameter(&out, "nonce"), changes);
    let back = form(&[("code", "c"), ("state", &parameter(&out, "state"))]);
    let reply = jar.get(&consign.client, &format!("{BACK}?{back}")).await;
    (reply, jar.has("consign-local"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_that_is_over_lets_nobody_in() {
    let liar = Liar::start().await;
    let consign = with_liar(&liar).await;
    let invited = consign.post("/users", &json!({ "email": "bo@acme.example", "role": "viewer" })).await;
    let invited = invited.expect(201).json();
    consign.canaries.shown_once("an invitation", invited["invitation"]["link"].as_str().unwrap());
    consign.advance(Duration::from_secs(72 * 3_600));
    let then = consign_store::local_now().millis() / 1_000 + 72 * 3_600;
    let changes = json!({ "iat": then, "exp": then + 300, "groups": [] });
    let (reply, begun) = told_by(&liar, &consign, &changes).await;
    assert!(page(&reply).contains("older than 72 hours") && !begun, "{}", reply.text());
    consign.act(&format!("/users/{}/invitations", id_of(&invited))).await.expect(201);
    let (reply, begun) = told_by(&liar, &consign, &changes).await;
    assert!(reply.status == 303 && begun, "{}", reply.text());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_what_it_should_not_signs_nobody_in() {
    let liar = Liar::start().await;
    let consign = with_liar(&liar).await;
    let not_there = "The provider could not be asked";
    let depart =
        async |status: u16| Jar::default().get(&consign.client, "/sign-in/oidc").await.expect(status);
    // Its description first: what is wrong is said, and not kept.
    liar.describe(&json!({ "issuer": "https://other.example" }));
    assert!(page(&depart(502).await).contains("calls itself https://other.example"));
    liar.describe(&json!({ "token_endpoint": "http://127.0.0.1/token" }));
    assert!(page(&depart(502).await).contains("has no usable token_endpoint"));
    liar.tool
        .answer_at("/.well-known/openid-configuration", Answer::with(302, &[("location", "/elsewhere")]));
    assert!(page(&depart(502).await).contains(not_there));
    assert!(liar.tool.asked_at("/elsewhere").is_empty(), "no redirect is followed");
    liar.describe(&json!({}));

    let come = async |changes: Value| told_by(&liar, &consign, &changes).await;
    let now = consign_store::local_now().millis() / 1_000;
    for (changes, words) in [
        (json!({ "iss": "https://other.example" }), "comes from another issuer"),
        (json!({ "aud": "other" }), "is meant for another client"),
        (json!({ "nonce": "another" }), "belongs to another sign-in"),
        (json!({ "exp": now - 120 }), "The clocks do not agree"),
    ] {
        let (reply, begun) = come(changes).await;
        assert!(page(&reply).contains(words), "{words}\n{}", reply.text());
        assert!(reply.status == 502 && !begun, "{words}");
    }
    // After five that failed, the next has to wait.
    liar.tool.answer_at("/keys", Answer::json(200, &json!({ "keys": [] })));
    assert!(page(&come(json!({})).await.0).contains("The key of the provider is not known"));
    let (reply, _) = come(json!({})).await;
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (429, true), "{}", reply.text());
    let request = liar.tool.asked_at("/token").remove(0);
    assert!(request.header("authorization").starts_with("Basic "));
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    assert!(body.contains("grant_type=authorization_code") && body.contains("code_verifier="), "{body}");
    assert!(!body.contains("client_secret"), "{body}");
    consign.finish().await;
}
