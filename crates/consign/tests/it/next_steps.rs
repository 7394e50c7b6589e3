//! What mends a credential is said the same wherever its state is shown: in the list, on its page, beside its last
//! test, on a delivery that waits for it, in the API and on the command line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{TestConsign, form, merge, parameter};
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

/// Longer than a token of these tests lives.
const LATER: Duration = Duration::from_secs(700);

/// A tool and its token address, and a webhook over a credential for them.
struct Desk {
    tool: Tool,
    tokens: Tool,
    credential: String,
}

impl Desk {
    async fn start(consign: &TestConsign, more: &Value) -> Self {
        consign.canaries.never_shown("what the token address answers", MARKER);
        let (tool, tokens) = (Tool::start().await, Tool::start().await);
        let mut body = json!({
            "name": "Desk", "protocol": "https", "url_address": tool.origin(), "client_id": "client",
            "client_secret": consign.canary("client secret"),
            "access_token_url": format!("{}token", tokens.origin()),
        });
        merge(&mut body, more);
        if body["authorization_type"] == "oauth2_authorization_code" {
            body["authorization_code_url"] = format!("{}authorize", tokens.origin()).into();
        }
        let credential = consign.credential(&body).await;
        let hook =
            json!({ "name": "Tickets", "credential": "Desk", "path": "/tickets", "event_types": ["*"] });
        consign.webhook(&hook).await;
        let desk = Self { tool, tokens, credential };
        desk.answer_well(consign, "first-access");
        desk
    }

    /// Someone has approved access, and the test that follows is over.
    async fn approved(consign: &TestConsign) -> Self {
        let desk = Self::start(consign, &json!({ "authorization_type": "oauth2_authorization_code" })).await;
        let link = consign.departure(&desk.credential).await;
        let title = consign.page(&format!("/credentials/{}/authorize", desk.credential)).await.text();
        let authority = desk.tokens.origin().replace("https://", "").replace('/', "");
        assert!(unescape(&title).contains(&format!("Continue to {authority}")), "with its port: {title}");
        let query = form(&[("code", &consign.canary("code")), ("state", &parameter(&link, "state"))]);
        let path = format!("/oauth/callback/{}?{query}", desk.credential);
        let page = consign.page(&path).await.expect(200).text();
        assert!(page.contains("Desk is connected."), "{page}");
        consign.until_shows(&format!("/credentials/{}", desk.credential), "/status/code", "not_proven").await;
        desk
    }

    fn answer_well(&self, consign: &TestConsign, name: &str) {
        let (access, refresh) = (consign.canary(name), consign.canary(&format!("renewal-of-{name}")));
        let members = json!({ "access_token": access, "refresh_token": refresh, "expires_in": 600 });
        self.tokens.answer(token(&members));
    }

    fn refuse_tokens(&self, status: u16, error: &str) {
        let refusal = json!({ "error": error, "error_description": "no" });
        self.tokens.answer(Answer::json(status, &refusal));
    }
}

/// One line of a page that says what to do next: the part after an element's id, up to its end.
fn part<'a>(page: &'a str, id: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    rest.split(end).next().unwrap()
}

/// Every surface says this action, and none another one.
async fn check_said(consign: &TestConsign, desk: &Desk, delivery: &str, (code, label): (&str, &str)) {
    let id = &desk.credential;
    let others = ["Replace secret", "Authorize again"].into_iter().filter(|other| *other != label);
    let only = |place: &str, text: &str| {
        assert!(text.contains(label), "{place} does not say {label}: {text}");
        let wrong = others.clone().find(|other| text.contains(other));
        assert_eq!(wrong, None, "{place} says something else than {label}: {text}");
    };
    let tested = consign.act(&format!("/credentials/{id}/tests")).await.expect(201).json();
    assert_eq!(tested["action_code"], code, "{tested}");
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    let status = &shown["status"];
    assert_eq!((&status["action_code"], &status["action"]), (&json!(code), &json!(label)), "{status}");
    let waiting = consign.delivery(delivery).await;
    assert_eq!(waiting["credential"]["action_code"], code, "{waiting}");

    let authorize = format!("href=\"/credentials/{id}/authorize\"");
    let leads = |place: &str, text: &str| {
        assert_eq!(text.contains(&authorize), code == "authorize_again", "{place}: {text}");
    };
    let list = unescape(&consign.page("/credentials").await.expect(200).text());
    only("the list", part(&list, "main", "</tbody>"));
    leads("the list", part(&list, "main", "</tbody>"));
    let page = unescape(&consign.page(&format!("/credentials/{id}")).await.expect(200).text());
    only("the head of the page", part(&page, "status-reason", "</p>"));
    leads("the head of the page", part(&page, "status-reason", "</p>"));
    only("the last test", part(&page, "tested", "<ol"));
    leads("the last test", part(&page, "tested", "<ol"));
    let page = unescape(&consign.page(&format!("/deliveries/{delivery}")).await.expect(200).text());
    only("the delivery", part(&page, "main", "id=\"attempts\""));
    leads("the delivery", part(&page, "main", "id=\"attempts\""));

    let command = match code {
        "authorize_again" => "Next: consign credential authorize \"Desk\"",
        _ => "Next: consign credential set-secret \"Desk\" client_secret=prompt",
    };
    let ran = consign.run(&["credential", "test", "Desk"]).await.expect(8);
    assert!(ran.stderr.contains(command), "{}", ran.stderr);
}

