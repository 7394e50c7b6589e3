//! Two administrators edit the same settings: who comes late sees who was faster and both versions, and chooses.

use serde_json::{Value, json};

use crate::harness::page::{Form, form_with, unescape};
use crate::harness::{TestConsign, id_of};
use crate::people::someone;

on_both_databases! {
    who_saves_general_late_sees_both_and_chooses
    who_saves_delivery_late_sees_both_and_chooses
}

/// Bo, another administrator, fills in a form and saves it.
async fn bo_saves(consign: &mut TestConsign, path: &str, field: &str, value: &str) {
    let (_, bo) = someone(consign, "bo@acme.example", "administrator").await;
    let own = std::mem::replace(&mut consign.session, bo);
    let form = consign.form(path, field).await.set(field, value);
    consign.send_form(&form).await.expect(303);
    consign.session = own;
}

/// Saves what was filled in before: the page with the choice, and the form that saves it all the same.
async fn late(consign: &TestConsign, mine: &Form, words: &[&str]) -> (String, Form) {
    let page = consign.send_form(mine).await.expect(409).text();
    let over = form_with(&page, &mine.action, "etag");
    let shown = unescape(&page);
    for words in words.iter().chain(&["while you were editing.", "Keep theirs", "Save mine over it"]) {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains(&consign.password), "a password that was typed is not sent back");
    (shown, over)
}

fn rows(page: &str) -> usize {
    page.matches("data-label=\"Field\"").count()
}

async fn who_saves_general_late_sees_both_and_chooses(mut consign: TestConsign) {
    const PLACE: &str = "/settings";
    let mine = consign.form(PLACE, "instance_name").await.set("instance_name", "Mine <1>");
    let mine = mine.set("time_zone", "Europe/Lisbon").set("locale", "en-US");
    let mine = mine.set("password", &consign.password);
    bo_saves(&mut consign, PLACE, "instance_name", "Theirs").await;
    let words = [
        "bo changed these settings at ",
        "data-label=\"Field\">Instance name</th>",
        "data-label=\"Theirs\">Theirs</td>",
        "data-label=\"Yours\">Mine <1></td>",
        "data-label=\"Yours\">Europe/Lisbon</td>",
        "data-label=\"Field\">Dates and times</th>",
    ];
    let (page, over) = late(&consign, &mine, &words).await;
    assert_eq!(rows(&page), 3, "what is the same is no difference: {page}");
    assert!(!over.has("password"), "only another public URL asks for it: {page}");
    let now = consign.get(PLACE).await.json();
    assert_eq!((&now["instance_name"], &now["time_zone"]), (&json!("Theirs"), &json!("UTC")));

    // Theirs is kept by going on; mine goes over it, unless somebody was faster again.
    consign.patch(PLACE, &json!({ "instance_name": "Theirs again" })).await.expect(200);
    let (_, over) =
        late(&consign, &over, &["key for admin changed these settings at ", "Theirs again"]).await;
    let saved = consign.send_form(&over).await.expect(303);
    assert!(consign.follow(&saved).await.text().contains("Saved."));
    let now = consign.get(PLACE).await.json();
    assert_eq!((&now["instance_name"], &now["time_zone"]), (&json!("Mine <1>"), &json!("Europe/Lisbon")));
    assert_eq!(now["locale"], "en-US");

    // Another public URL asks for the password on this page, too.
    let mine = consign.form(PLACE, "instance_name").await.set("public_url", "https://consign.acme.example");
    let mine = mine.set("password", &consign.password);
    consign.patch(PLACE, &json!({ "instance_name": "Theirs" })).await.expect(200);
    let (_, over) = late(&consign, &mine, &["https://consign.acme.example", "Your password, again"]).await;
    assert_eq!(over.value("password"), Some(""));
    let back = consign.send_form(&over).await.expect(422).text();
    assert!(back.contains("Enter your password again"), "{back}");
    let back = form_with(&back, PLACE, "etag");
    assert_eq!(back.value("public_url"), Some("https://consign.acme.example"), "what was typed stays");
    assert_eq!(back.value("etag").map(unescape), over.value("etag").map(unescape));
    consign.finish().await;
}

