//! *Copy as command* and *Copy as curl* of every page that shows a list or an object: what to paste into a terminal.

use consign_core::id::DeliveryId;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use serde_json::{Value, json};

use super::credentials::list as credential_list;
use super::form::{Form, asked};
use super::visit::Visit;
use super::{audit, gateway_pages, replays};
use crate::commands::{self, Copied, filtered, get, list, send};
use crate::ops::{Actor, OpError, credentials, deliveries, exporters, gateways, webhooks};

/// Pages that show one thing and have nothing to choose: what the command is called, and where the API has it.
const PLAIN: &[(&str, &[&str], &str)] = &[
    ("/", &["overview"], "/overview"),
    ("/users", &["user", "list"], "/users"),
    ("/api-keys", &["api-key", "list"], "/api-keys"),
    ("/operations", &["operation", "list"], "/operations"),
    ("/settings", &["settings", "get"], "/settings"),
    ("/settings/sign-in", &["settings", "sign-in"], "/settings/sign-in"),
    ("/settings/egress", &["settings", "egress"], "/settings/egress"),
    ("/settings/notifications", &["notification", "get"], "/notifications"),
    ("/settings/encryption", &["key", "list"], "/encryption-keys"),
    ("/settings/delivery", &["settings", "storage"], "/storage"),
    ("/settings/backup", &["backup", "list"], "/backups"),
    ("/settings/replicas", &["replica", "list"], "/replicas"),
    ("/settings/about", &["about"], "/about"),
    ("/settings/about/licences", &["about", "--licences"], "/about/licences"),
    ("/settings/about/support-bundle", &["support-bundle", "--preview"], "/support-bundle"),
];
/// Pages that show one part of an object: what the command is called, and where the API has it below the object.
const PART: &[(&str, &[&str], &str, &str)] = &[
    (
        "/credentials/{id}/assertion",
        &["credential", "preview-assertion"],
        "/credentials",
        "assertion-preview",
    ),
    ("/webhooks/{id}/activity", &["webhook", "history"], "/webhooks", "history"),
    ("/webhooks/{id}/signature", &["webhook", "signing-keys"], "/webhooks", "signing-keys"),
    ("/exporters/{id}/activity", &["exporter", "history"], "/exporters", "history"),
    ("/gateways/{id}/activity", &["gateway", "history"], "/gateways", "history"),
];
/// Pages of one object that is read by its id.
const BY_ID: &[(&str, &[&str], &str)] = &[
    ("/events/{id}", &["event", "get"], "/events"),
    ("/runs/{id}", &["exporter", "log"], "/runs"),
    ("/operations/{id}", &["operation", "get"], "/operations"),
    ("/audit/{sequence}", &["audit", "get"], "/audit-entries"),
    ("/users/{id}", &["user", "get"], "/users"),
];
/// Forms of new objects.
const NEW: &[(&str, &str, &str, &str)] = &[
    ("/credentials/new", "credential", "/credentials", "credential.json"),
    ("/webhooks/new", "webhook", "/webhooks", "webhook.json"),
    ("/exporters/new", "exporter", "/exporters", "exporter.json"),
    ("/gateways/new", "gateway", "/gateways", "gateway.json"),
];

/// What there is to copy on this page. Who may not read it sees another page.
pub(super) async fn of(visit: &Visit) -> Value {
    let Some(person) = &visit.person else { return json!([]) };
    let actor = person.actor(visit.from, visit.request_id);
    let copied = match all(visit, &actor).await {
        Ok(copied) => copied,
        Err(OpError::NotFound(_) | OpError::NotAllowed(_)) => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, page = visit.pattern, "the commands of a page could not be made");
            Vec::new()
        }
    };
    let public_url = visit.app().public_url();
    copied.iter().map(|one| one.json(&public_url)).collect()
}

