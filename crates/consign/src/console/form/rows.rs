//! Rows of a form: custom headers and the parameters of a type. They look alike, are read alike, and their secret
//! values are kept alike.

use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Field, Input, Invalid, Rows, SentIn};
use consign_core::credential::SentWith;
use serde_json::{Value, json};

use super::{Form, Kept, message_at, saved};

/// Rows that are there to be filled in; the script takes them away.
const BLANK_ROWS: usize = 3;
/// In front of the id of a row that is stored; its name and which one of that name it is follow.
const STORED: &str = "stored:";

/// The custom headers, which every type has.
pub(super) const CUSTOM_HEADERS: &str = "custom_headers";

/// What the rows of a field hold, and how they are asked for.
pub(super) struct RowKind {
    pub(super) key: &'static str,
    /// On the button that adds one.
    what: &'static str,
    /// On the button that removes one.
    noun: &'static str,
    name_label: &'static str,
    /// Where a row goes: key, label and choices; no choices, no question.
    place: &'static str,
    place_label: &'static str,
    places: Vec<(&'static str, &'static str)>,
    secrets: Secrets,
}

/// Which values are secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    All,
    Marked,
    None,
}

impl RowKind {
    /// Every kind of row that a credential can have.
    pub(super) fn all() -> Vec<Self> {
        let mut kinds = vec![Self::custom_headers()];
        for field in AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields) {
            if let Some(kind) = Self::of(field)
                && kinds.iter().all(|known| known.key != kind.key)
            {
                kinds.push(kind);
            }
        }
        kinds
    }

    pub(super) fn custom_headers() -> Self {
        Self {
            key: CUSTOM_HEADERS,
            what: "custom header",
            noun: "header",
            name_label: "Header name",
            place: "sent_with",
            place_label: "Sent with",
            places: SentWith::ALL.iter().map(|place| (place.kind(), place.label())).collect(),
            secrets: Secrets::All,
        }
    }

    /// The rows of a field; `None` when it has none.
    pub(super) fn of(field: &Field) -> Option<Self> {
        let Input::Rows(Rows { what, secrets, query, .. }) = field.input else { return None };
        let places = if *query { SentIn::ALL } else { &[] };
        Some(Self {
            key: field.key,
            what,
            noun: what,
            name_label: "Name",
            place: "sent_in",
            place_label: "Sent in",
            places: places.iter().map(|place| (place.kind(), place.label())).collect(),
            secrets: if *secrets { Secrets::Marked } else { Secrets::None },
        })
    }

    fn name_of(&self, part: &str) -> String {
        format!("{}.{part}", self.key)
    }

    /// The key under which the typed value of a row is kept.
    pub(super) fn kept_key(&self, row: &Row) -> String {
        format!("{}/{}", self.key, row.id)
    }

    fn is_secret(&self, form: &Form, id: &str) -> bool {
        match self.secrets {
            Secrets::All => true,
            Secrets::Marked => form.all(&self.name_of("secret")).contains(&id),
            Secrets::None => false,
        }
    }

    /// The rows of a stored credential.
    pub(super) fn stored(&self, credential: &Value) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for row in credential[self.key].as_array().into_iter().flatten() {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let name = text("name");
            let secret = self.secrets == Secrets::All || row["secret"] == json!(true);
            let value = if secret { String::new() } else { text("value") };
            let id = stored_id(&name, &rows);
            rows.push(Row { id, name, value, secret, place: text(self.place) });
        }
        rows
    }

    /// The rows that hold something. Values of secret ones go into `kept`.
    pub(super) fn typed(&self, form: &Form, kept: &mut Kept) -> Vec<Row> {
        let all = |part: &str| form.all(&self.name_of(part));
        let (ids, names, values, places) = (all("id"), all("name"), all("value"), all(self.place));
        let removed = form.text("remove_row").strip_prefix(self.key).and_then(|rest| rest.strip_prefix('.'));
        let removed: Option<usize> = removed.and_then(|index| index.parse().ok());
        let mut rows: Vec<Row> = Vec::new();
        for (index, name) in names.iter().enumerate().filter(|(index, _)| Some(*index) != removed) {
            let at = |list: &[&str]| list.get(index).copied().unwrap_or_default().to_owned();
            let (mut id, mut value) = (at(&ids), at(&values));
            let secret = self.is_secret(form, &id);
            // One id for two rows would be one value for both.
            if id.is_empty() || rows.iter().any(|row| row.id == id) {
                let free =
                    |id: &String| !ids.contains(&id.as_str()) && rows.iter().all(|row: &Row| row.id != *id);
                id = new_ids().find(free).unwrap_or_default();
            }
            let mut row =
                Row { id, name: (*name).to_owned(), value: String::new(), secret, place: at(&places) };
            let key = self.kept_key(&row);
            if name.is_empty() && value.is_empty() && !row.id.starts_with(STORED) && !kept.has(&key) {
                continue;
            }
            if secret {
                kept.put(&key, &value);
                value.clear();
            }
            row.value = value;
            rows.push(row);
        }
        rows
    }

    /// The rows as the API takes them. `current` is the stored credential, if its secrets are those of this type;
    /// `placed`: whether it matters where they go.
    pub(super) fn sent(&self, rows: &[Row], kept: &Kept, current: Option<&Value>, placed: bool) -> Value {
        let sent = rows.iter().enumerate().map(|(index, row)| {
            let mut sent = json!({ "name": row.name });
            if placed && !row.place.is_empty() && !self.places.is_empty() {
                sent[self.place] = json!(row.place);
            }
            if self.secrets != Secrets::All {
                sent["secret"] = json!(row.secret);
            }
            let key = self.kept_key(row);
            // A value belongs to its name: under another one it has to be typed again.
            let is_own = row.id.eq_ignore_ascii_case(&stored_id(&row.name, &rows[..index]));
            let had_secret = kept.has(&key) || !self.saved(row, current).is_null();
            let value = match kept.text(&key) {
                Some(value) if row.secret => json!(value),
                _ if row.secret => {
                    if is_own {
                        json!({ "set": true })
                    } else {
                        return sent;
                    }
                }
                // No secret becomes a text that is shown.
                _ if row.value.is_empty() && had_secret => json!({ "set": true }),
                _ => json!(row.value),
            };
            sent["value"] = value;
            sent
        });
        sent.collect()
    }

    /// What the page tells about the saved value of a row.
    fn saved(&self, row: &Row, current: Option<&Value>) -> Value {
        let Some((name, number)) = row.id.strip_prefix(STORED).and_then(|rest| rest.rsplit_once('/')) else {
            return Value::Null;
        };
        let rows = current.and_then(|current| current[self.key].as_array()).into_iter().flatten();
        let stored = rows.filter(|row| row["name"] == name).nth(number.parse().unwrap_or(usize::MAX));
        stored.map_or(Value::Null, |stored| saved(&stored["value"]))
    }

    /// The rows for the template, and those that wait to be filled in.
    pub(super) fn fields(
        &self,
        rows: &[Row],
        kept: &Kept,
        current: Option<&Value>,
        invalid: &[Invalid],
        hints: &[(&str, &str)],
    ) -> Value {
        let shown = rows.iter().enumerate().map(|(index, row)| {
            let at = |part: &str| message_at(invalid, &format!("{}/{index}/{part}", self.key));
            let dropped = self.key == CUSTOM_HEADERS && row.name.contains('_');
            json!({
                "id": row.id,
                "name": row.name,
                "value": row.value,
                "secret": row.secret,
                "set": if row.secret { self.saved(row, current) } else { Value::Null },
                "entered": row.secret && kept.has(&self.kept_key(row)),
                "place": row.place,
                "name_error": at("name"),
                "value_error": at("value"),
                "warning": if dropped { "Some proxies drop header names with an underscore." } else { "" },
                "hint": hints.iter().find(|(name, _)| *name == row.name).map(|(_, hint)| *hint),
                "blank": false,
            })
        });
        let free = new_ids().filter(|id| rows.iter().all(|row| row.id != *id)).take(BLANK_ROWS);
        let blank = free.map(|id| json!({ "id": id, "secret": self.secrets == Secrets::All, "blank": true }));
        let options = self.places.iter().map(|(value, label)| json!({ "value": value, "label": label }));
        json!({
            "rows": shown.chain(blank).collect::<Vec<_>>(),
            "what": self.what,
            "noun": self.noun,
            "name_label": self.name_label,
            "place": self.place,
            "place_label": self.place_label,
            "places": options.collect::<Vec<_>>(),
            "secrets": match self.secrets {
                Secrets::All => "all",
                Secrets::Marked => "marked",
                Secrets::None => "none",
            },
        })
    }

    /// The rows as hidden fields, for a type that does not ask for them. Secrets are not in it.
    pub(super) fn hidden(&self, rows: &[Row]) -> Vec<Value> {
        let mut fields = Vec::new();
        for row in rows {
            let mut put = |part: &str, value: &str| {
                fields.push(json!({ "name": self.name_of(part), "value": value }));
            };
            put("id", &row.id);
            put("name", &row.name);
            put("value", &row.value);
            put(self.place, &row.place);
            if row.secret {
                put("secret", &row.id);
            }
        }
        fields
    }
}

/// What was sent, with secret values of rows left empty in their place.
pub(in crate::console) fn without_row_secrets(form: &Form) -> Vec<(&str, &str)> {
    let kinds = RowKind::all();
    let mut id = "";
    let pairs = form.pairs().map(|(name, value)| {
        let of = |part: &str| kinds.iter().find(|kind| name.strip_suffix(part) == Some(kind.key));
        if of(".id").is_some() {
            id = value;
        }
        match of(".value") {
            Some(kind) if kind.is_secret(form, id) => (name, ""),
            _ => (name, value),
        }
    });
    pairs.collect()
}

/// A row as it stands in the form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Ties the value of a secret row to it, in the session or in what is stored.
    pub(super) id: String,
    pub(super) name: String,
    /// Empty for secret ones.
    pub(super) value: String,
    pub(super) secret: bool,
    pub(super) place: String,
}

/// Names may repeat, so their order counts.
fn stored_id(name: &str, before: &[Row]) -> String {
    format!("{STORED}{name}/{}", before.iter().filter(|row| row.name == name).count())
}

pub(super) fn new_ids() -> impl Iterator<Item = String> {
    (1..).map(|number| format!("new:{number}"))
}

#[cfg(test)]
mod tests;
