//! What a page offers somebody, their role allows: no link and no button leads to a refusal.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::page::{attribute, unescape};
use crate::harness::{Session, TestConsign, form, id_of};
use crate::peers::{Answer, Tool};
use crate::people::someone;

/// Exporters: one with a run that failed and one that waits, one without any.
async fn of_exporters(consign: &TestConsign, tool: &Tool) -> Vec<String> {
    let mut made = Vec::new();
    for name in ["list", "other"] {
        let body = json!({ "name": name, "credential": "itsm", "path": "/x", "source": "pushed",
            "columns": [{ "name": "n" }], "schedule": "0 2 * * *" });
        made.push(format!(
            "/exporters/{}",
            id_of(&consign.post("/exporters", &body).await.expect(201).json())
        ));
    }
    let mut runs = Vec::new();
    for (status, outcome) in [(422, "http_4xx"), (503, "http_5xx")] {
        let pushed = [("idempotency-key", &*format!("{outcome}-records"))];
        let key = [("idempotency-key", outcome)];
        consign
            .call("POST", &format!("{}/records", made[0]), &pushed, Some(&json!([{ "n": 1 }])))
            .await
            .expect(202);
        tool.answer_next(Answer::status(status));
        let run = consign.call("POST", &format!("{}/runs", made[0]), &key, None).await.expect(201);
        let run = format!("/runs/{}", id_of(&run.json()));
        crate::harness::eventually(outcome, async || {
            let run = consign.get(&run).await.json();
            (run["last_outcome"].is_string() && run["state"] != "running").then_some(())
        })
        .await;
        runs.push(run);
    }
    let pages = made.iter().flat_map(|page| [page.clone(), format!("{page}/set-up")]);
    pages.chain(runs).chain(["/exporters".to_owned()]).collect()
}

/// Pages with something on each: what failed, what is held, what needs repair, a replay that runs.
async fn pages(consign: &TestConsign, tool: &Tool) -> Vec<String> {
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({ "when_no_answer": "hold" })).await;
    let exporters = of_exporters(consign, tool).await;
    let mut delivered = consign.event("a.b", &json!(1)).await;
    for number in 0..4 {
        consign.until(delivered.delivery(), "delivered").await;
        delivered = consign.event("a.b", &json!(number)).await;
    }
    consign.until(delivered.delivery(), "delivered").await;
    tool.answer_next(Answer::HangUp);
    let held = consign.event("a.b", &json!(2)).await;
    consign.until(held.delivery(), "held").await;
    tool.answer_next(Answer::status(400));
    let failed = consign.event("a.b", &json!(3)).await;
    consign.until(failed.delivery(), "failed").await;
    let slowly = json!({ "rate_per_second": 0.1, "filter": { "state": ["delivered"] } });
    let replay = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&slowly)).await;
    let replay = id_of(&replay.expect(202).json());
    tool.answer(Answer::status(401));
    consign.event("a.b", &json!(4)).await;
    let credential = id_of(&consign.get("/credentials/itsm").await.json());
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "sign_in_refused").await;
    let others = vec![
        "/".to_owned(),
        "/credentials".to_owned(),
        format!("/credentials/{credential}"),
        "/webhooks".to_owned(),
        format!("/webhooks/{webhook}"),
        format!("/webhooks/{webhook}/set-up"),
        format!("/webhooks/{webhook}/signature"),
        format!("/webhooks/{webhook}/activity"),
        "/deliveries".to_owned(),
        "/deliveries?state=needs_attention".to_owned(),
        format!("/deliveries/{}", failed.delivery()),
        format!("/deliveries/{}", held.delivery()),
        "/operations".to_owned(),
        format!("/operations/{replay}"),
        "/events".to_owned(),
        format!("/events/{}", delivered.id),
        "/audit".to_owned(),
        "/account".to_owned(),
    ];
    [others, exporters].concat()
}

/// The addresses that a page links to.
pub(crate) fn links(page: &str) -> BTreeSet<String> {
    let tags = page.split("<a ").skip(1).filter_map(|rest| rest.split('>').next());
    let found = tags.filter_map(|tag| attribute(&format!("a {tag}"), "href"));
    found.filter(|to| to.starts_with('/')).map(|to| to.split('#').next().unwrap().to_owned()).collect()
}