async fn who_saves_delivery_late_sees_both_and_chooses(mut consign: TestConsign) {
    const PLACE: &str = "/settings/delivery";
    let mine = consign.form(PLACE, "timeout_seconds").await.set("timeout_seconds", "7");
    let mine = mine.set("retry_schedule_seconds", "none").set("payload_days", "");
    bo_saves(&mut consign, PLACE, "retry_schedule_seconds", "60, 300").await;
    // What else was done with sending is no save of these settings.
    consign.act("/sending-pauses").await.expect(200);
    let words = [
        "bo changed these settings at ",
        "data-label=\"Field\">Retry schedule</th>",
        "data-label=\"Theirs\">60, 300</td>",
        "data-label=\"Yours\">none</td>",
        "data-label=\"Field\">Timeout in seconds</th>",
        "data-label=\"Theirs\">20</td>",
        "data-label=\"Yours\">7</td>",
        "data-label=\"Yours\">default</td>",
    ];
    let (page, over) = late(&consign, &mine, &words).await;
    assert_eq!(rows(&page), 3, "{page}");
    assert_eq!(consign.get(PLACE).await.json()["timeout_seconds"], 20, "nothing was saved");
    consign.send_form(&over).await.expect(303);
    let now = consign.get(PLACE).await.json();
    assert_eq!((&now["timeout_seconds"], &now["retry_schedule_seconds"]), (&json!(7), &json!([])));
    // Who sends a form that nobody saved over meanwhile, but without its version, is not told of anybody.
    let bare = consign.form("/settings/notifications", "emails").await.without("etag");
    let page = consign.send_form(&bare).await.expect(409).text();
    assert!(page.contains("Someone changed these settings, while you were editing."), "{page}");
    consign.call("DELETE", "/sending-pauses", &[], None).await.expect(200);
    consign.finish().await;
}

/// The same for one field of a page: what holds when mine was saved over theirs.
async fn check(
    consign: &TestConsign,
    (page, place): (&str, &str),
    (field, value): (&str, &str),
    theirs: &Value,
    words: &[&str],
) -> Value {
    let mine = consign.form(page, field).await.without(field).with(field, value);
    let asks = mine.has("password");
    let mine = if asks { mine.set("password", &consign.password) } else { mine };
    consign.patch(place, theirs).await.expect(200);
    let (_, over) = late(consign, &mine, words).await;
    assert_eq!(over.has("password"), asks, "{page}");
    if asks {
        consign.send_form(&over).await.expect(422);
    }
    let over = if asks { over.set("password", &consign.password) } else { over };
    consign.send_form(&over).await.expect(303);
    consign.get(place).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_who_saves_sign_in_notifications_or_a_role() {
    let consign = TestConsign::start().await;
    let (cy, _) = someone(&consign, "cy@acme.example", "viewer").await;
    let person = format!("/users/{}", id_of(&cy));
    let words = [
        "key for admin changed these settings at ",
        "data-label=\"Field\">Session length in hours</th>",
        "data-label=\"Theirs\">10</td>",
        "data-label=\"Yours\">9</td>",
    ];
    let sign_in = "/settings/sign-in";
    let now =
        check(&consign, (sign_in, sign_in), ("session_hours", "9"), &json!({ "session_hours": 10 }), &words)
            .await;
    assert_eq!(now["session_hours"], 9);
    let words = [
        "key for admin changed these settings at ",
        "data-label=\"Field\">Email addresses</th>",
        "data-label=\"Theirs\">theirs@acme.example</td>",
        "data-label=\"Yours\">a@acme.example, b@acme.example</td>",
    ];
    let typed = ("emails", "a@acme.example\r\nb@acme.example");
    let theirs = json!({ "emails": ["theirs@acme.example"] });
    let now = check(&consign, ("/settings/notifications", "/notifications"), typed, &theirs, &words).await;
    assert_eq!(now["emails"], json!(["a@acme.example", "b@acme.example"]));
    let words = [
        "key for admin changed this account at ",
        "data-label=\"Field\">Role</th>",
        "data-label=\"Theirs\">Operator</td>",
        "data-label=\"Yours\">Auditor</td>",
    ];
    let now =
        check(&consign, (&person, &person), ("role", "auditor"), &json!({ "role": "operator" }), &words)
            .await;
    assert_eq!(now["role"], "auditor");
    consign.finish().await;
}
