//! What a new credential starts from: the usual values of a preset, put into the form beside what was typed. Nothing
//! of it is stored.

use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Fault, Input, Invalid, PUBLIC_URL};
use consign_core::preset::{self, Filling, PRESETS, Preset};
use serde_json::{Value, json};

use super::credential::CredentialForm;
use super::rows::{CUSTOM_HEADERS, Row, RowKind, new_ids};
use super::{Form, Kept, field, with};

const CHOSEN: &str = "start_from";
/// A hidden field: the preset and the type whose values are in the form.
const FILLED: &str = "started_from";
/// The parts of the page that a preset fills in.
pub(super) const PARTS: &str = "tool custom-headers more";
const TYPE: &str = "authorization_type";
const ADDRESS: &str = "url_address";
const TEST_PATH: &str = "test_path";

/// The preset that is chosen, and what was filled in from which.
#[derive(Debug, Default)]
pub(super) struct Start {
    chosen: Option<&'static Preset>,
    from: Option<&'static Preset>,
    filled: Option<&'static Filling>,
}

impl Start {
    pub(super) fn typed(form: &Form) -> Self {
        let (from, of_type) = form.text(FILLED).split_once('/').unwrap_or_default();
        let from = preset::find(from);
        Self {
            chosen: preset::find(form.text(CHOSEN)),
            from,
            filled: from.and_then(|from| from.filling(of_type)),
        }
    }

    /// What is filled in for the custom headers, and what belongs into them.
    pub(super) fn headers(&self) -> &'static [(&'static str, &'static str)] {
        self.filled.map_or(&[], |filled| filled.custom_headers)
    }

    /// What to know about a field, and what is left to replace in it.
    pub(super) fn hint(&self, key: &str, hint: &str, value: &str) -> String {
        let Some(filled) = self.filled else { return hint.to_owned() };
        let own = filled.hints.iter().find(|(known, _)| *known == key).map(|(_, hint)| (*hint).to_owned());
        let to_do = self.braces(key, value).map(|braces| match self.follows(value) {
            Some(_) if key != ADDRESS => "Its start follows the URL address.".to_owned(),
            _ => format!("Replace {braces} with yours."),
        });
        let all: Vec<_> = [Some(hint.to_owned()), own, to_do].into_iter().flatten().collect();
        all.iter().map(|one| one.trim()).filter(|one| !one.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The part that only a person knows, as it stands in what was filled in.
    fn braces<'a>(&self, key: &str, value: &'a str) -> Option<&'a str> {
        let filled = self.filled?;
        let values = [(ADDRESS, filled.url_address), (TEST_PATH, filled.test_path)];
        let ours = values.iter().chain(filled.values).any(|(known, usual)| *known == key && *usual == value);
        let (start, end) = (value.find('{')?, value.find('}')?);
        if ours { value.get(start..=end) } else { None }
    }

    /// Whether a value is the usual one of the tool: nothing to warn of.
    pub(super) fn is_usual(&self, key: &str, value: &str) -> bool {
        self.filled.is_some_and(|filled| filled.values.contains(&(key, value)))
    }

    /// The start of an address that is that of the credential, while nobody has said which.
    pub(super) fn follows(&self, value: &str) -> Option<&'static str> {
        let template = self.filled?.url_address;
        (template.contains('{') && value.starts_with(template)).then_some(template)
    }
}

