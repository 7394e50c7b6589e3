//! Forms: what was typed, as the same JSON objects that the API takes, and back as the fields of a template.
//! Every authorization type goes through the same functions.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form as Encoded, FromRequest, Request};
use axum::http::StatusCode;
use consign_core::catalog::Invalid;
use consign_core::secret::Secret;
use serde_json::{Value, json};

use super::errors::Failure;
use super::visit::Signed;
use crate::ops::IfMatch;

pub(super) use choices::{Choice, Choices};
pub(super) use credential::CredentialForm;
pub(super) use exporter::ExporterForm;
pub(super) use gateway::{Around, GatewayForm};
pub(super) use kept::Kept;
pub(super) use next_pair::NextPairForm;
pub(super) use rows::without_row_secrets;
pub(super) use sftp::{panel as scan_panel, panel_again as scan_panel_again};
pub(super) use webhook::{WebhookForm, at_whole_fields, sends_to};

pub(super) mod carried;
mod choices;
mod credential;
mod exporter;
mod gateway;
mod kept;
mod key_pair;
mod mixed_pem;
mod next_pair;
mod rows;
mod sftp;
mod start;
pub(super) mod upload;
mod webhook;

/// Names and values in the order of the page; names may repeat.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a form, or the query of an address.
    pub(super) async fn read(request: Request) -> Result<Self, Failure> {
        let safe = request.method().is_safe();
        match Encoded::<Vec<(String, String)>>::from_request(request, &()).await {
            Ok(Encoded(pairs)) => Ok(Self(pairs)),
            // A query that cannot be read asks for nothing.
            Err(_) if safe => Ok(Self::default()),
            Err(FormRejection::BytesRejection(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Failure::TooLarge)
            }
            Err(_) => Err(Failure::NotAForm),
        }
    }

    /// The value of a field; empty when it was not sent.
    pub(super) fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
    }

    /// Whether a field was sent, empty or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    /// All values of a repeated field.
    pub(super) fn all<'a>(&'a self, key: &str) -> Vec<&'a str> {
        self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    }

    /// A text of several lines, with one kind of line end.
    pub(super) fn lines(&self, key: &str) -> String {
        self.text(key).replace("\r\n", "\n")
    }

    /// What was typed, as one text: the same for the same, whichever of its buttons saves it.
    pub(super) fn content(&self) -> Secret {
        let typed = self.pairs().filter(|(name, _)| !["csrf", "authorize", "send_test"].contains(name));
        let mut content = String::new();
        typed.for_each(|(name, value)| {
            [name, "=", value, "\u{0}"].iter().for_each(|part| content.push_str(part));
        });
        Secret::new(content)
    }

    /// Everything that was sent.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The address of a list with its query, some of its parts replaced. It begins at the first page unless
    /// one is given.
    pub(super) fn query(&self, path: &str, replaced: &[(&str, &str)]) -> String {
        let kept = self.pairs().filter(|(name, value)| {
            let cursor = *name == "after" || *name == "before";
            !cursor && !value.is_empty() && !replaced.iter().any(|(other, _)| other == name)
        });
        let pairs: Vec<_> = kept
            .chain(replaced.iter().copied().filter(|(_, value)| !value.is_empty()))
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    /// What must be unchanged for this save.
    pub(super) fn if_match(&self) -> IfMatch {
        // A form without its version was made by hand; it may not win over anyone.
        IfMatch::Revision(self.text("etag").trim_matches('"').parse().unwrap_or(0))
    }
}