const AGAIN: (&str, &str) = ("authorize_again", "Authorize again");
const REPLACE: (&str, &str) = ("replace_secret", "Replace secret");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_the_tool_does_not_let_in_is_authorized_again() {
    let mut consign = TestConsign::start().await;
    let desk = Desk::approved(&consign).await;
    desk.tool.answer(Answer::status(401));
    let sent = consign.event("a", &json!(1)).await;
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!(held["hold_text"], "The sign-in was refused: the tool answered 401.");
    consign.until_attempted(sent.delivery(), 1).await;
    let held = consign.delivery(sent.delivery()).await;
    let words = "The tool answered 401. Authorize the credential again, and it continues.";
    assert_eq!(held["what_happened"], words, "{held}");
    check_said(&consign, &desk, sent.delivery(), AGAIN).await;
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_ended_is_authorized_again() {
    let mut consign = TestConsign::start().await;
    let desk = Desk::approved(&consign).await;
    desk.refuse_tokens(400, "invalid_grant");
    consign.advance(LATER);
    let sent = consign.event("a", &json!(1)).await;
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!(held["hold_reason"], "reconnect_needed", "{held}");
    check_said(&consign, &desk, sent.delivery(), AGAIN).await;
    let list = unescape(&consign.page("/credentials").await.expect(200).text());
    assert!(list.contains("Reconnect needed"), "{list}");
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_token_address_refuses_needs_another_secret() {
    let mut consign = TestConsign::start().await;
    let desk = Desk::approved(&consign).await;
    desk.refuse_tokens(401, "invalid_client");
    consign.advance(LATER);
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "held").await;
    check_said(&consign, &desk, sent.delivery(), REPLACE).await;
    // Repaired, and refused by the tool instead: the last test no longer says what to do.
    desk.answer_well(&consign, "second-access");
    let secret = consign.canary("another secret");
    consign.patch("/credentials/Desk", &json!({ "client_secret": secret })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    desk.tool.answer(Answer::status(401));
    let later = consign.event("a", &json!(2)).await;
    consign.until(later.delivery(), "held").await;
    let page = format!("/credentials/{}", desk.credential);
    let page = unescape(&consign.page(&page).await.expect(200).text());
    assert!(!part(&page, "tested", "<ol").contains("Replace secret"), "{page}");
    check_said(&consign, &desk, later.delivery(), AGAIN).await;
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_says_that_the_token_address_refused_and_how() {
    let mut consign = TestConsign::start().await;
    let desk = Desk::start(&consign, &json!({ "authorization_type": "oauth2_client_credentials" })).await;
    desk.refuse_tokens(401, "invalid_client");
    let text = "The sign-in was refused: the token address answered invalid_client.";
    let mut ids = Vec::new();
    for number in 0..2 {
        let sent = consign.event("a", &json!(number)).await;
        let held = consign.until(sent.delivery(), "held").await;
        assert_eq!((&held["hold_text"], &held["attempts"]), (&json!(text), &json!(0)), "{held}");
        ids.push(sent.delivery().to_owned());
    }
    let repair = "Replace the secret of the credential, and it continues.";
    // One was tried and says what it met; the other one found the way closed, until its turn comes, too.
    consign.until_attempted(&ids[0], 1).await;
    let met = format!("The tool gave no token: the token address answered invalid_client. {repair}");
    assert_eq!(consign.delivery(&ids[0]).await["what_happened"], met);
    let waited = consign.delivery(&ids[1]).await["what_happened"].clone();
    assert!(waited == format!("{text} {repair}") || waited == met, "{waited}");
    for id in &ids {
        let page = unescape(&consign.page(&format!("/deliveries/{id}")).await.expect(200).text());
        assert!(page.contains("token address answered invalid_client"), "{page}");
        assert!(!page.contains("The tool refused the sign-in"), "{page}");
        let ran = consign.run(&["delivery", "get", id]).await.expect(0).stdout;
        assert!(ran.contains(text) && !ran.contains("sign_in"), "words, and no codes: {ran}");
    }
    let list = unescape(&consign.page("/deliveries").await.expect(200).text());
    let rows: Vec<_> = part(&list, "main", "</tbody>").split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 2, "{list}");
    for row in rows {
        let answer = row.split("data-label=\"Answer\"").nth(1).unwrap();
        assert!(row.contains(text) && answer.contains("—"), "{row}");
        assert!(!row.contains("sign_in"), "{row}");
    }
    let attempts = consign.attempts(&ids[0]).await;
    assert_eq!(
        (&attempts[0]["outcome"], &attempts[0]["outcome_label"]),
        (&json!("sign_in"), &json!("no sign-in"))
    );
    check_said(&consign, &desk, &ids[0], REPLACE).await;
    consign.allow_open();
    consign.finish().await;
}
