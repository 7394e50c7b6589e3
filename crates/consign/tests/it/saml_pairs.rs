//! The key pairs of a credential: created, put to use, taken back, destroyed in time.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestConsign, eventually};
use crate::peers::Tool;
use crate::saml::{credential, own, server, signer, test};

on_both_databases! {
    a_created_pair_signs_and_its_key_stays
    a_refusal_that_crosses_a_new_pair_stays_one
    a_pair_goes_when_its_time_is_over
    the_end_of_a_certificate_is_seen_in_time
}

/// A change of the pairs that do not sign is no repair, and covers no status that came meanwhile.
async fn a_refusal_that_crosses_a_new_pair_stays_one(consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    let id = consign.credential(&credential("crossed", &tool, &server, &own())).await;
    let at = format!("/credentials/{id}");
    let any = [("if-match", "*")];
    let pair = json!({ "key_pair_bits": 2048 });
    let certificate = format!("{at}/certificate");
    let create = || consign.call("POST", &certificate, &any, Some(&pair));
    let refused = "update credential set seen_code = 'sign_in_refused', seen_reason = 'crossed'";
    let busy = consign.database.begin(refused).await;
    // The row is read, a pair is made, and then the database is waited for.
    let (made, ()) = tokio::join!(create(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        busy.commit().await;
    });
    let made = made.expect(201).json();
    assert_eq!(made["status"]["code"], "sign_in_refused", "{made}");
    let dropped = consign.call("DELETE", &format!("{at}/certificate/next"), &any, None).await.expect(200);
    assert_eq!(dropped.json()["status"]["reason"], "crossed");
    create().await.expect(201);
    let used = consign.call("POST", &format!("{at}/certificate/next"), &any, None).await.expect(200).json();
    assert_eq!(used["status"]["code"], "not_tested", "another key may be let in: {used}");
    consign.finish().await;
}

/// A pair that is created here signs; its certificate is what the tool gets.
async fn a_created_pair_signs_and_its_key_stays(consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    let generate = json!({ "key_pair": "generate", "key_pair_bits": 2048, "embed_certificate": false });
    let made = consign
        .post("/credentials", &credential("created", &tool, &server, &generate))
        .await
        .expect(201)
        .json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["certificates"]["present"]["subject"], format!("CN=Consign {id}"));
    let pem = consign.get(&format!("/credentials/{id}/certificate")).await.expect(200);
    assert_eq!(pem.headers["content-type"], "application/pem-certificate-chain");
    assert_eq!(json!(pem.text()), made["certificate"]);
    server.trust_signer(&signer(&made["certificate"])).await;
    let tested = test(&consign, &id).await;
    assert_eq!(
        tested["steps"].as_array().unwrap().iter().filter(|step| step["state"] == "failed").count(),
        0,
        "{tested}"
    );
    assert_eq!(server.assertions().await[0]["embedded"], false);
    assert_eq!(server.assertions().await[0]["encoding"], "base64url");

    // The next one waits, is read, takes over, and goes back.
    let at = format!("/credentials/{id}/certificate");
    consign.call("POST", &at, &[], Some(&json!({}))).await.expect(428);
    let any = [("if-match", "*")];
    let next =
        consign.call("POST", &at, &any, Some(&json!({ "key_pair_bits": 2048, "key_pair_years": 1 }))).await;
    let next = next.expect(201).json();
    assert_eq!(next["certificates"]["present"], made["certificates"]["present"]);
    let waiting = next["certificates"]["next"]["fingerprint"].clone();
    let pem = consign.get(&format!("{at}?which=next")).await.expect(200).text();
    let switched = consign.call("POST", &format!("{at}/next"), &any, None).await.expect(200).json();
    assert_eq!(switched["certificates"]["present"]["fingerprint"], waiting);
    assert_eq!(json!(pem), switched["certificate"]);
    let refused = test(&consign, &id).await;
    let ours = format!("Compare fingerprints: ours is SHA256 {}.", waiting.as_str().unwrap());
    assert!(refused["message"].as_str().unwrap().contains(&ours), "{refused}");
    server.trust_signer(&json!({ "certificate": pem })).await;
    let tested = test(&consign, &id).await;
    assert_ne!(tested["outcome"], "failed", "{tested}");
    consign.call("DELETE", &format!("{at}/next"), &any, None).await.expect(409);
    let back = consign.call("POST", &format!("{at}/previous"), &any, None).await.expect(200).json();
    assert_eq!(back["certificates"]["present"], made["certificates"]["present"]);
    server.trust_signer(&json!({ "certificate": made["certificate"] })).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");
    consign.call("DELETE", &format!("{at}/next"), &any, None).await.expect(200);
    consign.call("POST", &format!("{at}/next"), &any, None).await.expect(409);
    consign.get(&format!("{at}?which=next")).await.expect(404);
    let history = consign.get(&format!("/credentials/{id}/history")).await.expect(200).text();
    for action in [
        "Created the next certificate",
        "Put the next certificate to use",
        "Went back to the certificate before",
    ] {
        assert!(history.contains(action), "{action}: {history}");
    }
    consign.finish().await;
}