async fn all(visit: &Visit, actor: &Actor) -> Result<Vec<Copied>, OpError> {
    let (pattern, app) = (visit.pattern.as_str(), visit.app());
    let id = visit.address.split('?').next().unwrap_or_default().split('/').nth(2).unwrap_or_default();
    if let Some(found) = of_pattern(pattern, &visit.form, id, app.now()) {
        return Ok(std::iter::once(found).chain(beside(pattern)).collect());
    }
    let writes = |right| actor.rights.allow(right);
    Ok(match pattern {
        "/deliveries/{id}" => deliveries::copied(app, actor, delivery(id)?).await?,
        "/deliveries/{id}/replay" => deliveries::replays(app, actor, delivery(id)?).await?,
        "/credentials/{id}" => {
            let shown = credentials::find(app, actor, id).await?;
            commands::credential(&shown, writes(Right::CredentialsWrite))
        }
        "/webhooks/{id}" | "/webhooks/{id}/set-up" => {
            let shown = webhooks::find(app, actor, id).await?;
            commands::connector(&shown, writes(Right::ConnectorsWrite))
        }
        "/exporters/{id}" | "/exporters/{id}/set-up" => {
            let shown = exporters::find(app, actor, id).await?;
            commands::connector(&shown, writes(Right::ConnectorsWrite))
        }
        "/gateways/{id}" | "/gateways/{id}/set-up" => {
            let shown = gateways::find(app, actor, id).await?;
            let mut all = commands::connector(&shown, writes(Right::ConnectorsWrite));
            if pattern == "/gateways/{id}" {
                all.insert(0, calls(&visit.form, shown["id"].as_str().unwrap_or_default()));
            }
            all
        }
        _ => Vec::new(),
    })
}

/// The calls that the page of a gateway lists.
fn calls(form: &Form, id: &str) -> Copied {
    let asked = |key: &str| asked(form, key).unwrap_or_default();
    let failed = asked("answer") == gateway_pages::ERRORS;
    let filters = [
        ("api_key", asked("api_key")),
        ("method", asked("method")),
        ("errors", if failed { "true" } else { "" }.to_owned()),
    ];
    filtered(get("Show this list", &["gateway", "calls", id], format!("/gateways/{id}/calls")), &filters)
}

