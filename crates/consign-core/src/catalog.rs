//! What a person can choose and fill in: entries with fields, from which form, API schema, validation and sealing follow.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::secret::Secret;

pub use reader::Reader;
pub use rows::{Names, Parameter, Row, Rows, SentIn, row_secret_key, stored_rows};

mod reader;
mod rows;

/// What is wrong with one value. `code` is stable; `message` is the sentence for form, API and CLI alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable and public, such as `missing`.
    pub code: &'static str,
    /// The sentence, without a final full stop.
    pub message: String,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The fault at its field.
    pub fn at(self, field: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), code: self.code, message: self.message }
    }
}

/// A value that was not accepted, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// The key of the field; rows as `custom_headers/0/name`.
    #[serde(skip)]
    pub field: String,
    /// Stable and public, such as `missing`.
    pub code: &'static str,
    /// The sentence, without a final full stop.
    pub message: String,
}

/// The transport a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTPS.
    Https,
    /// Files over SSH.
    Sftp,
}

impl Protocol {
    /// All, in screen order.
    pub const ALL: &'static [Self] = &[Self::Https, Self::Sftp];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Sftp => "sftp",
        }
    }

    /// The label in the form.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Https => "Hypertext Transfer Protocol Secure (HTTPS)",
            Self::Sftp => "Secure File Transfer Protocol (SFTP)",
        }
    }

    /// The word in a sentence.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Https => "HTTPS",
            Self::Sftp => "SFTP",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|protocol| protocol.kind() == kind)
    }
}

/// How a field is entered, and whether it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// One line, shown again when edited.
    Text,
    /// One line, sealed when saved and never shown again.
    Secret,
    /// A private key of several lines, sealed like a secret; the secret field named here opens it.
    PrivateKey(&'static str),
    /// An https address with its path; the egress rules judge it when it is saved.
    Address,
    /// One of these.
    Choice(&'static [Choice]),
    /// Rows of a name and a value.
    Rows(&'static Rows),
    /// A line of text for which there are usual ones.
    Suggested(&'static [Choice]),
    /// A certificate whose private key is the field of this key; both can be created here.
    Certificate(&'static str),
    /// The private key of a certificate: a secret of several lines, read together with it.
    CertificateKey,
    /// A client certificate, those that lead from it to an authority behind it.
    ClientCertificate,
    /// The private key of the client certificate: a secret of several lines, read together with it.
    ClientKey,
}

/// One answer to a question with a closed set of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Stored and public; never renamed.
    pub kind: &'static str,
    /// The label on the screen.
    pub label: &'static str,
}

/// Where the proof of a type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// No token: the fields are the proof.
    None,
    /// A token request fetches it.
    Fetched,
    /// A person grants access first; then token requests renew it.
    Granted,
}

/// What is worth saying about a value that is accepted all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key of the field.
    pub field: &'static str,
    /// The sentence.
    pub message: String,
}

/// What a prefill says where the address of this server belongs.
pub const PUBLIC_URL: &str = "{public_url}";

/// A field is only there while a choice is another one than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The key of the choice.
    pub field: &'static str,
    /// The choices without the field.
    pub is_not: &'static [&'static str],
}

/// One thing to fill in.
pub struct Field {
    /// The key in API, CLI and storage.
    pub key: &'static str,
    /// The label on the screen.
    pub label: &'static str,
    /// The hint under the label; may be empty.
    pub hint: &'static str,
    /// How it is entered.
    pub input: Input,
    /// What the form holds at first; may be empty.
    pub prefill: &'static str,
    /// The sentence when it is left empty; `None` for optional fields.
    pub missing: Option<&'static str>,
    /// It is only there in this case.
    pub when: Option<When>,
    /// Most credentials leave it as it is: the form has it under this heading.
    pub under: Option<&'static str>,
    /// Part of the binding: a change asks for every secret again.
    pub binds: bool,
    /// The largest number of characters.
    pub max_chars: usize,
    /// The rule of its content, for texts that are not empty and not too long.
    pub rule: fn(&str) -> Result<(), Fault>,
}

impl Field {
    /// An optional line of text, for what a field does not say itself.
    pub const PLAIN: Self = Self {
        key: "",
        label: "",
        hint: "",
        input: Input::Text,
        prefill: "",
        missing: None,
        when: None,
        under: None,
        binds: false,
        max_chars: 2_048,
        rule: |_| Ok(()),
    };

    /// Whether it is sealed.
    pub fn is_secret(&self) -> bool {
        matches!(self.input, Input::Secret | Input::CertificateKey | Input::ClientKey | Input::PrivateKey(_))
    }

    /// Whether it is there, given the choices.
    pub fn is_asked(&self, choices: &Fields) -> bool {
        self.when.is_none_or(|when| !when.is_not.contains(&choices.text(when.field)))
    }

