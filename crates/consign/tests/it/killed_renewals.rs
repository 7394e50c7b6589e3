//! kill -9 at each point between "the provider has rotated" and "the new tokens are used": no loop, nothing lost, and
//! an honest status.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::grants::{Granted, LIFE};
use crate::harness::process::Process;
use crate::harness::{TestConsign, eventually};
use crate::peers::authority;

const LIFE_SECONDS: u32 = 3;

/// Where the program is when it is killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// The intent is on disk, and the request has not been read by the provider.
    IntentNoted,
    /// The provider has rotated, and its answer is on its way.
    AnswerOnItsWay,
    /// The answer is read, and the database does not take it yet.
    AnswerRead,
    /// The new tokens are on disk, and no tool has seen them.
    Stored,
}

/// Kills the program there and starts it again.
async fn killed(at: Point, overlap_seconds: u32) -> (TestConsign, Granted, String) {
    let mut consign = TestConsign::start().await;
    let granted = Granted::approved(
        &consign,
        |setup| {
            setup.access_token_seconds = LIFE_SECONDS;
            setup.refresh_token_overlap_seconds = overlap_seconds;
        },
        &json!({}),
    )
    .await;
    consign.stop().await;
    eventually("the token to end", async || {
        let token = granted.server.token_requests().await.first().map(|asked| asked.at_ms);
        let ended = token.unwrap() + i64::from(LIFE_SECONDS) * 1_000;
        (consign_store::local_now().millis() > ended).then_some(())
    })
    .await;
    let mut process = Process::start(&consign.folder, &[]).await;
    let delivery = killed_there(at, &consign, &granted, &mut process).await;
    consign.start_again().await;
    (consign, granted, delivery)
}

async fn killed_there(at: Point, consign: &TestConsign, granted: &Granted, process: &mut Process) -> String {
    let minute = Duration::from_secs(60);
    let mut stalled = None;
    match at {
        Point::IntentNoted => granted.server.freeze(),
        Point::AnswerOnItsWay => granted.server.delay(minute).await,
        // Time to take the database away once the provider has rotated.
        Point::AnswerRead => granted.server.delay(Duration::from_secs(1)).await,
        Point::Stored => {
            granted.tool.close().await;
            // Connects, and says nothing.
            stalled = Some(TcpListener::bind(("127.0.0.1", granted.tool.port())).unwrap());
        }
    }
    let event = json!({ "type": "a", "data": 1 });
    let sent = process.call(&consign.key, "POST", "/events", &event).await.expect(202).json();
    let rotated = async || (granted.renewals().await == 1).then_some(());
    let noted = async |sql: &str| (consign.database.number(sql).await == 1).then_some(());
    let mut busy = None;
    match at {
        Point::IntentNoted => {
            let sql = "select count(*) from token where spending is not null";
            eventually("the intent", async || noted(sql).await).await;
        }
        Point::AnswerOnItsWay => eventually("the renewal", rotated).await,
        Point::AnswerRead => {
            eventually("the renewal", rotated).await;
            busy = Some(consign.database.begin("select 1").await);
            eventually("an answer that is not on disk", async || {
                process.output().contains("new tokens are not on disk yet").then_some(())
            })
            .await;
        }
        Point::Stored => {
            let sql = "select count(*) from token where generation = 2 and spending is null";
            eventually("the new tokens", async || noted(sql).await).await;
        }
    }
    process.child().kill().unwrap();
    process.ended().await;
    if let Some(busy) = busy {
        busy.commit().await;
    }
    match at {
        Point::IntentNoted => {
            granted.server.thaw();
            assert_eq!(granted.renewals().await, 0, "nobody read the request");
        }
        Point::AnswerOnItsWay | Point::AnswerRead => granted.server.delay(Duration::ZERO).await,
        Point::Stored => {
            drop(stalled);
            granted.tool.open_as(&authority().identity()).await;
        }
    }
    sent["deliveries"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_rotation_and_storing_it_is_honest_about_it() {
    for at in [Point::AnswerOnItsWay, Point::AnswerRead] {
        let (consign, granted, delivery) = killed(at, 0).await;
        let held = consign.until(&delivery, "held").await;
        assert_eq!(held["hold_reason"], "reconnect_needed", "{at:?}: {held}");
        assert_eq!(granted.renewals().await, 2, "{at:?}: the old token is tried once");
        let reason =
            "refresh token was refused (invalid_grant); the program stopped while it was being replaced";
        assert_eq!(granted.status(&consign).await["reason"], reason, "{at:?}");
        consign.advance(LIFE);
        granted.until_status(&consign, "reconnect_needed").await;
        assert_eq!(granted.renewals().await, 2, "{at:?}: never a loop");
        consign.abandon().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_rotation_and_storing_an_overlapping_provider_needs_nobody() {
    for at in [Point::AnswerOnItsWay, Point::AnswerRead] {
        let (consign, granted, delivery) = killed(at, 60).await;
        consign.until(&delivery, "delivered").await;
        assert_eq!((granted.renewals().await, granted.server.families_revoked().await), (2, 0), "{at:?}");
        consign.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_request_or_after_it_is_stored_costs_nothing() {
    // Strict rotation: a refresh token that is spent twice would take the grant.
    for at in [Point::IntentNoted, Point::Stored] {
        let (consign, granted, delivery) = killed(at, 0).await;
        consign.until(&delivery, "delivered").await;
        assert_eq!(granted.server.families_revoked().await, 0, "{at:?}");
        let asked = granted.server.token_requests().await;
        let first = asked.iter().find(|asked| asked.grant_type.as_deref() == Some("refresh_token"));
        assert_eq!(first.map(|renewal| renewal.status), Some(200), "{at:?}: {asked:?}");
        consign.finish().await;
    }
}
