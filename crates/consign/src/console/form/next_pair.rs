//! The form of a certificate that shall wait beside the one that signs.

use std::collections::BTreeMap;

use consign_core::auth::AuthorizationType;
use consign_core::catalog::Invalid;
use consign_core::credential::{PASSPHRASE, key_pairs};
use serde_json::{Map, Value, json};

use super::{Form, Kept, field, key_pair, with};

/// What stands in the form. The private key and its passphrase are not in it.
pub(in crate::console) struct NextPairForm {
    fields: (&'static str, &'static str),
    plain: BTreeMap<&'static str, String>,
}

impl NextPairForm {
    /// An empty form; `None` for types that sign nothing.
    pub(in crate::console) fn empty(entry: &AuthorizationType) -> Option<Self> {
        Some(Self { fields: key_pairs::fields(entry)?, plain: BTreeMap::new() })
    }

    /// What was typed; secrets go into `kept`.
    pub(in crate::console) fn typed(self, form: &Form, kept: &mut Kept) -> Self {
        let (certificate, key) = self.fields;
        let mut plain: BTreeMap<_, _> = key_pair::typed(form).into_iter().collect();
        plain.insert(certificate, form.lines(certificate));
        kept.put(key, &form.lines(key));
        kept.put(PASSPHRASE, form.text(PASSPHRASE));
        Self { plain, ..self }
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
            with(json!({ "input": "key_pair" }), key_pair::fields(&self.plain, kept, None, invalid, key)),
        )
    }
}
