//! Settings of egress: the rules that its operator set, and what administrators wrote for firewall requests.

use consign_core::audit::Table;
use consign_core::catalog::{Fault, Reader};
use consign_core::rights::Right;
use consign_store::Db;
use serde_json::{Value, json};

use super::{authorities, options};
use crate::App;
use crate::engine::{EgressChoice, Part as _, put_choice, read_choice, read_choice_to_change};
use crate::ops::audit::Saved;
use crate::ops::{Actor, IfMatch, Object, OpError, Sent, audit_rows, commit, differences};

/// A few dozen addresses, and who to ask.
const TEXT_CHARS_MAX: usize = 2_000;
const PART: &str = "Egress";
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: PART };
const CHANGED: &str = "Changed outgoing addresses";
const OUTGOING: &str = "outgoing_addresses";
/// What is changed here, in the audit log.
pub const SAVED: Saved<'static> = Saved::Settings(CHANGED);

/// The egress rules with their sources, the certificate authorities besides those of the system, and the addresses that
/// connections come from.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let stored = read_choice(&mut db).await?;
    let (stored, _) = judged(app, &mut db, stored).await?;
    Ok(show(app, &stored))
}

/// What was written, and whether that is what was saved last: nobody opens a firewall for an address that somebody put
/// into the database.
async fn judged(app: &App, db: &mut Db, stored: EgressChoice) -> Result<(EgressChoice, bool), OpError> {
    let fits = app.records.fits(db, Table::Setting, EgressChoice::KEY).await?;
    let none = EgressChoice { revision: stored.revision, ..EgressChoice::default() };
    Ok((if fits { stored } else { none }, fits))
}

fn show(app: &App, stored: &EgressChoice) -> Value {
    let of_egress = |option: &Value| option["key"].as_str().is_some_and(|key| key.starts_with("egress."));
    let options: Vec<_> = options(app).into_iter().filter(of_egress).collect();
    json!({
        "etag": format!("\"{}\"", stored.revision),
        OUTGOING: stored.outgoing_addresses,
        "options": options,
        "extra_authorities": authorities(app),
    })
}

/// Changes the addresses that connections come from, which people read and no program heeds.
///
/// # Errors
/// When the text was not accepted, or somebody else changed it meanwhile.
pub async fn change(app: &App, actor: &Actor, sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut reader = Reader::new(sent);
    let text = reader.has(OUTGOING).then(|| read(&mut reader));
    reader.refuse_unknown(&[OUTGOING], &["etag", "options", "extra_authorities"]);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let mut tx = app.store.begin().await?;
    let before = read_choice_to_change(&mut tx).await?;
    let (before, fits) = judged(app, &mut tx, before).await?;
    if_match.judge(before.revision)?;
    let outgoing_addresses = text.unwrap_or_else(|| before.outgoing_addresses.clone());
    if outgoing_addresses == before.outgoing_addresses && fits {
        return Ok(show(app, &before));
    }
    let now = EgressChoice { revision: before.revision + 1, outgoing_addresses };
    put_choice(&mut tx, &now).await?;
    let changes = differences(&values(&before), &values(&now));
    let rows = [(Table::Setting, EgressChoice::KEY.to_owned())];
    audit_rows(app, &mut tx, actor, CHANGED, OBJECT, changes, &rows).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(show(app, &now))
}

fn values(stored: &EgressChoice) -> Value {
    json!({ OUTGOING: stored.outgoing_addresses })
}

/// A text of several lines, with one kind of line end.
fn read(reader: &mut Reader) -> String {
    let text = reader.text(OUTGOING, "Outgoing addresses").replace("\r\n", "\n");
    let text = text.trim();
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(|c| c.is_control() && c != '\n') {
        let sentence = "Outgoing addresses must be 2,000 characters or fewer, without control characters";
        reader.refuse(OUTGOING, Fault::new("bad_form", sentence));
    }
    text.to_owned()
}
