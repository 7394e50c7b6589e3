//! Grants of people, at a certified server with rotating refresh tokens: approved once, renewed one at a time, held
//! when they end and continued when they are approved again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Reply, TestConsign, eventually};
use crate::peers::Tool;
use crate::peers::authorization_server::{AuthorizationServer, Decision, Registered, Setup};

/// Short enough for a web session to outlive it.
const LIFE_SECONDS: u32 = 600;
pub(crate) const LIFE: Duration = Duration::from_secs(600);

/// A person's grant at a server, with a webhook that uses it.
pub(crate) struct Granted {
    pub(crate) server: AuthorizationServer,
    pub(crate) tool: Tool,
    credential: String,
}

impl Granted {
    /// Everything is in place but the approval.
    async fn prepared(consign: &TestConsign, edit: impl FnOnce(&mut Setup), webhook: &Value) -> Self {
        let mut setup = Setup::with(Vec::new());
        setup.access_token_seconds = LIFE_SECONDS;
        edit(&mut setup);
        let server = AuthorizationServer::start(&setup).await;
        let tool = Tool::start().await;
        let secret = consign.canary("client-secret");
        let credential = json!({
            "name": "itsm", "protocol": "https", "url_address": tool.origin(),
            "authorization_type": "oauth2_authorization_code", "client_id": "client", "client_secret": secret,
            "authorization_code_url": server.authorization_url(), "access_token_url": server.token_url(),
            "scope": "openid offline_access",
        });
        let created = consign.post("/credentials", &credential).await.expect(201).json();
        assert_eq!(created["status"]["code"], "not_authorized");
        let redirect_url = created["redirect_url"].as_str().unwrap();
        server.register(&Registered::for_person("client", &secret, redirect_url)).await;
        let credential = created["id"].as_str().unwrap().to_owned();
        let mut body =
            json!({ "name": "itsm", "credential": credential, "path": "/hook", "event_types": ["*"] });
        crate::harness::merge(&mut body, webhook);
        consign.webhook(&body).await;
        Self { server, tool, credential }
    }

    pub(crate) async fn approved(
        consign: &TestConsign,
        edit: impl FnOnce(&mut Setup),
        webhook: &Value,
    ) -> Self {
        let granted = Self::prepared(consign, edit, webhook).await;
        let page = granted.authorize(consign, Decision::Approve).await.expect(200);
        assert!(page.text().contains("is connected"), "{}", page.text());
        granted
    }

    /// The link on the page that leads to the tool.
    async fn link(&self, consign: &TestConsign) -> String {
        consign.departure(&self.credential).await
    }

    /// A person goes to the tool, decides, and comes back.
    async fn authorize(&self, consign: &TestConsign, decision: Decision) -> Reply {
        let back = self.server.decide(&self.link(consign).await, decision).await;
        consign.page(&path_of(&back)).await
    }

    /// Renewals so far, the one that turned the code into tokens left out.
    pub(crate) async fn renewals(&self) -> usize {
        let requests = self.server.token_requests().await;
        requests.iter().filter(|asked| asked.grant_type.as_deref() == Some("refresh_token")).count()
    }

    pub(crate) async fn status(&self, consign: &TestConsign) -> Value {
        consign.get(&format!("/credentials/{}", self.credential)).await.expect(200).json()["status"].clone()
    }

    pub(crate) async fn until_status(&self, consign: &TestConsign, code: &str) {
        consign.until_shows(&format!("/credentials/{}", self.credential), "/status/code", code).await;
    }

    /// What was delivered; the connection test after an approval asks with GET.
    fn delivered(&self) -> Vec<Value> {
        let asked = self.tool.asked();
        asked.iter().filter(|asked| asked.method == "POST").map(|asked| asked.json()).collect()
    }

    /// The last access token that the tool saw.
    fn last_token(&self) -> String {
        let asked = self.tool.asked();
        asked.last().unwrap().header("authorization").strip_prefix("Bearer ").unwrap().to_owned()
    }
}