#[cfg(test)]
impl From<&[(&str, &str)]> for Form {
    fn from(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

/// Percent-encoding for one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The links to the neighbours of a page of a list.
pub(super) fn pages<T>(form: &Form, path: &str, listed: &consign_store::Listed<T>) -> Value {
    let link =
        |name: &str, cursor: &Option<String>| cursor.as_deref().map(|at| form.query(path, &[(name, at)]));
    json!({ "previous": link("before", &listed.previous), "next": link("after", &listed.next) })
}

/// The heads of the columns by which a list can be sorted.
pub(super) struct Heads<'a> {
    /// The list with its filters.
    pub(super) form: &'a Form,
    /// Where it is.
    pub(super) address: &'a str,
    /// The order of a list that asks for none.
    pub(super) default: &'static str,
}

impl Heads<'_> {
    /// Where the link of a head leads, and in which direction the list is sorted by it now. A second click turns the order
    /// round. An order from the end begins with a minus.
    pub(super) fn sorted_by(&self, first: &str, turned: &str) -> Value {
        let now = self.now();
        let next = if now == first { turned } else { first };
        let direction = match (now == first || now == turned, now.starts_with('-')) {
            (false, _) => "",
            (true, true) => "descending",
            (true, false) => "ascending",
        };
        let word = if next == self.default { "" } else { next };
        json!({ "url": self.form.query(self.address, &[("sort", word)]), "direction": direction })
    }

    /// The orders to choose from where no heads are seen, with what each is called. The one of a list that asks for none
    /// has no word.
    pub(super) fn orders(&self, orders: &[(&str, &str)]) -> Value {
        let option = |(kind, label): &(&str, &str)| {
            let word = if *kind == self.default { "" } else { *kind };
            json!({ "value": word, "label": label, "chosen": *kind == self.now() })
        };
        orders.iter().map(option).collect()
    }

    /// The order that is asked for.
    fn now(&self) -> &str {
        let asked = self.form.text("sort");
        if asked.is_empty() { self.default } else { asked }
    }
}

/// Which page of a list is asked for.
pub(super) fn page(form: &Form) -> consign_store::Page {
    const PAGE_ITEMS: u32 = 50;
    let cursor = |name: &str| Some(form.text(name).to_owned()).filter(|text| !text.is_empty());
    let first = consign_store::Page::first(PAGE_ITEMS);
    consign_store::Page { after: cursor("after"), before: cursor("before"), ..first }
}

/// A text of the query; `None` when it is empty.
pub(super) fn asked(form: &Form, key: &str) -> Option<String> {
    Some(form.text(key).trim().to_owned()).filter(|text| !text.is_empty())
}

/// The summary above a form: each sentence with the field it belongs to.
pub(super) fn errors(invalid: &[Invalid]) -> Value {
    let rows =
        invalid.iter().map(|one| json!({ "field": one.field.replace('/', "."), "message": one.message }));
    Value::Array(rows.collect())
}

/// The sentence at a field; empty when it was accepted.
pub(super) fn message_at<'a>(invalid: &'a [Invalid], key: &str) -> &'a str {
    invalid.iter().find(|one| one.field == key).map_or("", |one| one.message.as_str())
}

/// What a form was filled in over: as it came along, so that nothing is overwritten that somebody saved meanwhile.
pub(super) fn seen_etag(form: &Form, current: &Value) -> Value {
    let seen = form.text("etag");
    if seen.is_empty() { current["etag"].clone() } else { json!(seen) }
}

/// The field for the password again; null for whoever has none.
pub(super) fn password_again(visit: &Signed, invalid: &[Invalid]) -> Value {
    if !visit.person.signs_in_with.password {
        return Value::Null;
    }
    json!({
        "key": "password",
        "label": "Your password, again",
        "hint": "A session that was left open must not be enough for this.",
        "error": message_at(invalid, "password"),
        "autocomplete": "current-password",
    })
}

/// A field for the template. The rest of its parts is added by whoever knows them.
pub(super) fn field(
    key: &str,
    label: &str,
    hint: &str,
    value: impl Into<Value>,
    invalid: &[Invalid],
) -> Value {
    let value: Value = value.into();
    json!({ "key": key, "label": label, "hint": hint, "value": value, "error": message_at(invalid, key) })
}

/// The same field with further parts.
pub(super) fn with(mut field: Value, parts: Value) -> Value {
    if let (Some(whole), Value::Object(parts)) = (field.as_object_mut(), parts) {
        whole.extend(parts);
    }
    field
}

/// What a page tells about a saved secret: when, and by whom.
fn saved(secret: &Value) -> Value {
    if secret["set"] != json!(true) {
        return Value::Null;
    }
    json!({ "at": secret["updated_at"], "by": secret["updated_by"] })
}

#[cfg(test)]
mod tests;