/// Where the posted forms of a page go that somebody can send off, at something that is not there.
fn deeds(page: &str) -> BTreeSet<String> {
    let forms = page.split("<form ").skip(1).filter_map(|rest| rest.split("</form>").next());
    let sent = forms.filter(|form| {
        form.contains("method=\"post\"") && outside_of_disabled(form).contains("type=\"submit\"")
    });
    let actions = sent.filter_map(|form| attribute(&format!("form {}", form.split('>').next()?), "action"));
    let is_id = |part: &str| part.len() > 26 && part.contains('_');
    let elsewhere = |to: String| {
        let parts = to.split('/').map(|part| if is_id(part) { "none" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    actions.map(elsewhere).filter(|to| !["/sign-out", "/theme"].contains(&to.as_str())).collect()
}

/// A form without what is disabled.
fn outside_of_disabled(form: &str) -> String {
    let mut parts = form.split("<fieldset class=\"as-is\" disabled>");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(part.rsplit_once("</fieldset>").map_or("", |(_, after)| after));
    }
    whole
}

async fn get(consign: &TestConsign, session: &Session, path: &str) -> (u16, String) {
    let reply = consign.client.send("GET", path, &[("cookie", &session.cookie)], "").await;
    (reply.status, unescape(&reply.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_offered_that_the_role_does_not_allow() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let pages = pages(&consign, &tool).await;
    let posted = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let mut offered = Vec::new();
    for role in ["viewer", "auditor", "operator", "credential_manager", "administrator"] {
        let (_, session) = someone(&consign, &format!("{role}@acme.example"), role).await;
        let (mut to, mut acts, mut told) = (BTreeSet::new(), BTreeSet::new(), String::new());
        for path in &pages {
            let reply = consign.client.send("GET", path, &[("cookie", &session.cookie)], "").await;
            let page = reply.text();
            if reply.status == 403 {
                assert_eq!(path, "/audit", "{role} may see {path}");
                continue;
            }
            assert_eq!(reply.status, 200, "{path} as {role}");
            to.extend(links(&page));
            acts.extend(deeds(&page));
            told.push_str(&unescape(&page));
        }
        for path in &to {
            let (status, text) = get(&consign, &session, path).await;
            assert!(status != 403, "{role} is led to {path}\n{text}");
        }
        for path in &acts {
            let headers: Vec<_> = posted.into_iter().chain([("cookie", session.cookie.as_str())]).collect();
            let body = form(&[("csrf", session.csrf.as_str())]);
            let reply = consign.client.send("POST", path, &headers, body).await;
            assert!(reply.status != 403, "{role} is given the form {path}\n{}", reply.text());
        }
        // Its form shows previews to everybody; a save is asked for the right.
        let headers: Vec<_> = posted.into_iter().chain([("cookie", session.cookie.as_str())]).collect();
        let writes = ["credential_manager", "administrator"].contains(&role);
        for set_up in pages.iter().filter(|path| path.ends_with("/set-up")) {
            let save = [("csrf", session.csrf.as_str()), ("name", "taken over")];
            let reply = consign.client.send("POST", set_up, &headers, form(&save)).await;
            assert_eq!(reply.status != 403, writes, "{role} saves {set_up}: {}", reply.status);
            let look = [("csrf", session.csrf.as_str()), ("name", "looked at"), ("preview", "1")];
            let reply = consign.client.send("POST", set_up, &headers, form(&look)).await;
            assert!(reply.status != 403, "{role} looks at a preview of {set_up}");
        }
        offered.push((role, to, acts, told));
    }
    // The measure is one: what there is to be offered is, to those who may.
    for (role, to, acts, told) in &offered {
        let operates = !["viewer", "auditor"].contains(role);
        for words in [
            "Replay…",
            "Recover failed deliveries…",
            "Send test event",
            "Choose an event…",
            ">Stop<",
            ">Run now<",
            ">Run again<",
        ] {
            assert_eq!(told.contains(words), operates, "{words} as {role}");
        }
        let ends = |found: &BTreeSet<String>, end: &str| found.iter().any(|path| path.ends_with(end));
        for act in ["/stop", "/resume", "/selected", "/send-again", "/run", "/repeat"] {
            assert_eq!(ends(acts, act), operates, "{act} as {role}: {acts:?}");
        }
        assert_eq!(
            ends(to, "/credentials/new"),
            ["credential_manager", "administrator"].contains(role),
            "{role}"
        );
        assert_eq!(to.contains("/audit"), ["auditor", "administrator"].contains(role), "{role}");
    }
    consign.allow_open();
    consign.finish().await;
}