    /// What stands in it when nobody says anything else: texts that only a form can know are not among them.
    pub fn default_text(&self) -> &'static str {
        if self.prefill == PUBLIC_URL { "" } else { self.prefill }
    }

    /// Judges one text: not missing, not too long, not a mask, and what the field's own rule says.
    ///
    /// # Errors
    /// The fault with its sentence.
    pub fn judge(&self, text: &str) -> Result<(), Fault> {
        if text.is_empty() {
            return self.missing.map_or(Ok(()), |sentence| Err(Fault::new("missing", sentence)));
        }
        if self.is_secret() && is_mask(text) {
            return Err(mask(self.label));
        }
        if let Input::Choice(choices) = self.input
            && choices.iter().all(|choice| choice.kind != text)
        {
            let kinds: Vec<_> = choices.iter().map(|choice| choice.kind).collect();
            return Err(Fault::new("unknown", format!("{} must be one of {}", self.label, kinds.join(", "))));
        }
        if text.chars().count() > self.max_chars {
            return Err(too_long(self.label, self.max_chars));
        }
        (self.rule)(text)
    }
}

/// Made only of characters that masks are made of.
pub fn is_mask(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '*' || c == '•')
}

/// The sentence for a mask that came back as a value.
pub fn mask(label: &str) -> Fault {
    let label = in_sentence(label);
    Fault::new(
        "mask_value",
        format!("This looks like a mask, not a {label}. Leave it out to keep the saved one"),
    )
}

/// The sentence for a text over its limit.
pub fn too_long(label: &str, max_chars: usize) -> Fault {
    Fault::new("too_long", format!("{label} must be {} characters or fewer", with_commas(max_chars)))
}

/// A label inside a sentence: "Client secret" becomes "client secret", "SSH key" and "API key" stay, and so do the
/// names of OAuth such as "Access Token URL".
pub fn in_sentence(label: &str) -> String {
    if label.ends_with("URL") {
        return label.to_owned();
    }
    let mut characters = label.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(label.chars().skip(1)).collect()
        }
        _ => label.to_owned(),
    }
}

/// 2048 as "2,048".
pub fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size for people: "812 bytes", "48.2 MB".
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
    }
    let (mut value, mut unit) = (bytes as f64 / 1_000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A key that nobody knows, with the nearest one that is known.
pub fn unknown_field(key: &str, known: &[&str]) -> Invalid {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min();
    let shown: String = key.chars().take(64).collect();
    let sentence = match nearest {
        Some((_, candidate)) => format!("“{shown}” is not known. Did you mean {candidate}?"),
        None => format!("“{shown}” is not known"),
    };
    Fault::new("unknown_field", sentence).at(shown)
}

/// The values of a credential or connector while they are read: plain texts and opened or newly typed secrets.
#[derive(Default, Debug)]
pub struct Fields {
    /// What may be shown.
    pub plain: BTreeMap<String, String>,
    /// What may not. While a credential is edited, kept secrets are absent.
    pub secrets: BTreeMap<String, Secret>,
}

impl Fields {
    /// A plain value; empty when it was never set.
    pub fn text(&self, key: &str) -> &str {
        self.plain.get(key).map_or("", String::as_str)
    }

    /// A secret, if it is at hand.
    pub fn secret(&self, key: &str) -> Option<&Secret> {
        self.secrets.get(key)
    }
}

/// One choice of a catalogue: what it is called, what it asks for, what it becomes.
pub struct Entry<T: 'static> {
    /// Stored and public; never renamed.
    pub kind: &'static str,
    /// The label on the screen.
    pub label: &'static str,
    /// Which protocol offers it.
    pub protocol: Protocol,
    /// The address may hold a path and query, which together are the secret `url_path`.
    pub address_is_secret: bool,
    /// Whether the proof is a token, and who has to grant it.
    pub tokens: Tokens,
    /// Refusals of a password can lock the account: a refused one is tried again less often.
    pub refusals_lock: bool,
    /// Form, API schema and what to seal.
    pub fields: &'static [Field],
    /// Rules between fields; secrets that are kept are absent.
    pub check: fn(&Fields) -> Vec<Invalid>,
    /// What is worth saying about values that are accepted; secrets that are kept are absent.
    pub warn: fn(&Fields) -> Vec<Warning>,
    /// The usable value, from complete and judged fields.
    ///
    /// # Errors
    /// The key of a field that is not there.
    pub parse: fn(&Fields) -> Result<T, Absent>,
}

impl<T> std::fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind)
    }
}

/// A field that should be there is not: the stored record is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{0}` is not stored")]
pub struct Absent(pub &'static str);

#[cfg(test)]
mod tests;
