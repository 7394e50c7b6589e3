//! Mail: invitations, notices and a mail to try, handed to a server over verified TLS and to nobody else.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::secret::Secret;
use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{EMAIL, Kind, TestConsign, eventually, id_of};
use crate::peers::mail_server::{MailServer, Manners};
use crate::peers::{Answer, Tool, self_signed};

/// What the mail server wants to hear.
const PASSWORD: &str = "pass+word of the mail server";

/// A Consign whose mail goes to this server.
pub(crate) async fn with_mail(kind: Kind, server: &MailServer, scheme: &str) -> TestConsign {
    let url = format!("{scheme}://consign:{}@127.0.0.1:{}", PASSWORD.replace(' ', "%20"), server.port());
    let consign = TestConsign::on(kind, move |config| {
        config.smtp.url = Some(Secret::new(url.clone()));
        config.smtp.from = Some("Consign <consign@acme.example>".to_owned());
    })
    .await;
    consign.canaries.never_shown("the mail server's password", PASSWORD);
    consign
}

async fn test_mail(consign: &TestConsign) -> (String, String) {
    let ended = consign.post("/mail-tests", &json!({ "to": "ops@acme.example" })).await.expect(200).json();
    (ended["outcome"].as_str().unwrap().to_owned(), ended["message"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_leaves_over_verified_tls_alone() {
    for implicit in [true, false] {
        let server = MailServer::start(Manners { implicit, ..Manners::default() }).await;
        let consign = with_mail(Kind::Sqlite, &server, if implicit { "smtps" } else { "smtp" }).await;
        assert_eq!(test_mail(&consign).await.0, "sent");
        let taken = server.taken().remove(0);
        assert_eq!(
            (taken.from.as_str(), taken.to),
            ("<consign@acme.example>", vec!["<ops@acme.example>".to_owned()])
        );
        let taken = server.taken().remove(0);
        assert_eq!(taken.header("Subject"), "Consign can send you mail");
        assert!(taken.text().contains("to try it"), "{}", taken.text());
        let proof = BASE64_STANDARD.encode(format!("\0consign\0{PASSWORD}"));
        assert!(server.commands().contains(&format!("AUTH PLAIN {proof}")), "{:?}", server.commands());
        let check = async |manners: Manners, words: &str| {
            server.behave(Manners { implicit, ..manners });
            let (outcome, message) = test_mail(&consign).await;
            assert!(outcome == "failed" && message.contains(words), "{words}: {message}");
        };
        server.behave(Manners { implicit, login_only: true, ..Manners::default() });
        assert_eq!(test_mail(&consign).await.0, "sent");
        assert!(server.commands().contains(&BASE64_STANDARD.encode(PASSWORD)), "{:?}", server.commands());
        let refuse = |command: &str, answer: &str| Manners {
            refuses: Some((command.to_owned(), answer.to_owned())),
            ..Manners::default()
        };
        check(
            refuse("RCPT", "550 no <b>such</b> person"),
            "refused the recipient: 550 no <b>such</b> person",
        )
        .await;
        check(refuse("MAIL", "451-busy\r\n451 later"), "refused the sender: 451 busy later").await;
        // A server that repeats what it was told is not repeated.
        check(refuse("AUTH", &format!("535 not {proof}")), "refused the sign-in (535)").await;
        check(refuse("EHLO", "nonsense"), "does not speak SMTP").await;
        if !implicit {
            check(Manners { without_tls: true, ..Manners::default() }, "does not offer STARTTLS").await;
            check(Manners { injects: true, ..Manners::default() }, "said more than it was asked").await;
        }
        assert_eq!(server.taken().len(), 2);
        consign.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_is_not_believed_gets_nothing() {
    for implicit in [true, false] {
        let server = MailServer::start_as(Manners { implicit, ..Manners::default() }, &self_signed()).await;
        let consign = with_mail(Kind::Sqlite, &server, if implicit { "smtps" } else { "smtp" }).await;
        let (outcome, message) = test_mail(&consign).await;
        assert!(outcome == "failed" && message.contains("does not trust"), "{message}");
        let said = server.commands();
        assert!(said.iter().all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL")), "{said:?}");
        consign.finish().await;
    }
}

async fn an_invitation_is_mailed(kind: Kind) {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(kind, &server, "smtps").await;
    let body = json!({ "email": "bo@acme.example", "role": "operator" });
    let made = consign.post("/users", &body).await.expect(201).json();
    assert_eq!(made["invitation"]["mail"], json!({ "sent": true, "problem": null }));
    let link = made["invitation"]["link"].as_str().unwrap();
    consign.canaries.shown_once("an invitation", link.rsplit('/').next().unwrap());
    let mail = server.taken().remove(0);
    assert_eq!(mail.to, ["<bo@acme.example>"]);
    assert!(mail.text().contains(link) && mail.text().contains("as Operator"), "{}", mail.text());
    // An address that is more than one is none; the link is there all the same.
    let body = json!({ "email": "a@acme.example,eve@evil.example", "role": "viewer" });
    let made = consign.post("/users", &body).await.expect(201).json();
    assert_eq!(made["invitation"]["mail"]["sent"], false, "{made}");
    let link = made["invitation"]["link"].as_str().unwrap();
    consign.canaries.shown_once("an invitation", link.rsplit('/').next().unwrap());
    assert_eq!(server.taken().len(), 1);
    consign.finish().await;
}

async fn what_needs_a_person_is_told_once(kind: Kind) {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(kind, &server, "smtps").await;
    let (tool, pager) = (Tool::start().await, Tool::start().await);
    consign.bearer_webhook("pager", &pager.origin(), &json!({ "event_types": ["consign.*"] })).await;
    let hook =
        consign.bearer_webhook("Incidents", &tool.origin(), &json!({ "event_types": ["device.*"] })).await;
    let emails = json!({ "emails": ["ops@acme.example", "Ana <ana@acme.example>"] });
    consign.call("PATCH", "/notifications", &[], Some(&emails)).await.expect(428);
    let set = consign.patch("/notifications", &emails).await.expect(200).json();
    assert_eq!((&set["emails"], &set["notices"]), (&emails["emails"], &json!([])));
    for bad in ["x", "a@acme.example\r\nBcc: e@evil.example", "a@b.example, c@d.example"] {
        consign.patch("/notifications", &json!({ "emails": [bad] })).await.expect(422);
    }
    consign.patch("/notifications", &json!({ "email": [] })).await.expect(422);
    consign.look_for_notices().await;
    assert!(server.taken().is_empty());

    tool.answer(Answer::status(401));
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until_shows(&format!("/webhooks/{hook}"), "/state", "held").await;
    // What the server works by is a moment behind what is stored.
    eventually("both to be told", async || {
        let overview = consign.get("/overview").await.expect(200).json();
        let lines = overview["attention"].as_array().unwrap();
        let of_credential = lines.iter().find(|line| line["kind"] == "credential")?;
        (of_credential["webhooks"] == 1).then_some(())
    })
    .await;
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    let taken = server.taken();
    let to: Vec<_> = taken.iter().flat_map(|mail| mail.to.clone()).collect();
    assert_eq!(to, ["<ops@acme.example>", "<ana@acme.example>"], "each once");
    let text = taken[0].text();
    assert!(text.contains("Sign-in refused") && text.contains("/credentials/crd_"), "{text}");
    // The credential, and what is on hold because of it.
    let told = pager.until_asked(2).await;
    let refused =
        told.iter().any(|asked| asked.json()["message"].as_str().unwrap().contains("Sign-in refused"));
    assert!(refused, "{told:?}");
    let shown = consign.get("/notifications").await.expect(200).json();
    assert!(shown["notices"].as_array().unwrap().iter().all(|notice| notice["mail"] == "sent"), "{shown}");
    let page = unescape(&consign.page("/settings/notifications").await.expect(200).text());
    assert!(page.contains("Sign-in refused") && page.contains("ops@acme.example"), "{page}");
    assert!(!page.contains("Notices cannot be mailed"));

    // It is repaired, and breaks again: that is news. The mail server is away meanwhile.
    tool.answer(Answer::status(200));
    let credential = consign.get(&format!("/webhooks/{hook}")).await.json()["credential"]["id"].clone();
    let credential = credential.as_str().unwrap().to_owned();
    let token = consign.canary("another-token");
    consign.patch(&format!("/credentials/{credential}"), &json!({ "token": token })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.look_for_notices().await;
    assert_eq!(consign.get("/notifications").await.json()["notices"], json!([]));
    server.behave(Manners {
        implicit: true,
        refuses: Some(("MAIL".to_owned(), "421 away".to_owned())),
        ..Manners::default()
    });
    tool.answer(Answer::status(401));
    let sent = consign.event("device.low", &json!({ "n": 2 })).await;
    consign.until_shows(&format!("/webhooks/{hook}"), "/state", "held").await;
    consign.look_for_notices().await;
    let page = unescape(&consign.page("/webhooks").await.expect(200).text());
    assert!(
        page.contains("Notices cannot be mailed. The mail server refused the sender: 421 away"),
        "{page}"
    );
    server.behave(Manners { implicit: true, ..Manners::default() });
    consign.look_for_notices().await;
    assert_eq!(server.taken().len(), 2, "not before it is due");
    consign.advance(std::time::Duration::from_secs(200));
    consign.look_for_notices().await;
    assert_eq!(server.taken().len(), 4);
    assert!(!consign.page("/webhooks").await.text().contains("Notices cannot be mailed"));
    tool.answer(Answer::status(200));
    let token = consign.canary("a-third-token");
    consign.patch(&format!("/credentials/{credential}"), &json!({ "token": token })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.until_idle().await;
    let entries = consign.all("/audit-entries?action=Changed%20notifications").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_mailed_sqlite() {
    an_invitation_is_mailed(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_mailed_postgresql() {
    an_invitation_is_mailed(Kind::PostgreSql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_person_is_told_once_sqlite() {
    what_needs_a_person_is_told_once(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_person_is_told_once_postgresql() {
    what_needs_a_person_is_told_once(Kind::PostgreSql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_tried_from_page_and_command_line() {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(Kind::Sqlite, &server, "smtps").await;
    let form = consign.form("/settings/notifications", "emails").await.set("emails", "ops@acme.example\nx");
    let told = unescape(&consign.send_form(&form).await.expect(422).text());
    assert!(told.contains("“x” is no email address"), "{told}");
    consign.send_form(&form.set("emails", " ops@acme.example \n\n")).await.expect(303);
    let form = consign.form("/settings/notifications", "to").await;
    assert_eq!(form.value("to"), Some(EMAIL));
    let reply = consign.send_form(&form).await.expect(303);
    assert!(
        consign.follow(&reply).await.text().contains("The mail server took the mail to ana@acme.example")
    );
    consign.run(&["notification", "test-mail", "--to", "cy@acme.example"]).await.expect(0);
    consign.run(&["notification", "test-mail", "--to", "no address"]).await.expect(7);
    let shown = consign.run(&["notification", "get", "--json"]).await.expect(0).json();
    assert_eq!(shown["emails"], json!(["ops@acme.example"]));
    consign.run(&["notification", "set", "--email", "a@acme.example,b@acme.example"]).await.expect(0);
    let shown: Value = consign.get("/notifications").await.json();
    assert_eq!(shown["emails"], json!(["a@acme.example", "b@acme.example"]));
    consign.run(&["notification", "set"]).await.expect(0);
    assert_eq!(consign.get("/notifications").await.json()["emails"], json!([]));
    server.behave(Manners {
        implicit: true,
        refuses: Some(("DATA".to_owned(), "554 no".to_owned())),
        ..Manners::default()
    });
    consign.run(&["notification", "test-mail", "--to", "cy@acme.example"]).await.expect(8);
    let to: Vec<_> = server.taken().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(to, [format!("<{EMAIL}>"), "<cy@acme.example>".to_owned()]);
    consign.finish().await;
}

/// A server that refuses a mail and repeats it: the link in it is in no log and no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mail_server_repeats_of_a_mail_is_not_told() {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(Kind::Sqlite, &server, "smtps").await;
    for (words, told) in [("550 5.7.1 spam:", "550 5.7.1"), ("554 no:", "554"), ("550 5.7.1.2 no:", "550")] {
        let repeats = Some(words.to_owned());
        server.behave(Manners { implicit: true, repeats, ..Manners::default() });
        let email = format!("{}@acme.example", told.replace([' ', '.'], "-"));
        let made =
            consign.post("/users", &json!({ "email": email, "role": "viewer" })).await.expect(201).json();
        let link = made["invitation"]["link"].as_str().unwrap();
        let token = link.rsplit('/').next().unwrap();
        assert!(server.taken().last().unwrap().text().contains(token), "it could have repeated it");
        let problem = made["invitation"]["mail"]["problem"].as_str().unwrap();
        assert_eq!(problem, format!("The mail server refused the message: {told}"));
        // The harness looks for it in the log, too.
        consign.canaries.shown_once("an invitation", token);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_mails_are_ten_a_minute() {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(Kind::Sqlite, &server, "smtps").await;
    for _ in 0..10 {
        assert_eq!(test_mail(&consign).await.0, "sent");
    }
    let braked = consign.post("/mail-tests", &json!({ "to": "ops@acme.example" })).await.expect(429);
    assert!(braked.header("retry-after").is_some());
    assert_eq!(server.taken().len(), 10);
    // Each caller has their own.
    let form = consign.form("/settings/notifications", "to").await;
    consign.send_form(&form).await.expect(303);
    consign.advance(std::time::Duration::from_secs(61));
    assert_eq!(test_mail(&consign).await.0, "sent");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mail_server_links_are_copied_as_before() {
    let consign = TestConsign::start().await;
    let made = consign.post("/users", &json!({ "email": "bo@acme.example", "role": "viewer" })).await;
    let made = made.expect(201).json();
    assert!(made["invitation"].get("mail").is_none(), "{made}");
    consign.canaries.shown_once(
        "an invitation",
        made["invitation"]["link"].as_str().unwrap().rsplit('/').next().unwrap(),
    );
    assert!(!id_of(&made).is_empty());
    let told = consign.post("/mail-tests", &json!({ "to": "a@acme.example" })).await.expect(409).json();
    assert!(told["detail"].as_str().unwrap().contains("Mail is not set up"), "{told}");
    let page = consign.page("/settings/notifications").await.expect(200).text();
    assert!(page.contains("Mail is not set up") && !page.contains("Send test mail"), "{page}");
    consign.finish().await;
}
