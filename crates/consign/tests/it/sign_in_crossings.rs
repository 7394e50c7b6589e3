//! Changes that cross somebody who signs in: whoever was judged by what is no longer so is not let in. On PostgreSQL,
//! where two may write at once.

use std::future::Future;

use serde_json::{Value, json};

use crate::harness::{EMAIL, Reply, TestConsign, form, id_of};
use crate::people::{as_person, come, invite};

const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];

async fn typed(consign: &TestConsign, email: &str, password: &str) -> Reply {
    let body = form(&[("email", email), ("password", password), ("next", "/webhooks")]);
    consign.client.send("POST", "/sign-in", &HEADERS, body).await
}

/// The change comes to the row of the person first, and a sign-in that read it before the change comes behind.
async fn crossed(
    consign: &TestConsign,
    change: impl Future<Output = Reply>,
    (email, password): (&str, &str),
) -> Reply {
    let busy = consign.database.begin("select id from users for update").await;
    let (changed, reply, ()) = tokio::join!(
        change,
        async {
            consign.database.until_waiting(1).await;
            typed(consign, email, password).await
        },
        async {
            consign.database.until_waiting(2).await;
            busy.commit().await;
        }
    );
    assert!([200, 204].contains(&changed.status), "{}", changed.text());
    reply
}

/// No session has begun, and none waits for a code.
async fn is_sent_away(consign: &TestConsign, reply: &Reply) {
    assert_eq!((reply.status, reply.location().as_str()), (303, "/sign-in"), "{}", reply.text());
    let cookies = reply.headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let begun: Vec<_> = cookies.filter(|cookie| cookie.starts_with("consign-local=")).collect();
    assert!(begun.is_empty(), "{begun:?}");
    assert_eq!(consign.database.number("select count(*) from second_step").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_password_begins_no_session_behind_the_new_one() {
    let consign = TestConsign::on_postgres().await;
    let (old, new) = (consign.password.clone(), consign.canary("the new password"));
    let body = json!({ "password": old, "new_password": new });
    let change = as_person(&consign, "PUT", "/me/password", &body);
    is_sent_away(&consign, &crossed(&consign, change, (EMAIL, &old)).await).await;
    typed(&consign, EMAIL, &old).await.expect(422);
    assert_eq!(typed(&consign, EMAIL, &new).await.expect(303).location(), "/webhooks");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_behind_their_suspension() {
    let consign = TestConsign::on_postgres().await;
    let (bo, link) = invite(&consign, "bo@acme.example", "operator").await;
    let password = consign.canary("bo's password");
    come(&consign, &link, "Bo", &password).await;
    let suspension = format!("/users/{}/suspension", id_of(&bo));
    let suspend = as_person(&consign, "POST", &suspension, &Value::Null);
    is_sent_away(&consign, &crossed(&consign, suspend, ("bo@acme.example", &password)).await).await;
    consign.call("DELETE", &suspension, &[], None).await.expect(200);
    let sessions = format!("select count(*) from session where user_id = '{}'", id_of(&bo));
    assert_eq!(consign.database.number(&sessions).await, 0, "nothing waits for the day they may again");
    consign.finish().await;
}
