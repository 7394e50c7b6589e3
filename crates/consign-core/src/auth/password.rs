//! SFTP *Basic*: user name and password, RFC 4252 section 8, or RFC 4256 where a server offers only that.

use super::*;

/// The authorization type *Basic* of SFTP.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "password",
    label: "Basic",
    protocol: Protocol::Sftp,
    address_is_secret: false,
    tokens: Tokens::None,
    refusals_lock: true,
    fields: &[
        USERNAME,
        Field {
            key: "password",
            label: "Password",
            input: Input::Secret,
            missing: Some("Enter a password"),
            max_chars: 1_024,
            ..Field::PLAIN
        },
    ],
    check: |_| Vec::new(),
    warn: |_| Vec::new(),
    parse: |fields| {
        let password = copy(fields.secret("password").ok_or(Absent("password"))?);
        Ok(Box::new(Password { username: fields.text("username").to_owned(), password }))
    },
};

/// The account on a file server.
pub(super) const USERNAME: Field = Field {
    key: "username",
    label: "Username",
    missing: Some("Enter a username"),
    binds: true,
    max_chars: 255,
    rule: |text| {
        if text.chars().any(char::is_control) {
            let sentence = "Username must not include control characters";
            return Err(Fault::new("bad_characters", sentence));
        }
        Ok(())
    },
    ..Field::PLAIN
};

/// The same secret once more, for one session.
pub(super) fn copy(secret: &Secret) -> Secret {
    Secret::new(secret.expose().to_owned())
}

struct Password {
    username: String,
    password: Secret,
}

impl Authorizer for Password {
    fn step(&self, _: Option<&Token>, _: Timestamp) -> Step {
        let password = Some(copy(&self.password));
        Step::SignIn(Box::new(SshLogin { username: self.username.clone(), key: None, password }))
    }
}

#[cfg(test)]
mod tests;
