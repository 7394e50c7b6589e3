//! The audit record, the chain that shows when one was changed, removed or reordered, and what the records say the
//! protected rows look like: a row that looks otherwise was changed, added or put back behind our back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::AuditId;
use crate::time::Timestamp;
use crate::vault::DerivedKey;

/// One thing that someone did. Secrets appear only as the word "replaced".
#[derive(Clone, Debug, Serialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// `user`, `api_key` or `system`.
    pub actor_kind: &'static str,
    /// The id of the person or key; empty for the system.
    pub actor_id: String,
    /// The name of the person or key at that time.
    pub actor: String,
    /// What was done, in words: "Replaced client secret".
    pub action: String,
    /// The kind of object: `credential`, `webhook`, …
    pub object_kind: &'static str,
    /// The id of the object.
    pub object_id: String,
    /// The name of the object at that time.
    pub object: String,
    /// Fields old → new, as a JSON object.
    pub changes: Value,
    /// The address it came from; empty for the system.
    pub from: String,
    /// The request it belongs to.
    pub request_id: String,
    /// `done` or `refused`.
    pub result: &'static str,
    /// The protected rows as this left them.
    pub rows: Rows,
}

/// The tables whose rows decide where secrets go and who may say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Credentials with their sealed secrets.
    Credential,
    /// Webhooks.
    Connector,
    /// People who sign in.
    User,
    /// API keys.
    ApiKey,
    /// Values of the installation that say where people are led, and who is told.
    Setting,
}

impl Table {
    /// All.
    pub const ALL: &'static [Self] =
        &[Self::Credential, Self::Connector, Self::User, Self::ApiKey, Self::Setting];
}

/// A protected row as a change left it: a keyed hash, or `None` when the change removed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imprint(pub Table, pub String, pub Option<String>);

impl Imprint {
    /// Of a row in its canonical text; `None`: there is no such row.
    pub fn of(key: &DerivedKey, table: Table, id: &str, row: Option<&str>) -> Self {
        let hash = row.map(|row| {
            let framed = serde_json::json!(["row", table, id, row]).to_string();
            key.authenticate(framed.as_bytes())
        });
        Self(table, id.to_owned(), hash)
    }
}

/// What a record says about protected rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rows {
    /// These are like this from now on; of the others it says nothing.
    Changed(Vec<Imprint>),
    /// These are all there are: whoever runs this server took them as they were found.
    Accepted(Vec<Imprint>),
}

impl Default for Rows {
    fn default() -> Self {
        Self::Changed(Vec::new())
    }
}

impl AuditEntry {
    /// The link of the chain: a keyed hash over the link before and this record as it is stored.
    pub fn link(&self, key: &DerivedKey, sequence: i64, before: &str) -> String {
        chain(key, sequence, before, &self.stored())
    }

    /// The record as one unambiguous text: a JSON list, so that no two records give the same bytes.
    pub fn stored(&self) -> String {
        serde_json::json!([
            self.id,
            self.at.millis(),
            self.actor_kind,
            self.actor_id,
            self.actor,
            self.action,
            self.object_kind,
            self.object_id,
            self.object,
            self.changes,
            self.from,
            self.request_id,
            self.result,
            self.rows,
        ])
        .to_string()
    }
}

/// The keyed hash that links a stored record to the one before it.
pub fn chain(key: &DerivedKey, sequence: i64, before: &str, stored: &str) -> String {
    key.authenticate(format!("{sequence}\n{before}\n{stored}").as_bytes())
}

/// What the audit records say, as far as they were read: where the chain stands, whether it is whole, and how each
/// protected row must look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    sequence: i64,
    link: String,
    /// The places at which the chain does not fit, in order.
    broken: Vec<i64>,
    rows: HashMap<(Table, String), Known>,
}

/// What the newest record of a row says, and the place of that record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    hash: String,
    place: i64,
}

/// What the records say about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as its newest record says, and no record behind that one is missing.
    Proven,
    /// It is as a record says, and what stood at a broken place behind that record may have said something else.
    Unproven,
    /// It is not as its newest record says, or no record knows it.
    Misfit,
}