/// A pair that nobody can go back to is destroyed, though nobody touches the credential.
async fn a_pair_goes_when_its_time_is_over(consign: TestConsign) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (tool, server) = (Tool::start().await, server().await);
    let id = consign.credential(&credential("rotated", &tool, &server, &own())).await;
    let at = format!("/credentials/{id}");
    let any = [("if-match", "*")];
    let wish = json!({ "key_pair_bits": 2048 });
    consign.call("POST", &format!("{at}/certificate"), &any, Some(&wish)).await.expect(201);
    let switched =
        consign.call("POST", &format!("{at}/certificate/next"), &any, None).await.expect(200).json();
    assert!(switched["certificates"]["previous"].is_object(), "{switched}");
    consign.advance(Duration::from_secs(7 * 86_400) - HOUR * 2);
    consign.get(&format!("{at}/certificate?which=previous")).await.expect(200);
    consign.advance(HOUR * 4);
    consign.get(&format!("{at}/certificate?which=previous")).await.expect(404);
    eventually("the pair before to be gone", async || {
        let history = consign.get(&format!("{at}/history")).await.expect(200).text();
        history.contains("Removed the certificate before").then_some(())
    })
    .await;
    // It is as it was saved, and signs.
    let shown = consign.get(&at).await.expect(200).json();
    assert_eq!(shown["certificates"]["present"], switched["certificates"]["present"]);
    server.trust_signer(&signer(&shown["certificate"])).await;
    server.trust_signer(&json!({ "clock_ahead_seconds": 7 * 86_400 + 2 * 3_600 })).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");
    consign.patch(&at, &json!({ "name": "Renamed" })).await.expect(200);
    consign.finish().await;
}

/// The end of the certificate is an end of the credential.
async fn the_end_of_a_certificate_is_seen_in_time(consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    let made = consign_store::local_now().minus(Duration::from_secs(345 * 86_400));
    let (certificate, key) =
        consign_core::sign::create("ending", consign_core::sign::KeySize::Rsa2048, 1, made).unwrap();
    let own = json!({ "certificate": certificate.pem(), "private_key": key.expose() });
    let id = consign.credential(&credential("ending", &tool, &server, &own)).await;
    let status =
        async || consign.get(&format!("/credentials/{id}")).await.expect(200).json()["status"].clone();
    let soon = status().await;
    assert_eq!(soon["code"], "ends_soon", "{soon}");
    assert!(soon["reason"].as_str().unwrap().starts_with("the certificate ends in "), "{soon}");
    let day = consign_store::local_now().plus(Duration::from_secs(30 * 86_400)).day();
    let listed = consign.all(&format!("/credentials?ends_before={day}")).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(consign.all("/credentials?status=ends_soon").await.len(), 1);
    consign.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(status().await["code"], "ended");
    // A new pair is good again.
    let generate = json!({ "key_pair": "generate", "key_pair_bits": 2048, "key_pair_years": 1 });
    consign.patch(&format!("/credentials/{id}"), &generate).await.expect(200);
    assert_eq!(status().await["code"], "not_tested");
    assert!(consign.all("/credentials?status=ended").await.is_empty());
    consign.finish().await;
}
