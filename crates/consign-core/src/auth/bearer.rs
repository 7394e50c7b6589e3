//! Bearer token: a token made by the tool, RFC 6750 section 2.1, behind a prefix of the tool's choosing.

use http::header::AUTHORIZATION;

use super::*;

/// The authorization type *Bearer token*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "bearer",
    label: "Bearer token",
    protocol: Protocol::Https,
    address_is_secret: false,
    tokens: Tokens::None,
    refusals_lock: false,
    fields: &[
        Field {
            key: "header_prefix",
            label: "Header prefix",
            hint: "Most tools use Bearer. Check the tool's documentation. Leave empty to send the token alone.",
            input: Input::Text,
            prefill: "Bearer",
            missing: None,
            binds: false,
            max_chars: 64,
            rule: prefix,
            ..Field::PLAIN
        },
        Field {
            key: "token",
            label: "Token",
            hint: "Made in the other tool. We add it to each request.",
            input: Input::Secret,
            prefill: "",
            missing: Some("Enter a token"),
            binds: false,
            max_chars: 8_192,
            rule: token,
            ..Field::PLAIN
        },
        client_certificate::CERTIFICATE,
        client_certificate::KEY,
    ],
    check: prefix_in_token,
    warn: |_| Vec::new(),
    parse: |fields| {
        let token = fields.secret("token").ok_or(Absent("token"))?;
        Ok(Box::new(Bearer { header: join(fields.text("header_prefix"), token) }))
    },
};

fn prefix(text: &str) -> Result<(), Fault> {
    if text.starts_with(' ') || text.ends_with(' ') {
        let sentence = "Header prefix must not start or end with a space. One space is added for you";
        return Err(Fault::new("edge_space", sentence));
    }
    if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) || text.contains("  ") {
        let sentence = "Header prefix must use plain characters, with single spaces between words";
        return Err(Fault::new("bad_characters", sentence));
    }
    Ok(())
}

fn token(text: &str) -> Result<(), Fault> {
    if text.contains(['\n', '\r']) {
        return Err(Fault::new("one_line", "Token must be on one line"));
    }
    if !text.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
        let sentence = "Token must use plain characters. Check for a quotation mark or space copied with it";
        return Err(Fault::new("bad_characters", sentence));
    }
    Ok(())
}

/// A token that was copied together with the prefix, such as `Bearer abc`. The space in it is the usual sign.
fn prefix_in_token(fields: &Fields) -> Vec<Invalid> {
    let prefix = fields.text("header_prefix");
    let Some(token) = fields.secret("token").filter(|_| !prefix.is_empty()) else { return Vec::new() };
    let start = token.expose().get(..prefix.len());
    let repeated = start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        && token.expose()[prefix.len()..].starts_with(' ');
    if !repeated {
        return Vec::new();
    }
    let sentence = format!(
        "The token already starts with “{prefix} ”. Remove that part, because the header prefix adds it"
    );
    vec![Fault::new("prefix_in_token", sentence).at("token")]
}

/// One space joins prefix and token, unless the prefix is empty or ends in `=`.
fn join(prefix: &str, token: &Secret) -> Secret {
    let separator = if prefix.is_empty() || prefix.ends_with('=') { "" } else { " " };
    Secret::new(format!("{prefix}{separator}{}", token.expose()))
}

struct Bearer {
    header: Secret,
}

impl Authorizer for Bearer {
    fn step(&self, _: Option<&Token>, _: Timestamp) -> Step {
        let value = crate::header::sensitive(&self.header).expect("prefix and token are visible ASCII");
        Step::Apply(Proof::header(AUTHORIZATION, value))
    }
}

#[cfg(test)]
mod tests;
