//! Fields that every credential has: test path, end date, labels, limits.

use serde_json::{Map, Value};

use super::{Labels, Reading};
use crate::catalog::{Fault, Protocol};
use crate::credential::parse_count;
use crate::target::{RemotePath, Target};
use crate::time::Timestamp;

const LABELS_MAX: usize = 16;
const LABEL_CHARS_MAX: usize = 63;

impl Reading<'_> {
    /// Where a connection test asks: a path that needs the sign-in and changes nothing.
    pub(super) fn test_path(
        &mut self,
        protocol: Option<Protocol>,
        target: Option<&Target>,
    ) -> Option<String> {
        let path = self.reader.text("test_path", "Test path").trim().to_owned();
        if path.is_empty() {
            return None;
        }
        if protocol == Some(Protocol::Sftp) {
            return self.test_folder(&path);
        }
        let host = target.map(|target| target.host().to_string()).unwrap_or_default();
        let parsed = RemotePath::parse(&path).map_err(|fault| {
            let fault = fault.at_host(&host);
            Fault::new(fault.code, format!("Test path{}", fault.message.trim_start_matches("Path")))
        });
        self.reader.accept("test_path", parsed).map(|path| path.as_str().to_owned())
    }

    pub(super) fn ends_on(&mut self) -> Option<String> {
        let day = self.reader.text("ends_on", "Ends on").trim().to_owned();
        if day.is_empty() {
            return None;
        }
        if day.len() != 10 || Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z")).is_none() {
            self.reader
                .refuse("ends_on", Fault::new("bad_form", "Ends on must be a date such as 2027-02-12"));
            return None;
        }
        let unchanged = self.current.is_some_and(|current| current.ends_on.as_deref() == Some(day.as_str()));
        if day < self.now.day() && !unchanged {
            self.reader.refuse("ends_on", Fault::new("past_date", "Ends on must be today or later"));
        }
        Some(day)
    }

    pub(super) fn labels(&mut self) -> Labels {
        let sent = match self.reader.take("labels") {
            Value::Null => Map::new(),
            Value::Object(labels) => labels,
            _ => {
                self.reader.refuse("labels", Fault::new("bad_form", "Label must look like key=value"));
                Map::new()
            }
        };
        if sent.len() > LABELS_MAX {
            self.reader.refuse("labels", Fault::new("too_many", "Add 16 labels or fewer"));
        }
        let mut labels = Labels::new();
        for (key, value) in sent {
            let key_fits = (1..=LABEL_CHARS_MAX).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._/-".contains(&b));
            match value {
                Value::String(value)
                    if key_fits
                        && value.chars().count() <= LABEL_CHARS_MAX
                        && !value.chars().any(char::is_control) =>
                {
                    labels.insert(key, value);
                }
                _ => {
                    self.reader.refuse("labels", Fault::new("bad_form", "Label must look like key=value"));
                    break;
                }
            }
        }
        labels
    }

    pub(super) fn max_concurrency(&mut self) -> Option<u32> {
        let value = self.reader.take("max_concurrency");
        let parsed = parse_count(&value, 1..=64, "Enter a number from 1 to 64");
        self.reader.accept("max_concurrency", parsed).flatten()
    }
}