/// What needs nothing but the address.
fn of_pattern(pattern: &str, form: &Form, id: &str, now: Timestamp) -> Option<Copied> {
    if let Some((_, words, path)) = PLAIN.iter().find(|(page, ..)| *page == pattern) {
        return Some(get("Show this page", words, *path));
    }
    if let Some((_, words, path)) = BY_ID.iter().find(|(page, ..)| *page == pattern) {
        return Some(get("Read it", &[*words, &[id]].concat(), format!("{path}/{id}")));
    }
    if let Some((_, words, path, part)) = PART.iter().find(|(page, ..)| *page == pattern) {
        return Some(get("Show this page", &[*words, &[id]].concat(), format!("{path}/{id}/{part}")));
    }
    if let Some((_, noun, path, file)) = NEW.iter().find(|(page, ..)| *page == pattern) {
        return Some(commands::create_from_file(noun, path, file));
    }
    let asked = |key: &str| asked(form, key).unwrap_or_default();
    let same = |keys: &[&'static str]| keys.iter().map(|key| (*key, asked(key))).collect::<Vec<_>>();
    Some(match pattern {
        "/credentials" => {
            let mut filters = same(&["q", "protocol", "label", "managed_by"]);
            let pressing = asked("status") == credential_list::NEEDS_ATTENTION;
            let status =
                if pressing { ("needs_attention", "true".to_owned()) } else { ("status", asked("status")) };
            filters.extend([status, ("authorization_type", asked("type"))]);
            filters.push(("ends_before", credential_list::ends_before(form, now).unwrap_or_default()));
            filters.push(("order", asked("sort")));
            list("credential", "/credentials", &filters)
        }
        "/webhooks" | "/exporters" | "/gateways" => {
            let (noun, path) = match pattern {
                "/webhooks" => ("webhook", "/webhooks"),
                "/exporters" => ("exporter", "/exporters"),
                _ => ("gateway", "/gateways"),
            };
            let mut filters = same(&["q", "state", "credential", "managed_by"]);
            filters.push(("order", asked("sort")));
            list(noun, path, &filters)
        }
        "/deliveries" => list("delivery", "/deliveries", &of_deliveries(form, now)),
        "/events" => {
            let mut filters = same(&["q"]);
            filters.push(("event_type", asked("type")));
            filters.push(("unmatched", if asked("match") == "none" { "true" } else { "" }.to_owned()));
            list("event", "/events", &filters)
        }
        "/audit" => {
            let mut filters = same(&["actor", "action", "object", "from", "result"]);
            let after = audit::after(form, now).map(|at| at.to_string());
            filters.push(("created_after", after.unwrap_or_default()));
            list("audit", "/audit-entries", &filters)
        }
        "/credentials/{id}/authorize" => {
            let path = format!("/credentials/{id}/authorizations");
            send("Have access approved", &["credential", "authorize", id], path, Value::Null)
        }
        "/credentials/{id}/certificate/next" => {
            let words = ["credential", "certificate", "create-next", id];
            let path = format!("/credentials/{id}/certificate");
            // Whatever version the credential has: the new pair waits beside the one that signs.
            Copied { etag: Some("*".to_owned()), ..send("Create the next one", &words, path, Value::Null) }
        }
        "/webhooks/{id}/signature/change" => {
            let path = format!("/webhooks/{id}/signing-keys");
            send("Change the signing key", &["webhook", "change-signing-key", id], path, Value::Null)
        }
        "/api-keys/new" => commands::new_api_key(),
        "/users/new" => commands::invitation(),
        "/webhooks/{id}/test" => {
            send("Send a test event", &["webhook", "test", id], format!("/webhooks/{id}/tests"), json!({}))
        }
        _ => return None,
    })
}

/// What else can be done on a page that shows something.
fn beside(pattern: &str) -> Option<Copied> {
    (pattern == "/settings/egress").then(commands::egress_check)
}

fn of_deliveries(form: &Form, now: Timestamp) -> Vec<(&'static str, String)> {
    let asked = |key: &str| asked(form, key).unwrap_or_default();
    let pressing = asked("state") == "needs_attention";
    vec![
        ("q", asked("q")),
        ("state", if pressing { String::new() } else { asked("state") }),
        ("needs_attention", if pressing { "true" } else { "" }.to_owned()),
        ("hold_reason", asked("reason")),
        ("connector", asked("connector")),
        ("operation", asked("operation")),
        ("event_type", asked("type")),
        ("created_after", replays::since(form, now).map(|at| at.to_string()).unwrap_or_default()),
    ]
}

fn delivery(id: &str) -> Result<DeliveryId, OpError> {
    id.parse().map_err(|_| OpError::NotFound("delivery"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

    fn command(pattern: &str, pairs: &[(&str, &str)]) -> String {
        of_pattern(pattern, &Form::from(pairs), "", NOW).expect("something to copy").command()
    }

    #[test]
    fn lists_of_connectors_are_copied_with_their_order() {
        for (pattern, noun) in
            [("/webhooks", "webhook"), ("/exporters", "exporter"), ("/gateways", "gateway")]
        {
            assert_eq!(command(pattern, &[]), format!("consign {noun} list"));
            let asked = [("q", "a"), ("state", "active"), ("sort", "-last_at")];
            let expected = format!("consign {noun} list --q=a --state=active --order=-last_at");
            assert_eq!(command(pattern, &asked), expected);
        }
        assert_eq!(command("/gateways/new", &[]), "consign gateway create --from-file gateway.json");
    }

    #[test]
    fn the_calls_of_a_gateway_are_copied_with_their_filters() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            assert_eq!(calls(&Form::from(pairs), "con_1").command(), expected);
        };
        check(&[], "consign gateway calls con_1");
        check(
            &[("method", "GET"), ("answer", "errors")],
            "consign gateway calls con_1 --method=GET --errors",
        );
        check(&[("answer", "others")], "consign gateway calls con_1");
    }
}
