//! Basic: user name and password, RFC 7617.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::*;

/// The authorization type *Basic*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "basic",
    label: "Basic",
    protocol: Protocol::Https,
    address_is_secret: false,
    tokens: Tokens::None,
    refusals_lock: true,
    fields: &[
        Field {
            key: "username",
            label: "Username",
            hint: "",
            input: Input::Text,
            prefill: "",
            missing: Some("Enter a username"),
            binds: true,
            max_chars: 255,
            rule: username,
            ..Field::PLAIN
        },
        Field {
            key: "password",
            label: "Password",
            hint: "",
            input: Input::Secret,
            prefill: "",
            missing: Some("Enter a password"),
            binds: false,
            max_chars: 1_024,
            rule: password,
            ..Field::PLAIN
        },
        client_certificate::CERTIFICATE,
        client_certificate::KEY,
    ],
    check: |_| Vec::new(),
    warn: beyond_ascii,
    parse: |fields| {
        let password = fields.secret("password").ok_or(Absent("password"))?;
        let pair = Zeroizing::new(format!("{}:{}", fields.text("username"), password.expose()));
        let value = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
        Ok(Box::new(Basic { header: Secret::new(value.to_string()) }))
    },
};

/// A colon would end the user name: RFC 7617 section 2.
fn username(text: &str) -> Result<(), Fault> {
    if text.contains(':') {
        return Err(Fault::new("bad_characters", "Username must not include a colon (:)"));
    }
    no_control_characters("Username", text)
}

/// RFC 7617 section 2.1 lets a tool name its encoding; few do.
fn beyond_ascii(fields: &Fields) -> Vec<Warning> {
    let password = fields.secret("password").map_or("", Secret::expose);
    let typed = [("username", fields.text("username")), ("password", password)];
    let found = typed.into_iter().find(|(_, text)| !text.is_ascii());
    let message = "Sent as UTF-8. Some tools expect another encoding.";
    found.map(|(field, _)| Warning { field, message: message.to_owned() }).into_iter().collect()
}

fn password(text: &str) -> Result<(), Fault> {
    no_control_characters("Password", text)
}

fn no_control_characters(label: &str, text: &str) -> Result<(), Fault> {
    if text.chars().any(char::is_control) {
        return Err(Fault::new("bad_characters", format!("{label} must not include control characters")));
    }
    Ok(())
}

struct Basic {
    header: Secret,
}

impl Authorizer for Basic {
    fn step(&self, _: Option<&Token>, _: Timestamp) -> Step {
        let value = crate::header::sensitive(&self.header).expect("Base64 is a valid header value");
        Step::Apply(Proof::header(AUTHORIZATION, value))
    }
}

#[cfg(test)]
mod tests;