impl CredentialForm {
    /// Puts in the usual values of the chosen preset, once. What was filled in before and is as it was makes room;
    /// what was typed stays.
    pub(in crate::console) fn start(&mut self, kept: &Kept, public_url: &str) {
        let Start { chosen, from, filled } = self.start;
        let is_new = chosen.map(|preset| preset.kind) != from.map(|preset| preset.kind);
        if let Some(preset) = chosen.filter(|preset| is_new && preset.filling(self.text(TYPE)).is_none()) {
            self.texts.insert(TYPE, preset.types[0].authorization_type.to_owned());
        }
        let filling = chosen.and_then(|preset| preset.filling(self.text(TYPE)));
        let is_same = match (filled, filling) {
            (Some(one), Some(other)) => std::ptr::eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.start = Start { chosen, from: chosen, filled: filling };
        if is_same {
            return;
        }
        if let Some(filled) = filled {
            self.take_out(filled, kept);
        }
        if let Some(filling) = filling {
            self.fill_in(filling, kept, public_url);
        }
        self.follow();
    }

    fn take_out(&mut self, filled: &Filling, kept: &Kept) {
        for (key, value) in [(ADDRESS, filled.url_address), (TEST_PATH, filled.test_path)] {
            if self.text(key) == value {
                self.texts.insert(key, String::new());
            }
        }
        self.plain
            .retain(|key, text| !filled.values.iter().any(|(known, value)| known == key && value == text));
        for (key, values) in filled.rows {
            let is_ours = |row: &Row| values.contains(&(row.name.as_str(), row.value.as_str()));
            self.rows.entry(key).or_default().retain(|row| !is_ours(row));
        }
        let headers = RowKind::custom_headers();
        self.rows.entry(CUSTOM_HEADERS).or_default().retain(|row| {
            let is_ours = filled.custom_headers.iter().any(|(name, _)| *name == row.name);
            !is_ours || kept.has(&headers.kept_key(row))
        });
    }

    fn fill_in(&mut self, filling: &Filling, kept: &Kept, public_url: &str) {
        for (key, value) in [(ADDRESS, filling.url_address), (TEST_PATH, filling.test_path)] {
            if self.text(key).is_empty() && !kept.has(key) {
                self.texts.insert(key, value.to_owned());
            }
        }
        let of_type = self.entry().map_or(&[][..], |entry| entry.fields);
        for (key, value) in filling.values {
            // A default that nobody touched is not typed.
            let prefill = of_type.iter().find(|field| field.key == *key).map_or("", |field| field.prefill);
            let prefill = if prefill == PUBLIC_URL { public_url } else { prefill };
            let text = self.plain.entry(key).or_default();
            if text.is_empty() || text == prefill {
                (*value).clone_into(text);
            }
        }
        for (key, values) in filling.rows {
            self.add_rows(key, values, false);
        }
        let names: Vec<_> = filling.custom_headers.iter().map(|(name, _)| (*name, "")).collect();
        self.add_rows(CUSTOM_HEADERS, &names, true);
    }

    fn add_rows(&mut self, key: &'static str, values: &[(&str, &str)], secret: bool) {
        let rows = self.rows.entry(key).or_default();
        for (name, value) in values {
            if rows.iter().any(|row| row.name.eq_ignore_ascii_case(name)) {
                continue;
            }
            let id = new_ids().find(|id| rows.iter().all(|row| row.id != *id)).unwrap_or_default();
            let (name, value) = ((*name).to_owned(), (*value).to_owned());
            rows.push(Row { id, name, value, secret, place: String::new() });
        }
    }

    /// Addresses that begin as the credential's own go where that one went.
    pub(super) fn follow(&mut self) {
        let own = self.text(ADDRESS);
        if own.contains('{') || !own.contains("://") {
            return;
        }
        let own = format!("{}/", own.trim_end_matches('/'));
        for text in self.plain.values_mut() {
            if let Some(template) = self.start.follows(text) {
                *text = text.replacen(template, &own, 1);
            }
        }
    }

    /// What the chosen preset says of the chosen type.
    pub(in crate::console) fn preset(&self) -> Option<&'static Filling> {
        self.start.filled
    }

    /// What stands in the form as it was filled in, and would be wrong as it is.
    pub(in crate::console) fn left_open(&self) -> Vec<Invalid> {
        let sentence = |key: &str, label: &str, braces: &str| {
            Fault::new("bad_form", format!("Replace {braces} in the {label} with yours")).at(key)
        };
        let mut open: Vec<_> = [(ADDRESS, "URL address"), (TEST_PATH, "test path")]
            .into_iter()
            .filter_map(|(key, label)| Some(sentence(key, label, self.start.braces(key, self.text(key))?)))
            .collect();
        // Addresses have a rule of their own against braces.
        for field in self.asked().iter().filter(|field| field.input == Input::Text) {
            let text = self.plain.get(field.key).map_or("", String::as_str);
            open.extend(
                self.start.braces(field.key, text).map(|braces| sentence(field.key, field.label, braces)),
            );
        }
        let rows = self.start.filled.map_or(&[][..], |filled| filled.rows);
        for (key, usual) in rows {
            let typed = self.rows.get(key).map_or(&[][..], Vec::as_slice);
            for (index, row) in typed.iter().enumerate() {
                let ours = usual.iter().any(|(name, value)| *name == row.name && *value == row.value);
                if ours && row.value.starts_with('{') {
                    open.push(sentence(&format!("{key}/{index}/value"), &row.name, &row.value));
                }
            }
        }
        open
    }

    /// The choice, for a new credential. `refresh` is where the page asks for other fields.
    pub(super) fn start_field(&self, refresh: &str) -> Value {
        let presets = PRESETS.iter().map(|preset| json!({ "value": preset.kind, "label": preset.label }));
        let hint = "Fills in the usual values for a tool. You can change all of them.";
        let chosen = self.start.chosen.map_or("", |preset| preset.kind);
        with(
            field(CHOSEN, "Start from", hint, chosen, &[]),
            json!({
                "optional": true,
                "choose": "None",
                "options": presets.collect::<Vec<_>>(),
                "refresh": { "url": refresh, "target": PARTS },
                "filled": self.start.from.map(|from| format!("{}/{}", from.kind, self.text(TYPE))),
            }),
        )
    }

    /// The ways in that the chosen tool offers, for the choice among all.
    pub(super) fn type_hint(&self, hint: &str) -> String {
        let Some(preset) = self.start.from else { return hint.to_owned() };
        let label = |filling: &Filling| {
            AUTHORIZATION_TYPES.iter().find(|entry| entry.kind == filling.authorization_type)
        };
        let labels: Vec<_> = preset.types.iter().filter_map(label).map(|entry| entry.label).collect();
        format!("{hint} Usual for {}: {}.", preset.label, labels.join(", "))
    }
}

#[cfg(test)]
mod tests;
