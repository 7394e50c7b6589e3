//! The manual: read without signing in, every link leads somewhere, and browsers and programs both get problems told.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::*;

/// The links of a page to the manual, as address and anchor.
fn links(text: &str) -> BTreeSet<(String, String)> {
    let text = text.replace("&#x2f;", "/");
    let targets = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let ours = targets.filter(|to| to.starts_with("/docs"));
    ours.map(|to| to.split_once('#').unwrap_or((to, "")))
        .map(|(to, id)| (to.to_owned(), id.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_link_of_the_manual_leads_somewhere() {
    let consign = TestConsign::start().await;
    let mut pages = BTreeMap::new();
    let mut asked = BTreeSet::from([("/docs".to_owned(), String::new())]);
    let mut seen = BTreeSet::new();
    while let Some((to, id)) = asked.pop_first() {
        if !seen.insert((to.clone(), id.clone())) {
            continue;
        }
        if !pages.contains_key(&to) {
            let text =
                consign.client.send("GET", &to, &[("accept", "text/html")], "").await.expect(200).text();
            assert!(text.contains("<h1>") && text.contains("Help"), "{to}\n{text}");
            asked.extend(links(&text));
            pages.insert(to.clone(), text);
        }
        assert!(id.is_empty() || pages[&to].contains(&format!("id=\"{id}\"")), "{to}#{id}");
    }
    for page in
        ["/docs/operations", "/docs/servicenow", "/docs/cli", "/docs/api/deliveries", "/docs/problems/locked"]
    {
        assert!(pages.contains_key(page), "{page}");
    }
    assert!(pages.len() > 100, "{}", pages.len());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manual_is_searched_and_stands_in_the_frame_of_whoever_is_signed_in() {
    let consign = TestConsign::start().await;
    let page = consign.page("/docs?q=rotate+encryption").await.expect(200).text().replace("&#x2f;", "/");
    assert!(
        page.contains("/docs/operations#encryption-keys") && page.contains("aria-label=\"Main\""),
        "{page}"
    );
    let hostile = consign.page("/docs?q=%3Cscript%3Ealert(1)%3C/script%3E").await.expect(200).text();
    assert!(!hostile.contains("<script>alert") && hostile.contains("&lt;script&gt;"), "{hostile}");
    let outside = consign.client.send("GET", "/docs/operations", &[], "").await.expect(200).text();
    assert!(!outside.contains("aria-label=\"Main\""), "nobody is signed in");
    consign.page("/docs/nothing").await.expect(404);
    consign.page("/docs/api/nothing").await.expect(404);
    consign.page("/docs/api/schemas/Nothing").await.expect(404);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_are_pages_for_browsers_and_text_for_programs() {
    let consign = TestConsign::start().await;
    let ask =
        async |path: &str, accept: &str| consign.client.send("GET", path, &[("accept", accept)], "").await;
    let text = ask("/docs/problems/not-readable", "*/*").await.expect(200);
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(text.text().contains("What to do") && !text.text().contains('<'));
    let page = ask("/docs/problems/not-readable", "text/html,*/*;q=0.8").await.expect(200);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().contains("What to do") && page.text().contains("<h1>"));
    assert!(ask("/docs/problems", "*/*").await.expect(200).text().contains("/docs/problems/locked"));
    ask("/docs/problems/nothing", "*/*").await.expect(404);
    ask("/docs/problems/nothing", "text/html").await.expect(404);
    consign.finish().await;
}
