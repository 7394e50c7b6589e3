//! Pages that say no: what happened, what it means, and where to go on.

use crate::harness::page::unescape;
use crate::harness::{TestConsign, eventually};
use crate::people::someone;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lacks_the_role_is_told_which_and_who_can_give_it() {
    let consign = TestConsign::start().await;
    let (_, vera) = someone(&consign, "vera@acme.example", "viewer").await;
    let cookie = [("cookie", vera.cookie.as_str())];
    for closed in ["/settings", "/settings/sign-in", "/users", "/audit", "/credentials/new"] {
        let page = consign.client.send("GET", closed, &cookie, "").await.expect(403).text();
        let page = unescape(&page);
        assert!(
            page.contains("You need the role ")
                && page.contains(" for this page. Ana Silva can give it to you."),
            "{page}"
        );
        assert!(page.contains("Your role is Viewer. Nothing was changed."), "{closed}: {page}");
        assert!(
            page.contains("aria-label=\"Main\"")
                && page.contains(">Overview<")
                && page.contains("href=\"/docs\""),
            "{page}"
        );
        assert!(!page.contains("Try again"), "it would be the same: {page}");
    }
    let headers =
        [cookie[0], ("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let body = format!("csrf={}", vera.csrf);
    let page =
        consign.client.send("POST", "/settings/delivery/pause", &headers, body).await.expect(403).text();
    assert!(page.contains("Nothing was changed"), "{page}");
    assert_eq!(consign.get("/sending-pauses").await.json()["paused"], false);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_not_there_offers_a_search_to_everybody() {
    let consign = TestConsign::start().await;
    let none = "/credentials/crd_00000000000000000000000000";
    for (path, sentence) in [
        (
            "/nowhere",
            "There is no page at this address. It may be mistyped, or lead to something that was deleted.",
        ),
        (none, "There is no such credential. It may have been deleted."),
    ] {
        let page = unescape(&consign.page(path).await.expect(404).text());
        let told = page.replace("</p><p class=\"muted\">", " ");
        assert!(told.contains(sentence) && page.contains("<title>Page not found"), "{sentence}: {page}");
        assert!(page.contains("aria-label=\"Main\"") && page.contains("action=\"/docs\""), "{page}");
    }
    consign.page("/docs?q=restore").await.expect(200);
    // Nobody is signed in: no navigation, and a way to sign in.
    let page = unescape(&consign.client.send("GET", "/nowhere", &[], "").await.expect(404).text());
    assert!(
        page.contains("There is no page at this address.") && page.contains("href=\"/sign-in\""),
        "{page}"
    );
    assert!(page.contains("action=\"/docs\"") && !page.contains("aria-label=\"Main\""), "{page}");
    let closed = consign.client.send("GET", none, &[], "").await.expect(303);
    assert!(
        closed.location().starts_with("/sign-in?next="),
        "what is there is told to nobody: {}",
        closed.location()
    );
    consign.finish().await;
}

/// What passes by itself can be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_failed_has_a_reference_and_a_second_try() {
    let consign = TestConsign::on_postgres().await;
    consign.page("/webhooks").await.expect(200);
    consign.database.execute("alter table connector rename to elsewhere").await;
    let failed = eventually("a page that fails", async || {
        let reply = consign.page("/webhooks").await;
        (reply.status >= 500).then_some(reply)
    })
    .await;
    let page = unescape(&failed.text());
    assert!(page.contains("href=\"/webhooks\"") && page.contains("Try again"), "{page}");
    assert!(page.contains("Webhooks could not be loaded. They are not lost."), "{page}");
    assert!(page.contains("id=\"reference\">req_"), "{page}");
    assert!(!page.contains("elsewhere") && !page.contains("relation"), "{page}");
    consign.database.execute("alter table elsewhere rename to connector").await;
    consign.page("/webhooks").await.expect(200);
    consign.finish().await;
}
