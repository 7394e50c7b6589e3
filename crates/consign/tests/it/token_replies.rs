//! A token address that answers as no decent one does: each answer lands in its class, nothing of it is repeated, and
//! what waits is neither failed nor sent without its sign-in.

use serde_json::{Value, json};

use crate::harness::{Kind, TestConsign, eventually};
use crate::peers::Tool;
use crate::peers::token_endpoint::{EVIL_PATH, Expected, MARKER, TokenEndpoint, hostile_replies};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_token_address_lands_in_its_class() {
    // Ninety rows that look at once are more than one key may do.
    let mut consign = TestConsign::on(Kind::Sqlite, |config| config.limits.requests_per_second = 0).await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    consign.allow_open();
    let tool = Tool::start().await;
    // All of them listen before anything is sent: a port that is closed for a moment could be taken meanwhile.
    let mut rows = Vec::new();
    for (name, reply, expected) in hostile_replies() {
        let mut endpoint = TokenEndpoint::start().await;
        endpoint.reply(&reply).await;
        rows.push((name, endpoint, expected));
    }
    // Some take twenty seconds to be given up on; they are tried side by side.
    let tried = rows.iter().enumerate().map(|(number, (name, endpoint, expected))| {
        let (consign, tool) = (&consign, &tool);
        // Client credentials know no refresh token (RFC 6749 section 4.4.3): one that comes is not looked at.
        let ignored = name.starts_with("refresh token");
        let expected = if ignored { Expected::Works } else { *expected };
        async move { (*name, expected, row(consign, tool, number, endpoint, expected).await) }
    });
    let mut wrong = Vec::new();
    for (name, expected, found) in futures_of(tried).await {
        if let Err(found) = found {
            wrong.push(format!("{name}: {expected:?}, but {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    consign.finish().await;
}

/// One credential, webhook and event of its own.
async fn row(
    consign: &TestConsign,
    tool: &Tool,
    number: usize,
    endpoint: &TokenEndpoint,
    expected: Expected,
) -> Result<(), Value> {
    let name = format!("row.{number}");
    let credential = json!({
        "name": name, "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_client_credentials", "client_id": "client",
        "client_secret": consign.canary(&name), "access_token_url": endpoint.token_url(),
    });
    let credential = consign.credential(&credential).await;
    let webhook =
        json!({ "name": name, "credential": credential, "path": format!("/{name}"), "event_types": [name] });
    consign.webhook(&webhook).await;
    let sent = consign.event(&name, &json!(number)).await;
    let was_sent = || !tool.asked_at(&format!("/{name}")).is_empty();
    // What passes is tried again: only what the tool had not seen before the answer was met says something.
    let (delivery, was_sent_before) = eventually(&format!("{name} to have met its answer"), async || {
        let was_sent_before = was_sent();
        let delivery = consign.delivery(sent.delivery()).await;
        let met = delivery["state"] != "pending" || !delivery["last_outcome"].is_null();
        met.then_some((delivery, was_sent_before))
    })
    .await;
    assert!(
        endpoint.asked().iter().all(|asked| asked.target != EVIL_PATH),
        "{name}: no redirect is followed"
    );
    let found = (delivery["state"].as_str(), delivery["hold_reason"].as_str(), delivery["attempts"].as_u64());
    let fits = match expected {
        Expected::Works => found.0 == Some("delivered"),
        Expected::Transient => found.0 == Some("pending") && found.2 == Some(0),
        // Nobody granted anything, so there is nothing to end.
        Expected::Refused | Expected::GrantEnded => found == (Some("held"), Some("sign_in_refused"), Some(0)),
    };
    let sent_as_expected = match expected {
        Expected::Works => was_sent(),
        Expected::Transient => !was_sent_before,
        Expected::Refused | Expected::GrantEnded => !was_sent(),
    };
    if fits && sent_as_expected { Ok(()) } else { Err(delivery) }
}

/// All of them at once, in their order.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = 0;
        for (future, done) in &mut waiting {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => open += 1,
                }
            }
        }
        if open == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}
