//! What there is to tell now: one fact for each object and reason.

use std::time::Duration;

use consign_core::connector::{Connector, ConnectorState};
use consign_core::credential::Credential;
use consign_core::time::Timestamp;
use consign_store::overview::HOUR_MS;
use consign_store::{credentials, runs};
use serde_json::{Value, json};

use crate::App;
use crate::ops::OpError;
use crate::ops::overview::pressing_lines;
use crate::ops::settings::authority_ends;
use crate::ops::troubles::{self, Trouble};

/// A webhook that only fails is paused after that.
const FAILING_MAX: Duration = Duration::from_secs(5 * 86_400);
/// Of that time, in percent.
const MARKS: [u64; 3] = [90, 70, 50];
/// A run that failed is told for so long.
const RUN_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Days before the end of a certificate authority; at each of them it is told again.
const AUTHORITY_DAYS: [u64; 5] = [0, 1, 7, 14, 30];
/// Hours in which failed deliveries are told; each connector and hour once.
const HOURS: i64 = 2;

/// One thing to tell.
#[derive(Debug)]
pub(super) struct Fact {
    /// The object and the reason.
    pub key: String,
    /// The type of its event.
    pub kind: &'static str,
    /// What is said: `id`, `name`, `title`, `message`, `url`, `reason`.
    pub said: Value,
}

/// What there is to tell.
#[derive(Debug)]
pub(super) struct Facts {
    pub all: Vec<Fact>,
    /// There is more than was looked at.
    pub is_cut: bool,
}

/// Everything that needs a person now.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn present(app: &App) -> Result<Facts, OpError> {
    let now = app.now();
    let mut db = app.store.read().await?;
    let (lines, is_cut) = pressing_lines(app, &mut db, now).await?;
    let mut facts: Vec<Fact> = lines.iter().filter_map(|line| of_line(app, line)).collect();
    for credential in credentials::ending_soon(&mut db, now).await? {
        facts.extend(of_end(app, &credential, now));
    }
    facts.extend(
        authority_ends(app).into_iter().filter_map(|(subject, ends)| of_authority(app, &subject, ends, now)),
    );
    let hours = app.hours.last(&mut db, now).await?;
    let snapshot = app.engine.snapshot();
    for connector in snapshot.connectors() {
        facts.extend(of_failing(app, connector, now));
        let late = hours
            .failed_hours(connector.id)
            .into_iter()
            .filter(|hour| *hour > now.millis() / HOUR_MS - HOURS);
        facts.extend(late.map(|hour| of_failed(app, connector, hour)));
    }
    for run in runs::last_failed_of_each(&mut db, now.minus(RUN_LIFE)).await? {
        facts.extend(snapshot.connector(run.connector).map(|connector| of_run(app, connector, &run)));
    }
    drop(db);
    facts.extend(troubles::present(app).await?.iter().map(|trouble| of_trouble(app, trouble)));
    Ok(Facts { all: facts, is_cut })
}

/// What is wrong with the server itself.
fn of_trouble(app: &App, trouble: &Trouble) -> Fact {
    fact(
        format!("server/{}", trouble.kind),
        trouble.kind,
        ("server", "Consign"),
        (trouble.title.clone(), trouble.consequence.to_owned()),
        format!("{}{}", app.public_url(), trouble.page.0),
    )
}

fn page(app: &App, connector: &Connector) -> String {
    format!("{}/{}s/{}", app.public_url(), connector.kind.word(), connector.id)
}

fn fact(key: String, kind: &'static str, object: (&str, &str), words: (String, String), url: String) -> Fact {
    let ((id, name), (title, consequence)) = (object, words);
    let message = format!("{title}. {consequence}");
    Fact {
        key,
        kind,
        said: json!({ "id": id, "name": name, "title": title, "message": message, "url": url }),
    }
}

