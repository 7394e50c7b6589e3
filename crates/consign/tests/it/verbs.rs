//! Every operation of the API has its verb. A table names each operation once, and is held against the routes of the API;
//! each verb in it is run by the real program against a server that writes down what it is asked, and has to ask for its
//! operation. Of a verb that is only named it is proved that there is one; what it asks for, the reason beside it says.

use std::collections::BTreeSet;

use consign::api::{BASE, ROUTES, Route};
use serde_json::json;

use crate::harness::{Cli, Folder};
use crate::peers::{Answer, Asked, Tool, authority};

use By::{Known, Nobody, Run};

/// What does an operation on the command line.
enum By {
    /// These words, which are run.
    Run(&'static str),
    /// This verb, which is only looked up, and why.
    Known(&'static str, &'static str),
    /// Nothing, and why.
    Nobody(&'static str),
}

const APPLIED: &str = "apply -f objects.yaml";
const PUSHED: &str = "exporter push Tool records.ndjson --no-wait";

static VERBS: &[(&str, By)] = &[
    ("GET /credentials", Run("credential list")),
    ("POST /credentials", Run("credential create --from-file object.json")),
    ("GET /credentials/{id}", Run("credential get Tool")),
    ("PUT /credentials/{id}", Run(APPLIED)),
    ("PATCH /credentials/{id}", Run("credential edit Tool --max-concurrency 2")),
    ("DELETE /credentials/{id}", Run("credential delete Tool --yes")),
    ("PUT /credentials/{id}/secrets/{field}", Run("credential set-secret Tool password=env:PASSWORD")),
    ("GET /credentials/{id}/usage", Run("credential usage Tool")),
    ("GET /credentials/{id}/history", Run("credential history Tool")),
    ("GET /credentials/{id}/tests", Run("credential tests Tool")),
    ("POST /credentials/{id}/tests", Run("credential test Tool --json")),
    ("POST /credential-tests", Run("credential test -f object.json --secret password=env:PASSWORD --json")),
    ("POST /host-key-scans", Run("credential scan-host-key sftp://sftp.example.org:22/")),
    ("GET /credentials/{id}/authorizations", Run("credential authorize Tool --no-browser")),
    ("POST /credentials/{id}/authorizations", Run("credential authorize Tool --no-browser --no-wait")),
    ("DELETE /credentials/{id}/authorizations", Run("credential forget-tokens Tool --yes")),
    ("GET /credentials/{id}/certificate", Run("credential certificate get Tool")),
    ("POST /credentials/{id}/certificate", Run("credential certificate create-next Tool")),
    ("POST /credentials/{id}/certificate/next", Run("credential certificate use-next Tool")),
    ("DELETE /credentials/{id}/certificate/next", Run("credential certificate drop-next Tool")),
    ("POST /credentials/{id}/certificate/previous", Run("credential certificate use-previous Tool")),
    ("GET /credentials/{id}/assertion-preview", Run("credential preview-assertion Tool")),
    ("GET /authorization-types", Run("credential authorization-types")),
    ("GET /presets", Run("credential presets")),
    ("GET /connectors", Run("connector list --kind webhook")),
    ("GET /webhooks", Run("webhook list")),
    ("POST /webhooks", Run("webhook create --from-file object.json")),
    ("POST /webhooks/preview", Run("webhook preview --from-file object.json")),
    ("GET /webhooks/{id}", Run("webhook get Tool")),
    ("PUT /webhooks/{id}", Run(APPLIED)),
    ("PATCH /webhooks/{id}", Run("webhook edit Tool --path /x")),
    ("DELETE /webhooks/{id}", Run("webhook delete Tool --yes")),
    ("GET /webhooks/{id}/history", Run("webhook history Tool")),
    ("GET /webhooks/{id}/signing-keys", Run("webhook signing-keys Tool")),
    ("POST /webhooks/{id}/signing-keys", Run("webhook change-signing-key Tool")),
    (
        "POST /webhooks/{id}/signature-checks",
        Run(
            "webhook check-signature Tool --webhook-id a --webhook-timestamp 1 --webhook-signature v1,a --body object.json",
        ),
    ),
    ("POST /webhooks/{id}/tests", Run("webhook test Tool")),
    ("POST /webhooks/{id}/pauses", Run("webhook pause Tool")),
    ("DELETE /webhooks/{id}/pauses", Run("webhook resume Tool")),
    ("GET /exporters", Run("exporter list")),
    ("POST /exporters", Run("exporter create --from-file object.json")),
    ("POST /exporters/preview", Run("exporter create --dry-run --from-file object.json")),
    ("GET /exporters/{id}", Run("exporter get Tool")),
    ("PUT /exporters/{id}", Run(APPLIED)),
    ("PATCH /exporters/{id}", Run("exporter edit Tool --path /x")),
    ("DELETE /exporters/{id}", Run("exporter delete Tool --yes")),
    ("GET /exporters/{id}/history", Run("exporter history Tool")),
    ("POST /exporters/{id}/pauses", Run("exporter pause Tool")),
    ("DELETE /exporters/{id}/pauses", Run("exporter resume Tool")),
    ("GET /exporters/{id}/unsent", Run("exporter delete Tool --yes")),
    ("GET /exporters/{id}/runs", Run("exporter runs Tool")),
    ("POST /exporters/{id}/runs", Run("exporter run Tool --no-wait")),
    ("POST /exporters/{id}/records", Run("exporter push Tool records.ndjson --records")),
    ("POST /exporters/{id}/files", Run("exporter push Tool - --file-name a.csv --no-wait")),
    ("GET /exporters/{id}/uploads", Run("exporter uploads Tool")),
    ("POST /exporters/{id}/uploads", Run(PUSHED)),
    ("GET /uploads/{id}", Run(PUSHED)),
    ("PATCH /uploads/{id}", Run(PUSHED)),
    ("DELETE /uploads/{id}", Run("exporter discard Tool --yes")),
    ("GET /runs/{id}", Run("exporter log Tool")),
    ("POST /runs/{id}/cancellation", Run("exporter cancel Tool")),
    ("POST /runs/{id}/repetitions", Run("exporter repeat Tool --no-wait")),
    ("POST /runs/{id}/resolution", Run("exporter resolve Tool --as delivered")),
    ("GET /gateways", Run("gateway list")),
    ("POST /gateways", Run("gateway create --from-file object.json")),
    ("GET /gateways/{id}", Run("gateway get Tool")),
    ("PUT /gateways/{id}", Run(APPLIED)),
    ("PATCH /gateways/{id}", Run("gateway edit Tool --slug tool")),
    ("DELETE /gateways/{id}", Run("gateway delete Tool --yes")),
    ("GET /gateways/{id}/history", Run("gateway history Tool")),
    ("POST /gateways/{id}/pauses", Run("gateway pause Tool")),
    ("DELETE /gateways/{id}/pauses", Run("gateway resume Tool")),
    ("GET /gateways/{id}/calls", Run("gateway calls Tool")),
    ("POST /gateways/{id}/trials", Run("gateway try Tool /x")),
    ("GET /gateway-callers", Run("gateway callers")),
    ("POST /events", Run("event send --type a.b")),
    ("GET /events", Run("event list")),
    ("GET /events/{id}", Run("event get Tool")),
    ("GET /deliveries", Run("delivery list")),
    ("GET /deliveries/{id}", Run("delivery get Tool")),
    ("GET /deliveries/{id}/attempts", Run("delivery get Tool")),
    ("GET /deliveries/{id}/commands", Run("delivery commands Tool")),
    ("POST /deliveries/{id}/attempts", Run("delivery attempt Tool")),
    ("POST /deliveries/{id}/replays", Run("delivery replay Tool")),
    ("POST /deliveries/{id}/cancellation", Run("delivery cancel Tool --yes")),
    ("POST /deliveries/{id}/resolution", Run("delivery resolve Tool --as delivered")),
    ("GET /deliveries/{id}/payload", Run("delivery payload Tool")),
    ("GET /deliveries/{id}/request-body", Run("delivery request-body Tool")),
    (
        "GET /replays",
        Known("operation list", "it asks for operations, and --kind replay lists the same ones"),
    ),
    ("POST /replays", Run("webhook recover Tool --yes --no-wait")),
    ("DELETE /replays/{id}", Known("operation stop", "a replay is an operation, and is stopped as one")),
    ("GET /operations", Run("operation list --kind replay")),
    ("GET /operations/{id}", Run("operation get Tool")),
    ("DELETE /operations/{id}", Run("operation stop Tool")),
    ("GET /api-keys", Run("api-key list")),
    ("POST /api-keys", Run("api-key create --name Tool --scope events:write")),
    ("DELETE /api-keys/{id}", Run("api-key revoke Tool --yes")),
    ("GET /users", Run("user list")),
    ("POST /users", Run("user invite ana@acme.example --role viewer")),
    ("GET /users/{id}", Run("user get Tool")),
    ("PATCH /users/{id}", Run("user set-role Tool viewer")),
    ("DELETE /users/{id}", Run("user delete Tool --yes")),
    ("POST /users/{id}/invitations", Run("user invite-again Tool")),
    ("POST /users/{id}/suspension", Run("user suspend Tool --yes")),
    ("DELETE /users/{id}/suspension", Run("user reactivate Tool")),
    ("DELETE /users/{id}/sessions", Run("user sign-out Tool")),
    ("DELETE /users/{id}/two-step", Run("user reset-two-step Tool --yes")),
    ("GET /audit-entries", Run("audit list")),
    ("GET /audit-entries/export", Run("audit export")),
    ("POST /audit-entries/verification", Run("audit verify")),
    ("GET /audit-entries/{sequence}", Run("audit get 1")),
    ("GET /settings", Run("settings get")),
    ("PATCH /settings", Run("settings set --locale en-GB")),
    ("GET /settings/sign-in", Run("settings sign-in")),
    ("PATCH /settings/sign-in", Run("settings set-sign-in --idle-minutes 5")),
    ("GET /settings/delivery", Run("settings delivery")),
    ("PATCH /settings/delivery", Run("settings set-delivery --payload-days 5")),
    ("GET /settings/egress", Run("settings egress")),
    ("GET /notifications", Run("notification get")),
    ("PATCH /notifications", Run("notification set --email ana@acme.example")),
    ("POST /mail-tests", Run("notification test-mail --to ana@acme.example")),
    ("PATCH /settings/egress", Run("settings set-egress --outgoing-addresses 203.0.113.10")),
    ("POST /egress-checks", Run("settings check-address https://10.21.0.5/")),
    ("GET /sending-pauses", Run("settings sending")),
    ("POST /sending-pauses", Run("settings pause-sending --yes")),
    ("DELETE /sending-pauses", Run("settings resume-sending")),
    ("GET /replicas", Run("replica list")),
    ("GET /support-bundle", Run("support-bundle --preview")),
    ("POST /support-bundle", Run("support-bundle")),
    ("POST /public-url-checks", Run("settings check-public-url")),
    ("GET /storage", Run("settings storage")),
    ("GET /backups", Run("backup list")),
    ("POST /backups", Run("backup create --no-wait")),
    ("POST /backups/checks", Run("backup check Tool --kept")),
    ("DELETE /backups/{name}", Run("backup delete Tool --yes")),
    ("POST /backups/{name}/downloads", Run("backup download Tool --output backup.tar.zst")),
    ("GET /encryption-keys", Run("key list")),
    ("POST /encryption-keys/rotations", Run("key rotate")),
    (
        "POST /encryption-keys/recovery-files",
        Nobody(
            "people alone take one, in the console; `key recovery-file` writes it on the machine of the server without asking it",
        ),
    ),
    ("POST /encryption-keys/checks", Run("key check")),
    ("GET /overview", Run("overview")),
    ("GET /about", Run("about")),
    ("GET /about/licences", Run("about --licences")),
    ("GET /me", Run("whoami")),
    ("PATCH /me", Run("account set-theme dark --email ana@acme.example --secret password=env:PASSWORD")),
    (
        "PUT /me/password",
        Run(
            "account set-password --email ana@acme.example --secret password=env:PASSWORD --secret new_password=env:NEW",
        ),
    ),
    ("GET /meta", Run("about --limits")),
];

/// A document of each kind, so that applying them asks for each to be put in place.
const OBJECTS: &str = "apiVersion: consign/v1
kind: Credential
metadata: { name: Tool }
spec: { protocol: https, url_address: \"https://tool.example/\", authorization_type: none }
---
apiVersion: consign/v1
kind: Webhook
metadata: { name: Tickets }
spec: { credential: Tool, path: /x, event_types: [ \"*\" ] }
---
apiVersion: consign/v1
kind: Exporter
metadata: { name: Lake }
spec: { credential: Tool, path: /x, event_types: [ \"*\" ], schedule: daily, format: ndjson }
---
apiVersion: consign/v1
kind: Gateway
metadata: { name: Desk }
spec: { credential: Tool, slug: tool, path_prefixes: [ /x ] }
";

/// Whatever is asked, the answer is that it went well. A file is whole once it was sent, and an approval is there once it
/// was begun.
fn good_news(asked: &Asked) -> Answer {
    let last = asked.target.split('?').next().and_then(|path| path.rsplit('/').next());
    let name = last.filter(|name| ["Tickets", "Lake", "Desk"].contains(name)).unwrap_or("Tool");
    let body = json!({
        "id": "Tool", "name": name, "run": "Tool", "items": [], "count": 1, "state": "done", "outcome": "working",
        "message": "Good", "whole": true, "right": true, "allowed": true, "reached": true, "failed": 0, "offset": 0,
        "authorized": asked.method == "GET", "complete": asked.method == "PATCH",
    });
    let headers = [("content-type", "application/json"), ("etag", "\"1\"")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Answer::Reply(200, headers.to_vec(), body.to_string())
}

/// The operation that a request is for; a path that is written out comes before one that varies.
fn operation_of(asked: &Asked) -> Option<String> {
    let path = asked.target.split('?').next()?.strip_prefix(BASE)?;
    let fits = |route: &&Route| {
        let same_length = route.path.split('/').count() == path.split('/').count();
        let mut parts = route.path.split('/').zip(path.split('/'));
        let same_parts = parts.all(|(part, asked)| part == asked || part.starts_with('{'));
        route.method.as_str() == asked.method && same_length && same_parts
    };
    let found = ROUTES.iter().filter(fits).min_by_key(|route| route.path.matches('{').count());
    found.map(name_of)
}

/// Method and path, as the tables of these tests write them.
pub(crate) fn name_of(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

#[test]
fn every_operation_is_in_the_table_once() {
    let named: BTreeSet<_> = VERBS.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    assert_eq!(named.len(), VERBS.len(), "no operation stands in the table twice");
    let routed: BTreeSet<_> = ROUTES.iter().map(name_of).collect();
    let missing: Vec<_> = routed.difference(&named).collect();
    assert!(missing.is_empty(), "these have no verb: {missing:?}");
    let gone: Vec<_> = named.difference(&routed).collect();
    assert!(gone.is_empty(), "these are no operations any more: {gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_asks_for_its_operation() {
    let tool = Tool::start().await;
    tool.answer(Answer::By(good_news));
    let folder = Folder::new("verbs");
    let trusted = folder.write("authority.pem", authority().pem());
    folder.write("object.json", "{ \"name\": \"Tool\" }");
    folder.write("objects.yaml", OBJECTS);
    folder.write("records.ndjson", "{ \"n\": 1 }\n");
    let run = async |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let command = Cli::new(folder.path(), &words)
            .env("CONSIGN_SERVER", &tool.origin())
            .env("CONSIGN_TOKEN", "csg_for_nothing")
            .env("SSL_CERT_FILE", &trusted)
            .env("PASSWORD", "correct horse battery")
            .env("NEW", "correct horse battery staple");
        command.run().await
    };
    for (operation, by) in VERBS {
        match by {
            Run(words) => {
                let before = tool.count();
                let ran = run(words).await;
                let asked = tool.asked().split_off(before);
                let asked: Vec<_> = asked.iter().map(operation_of).collect();
                assert!(
                    asked.contains(&Some((*operation).to_owned())),
                    "consign {words} does not ask for {operation}, but for {asked:?}\n{}\n{}",
                    ran.stdout,
                    ran.stderr
                );
                // What it makes of an answer that is none of this operation is not what is looked at here.
                assert!(![2, 11].contains(&ran.code), "consign {words}\n{}", ran.stderr);
            }
            Known(verb, reason) => {
                assert!(!reason.is_empty(), "{operation}");
                run(&format!("{verb} --help")).await.expect(0);
            }
            Nobody(reason) => assert!(!reason.is_empty(), "{operation}"),
        }
    }
}
