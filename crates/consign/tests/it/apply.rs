//! What files say there is: applied by the command line, applied again, taken over, and refused.

use serde_json::{Value, json};

use crate::harness::{Ran, TestConsign, id_of};
use crate::peers::Tool;

/// One document of each kind, the credential last: the order in the file does not matter.
fn documents(origin: &str) -> String {
    format!(
        "apiVersion: consign/v1
kind: Webhook
metadata: {{ name: Hardware requests }}
spec:
  credential: Service desk
  path: /incident
  event_types: [ \"device.*\" ]
  payload: template
  template: '{{\"short_description\": \"Device {{{{ data.device }}}}\"}}'
---
apiVersion: consign/v1
kind: Exporter
metadata: {{ name: Nightly list }}
spec:
  credential: Service desk
  path: /bulk
  event_types: [ \"list.*\" ]
  schedule: daily
  format: ndjson
---
apiVersion: consign/v1
kind: Gateway
metadata: {{ name: Desk }}
spec: {{ credential: Service desk, slug: desk, path_prefixes: [ /api ] }}
---
apiVersion: consign/v1
kind: Credential
metadata:
  name: Service desk
  labels: {{ team: itsm }}
spec:
  protocol: https
  url_address: {origin}
  authorization_type: basic
  username: consign
  password:
    value_from: {{ file: secrets/desk }}
  custom_headers:
    - {{ name: X-Key, value: {{ value_from: {{ env: DESK_KEY }} }} }}
"
    )
}

/// A Consign with the files of [`documents`], and what applies them.
struct Files {
    consign: TestConsign,
    file: String,
    header: String,
}

impl Files {
    async fn write(tool: &Tool) -> Self {
        let consign = TestConsign::start().await;
        // What a shell or a template would change.
        let password = consign.canaries.plant_within("password", "$HOME ${X} \"'ü", "\\n");
        std::fs::create_dir(consign.folder.join("secrets")).unwrap();
        consign.folder.write("secrets/desk", format!("{password}\n"));
        let header = consign.canary("header");
        let file = consign.folder.write("desk.yaml", documents(&tool.origin()));
        Self { consign, file, header }
    }

    async fn apply(&self, more: &[&str]) -> Ran {
        let words = [&["apply", "-f", &self.file], more].concat();
        self.consign.run_as(self.consign.cli(&words).env("DESK_KEY", &self.header)).await
    }

    /// What is declared, without what only time changes.
    async fn shown(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in PATHS {
            let shown = self.consign.get(path).await.expect(200).json();
            all.push(json!([shown["etag"], shown["updated_at"], shown["managed_by"], shown["status"]]));
        }
        all
    }

    async fn audited(&self) -> Vec<String> {
        let entries = self.consign.all("/audit-entries").await;
        entries.iter().map(|entry| entry["action"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

const PATHS: [&str; 4] = [
    "/credentials/Service%20desk",
    "/webhooks/Hardware%20requests",
    "/exporters/Nightly%20list",
    "/gateways/Desk",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_applied_once_and_again_without_a_change() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    let dry = files.apply(&["--dry-run"]).await.expect(10);
    assert!(dry.stdout.starts_with("+ Credential  Service desk  created\n"), "{}", dry.stdout);
    assert!(dry.stderr.contains("4 to create, 0 to change, 0 unchanged."), "{}", dry.stderr);
    for path in PATHS {
        files.consign.get(path).await.expect(404);
    }

    let made = files.apply(&["--field-manager", "platform"]).await.expect(0);
    let lines: Vec<_> = made.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "+ Credential  Service desk  created",
            "+ Webhook     Hardware requests  created",
            "+ Exporter    Nightly list  created",
            "+ Gateway     Desk  created",
        ]
    );
    let before = files.shown().await;
    assert!(before.iter().all(|one| one[2] == "platform"), "{before:?}");
    let credential = files.consign.get(PATHS[0]).await.json();
    assert_eq!(credential["labels"], json!({ "team": "itsm" }));

    // The connection works with what the file said.
    let sent = files.consign.event("device.low", &json!({ "device": "LT-0231" })).await;
    files.consign.until(sent.delivery(), "delivered").await;
    assert_eq!(tool.asked()[0].header("x-key"), files.header);
    files.consign.until_shows(PATHS[0], "/status/code", "working").await;
    let before = files.shown().await;
    let audited = files.audited().await.len();

    let again = files.apply(&["--field-manager", "platform"]).await.expect(0);
    assert!(again.stdout.lines().all(|line| line.starts_with("= ")), "{}", again.stdout);
    assert!(again.stderr.contains("0 created, 0 changed, 4 unchanged."), "{}", again.stderr);
    assert_eq!(files.shown().await, before, "no new version, and the status stays");
    // That secrets were compared is all that was written.
    assert_eq!(files.audited().await.len(), audited + 1);
    assert_eq!(files.audited().await[0], "Compared secrets");
    let history = files.consign.get(&format!("{}/history", PATHS[0])).await.expect(200).json();
    assert!(!history.to_string().contains("Compared secrets"), "{history}");
    let dry = files.apply(&["--field-manager", "platform", "--dry-run", "--json"]).await.expect(0);
    let results: Vec<Value> = dry.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(results.iter().all(|one| one["result"] == "unchanged"), "{}", dry.stdout);
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_in_between_is_overwritten_by_the_next_apply() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    files.apply(&[]).await.expect(0);
    let other = files.consign.canary("another password");
    let patch = json!({ "password": other, "labels": { "team": "network" } });
    let changed = files.consign.patch(PATHS[0], &patch).await.expect(200).json();
    assert_eq!(changed["managed_by"], "consign-apply", "by hand nobody becomes the owner");
    let entry = &files.consign.all("/audit-entries").await[0];
    assert_eq!(entry["changes"]["managed_from_a_file_by"], "consign-apply", "{entry}");
    files.consign.patch(PATHS[1], &json!({ "path": "/elsewhere" })).await.expect(200);

    let dry = files.apply(&["--dry-run"]).await.expect(10);
    assert!(dry.stderr.contains("0 to create, 2 to change, 2 unchanged."), "{}", dry.stderr);
    assert_eq!(files.consign.get(PATHS[1]).await.json()["path"], "/elsewhere");
    let applied = files.apply(&[]).await.expect(0);
    assert!(
        applied.stdout.contains("~ Credential  Service desk  changed: password, labels"),
        "{}",
        applied.stdout
    );
    assert!(applied.stdout.contains("~ Webhook     Hardware requests  changed: path"), "{}", applied.stdout);
    assert_eq!(files.consign.get(PATHS[0]).await.json()["labels"], json!({ "team": "itsm" }));
    let entry = &files.consign.all("/audit-entries").await[0];
    assert_eq!(entry["changes"].get("managed_from_a_file_by"), None, "{entry}");

    // An address that changes asks for every secret, which a file has.
    let moved = documents(&tool.origin()).replace("username: consign", "username: other");
    files.consign.folder.write("desk.yaml", moved);
    let applied = files.apply(&[]).await.expect(0);
    assert!(applied.stdout.contains("Service desk  changed: username"), "{}", applied.stdout);
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_the_id_of_another_one_is_refused() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    files.apply(&[]).await.expect(0);
    let before = files.shown().await;
    let id = id_of(&files.consign.get(PATHS[0]).await.json());
    let other = documents(&tool.origin()).replace("Service desk", &id);
    files.consign.folder.write("desk.yaml", other);
    let refused = files.apply(&[]).await;
    assert!(
        refused.stdout.contains("metadata.name is the id of “Service desk”. Choose a name that is no id"),
        "{}",
        refused.stdout
    );
    assert_eq!(files.shown().await[0], before[0]);
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_file_manages_is_taken_over_by_force_alone() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    files.apply(&["--field-manager", "platform"]).await.expect(0);
    let before = files.shown().await;
    let refused = files.apply(&["--field-manager", "network"]).await.expect(6);
    assert_eq!(refused.stdout.matches("failed: ").count(), 4, "{}", refused.stdout);
    assert!(refused.stdout.contains("A file that is applied as platform manages it."), "{}", refused.stdout);
    assert_eq!(files.shown().await, before);

    let path = format!("{}?field_manager=network", PATHS[1]);
    let delete = files.consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(409);
    assert_eq!(
        (delete.code(), &delete.json()["managed_by"]),
        ("managed_elsewhere".to_owned(), &json!("platform"))
    );
    let listed = files.consign.get("/connectors?managed_by=platform").await.expect(200).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3));
    for wrong in [
        "?force=true",
        "?dry_run=true",
        "?field_manager=Not%20a%20name",
        "?field_manager=",
        "?field_manager=platform&dry_run",
    ] {
        let path = format!("{}{wrong}", PATHS[1]);
        let reply =
            files.consign.call("PUT", &path, &[("if-match", "*")], Some(&json!({}))).await.expect(400);
        assert_eq!(reply.code(), "parameter_not_accepted", "{wrong}");
    }

    let forced = files.apply(&["--field-manager", "network", "--force"]).await.expect(0);
    assert_eq!(forced.stdout.matches("changed: managed_by\n").count(), 4, "{}", forced.stdout);
    assert!(files.shown().await.iter().all(|one| one[2] == "network"));
    let left = files.consign.get("/credentials?managed_by=platform").await.expect(200).json();
    assert_eq!(left["items"], json!([]));
    files.apply(&["--field-manager", "platform"]).await.expect(6);
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_while_a_document_is_wrong() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    let unset = files.consign.run(&["apply", "-f", &files.file]).await.expect(2);
    assert!(
        unset.stderr.contains("document 4: spec.custom_headers[0].value: the variable DESK_KEY is not set"),
        "{}",
        unset.stderr
    );

    let literal = files.consign.canary("literal");
    let inline = documents(&tool.origin())
        .replace("value_from: { file: secrets/desk }", "")
        .replace("password:\n", &format!("password: {literal}\n"));
    files.consign.folder.write("desk.yaml", &inline);
    let refused = files.apply(&[]).await.expect(2);
    assert!(
        refused.stderr.contains("document 4: spec.password is a secret that stands in the file"),
        "{}",
        refused.stderr
    );
    files
        .consign
        .folder
        .write("desk.yaml", inline.replace("kind: Gateway", "kind: Gate").replace("schedule:", "schedul:"));
    let refused = files.apply(&["--allow-inline-secrets"]).await.expect(2);
    for words in [
        "document 2: spec: “schedul” is not known. Did you mean schedule?",
        "document 3: kind “Gate” is not known",
        "Nothing was sent",
    ] {
        assert!(refused.stderr.contains(words), "{words}\n{}", refused.stderr);
    }
    for path in PATHS {
        files.consign.get(path).await.expect(404);
    }
    files.consign.folder.write("desk.yaml", inline);
    files.apply(&["--allow-inline-secrets"]).await.expect(0);
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_fails_does_not_stop_the_others() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    let wrong = documents(&tool.origin()).replace("path: /incident", "path: incident");
    files.consign.folder.write("desk.yaml", wrong);
    let half = files.apply(&["--plain"]).await.expect(9);
    let rows: Vec<Vec<_>> = half.stdout.lines().map(|line| line.split('\t').collect()).collect();
    let results: Vec<_> = rows.iter().map(|row| (row[0], row[2])).collect();
    let expected =
        [("Credential", "created"), ("Webhook", "failed"), ("Exporter", "created"), ("Gateway", "created")];
    assert_eq!(results, expected, "{}", half.stdout);
    assert!(rows[1][3].contains("Path must start with /"), "{}", half.stdout);
    files.consign.folder.write("desk.yaml", documents(&tool.origin()));
    let rest = files.apply(&[]).await.expect(0);
    assert!(rest.stderr.contains("1 created, 0 changed, 3 unchanged."), "{}", rest.stderr);

    // A folder, and standard input.
    let folder = files.consign.folder.join("files");
    std::fs::create_dir(&folder).unwrap();
    let gateway = json!({
        "apiVersion": "consign/v1", "kind": "Gateway", "metadata": { "name": "Desk" },
        "spec": { "credential": "Service desk", "slug": "desk", "path_prefixes": ["/api"], "methods": ["GET", "HEAD"] },
    });
    files.consign.folder.write("files/gateway.json", gateway.to_string());
    files.consign.folder.write("files/notes.txt", "not a document");
    let ran = files.consign.run(&["apply", "--file", folder.to_str().unwrap()]).await.expect(0);
    assert_eq!(ran.stdout, "~ Gateway     Desk  changed: methods\n");
    let input = files.consign.cli(&["apply", "-f", "-"]).input(&gateway.to_string());
    assert_eq!(files.consign.run_as(input).await.expect(0).stdout, "= Gateway     Desk  unchanged\n");
    files.consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_compared_ten_times_a_minute() {
    let tool = Tool::start().await;
    let files = Files::write(&tool).await;
    files.apply(&[]).await.expect(0);
    let guess = json!({
        "name": "Service desk", "protocol": "https", "url_address": tool.origin(), "authorization_type": "basic",
        "username": "consign", "password": files.consign.canary("a guess"),
    });
    let path = format!("{}?field_manager=consign-apply&dry_run=true", PATHS[0]);
    let ask = async || files.consign.call("PUT", &path, &[("if-match", "*")], Some(&guess)).await;
    for _ in 0..10 {
        ask().await.expect(200);
    }
    let refused = ask().await.expect(429);
    assert!(refused.header("retry-after").is_some());
    let entry = &files.consign.all("/audit-entries").await[0];
    assert_eq!(
        (&entry["action"], &entry["changes"]),
        (&json!("Compared secrets"), &json!({ "password": "another" }))
    );
    files.consign.finish().await;
}