/// A line of the overview: a credential or a connector that does not work.
fn of_line(app: &App, line: &Value) -> Option<Fact> {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let (id, name, code, label, reason) =
        (text("id"), text("name"), text("code"), text("label"), text("reason"));
    let why = if reason.is_empty() { String::new() } else { format!(" ({})", reason.trim_end_matches('.')) };
    let title = format!("“{name}”: {label}{why}");
    match text("kind") {
        // Its end is told by itself, in time.
        "credential" if code == "ends_soon" => None,
        "credential" => Some(fact(
            format!("{id}/{code}"),
            "consign.credential.needs_attention",
            (id, name),
            (title, "What uses this credential waits until somebody repairs it.".to_owned()),
            format!("{}/credentials/{id}", app.public_url()),
        )),
        "webhook" | "exporter" | "gateway" => {
            let connector = app.engine.snapshot().connector(id.parse().ok()?)?.clone();
            let consequence = match connector.gateway() {
                Some(_) => "It refuses every call until somebody lets it go on.",
                None => "It sends nothing until somebody lets it go on; what it has to send waits.",
            };
            Some(fact(
                format!("{id}/{code}"),
                "consign.connector.stopped",
                (id, name),
                (title, consequence.to_owned()),
                page(app, &connector),
            ))
        }
        "run" => Some(fact(
            format!("{id}/{code}"),
            "consign.run.undecided",
            (id, name),
            (
                format!("A run of “{name}” waits for a decision"),
                "Its file may have arrived. It goes no further until somebody looks and decides.".to_owned(),
            ),
            format!("{}/runs/{id}", app.public_url()),
        )),
        _ => None,
    }
}

fn of_end(app: &App, credential: &Credential, now: Timestamp) -> Option<Fact> {
    let reminder = credential.reminder(now)?;
    let id = credential.id.to_string();
    let sentence = reminder.sentence(credential);
    let (title, consequence) = sentence.split_once(". ").unwrap_or((sentence.as_str(), ""));
    Some(fact(
        format!("{}/ends", reminder.key(credential)),
        super::ENDS,
        (&id, credential.name.as_str()),
        (title.to_owned(), consequence.to_owned()),
        format!("{}/credentials/{id}", app.public_url()),
    ))
}

/// A certificate authority of the operator's that ends: what it signed is not believed from then on.
fn of_authority(app: &App, subject: &str, ends: Timestamp, now: Timestamp) -> Option<Fact> {
    let mark =
        AUTHORITY_DAYS.into_iter().find(|days| ends <= now.plus(Duration::from_secs(days * 86_400)))?;
    let title = if ends <= now {
        format!("The extra CA certificate “{subject}” ended on {}", ends.day())
    } else {
        format!("The extra CA certificate “{subject}” ends on {}", ends.day())
    };
    let consequence = "Tools whose certificates it signed are not believed then, and nothing is sent to them. Put a new one \
                       into the file of egress.ca_file and restart."
        .to_owned();
    Some(fact(
        format!("authority/{subject}/{}/{mark}", ends.millis()),
        "consign.authority.ends",
        ("", subject),
        (title, consequence),
        format!("{}/settings/egress", app.public_url()),
    ))
}

/// A connector that only fails: after half of the time that it is given, and later again.
fn of_failing(app: &App, connector: &Connector, now: Timestamp) -> Option<Fact> {
    let since = connector.failing_since.filter(|_| connector.state == ConnectorState::Active)?;
    let part = u64::try_from(now.since(since).as_millis() * 100 / FAILING_MAX.as_millis()).unwrap_or(100);
    let mark = MARKS.into_iter().find(|mark| part >= *mark)?;
    let (id, name) = (connector.id.to_string(), connector.name.as_str());
    Some(fact(
        format!("{id}/failing/{}/{mark}", since.millis()),
        "consign.connector.failing",
        (&id, name),
        (
            format!("“{name}” has only failed for {mark} % of the 5 days after which it is paused"),
            "After five days Consign pauses it, and what it has to send waits.".to_owned(),
        ),
        page(app, connector),
    ))
}

fn of_failed(app: &App, connector: &Connector, hour: i64) -> Fact {
    let (id, name) = (connector.id.to_string(), connector.name.as_str());
    fact(
        format!("{id}/failed/{hour}"),
        "consign.connector.deliveries_failed",
        (&id, name),
        (format!("Deliveries of “{name}” failed"), "They are not tried again by themselves.".to_owned()),
        format!("{}/deliveries?state=failed&connector={id}", app.public_url()),
    )
}

fn of_run(app: &App, connector: &Connector, run: &runs::Run) -> Fact {
    let (id, name) = (run.id.to_string(), connector.name.as_str());
    fact(
        format!("{id}/failed"),
        "consign.run.failed",
        (&id, name),
        (format!("Run {} of “{name}” failed", run.number), "It is not tried again by itself.".to_owned()),
        format!("{}/runs/{id}", app.public_url()),
    )
}
