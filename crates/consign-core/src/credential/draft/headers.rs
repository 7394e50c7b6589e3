//! The rows of custom headers: names that are plain, values that are secrets.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Change, Given, Reading};
use crate::catalog::{Fault, Fields, is_mask, mask};
use crate::credential::{CustomHeader, SentWith};
use crate::header;

const ROW_KEYS: &[&str] = &["name", "value", "sent_with"];

impl Reading<'_> {
    pub(super) fn custom_headers(
        &mut self,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) -> Vec<CustomHeader> {
        let rows = self.reader.list("custom_headers", "Custom headers");
        if rows.len() > header::HEADER_ROWS_MAX {
            self.reader.refuse("custom_headers", Fault::new("too_many", "Add 20 custom headers or fewer"));
            return Vec::new();
        }
        let mut headers: Vec<CustomHeader> = Vec::new();
        let mut bytes = 0;
        for (index, row) in rows.into_iter().enumerate() {
            let at = format!("custom_headers/{index}");
            if !row.is_object() {
                self.reader.refuse(&at, Fault::new("bad_form", "A custom header must be an object"));
                continue;
            }
            let Some(header) = self.custom_header(row, index, typed, secrets, &mut bytes) else { continue };
            if headers.iter().any(|other| other.name.eq_ignore_ascii_case(&header.name)) {
                let fault = Fault::new("listed_twice", format!("{} is listed twice", header.name));
                self.reader.refuse(&format!("{at}/name"), fault);
                continue;
            }
            headers.push(header);
        }
        if bytes > header::HEADER_BYTES_MAX {
            let fault = Fault::new("too_long", "Custom headers must be 16,384 bytes or fewer in all");
            self.reader.refuse("custom_headers", fault);
        }
        headers
    }

    fn custom_header(
        &mut self,
        mut row: Value,
        index: usize,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
        bytes: &mut usize,
    ) -> Option<CustomHeader> {
        let at = |part: &str| format!("custom_headers/{index}/{part}");
        self.reader.refuse_unknown_in_row(&format!("custom_headers/{index}"), &row, ROW_KEYS);
        let mut take = |key: &str| row.get_mut(key).map(Value::take);
        let name = take("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        let sent_with = match take("sent_with") {
            None | Some(Value::Null) => Some(SentWith::Both),
            Some(word) => word.as_str().and_then(SentWith::find),
        };
        let value = take("value");
        let Some(sent_with) = sent_with else {
            let sentence = "Sent with must be token_request, api_request or both";
            self.reader.refuse(&at("sent_with"), Fault::new("unknown", sentence));
            return None;
        };
        self.reader.accept(&at("name"), header::parse_name(&name, index + 1, &[]))?;
        let header = CustomHeader { name, sent_with };
        let key = header.secret_key();
        let stored = self.current.is_some_and(|current| current.secrets.contains_key(&key));
        let given = value.map_or(Given::Kept, |value| self.given_value(value, &at("value"), "Value"));
        match given {
            Given::Kept if stored => {
                secrets.insert(key, Change::Keep);
            }
            Given::Kept | Given::Removed => {
                self.reader.accept(&at("value"), header::judge_value(&header.name, ""));
            }
            Given::Typed(secret) => {
                *bytes += header.name.len() + secret.expose().len();
                let judged = if is_mask(secret.expose()) {
                    Err(mask(&format!("value of {}", header.name)))
                } else {
                    header::judge_value(&header.name, secret.expose())
                };
                self.reader.accept(&at("value"), judged);
                typed.secrets.insert(key, secret);
            }
            Given::Refused => {}
        }
        Some(header)
    }
}
