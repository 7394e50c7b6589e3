//! What is wrong with the server itself is shown to those who may mend it, mailed, given as an event, and over when it is
//! mended.

use std::time::Duration;

use serde_json::Value;

use crate::harness::page::unescape;
use crate::harness::{Kind, TestConsign};
use crate::mail::with_mail;
use crate::peers::mail_server::{MailServer, Manners};

on_both_databases! {
    a_log_that_was_changed_is_told_until_it_is_mended
    what_somebody_writes_into_the_database_does_not_silence_the_watch
    a_suspicion_is_kept_until_the_log_was_read_for_it
}

async fn notice(consign: &TestConsign, kind: &str) -> Option<Value> {
    let shown = consign.get("/notifications").await.expect(200).json();
    shown["notices"].as_array().unwrap().iter().find(|notice| notice["type"] == kind).cloned()
}

async fn banners(consign: &TestConsign) -> String {
    let page = unescape(&consign.page("/webhooks").await.expect(200).text());
    let bars =
        page.split("class=\"banner ").skip(1).map(|bar| bar.split("</div>").next().unwrap().to_owned());
    bars.collect::<Vec<_>>().join("\n")
}

const BROKEN: &str = "consign.server.audit_broken";

async fn fault(consign: &TestConsign) -> Option<String> {
    consign::ops::audit::known_fault(&consign.replica().app).await.unwrap()
}

/// Lets the database change what the log is made of.
async fn without_triggers(consign: &TestConsign) {
    let on = if consign.database.kind == Kind::PostgreSql { " on audit" } else { "" };
    consign
        .database
        .execute(&format!("drop trigger audit_no_update{on}; drop trigger audit_no_delete{on}"))
        .await;
}

async fn what_somebody_writes_into_the_database_does_not_silence_the_watch(consign: TestConsign) {
    consign.look_for_notices().await;
    let keep = "insert into installation select 'kept', value from installation where key = 'audit_found'";
    consign.database.execute(keep).await;
    without_triggers(&consign).await;
    let forge = "update audit set stored = replace(stored, 'Ana', 'Eve') where sequence = 1";
    consign.database.execute(forge).await;
    let put = async |value: &str| {
        let update = format!("update installation set value = {value} where key = 'audit_found'");
        consign.database.execute(&update).await;
    };
    put(r#"'{"at":"2099-01-01T00:00:00.000Z","message":null}'"#).await;
    consign.advance(Duration::from_secs(24 * 3_600 + 1));
    consign.look_for_notices().await;
    assert!(fault(&consign).await.is_some(), "a note about a far future puts nothing off");
    // Neither a note without a proof nor an older one, which has one, ends what this server knows.
    for value in [
        r#"'{"at":"2026-01-01T00:00:00.000Z","message":null}'"#,
        "(select value from installation where key = 'kept')",
    ] {
        put(value).await;
        consign.look_for_notices().await;
        assert!(fault(&consign).await.is_some(), "{value}");
    }
    consign.abandon().await;
}

async fn a_suspicion_is_kept_until_the_log_was_read_for_it(consign: TestConsign) {
    consign.look_for_notices().await;
    assert_eq!(notice(&consign, BROKEN).await, None);
    without_triggers(&consign).await;
    // Somebody reads the log for the whole time.
    let reading = consign.replica().app.verifications.try_acquire().unwrap();
    consign.database.execute("delete from audit where sequence = (select max(sequence) from audit)").await;
    consign.look_for_notices().await;
    let told = notice(&consign, BROKEN).await.expect("a notice, although nothing was read");
    assert!(told["title"].as_str().unwrap().contains("when this server looked for it"), "{told}");
    drop(reading);
    consign.look_for_notices().await;
    let fault = fault(&consign).await.expect("the log was read for it");
    assert!(!fault.contains("when this server looked for it"), "{fault}");
    consign.abandon().await;
}

async fn a_log_that_was_changed_is_told_until_it_is_mended(mut consign: TestConsign) {
    consign.look_for_notices().await;
    assert_eq!((notice(&consign, BROKEN).await, banners(&consign).await.as_str()), (None, ""));
    let on = if consign.database.kind == Kind::PostgreSql { " on audit" } else { "" };
    consign.database.execute(&format!("drop trigger audit_no_update{on}")).await;
    let forge = "update audit set stored = replace(stored, 'Ana', 'Eve') where sequence = 1";
    consign.database.execute(forge).await;
    // It was whole a minute ago: an old entry is found when the day is over.
    consign.look_for_notices().await;
    assert_eq!(notice(&consign, BROKEN).await, None);
    consign.advance(Duration::from_secs(24 * 3_600 + 1));
    consign.session = consign.sign_in_again().await;
    consign.look_for_notices().await;
    let told = notice(&consign, BROKEN).await.expect("a notice");
    let title = "The audit log is not whole: Entry 1 does not fit to the one before it";
    assert_eq!(told["title"], title);
    assert!(told["url"].as_str().unwrap().ends_with("/audit"), "{told}");
    let shown = banners(&consign).await;
    assert!(
        shown.starts_with("danger") && shown.contains(title) && shown.contains("href=\"/audit\""),
        "{shown}"
    );
    let events = consign.all(&format!("/events?event_type={BROKEN}")).await;
    assert_eq!(events.len(), 1, "once");
    consign.look_for_notices().await;
    assert_eq!(consign.all(&format!("/events?event_type={BROKEN}")).await.len(), 1);

    let mend = "update audit set stored = replace(stored, 'Eve', 'Ana') where sequence = 1";
    consign.database.execute(mend).await;
    consign.look_for_notices().await;
    assert!(notice(&consign, BROKEN).await.is_some(), "nobody has looked again");
    let checked = consign.act("/audit-entries/verification").await.expect(200).json();
    assert_eq!(checked["whole"], true, "{checked}");
    assert_eq!(banners(&consign).await, "");
    consign.look_for_notices().await;
    assert_eq!(notice(&consign, BROKEN).await, None);

    // What this server has seen and is gone is told within the minute.
    consign.database.execute(&format!("drop trigger audit_no_delete{on}")).await;
    consign.database.execute("delete from audit where sequence = (select max(sequence) from audit)").await;
    consign.look_for_notices().await;
    let told = notice(&consign, BROKEN).await.expect("a notice");
    assert!(told["title"].as_str().unwrap().starts_with("The audit log is not whole: Entry "), "{told}");
    consign.abandon().await;
}

/// Whoever cannot make room is not told that there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_disk_is_told_to_administrators() {
    const LOW: &str = "consign.server.disk_low";
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let mailed = with_mail(Kind::Sqlite, &server, "smtps").await;
    mailed.look_for_notices().await;
    assert_eq!((notice(&mailed, LOW).await, banners(&mailed).await.as_str()), (None, ""), "there is room");
    mailed.finish().await;

    let consign = TestConsign::on(Kind::Sqlite, |config| config.limits.disk_low_bytes = 1 << 50).await;
    consign.look_for_notices().await;
    let told = notice(&consign, LOW).await.expect("a notice");
    assert!(told["title"].as_str().unwrap().starts_with("Disk almost full: "), "{told}");
    let listed = consign.run(&["notification", "get", "--json"]).await.expect(0).stdout;
    assert!(listed.contains("Disk almost full"), "{listed}");
    let shown = banners(&consign).await;
    assert!(shown.contains("Disk almost full: ") && shown.contains("/settings/delivery"), "{shown}");
    let events = consign.all(&format!("/events?event_type={LOW}")).await;
    assert_eq!(events.len(), 1);
    consign.finish().await;
}
