//! The form of a certificate that shall wait beside the one that signs.

use std::collections::BTreeMap;

use consign_core::auth::AuthorizationType;
use consign_core::catalog::Invalid;
use consign_core::credential::{PASSPHRASE, key_pairs};
use serde_json::{Map, Value, json};

use super::{Form, Kept, field, key_pair, mixed_pem, with};

/// What stands in the form. The private key and its passphrase are not in it.
pub(in crate::console) struct NextPairForm {
    fields: (&'static str, &'static str),
    plain: BTreeMap<&'static str, String>,
    /// What was repaired while reading.
    note: &'static str,
}

impl NextPairForm {
    /// An empty form; `None` for types that sign nothing.
    pub(in crate::console) fn empty(entry: &AuthorizationType) -> Option<Self> {
        Some(Self { fields: key_pairs::fields(entry)?, plain: BTreeMap::new(), note: "" })
    }

    /// What was typed; secrets go into `kept`.
    pub(in crate::console) fn typed(self, form: &Form, kept: &mut Kept) -> Self {
        let (certificate, key) = self.fields;
        let mut plain: BTreeMap<_, _> = key_pair::typed(form).into_iter().collect();
        let mut text = form.lines(certificate);
        let taken = mixed_pem::take_keys(&mut text);
        plain.insert(certificate, text);
        kept.put(key, &form.lines(key));
        kept.put(PASSPHRASE, form.text(PASSPHRASE));
        let Some((among, note)) = taken else { return Self { plain, ..self } };
        if form.text(key).is_empty() {
            kept.put(key, among.expose());
        }
        Self { plain, note, ..self }
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self, kept: &Kept) -> Map<String, Value> {
        key_pair::sent(&self.plain, kept, None, self.fields)
    }

    /// The field for the template.
    pub(in crate::console) fn field(&self, kept: &Kept, invalid: &[Invalid]) -> Value {
        let (certificate, key) = self.fields;
        let typed = self.plain.get(certificate).map(String::as_str);
        with(
            field(certificate, "Next certificate", "", typed, invalid),
            with(
                json!({ "input": "key_pair", "warning": self.note }),
                key_pair::fields(&self.plain, kept, None, invalid, key),
            ),
        )
    }
}