impl Ledger {
    /// Reads the next record; `None` for what is not one. It counts only when it follows on the one before.
    pub fn follow(
        &mut self,
        key: &DerivedKey,
        sequence: i64,
        stored: &str,
        link: String,
        rows: Option<Rows>,
    ) {
        let place = self.sequence + 1;
        let whole = sequence == place && chain(key, sequence, &self.link, stored) == link;
        match rows.filter(|_| whole) {
            Some(Rows::Changed(imprints)) => self.take(place, imprints),
            Some(Rows::Accepted(imprints)) => {
                self.broken.clear();
                self.rows.clear();
                self.take(place, imprints);
            }
            None => self.broken.push(place),
        }
        (self.sequence, self.link) = (sequence, link);
    }

    /// Compares with the newest record that there should be.
    pub fn end_at(&mut self, sequence: i64, link: &str) {
        let place = match self.sequence {
            ours if ours > sequence => sequence + 1,
            ours if ours < sequence => ours + 1,
            _ if self.link != link => sequence,
            _ => return,
        };
        if !self.broken.contains(&place) {
            self.broken.push(place);
        }
    }

    /// The place of the newest record that was read.
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Its link.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// The first place at which a record was changed, removed, added or moved.
    pub fn broken(&self) -> Option<i64> {
        self.broken.first().copied()
    }

    /// Every place at which a record was changed, removed, added or moved, in order.
    pub fn broken_places(&self) -> &[i64] {
        &self.broken
    }

    /// Whether a row looks as the records say. A row that no record knows does not.
    pub fn knows(&self, row: &Imprint) -> bool {
        let Imprint(table, id, hash) = row;
        self.rows.get(&(*table, id.clone())).map(|known| &known.hash) == hash.as_ref()
    }

    /// How far the records vouch for a row that there is.
    pub fn standing(&self, row: &Imprint) -> Standing {
        let Imprint(table, id, hash) = row;
        let hole = self.broken.iter().max();
        match self.rows.get(&(*table, id.clone())) {
            Some(known) if Some(&known.hash) != hash.as_ref() => Standing::Misfit,
            Some(known) if hole.is_some_and(|hole| known.place <= *hole) => Standing::Unproven,
            Some(_) => Standing::Proven,
            None => Standing::Misfit,
        }
    }

    /// The rows of a table that there must be.
    pub fn ids(&self, table: Table) -> impl Iterator<Item = &str> {
        self.rows.keys().filter(move |(of, _)| *of == table).map(|(_, id)| id.as_str())
    }

    fn take(&mut self, place: i64, imprints: Vec<Imprint>) {
        for Imprint(table, id, hash) in imprints {
            match hash {
                Some(hash) => self.rows.insert((table, id), Known { hash, place }),
                None => self.rows.remove(&(table, id)),
            };
        }
    }
}

/// What is kept outside the database: the newest record that this process has seen on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Which installation.
    pub installation: String,
    /// Its place in the chain.
    pub sequence: i64,
    /// Its link.
    pub link: String,
}

impl Anchor {
    /// The lines of the file.
    pub fn text(&self) -> String {
        format!("consign audit anchor 1\n{}\n{}\n{}\n", self.installation, self.sequence, self.link)
    }

    /// Reads the lines of the file; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let parts = (lines.next()?, lines.next()?, lines.next()?.parse().ok()?, lines.next()?, lines.next());
        match parts {
            ("consign audit anchor 1", installation, sequence, link, None) if sequence >= 0 => {
                Some(Self { installation: installation.to_owned(), sequence, link: link.to_owned() })
            }
            _ => None,
        }
    }

    /// Whether a log goes on from here: it holds this record, at this place. `link_there` is the link that the log
    /// has at the place of this anchor.
    pub fn is_kept(&self, ledger: &Ledger, link_there: Option<&str>) -> bool {
        match self.sequence {
            0 => true,
            place => place <= ledger.sequence() && link_there == Some(self.link.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
