//! A whole Consign, spoken to only over HTTP and the command line; what it leaves behind is judged at its end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign::config::Config;
use serde_json::{Value, json};

pub(crate) use canary::Canaries;
pub(crate) use cli::{Cli, Ran};
pub(crate) use database::{Database, Kind};
pub(crate) use folder::Folder;
pub(crate) use http::{Client, Reply, form, parameter, percent};
pub(crate) use replica::Replica;
pub(crate) use session::{EMAIL, Session, session_of};

use http::Served;
use session::set_up;

pub(crate) mod canary;
pub(crate) mod cli;
pub(crate) mod database;
pub(crate) mod folder;
pub(crate) mod http;
mod judgement;
pub(crate) mod logs;
pub(crate) mod page;
pub(crate) mod process;
pub(crate) mod replica;
pub(crate) mod session;

/// Longer than anything that a test waits for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);

/// Options of its own.
pub(crate) type Edit = Arc<dyn Fn(&mut Config) + Send + Sync>;

/// A Consign with one administrator and one API key that may do everything.
pub(crate) struct TestConsign {
    pub(crate) folder: Folder,
    pub(crate) database: Database,
    pub(crate) canaries: Canaries,
    pub(crate) client: Client,
    pub(crate) key: String,
    pub(crate) session: Session,
    /// The administrator's.
    pub(crate) password: String,
    replica: Option<Replica>,
    edit: Edit,
    served: Served,
    printed: Mutex<Vec<(String, Vec<u8>)>>,
    open_allowed: bool,
    panics_before: usize,
    logged_before: usize,
    finished: bool,
}

/// A variable that `cargo xtask test` sets.
#[expect(clippy::disallowed_methods, reason = "the gate tells tests where their peers are")]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs its real peers. Run `cargo xtask test`, which starts them")
    })
}

/// Looks until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    match waited.await {
        Ok(seen) => seen,
        Err(_) => panic!("waited in vain for {what}; the log ends:\n{}", logs::tail(40)),
    }
}

impl TestConsign {
    pub(crate) async fn start() -> Self {
        Self::on(Kind::Sqlite, |_| {}).await
    }

    pub(crate) async fn on_postgres() -> Self {
        Self::on(Kind::PostgreSql, |_| {}).await
    }

    /// Starts one with options of its own.
    pub(crate) async fn on(kind: Kind, edit: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        let edit: Edit = Arc::new(edit);
        logs::listen();
        let folder = Folder::new("consign");
        let database = match kind {
            Kind::Sqlite => Database::sqlite(&folder),
            Kind::PostgreSql => Database::postgres().await,
        };
        let (panics_before, logged_before) = (logs::panics(), logs::logged().len());
        let replica = Replica::start(&folder, &database, &*edit).await.unwrap();
        let served = Served::default();
        let canaries = Canaries::default();
        let password = canaries.plant("the administrator's password");
        let client = Client::new(replica.address, served.clone());
        let session = set_up(&replica, &client, &password).await;
        canaries.never_shown("the session", session.cookie.split_once('=').unwrap().1);
        let mut consign = Self {
            folder,
            database,
            canaries,
            client,
            key: String::new(),
            session,
            password,
            replica: Some(replica),
            edit,
            served,
            printed: Mutex::default(),
            open_allowed: false,
            panics_before,
            logged_before,
            finished: false,
        };
        consign.key = consign.make_key(&["admin"]).await;
        consign
    }

    pub(crate) fn replica(&self) -> &Replica {
        self.replica.as_ref().expect("it runs")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.client.address
    }

    /// Another process on the same database.
    pub(crate) async fn second_replica(&self) -> Replica {
        Replica::start(&self.folder, &self.database, &*self.edit).await.unwrap()
    }

    /// Another machine's process on the same database, with a data folder and a key ring of its own.
    pub(crate) async fn replica_in(&self, folder: &Folder) -> Replica {
        Replica::start(folder, &self.database, &*self.edit).await.unwrap()
    }

