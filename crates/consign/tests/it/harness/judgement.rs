//! What a Consign left behind when its test ended: nothing open, no panic, no secret anywhere.

use std::sync::PoisonError;

use serde_json::json;

use super::canary::{Place, Search};
use super::{Kind, TestConsign, folder, logs};
use crate::peers;

impl TestConsign {
    /// Stops it and judges what it left: nothing open, no panic, no secret anywhere.
    pub(crate) async fn finish(self) {
        let faults = self.faults().await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// Ends a test that has locked itself out: nobody can look for what it left behind.
    pub(crate) async fn abandon(mut self) {
        self.stop().await;
        self.database.remove().await;
        self.finished = true;
    }

    /// What [`TestConsign::finish`] complains about.
    async fn faults(mut self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.replica.is_none() {
            self.start_again().await;
        }
        if !self.open_allowed {
            for state in ["pending", "held"] {
                for delivery in self.all(&format!("/deliveries?state={state}")).await {
                    faults.push(format!("left over: {delivery}"));
                }
            }
        }
        assert!(self.metrics().await.contains("consign_build_info"));
        let mut places = self.stored("while it ran").await;
        self.stop().await;
        places.extend(self.stored("after it stopped").await);
        self.database.remove().await;
        places.push(("the log".to_owned(), logs::logged().split_off(self.logged_before)));
        places.append(&mut self.printed.lock().unwrap_or_else(PoisonError::into_inner));
        faults.extend(leaks(&self.canaries.search(Place::Elsewhere), &places));
        let served = std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        faults.extend(leaks(&self.canaries.search(Place::Reply), &served));
        let panics = logs::panics() - self.panics_before;
        if panics > 0 {
            faults.push(format!("{panics} panics"));
        }
        self.finished = true;
        faults
    }

    /// What someone sees who steals the data folder without its key, or the database.
    async fn stored(&self, when: &str) -> Vec<(String, Vec<u8>)> {
        let mut places = self.database.rows_as_text().await;
        let own_keys = self.folder.join("data/keys");
        for (path, content) in folder::files_below(&self.folder.join("data")) {
            if path != own_keys {
                places.push((format!("{} {when}", path.display()), content));
            }
        }
        places
    }
}

impl Drop for TestConsign {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() {
            panic!("this Consign was dropped without finish(): nobody looked for what it left behind");
        }
    }
}

fn leaks(search: &Search, places: &[(String, Vec<u8>)]) -> Vec<String> {
    let found = places.iter().flat_map(|(place, bytes)| {
        search.found_in(bytes).into_iter().map(move |what| format!("leaked: {what} in {place}"))
    });
    found.collect()
}

/// The alarm must ring: a check of the check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_behind_is_noticed() {
    for kind in [Kind::Sqlite, Kind::PostgreSql] {
        let consign = TestConsign::on(kind, |_| {}).await;
        let secret = consign.canary("a secret in a description");
        let tool = peers::Tool::start().await;
        let hook = consign.bearer_webhook("itsm", &tool.origin(), &json!({ "description": secret })).await;
        consign.act(&format!("/webhooks/{hook}/pauses")).await.expect(200);
        consign.event("a", &json!(1)).await;
        consign.run(&["webhook", "get", "itsm"]).await.expect(0);
        let faults = consign.faults().await.join("\n");
        let stored = if kind == Kind::Sqlite { "consign.db" } else { "table connector" };
        for words in ["left over", "in POST /api/v1/webhooks", "in consign webhook get", stored] {
            assert!(faults.contains(words), "{words}: {faults}");
        }
    }
}
