//! No Auth (None): nothing is added. Meant for incoming webhooks, whose path and query are themselves the secret.

use super::*;

/// The authorization type *No Auth (None)*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "none",
    label: "No Auth (None)",
    protocol: Protocol::Https,
    address_is_secret: true,
    tokens: Tokens::None,
    refusals_lock: false,
    fields: &[client_certificate::CERTIFICATE, client_certificate::KEY],
    check: |_| Vec::new(),
    warn: |_| Vec::new(),
    parse: |fields| {
        let path = fields.secret("url_path").map(|path| path.expose().to_owned());
        Ok(Box::new(Nothing { path: path.map(Secret::new) }))
    },
};

struct Nothing {
    path: Option<Secret>,
}

impl Authorizer for Nothing {
    fn step(&self, _: Option<&Token>, _: Timestamp) -> Step {
        let path = self.path.as_ref().map(|path| Secret::new(path.expose().to_owned()));
        Step::Apply(Proof { headers: Vec::new(), path })
    }
}

#[cfg(test)]
mod tests;