    /// Stops cleanly and starts again on the same database.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    pub(crate) async fn stop(&mut self) {
        self.replica.take().expect("it runs").stop().await;
    }

    pub(crate) async fn start_again(&mut self) {
        let replica = Replica::start(&self.folder, &self.database, &*self.edit).await.unwrap();
        self.client = self.client.at(replica.address);
        self.replica = Some(replica);
    }

    /// Moves the clock of the product.
    pub(crate) fn advance(&self, by: Duration) {
        let app = &self.replica().app;
        app.store.advance(by);
        app.engine.wake_all();
    }

    /// Looks now for what there is to tell, instead of within a minute.
    pub(crate) async fn look_for_notices(&self) {
        consign::ops::notices::round(&self.replica().app).await.unwrap();
    }

    /// Removes now what is past its time, instead of within ten minutes.
    pub(crate) async fn remove_what_is_old(&self) {
        self.replica().app.engine.retention_round().await.unwrap();
    }

    /// A secret that must be found nowhere but at the tool.
    pub(crate) fn canary(&self, name: &str) -> String {
        self.canaries.plant(name)
    }

    /// An API key with some rights.
    pub(crate) async fn make_key(&self, scopes: &[&str]) -> String {
        let mut body = json!({ "name": format!("key for {}", scopes[0]), "scopes": scopes });
        let reply = if self.key.is_empty() {
            body["password"] = json!(self.password);
            let headers = [
                ("cookie", self.session.cookie.as_str()),
                ("consign-csrf", self.session.csrf.as_str()),
                ("content-type", "application/json"),
            ];
            self.client.send("POST", "/api/v1/api-keys", &headers, body.to_string()).await.expect(201)
        } else {
            // Programs are not asked for a password.
            self.post("/api-keys", &body).await.expect(201)
        };
        let text = reply.json()["text"].as_str().expect("the text of a new key").to_owned();
        let secret = text.rsplit('_').next().unwrap_or_default();
        self.canaries.shown_once("an API key", secret);
        text
    }

    /// A request to the API with a key and more headers.
    pub(crate) async fn call_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Reply {
        let authorization = format!("Bearer {key}");
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        self.client.send(method, &format!("/api/v1{path}"), &all, body).await
    }

    /// A request to the API with the administrator's key.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let mut all = headers.to_vec();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.call_as(&self.key, method, path, &all, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, &[], Some(body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Reply {
        self.call("POST", path, &[], None).await
    }

    /// Makes a backup: how its operation ended.
    pub(crate) async fn backup(&self) -> Value {
        // One that was made a moment ago may still take old ones away.
        let started = eventually("the one before to be done with", async || {
            let reply = self.act("/backups").await;
            (reply.status != 409).then_some(reply)
        });
        let path = format!("/operations/{}", id_of(&started.await.expect(202).json()));
        eventually("the backup to end", async || {
            let shown = self.get(&path).await.expect(200).json();
            (shown["state"] != "running").then_some(shown)
        })
        .await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call("PATCH", path, &[("if-match", "*")], Some(body)).await
    }

    /// The id of a new credential.
    pub(crate) async fn credential(&self, body: &Value) -> String {
        id_of(&self.post("/credentials", body).await.expect(201).json())
    }

    /// The id of a new webhook.
    pub(crate) async fn webhook(&self, body: &Value) -> String {
        id_of(&self.post("/webhooks", body).await.expect(201).json())
    }

    /// A credential for a tool, its secrets planted, and a webhook for every event type.
    pub(crate) async fn bearer_webhook(&self, name: &str, origin: &str, more: &Value) -> String {
        let token = self.canary(&format!("token-of-{}", name.replace(' ', "-")));
        let credential = bearer(name, origin, &token);
        let credential = self.credential(&credential).await;
        let mut webhook =
            json!({ "name": name, "credential": credential, "path": "/hook", "event_types": ["*"] });
        merge(&mut webhook, more);
        self.webhook(&webhook).await
    }

    /// Accepts one event: the ids of it and its deliveries.
    pub(crate) async fn event(&self, event_type: &str, data: &Value) -> Sent {
        let body = json!({ "type": event_type, "data": data });
        Sent::read(&self.post("/events", &body).await.expect(202).json())
    }

    pub(crate) async fn delivery(&self, id: &str) -> Value {
        self.get(&format!("/deliveries/{id}")).await.expect(200).json()
    }

    pub(crate) async fn attempts(&self, id: &str) -> Vec<Value> {
        let reply = self.get(&format!("/deliveries/{id}/attempts")).await.expect(200);
        reply.json()["items"].as_array().cloned().unwrap_or_default()
    }

    /// All pages of a list.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{join}limit=200{cursor}")).await.expect(200).json();
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent(next)),
                None => return items,
            }
        }
    }

    /// Waits until a delivery is in a state.
    pub(crate) async fn until(&self, id: &str, state: &str) -> Value {
        eventually(&format!("{id} to be {state}"), async || {
            let delivery = self.delivery(id).await;
            (delivery["shown_state"] == state || delivery["state"] == state).then_some(delivery)
        })
        .await
    }

    /// Waits until a delivery has so many attempts on record.
    pub(crate) async fn until_attempted(&self, id: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} attempts of {id}"), async || {
            let attempts = self.attempts(id).await;
            (attempts.len() >= count).then_some(attempts)
        })
        .await
    }

    /// Waits until nothing is pending.
    pub(crate) async fn until_idle(&self) {
        eventually("nothing to be pending", async || {
            let page = self.get("/deliveries?state=pending&limit=1").await.expect(200).json();
            page["items"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    }

    /// Waits until an object of the API has a value at a place.
    pub(crate) async fn until_shows(&self, path: &str, pointer: &str, value: &str) -> Value {
        eventually(&format!("{path} to show {value}"), async || {
            let shown = self.get(path).await.expect(200).json();
            (shown.pointer(pointer).and_then(Value::as_str) == Some(value)).then_some(shown)
        })
        .await
    }

    /// What is counted, in the text that is scraped.
    pub(crate) async fn metrics(&self) -> String {
        let metrics = self.client.at(self.replica().metrics).send("GET", "/metrics", &[], "").await;
        metrics.expect(200).text()
    }

    /// The command line, signed in to this server.
    pub(crate) fn cli(&self, words: &[&str]) -> Cli {
        let server = format!("http://{}", self.client.address);
        Cli::new(self.folder.path(), words).env("CONSIGN_SERVER", &server).env("CONSIGN_TOKEN", &self.key)
    }

    /// Runs a command and remembers what it printed.
    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        self.run_as(self.cli(words)).await
    }

    pub(crate) async fn run_as(&self, command: Cli) -> Ran {
        let ran = command.run().await;
        let printed = [ran.stdout.as_bytes(), ran.stderr.as_bytes()].concat();
        let mut all = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((format!("consign {}", ran.words), printed));
        drop(all);
        ran
    }

    /// Something that was shown to somebody elsewhere, to be searched for secrets.
    pub(crate) fn shown_elsewhere(&self, place: &str, text: impl Into<Vec<u8>>) {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).push((place.to_owned(), text.into()));
    }

    /// Deliveries that wait at the end of this test do so on purpose.
    pub(crate) fn allow_open(&mut self) {
        self.open_allowed = true;
    }
}