fn path_of(address: &str) -> String {
    let (_, rest) = address.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

async fn accept(consign: &TestConsign, count: usize) -> Vec<String> {
    let events: Value = (0..count).map(|number| json!({ "type": "a", "data": number })).collect();
    let headers = [("idempotency-key", "several")];
    let sent = consign.call("POST", "/events", &headers, Some(&events)).await.expect(202).json();
    let ids = sent.as_array().unwrap().iter();
    ids.map(|event| event["deliveries"][0].as_object().unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_approval_goes_on_by_itself() {
    let consign = TestConsign::start().await;
    let granted = Granted::prepared(&consign, |_| {}, &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!((&held["hold_reason"], &held["attempts"]), (&json!("not_authorized"), &json!(0)), "{held}");
    assert_eq!(held["hold_text"], "Someone must approve access.");
    assert_eq!(granted.server.token_requests().await.len(), 0);

    let denied = granted.authorize(&consign, Decision::Deny).await;
    assert!(denied.text().contains("Access was not approved"), "{}", denied.text());
    assert_eq!(consign.delivery(sent.delivery()).await["state"], "held");

    granted.authorize(&consign, Decision::Approve).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    let token = granted.last_token();
    assert!(granted.server.is_valid(&token).await);
    consign.canaries.never_shown("an access token", &token);
    assert_eq!(granted.server.token_requests().await.len(), 1);
    let state =
        consign.get(&format!("/credentials/{}/authorizations", granted.credential)).await.expect(200).json();
    assert_eq!((&state["authorized"], &state["token"]["renewable"]), (&json!(true), &json!(true)), "{state}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_grant_holds_everything_until_it_is_approved_again() {
    let consign = TestConsign::start().await;
    let granted = Granted::approved(&consign, |_| {}, &json!({ "max_concurrency": 1 })).await;
    consign.until(consign.event("a", &json!("first")).await.delivery(), "delivered").await;
    granted.server.revoke_all().await;
    consign.advance(LIFE);
    let ids = accept(&consign, 100).await;
    for id in &ids {
        let held = consign.until(id, "held").await;
        assert_eq!(
            (&held["hold_reason"], &held["attempts"]),
            (&json!("reconnect_needed"), &json!(0)),
            "{held}"
        );
    }
    assert_eq!(granted.renewals().await, 1);
    let status = granted.status(&consign).await;
    assert_eq!(status["reason"], "refresh token was refused (invalid_grant)");
    assert_eq!(
        (&status["label"], &status["action"]),
        (&json!("Reconnect needed"), &json!("Authorize again"))
    );
    // Time alone asks nobody.
    consign.advance(LIFE);
    granted.until_status(&consign, "reconnect_needed").await;
    assert_eq!((granted.renewals().await, granted.delivered().len()), (1, 1));

    granted.authorize(&consign, Decision::Approve).await.expect(200);
    for id in &ids {
        consign.until(id, "delivered").await;
    }
    let order = granted.delivered()[1..].to_vec();
    assert_eq!(order, (0..100).map(Value::from).collect::<Vec<_>>(), "oldest first");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_approval_that_fails_leaves_the_old_grant_alone() {
    let consign = TestConsign::start().await;
    let granted = Granted::approved(&consign, |_| {}, &json!({})).await;
    granted.authorize(&consign, Decision::Deny).await;
    // Approved, but the token address is away when the code is to be exchanged.
    let back = granted.server.decide(&granted.link(&consign).await, Decision::Approve).await;
    granted.server.set_down(true).await;
    let page = consign.page(&path_of(&back)).await;
    assert!(page.text().contains("The tool refused the code"), "{}", page.text());
    granted.server.set_down(false).await;
    let again = consign.page(&path_of(&back)).await;
    assert!(again.text().contains("already used"), "a link is good once: {}", again.text());
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    consign.advance(LIFE);
    consign.until(consign.event("a", &json!(2)).await.delivery(), "delivered").await;
    assert_eq!(granted.renewals().await, 1, "the old grant is still the one that is renewed");
    let id = granted.credential.clone();
    granted.authorize(&consign, Decision::Approve).await.expect(200);
    assert_eq!(granted.credential, id);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_good_once_for_their_session_credential_and_ten_minutes() {
    let consign = TestConsign::start().await;
    let granted = Granted::prepared(&consign, |_| {}, &json!({})).await;
    let other = json!({
        "name": "other", "protocol": "https", "url_address": granted.tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        "client_secret": consign.canary("other-secret"),
        "authorization_code_url": granted.server.authorization_url(), "access_token_url": granted.server.token_url(),
    });
    let other = consign.credential(&other).await;
    let requests = async || granted.server.token_requests().await.len();
    let old = "already used or is older than 10 minutes";

    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    for (what, path, says) in [
        ("no state", back.replace("state=", "stat="), old),
        ("another state", back.replace("state=", "state=x"), old),
        ("another credential", back.replace(&granted.credential, &other), old),
        // The state was taken by the try before: whatever comes with it now is too late.
        ("after all that", back.clone(), old),
    ] {
        let page = consign.page(&path).await;
        assert!(page.text().contains(says), "{what}: {}", page.text());
        assert_eq!(requests().await, 0, "{what}");
    }

    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    let nobody = consign.client.send("GET", &back, &[], "").await;
    assert_eq!(requests().await, 0, "nobody is signed in: {}", nobody.status);

    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    consign.advance(Duration::from_secs(601));
    assert!(consign.page(&back).await.text().contains(old));
    assert_eq!(requests().await, 0);

    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    consign
        .patch(&format!("/credentials/{}", granted.credential), &json!({ "name": "renamed" }))
        .await
        .expect(200);
    assert!(consign.page(&back).await.text().contains(old), "the credential was changed meanwhile");
    assert_eq!(requests().await, 0);

    // The first success says who the server is; from then on nobody else may answer.
    granted.authorize(&consign, Decision::Approve).await.expect(200);
    assert_eq!(requests().await, 1);
    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    let (front, issuer) = back.split_once("iss=").expect("RFC 9207");
    let evil =
        format!("{front}iss=https%3A%2F%2Fevil.example{}", issuer.find('&').map_or("", |end| &issuer[end..]));
    let page = consign.page(&evil).await;
    assert!(page.text().contains("another authorization server"), "{}", page.text());
    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    let page = consign.page(&back.replace("iss=", "is=")).await;
    assert!(page.text().contains("does not say which authorization server"), "{}", page.text());
    assert_eq!(requests().await, 1, "no code is sent");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_come_back_at_once_make_one_token_request() {
    let consign = TestConsign::start().await;
    let granted = Granted::prepared(&consign, |_| {}, &json!({})).await;
    let back = path_of(&granted.server.decide(&granted.link(&consign).await, Decision::Approve).await);
    let (one, other) = tokio::join!(consign.page(&back), consign.page(&back));
    let connected = [one, other].iter().filter(|page| page.text().contains("is connected")).count();
    assert_eq!((connected, granted.server.token_requests().await.len()), (1, 1));
    assert_eq!(granted.server.families_revoked().await, 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_renew_each_expiry_once() {
    const EXPIRIES: usize = 200;
    let consign = TestConsign::on_postgres().await;
    let granted = Granted::approved(&consign, |_| {}, &json!({ "max_concurrency": 8 })).await;
    let second = consign.second_replica().await;
    let elsewhere = consign.client.at(second.address);
    let authorization = format!("Bearer {}", consign.key);
    for expiry in 1..=EXPIRIES {
        // Both clocks at once: the token is over for both.
        consign.advance(LIFE);
        second.app.store.advance(LIFE);
        let body: Value = (0..8).map(|number| json!({ "type": "a", "data": [expiry, number] })).collect();
        let keys = [format!("here-{expiry}"), format!("there-{expiry}")];
        let headers = keys
            .each_ref()
            .map(|key| [("authorization", authorization.as_str()), ("idempotency-key", key.as_str())]);
        let (here, there) = tokio::join!(
            consign.client.send("POST", "/api/v1/events", &headers[0], body.to_string()),
            elsewhere.send("POST", "/api/v1/events", &headers[1], body.to_string()),
        );
        here.expect(202);
        there.expect(202);
        eventually("all of them", async || (granted.delivered().len() >= 16 * expiry).then_some(())).await;
        // Results are on disk before time moves on: a lease that runs out is no answer.
        consign.until_idle().await;
    }
    assert_eq!(granted.renewals().await, EXPIRIES, "one for each");
    assert_eq!(granted.server.families_revoked().await, 0);
    assert_eq!(granted.delivered().len(), 16 * EXPIRIES);
    second.stop().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_costs_the_grant_once_and_nothing_else() {
    let consign = TestConsign::start().await;
    let granted = Granted::approved(&consign, |_| {}, &json!({})).await;
    granted.server.lose_answers(true).await;
    consign.advance(LIFE);
    let sent = consign.event("a", &json!(1)).await;
    eventually("the renewal that is lost", async || (granted.renewals().await == 1).then_some(())).await;
    granted.server.lose_answers(false).await;
    // To us it may have been a passing failure: the old token is tried once more, and is no longer good.
    eventually("the second try", async || {
        consign.advance(Duration::from_secs(1));
        (granted.renewals().await == 2).then_some(())
    })
    .await;
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!((&held["hold_reason"], &held["attempts"]), (&json!("reconnect_needed"), &json!(0)), "{held}");
    let reason =
        "refresh token was refused (invalid_grant); an earlier answer was lost while it was being replaced";
    assert_eq!(granted.status(&consign).await["reason"], reason);
    consign.advance(LIFE);
    granted.until_status(&consign, "reconnect_needed").await;
    assert_eq!(granted.renewals().await, 2, "never a loop");
    granted.authorize(&consign, Decision::Approve).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}