/// An accepted event.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) duplicate: bool,
    pub(crate) deliveries: Vec<String>,
}

impl Sent {
    pub(crate) fn read(value: &Value) -> Self {
        let deliveries = value["deliveries"].as_array().cloned().unwrap_or_default();
        let deliveries = deliveries.iter().map(id_of).collect();
        Self { id: id_of(value), duplicate: value["duplicate"] == true, deliveries }
    }

    /// The id of its only delivery.
    #[track_caller]
    pub(crate) fn delivery(&self) -> &str {
        assert_eq!(self.deliveries.len(), 1, "{self:?}");
        &self.deliveries[0]
    }
}

#[track_caller]
pub(crate) fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

/// The body of a credential with user name and password.
pub(crate) fn basic(name: &str, origin: &str, username: &str, password: &str) -> Value {
    json!({ "name": name, "protocol": "https", "url_address": origin, "authorization_type": "basic",
            "username": username, "password": password })
}

/// The body of a credential with a token behind `Bearer`.
pub(crate) fn bearer(name: &str, origin: &str, token: &str) -> Value {
    json!({ "name": name, "protocol": "https", "url_address": origin, "authorization_type": "bearer",
            "header_prefix": "Bearer", "token": token })
}

/// Puts the members of one object into another.
pub(crate) fn merge(into: &mut Value, more: &Value) {
    let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) else { return };
    into.extend(more.clone());
}
