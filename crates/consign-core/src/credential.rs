//! A credential: where a tool is, how we are let in, and which secrets are sealed for it.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::auth::{self, AuthorizationType, Proof, SshLogin};
use crate::catalog::{Fields, Tokens};
use crate::client_certificate;
use crate::field_manager::FieldManager;
use crate::id::CredentialId;
use crate::name::Name;
use crate::pin::Confirmed;
use crate::secret::Secret;
use crate::sign::{Certificate, Chain};
use crate::target::{Binding, Origin, SftpHost, Target};
use crate::time::Timestamp;
use crate::token::Exchange;
use crate::vault::{Place, Sealed, Vault};

pub use draft::{Change, Draft, KeyPairWish, Labels, Mode, NEEDED_AGAIN, NextPair, PASSPHRASE, takes_long};
pub use key_pairs::{NoSuchPair, Which};
pub use limit::{Rate, parse_count};
pub use reminder::Reminder;
pub use status::{ENDS_SOON, NextAction, Refuser, Status, StatusCode};

mod draft;
pub mod key_pairs;
mod limit;
mod reminder;
mod status;

/// The table name in the place of every secret of a credential.
pub const TABLE: &str = "credential";
/// The key of the secret path and query of *No Auth (None)*.
pub const URL_PATH: &str = "url_path";

/// A stored credential. Its secrets are sealed; what is plain may be shown.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Unique without regard to case.
    pub name: Name,
    /// Where the tool is.
    pub target: Target,
    /// How we are let in.
    pub authorization_type: &'static AuthorizationType,
    /// The fields of the type that may be shown.
    pub plain: BTreeMap<String, String>,
    /// Names of the custom headers, in order; their values are among the secrets.
    pub custom_headers: Vec<CustomHeader>,
    /// Every secret by its key; custom headers as `custom_headers/x-api-key`.
    pub secrets: BTreeMap<String, StoredSecret>,
    /// A path below the origin that needs the sign-in and changes nothing, for connection tests.
    pub test_path: Option<String>,
    /// The day (UTC, `2027-02-12`) on which the tool ends the secret.
    pub ends_on: Option<String>,
    /// Free labels.
    pub labels: Labels,
    /// The most requests at one time, over all connectors.
    pub max_concurrency: Option<u32>,
    /// The most requests a second, over all connectors.
    pub max_per_second: Option<Rate>,
    /// Who manages it from a file.
    pub managed_by: Option<FieldManager>,
    /// What was last seen of it.
    pub seen: Status,
    /// The last request that the tool let in.
    pub last_used_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
    /// Rises with every save; the ETag.
    pub revision: i64,
}

/// A custom header; its value is a secret of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomHeader {
    /// The name as typed.
    pub name: String,
    /// Which requests carry it.
    pub sent_with: SentWith,
}

impl CustomHeader {
    /// The key of its value among the secrets.
    pub fn secret_key(&self) -> String {
        format!("custom_headers/{}", self.name.to_ascii_lowercase())
    }
}

/// Which requests carry a custom header. Types without a token request send every header with the API request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SentWith {
    /// The token request only.
    TokenRequest,
    /// API requests only.
    ApiRequest,
    /// Both.
    #[default]
    Both,
}

impl SentWith {
    /// All, in screen order.
    pub const ALL: &'static [Self] = &[Self::Both, Self::TokenRequest, Self::ApiRequest];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TokenRequest => "token_request",
            Self::ApiRequest => "api_request",
            Self::Both => "both",
        }
    }

    /// The choice on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenRequest => "Token request only",
            Self::ApiRequest => "API requests only",
            Self::Both => "Token request and API requests",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|choice| choice.kind() == kind)
    }
}

/// A sealed secret and who saved it.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// The ciphertext.
    pub sealed: Sealed,
    /// The generation it was sealed in: part of its place.
    pub generation: i64,
    /// When it was saved.
    pub updated_at: Timestamp,
    /// The name of the person or API key that saved it.
    pub updated_by: String,
}

impl Credential {
    /// What its secrets are tied to.
    pub fn binding(&self) -> Binding {
        binding(&self.target, self.authorization_type, &self.plain)
    }

    /// The place of one of its secrets.
    pub fn place<'a>(id: &'a str, field: &'a str, generation: i64, binding: &'a Binding) -> Place<'a> {
        Place { table: TABLE, record: id, field, generation, binding }
    }

    /// The status to show now: what was last seen, unless the end date is nearer the truth.
    pub fn status(&self, now: Timestamp) -> Status {
        let first = self.first_end();
        let status = self.seen.with_end(first.map(|(at, _)| at), now);
        let shows_end = matches!(status.code, StatusCode::Ended | StatusCode::EndsSoon);
        match first {
            Some((_, Ending::Certificate(what))) if shows_end && self.seen.code != status.code => {
                Status { reason: format!("the {what} {}", status.reason), ..status }
            }
            _ => status,
        }
    }

    /// The last second in which nothing of it has ended: of the day (UTC) that was typed, of the certificate that
    /// signs, or of the client certificate.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.first_end().map(|(at, _)| at)
    }

    /// What of it ends first, and when.
    fn first_end(&self) -> Option<(Timestamp, Ending)> {
        let typed = self.ends_on.as_deref().and_then(status::last_second);
        let of = |certificate: Option<Certificate>, what| {
            certificate.map(|certificate| (certificate.ends, Ending::Certificate(what)))
        };
        let ends = [
            typed.map(|typed| (typed, Ending::Secret)),
            of(self.present_certificate(), "certificate"),
            of(self.client_certificate(), "client certificate"),
        ];
        ends.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The certificate that connections show.
    pub fn client_certificate(&self) -> Option<Certificate> {
        let chain = Chain::parse(self.plain.get(client_certificate::CERTIFICATE_KEY)?);
        Some(chain.ok()?.own)
    }

    /// Whether requests made with either of two versions are signed in alike: what a tool said to one then holds for
    /// the other as well, and where they differ it says nothing. Key pairs that do not sign make no difference.
    pub fn signs_in_like(&self, other: &Self) -> bool {
        self.binding() == other.binding()
            && self.custom_headers == other.custom_headers
            && self.in_use(&self.plain).eq(other.in_use(&other.plain))
            && self.generations().eq(other.generations())
    }

    /// Whether both are the same to whoever saves one over the other: only what is seen of them, and when they were
    /// saved, may differ.
    pub fn is_saved_like(&self, other: &Self) -> bool {
        // Taken apart whole: a field that comes is asked about.
        let Self {
            name,
            target,
            authorization_type,
            plain,
            custom_headers,
            secrets,
            test_path,
            ends_on,
            labels,
            max_concurrency,
            max_per_second,
            managed_by,
            id: _,
            seen: _,
            last_used_at: _,
            created_at: _,
            updated_at: _,
            revision: _,
        } = self;
        let generations = |secrets: &BTreeMap<String, StoredSecret>| -> Vec<(String, i64)> {
            secrets.iter().map(|(key, secret)| (key.clone(), secret.generation)).collect()
        };
        *name == other.name
            && *target == other.target
            && authorization_type.kind == other.authorization_type.kind
            && *plain == other.plain
            && *custom_headers == other.custom_headers
            && generations(secrets) == generations(&other.secrets)
            && *test_path == other.test_path
            && *ends_on == other.ends_on
            && *labels == other.labels
            && *max_concurrency == other.max_concurrency
            && *max_per_second == other.max_per_second
            && *managed_by == other.managed_by
    }

    fn generations(&self) -> impl Iterator<Item = (&str, i64)> {
        self.in_use(&self.secrets).map(|(key, secret)| (key, secret.generation))
    }

    fn in_use<'a, T>(
        &self,
        fields: &'a BTreeMap<String, T>,
    ) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        let fields = fields.iter().map(|(key, value)| (key.as_str(), value));
        fields.filter(|(key, _)| !key_pairs::is_of_other_pair(key))
    }

    /// Takes over from the version before, as it is now, what was seen of it and still holds.
    pub fn goes_on_from(&mut self, current: &Self) {
        // Another client secret is no approval.
        let waits_for_approval = current.seen.code.needs_consent() && current.binding() == self.binding();
        if waits_for_approval || current.signs_in_like(self) {
            self.seen = current.seen.clone();
        }
        self.last_used_at = current.last_used_at;
    }

    /// What is said to go with this marking does not go with these requests. Without a token request everything goes with
    /// the API request.
    pub fn left_out_of(&self, requests: SentWith) -> Option<SentWith> {
        let with_token = self.authorization_type.tokens != Tokens::None;
        match requests {
            SentWith::TokenRequest => Some(SentWith::ApiRequest),
            SentWith::ApiRequest => with_token.then_some(SentWith::TokenRequest),
            SentWith::Both => None,
        }
    }

    /// The address to show: the part of it that is secret is three dots.
    pub fn shown_address(&self) -> String {
        if self.secrets.contains_key(URL_PATH) {
            return format!("{}•••", self.target);
        }
        self.target.to_string()
    }
}

/// The hash of everything that decides where a secret goes and as whom it is used.
pub fn binding(
    target: &Target,
    authorization_type: &AuthorizationType,
    plain: &BTreeMap<String, String>,
) -> Binding {
    let origin = target.to_string();
    let pins = target.sftp().map(|host| host.pins.binding());
    let mut parts = vec![
        ("protocol", authorization_type.protocol.kind()),
        ("origin", origin.as_str()),
        ("authorization_type", authorization_type.kind),
    ];
    for field in authorization_type.fields.iter().filter(|field| field.binds) {
        parts.push((field.key, plain.get(field.key).map_or("", String::as_str)));
    }
    parts.extend(pins.as_deref().map(|pins| ("pins", pins)));
    Binding::of(&parts)
}

/// What a transport needs to open a session on a file server, and all it needs.
#[derive(Debug)]
pub struct SftpAccess {
    /// Where, and the keys that must be shown there first.
    pub host: SftpHost,
    /// How to sign in once one of them was.
    pub login: SshLogin,
    /// Who may share a session: this credential, with these secrets at this destination.
    pub shared_by: String,
}

impl SftpAccess {
    /// Joins the way in with the file server of the credential. `None` when the credential is for something else.
    pub fn join(credential: &Credential, login: SshLogin) -> Option<Self> {
        let generation = credential.secrets.values().map(|secret| secret.generation).max().unwrap_or(0);
        let binding = crate::hex::hex(credential.binding().as_bytes());
        let shared_by = format!("{}/{generation}/{binding}", credential.id);
        Some(Self { host: credential.target.sftp()?.clone(), login, shared_by })
    }
}

/// What of a credential ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A secret, on the day that was typed.
    Secret,
    /// A certificate; the word for it in a sentence.
    Certificate(&'static str),
}

/// A client certificate with its private key: what connections show of themselves (RFC 8446 section 4.4.2).
#[derive(Debug)]
pub struct Identity {
    /// The certificates in DER, ours first.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8 in PEM.
    pub key: Secret,
    /// Which connections are of the same one: the SHA-256 of the chain.
    pub id: IdentityId,
}

/// The SHA-256 of the certificates of an [`Identity`].
pub type IdentityId = [u8; 32];

impl Identity {
    /// An identity of its certificates and key.
    pub fn new(chain: Vec<Vec<u8>>, key: Secret) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        chain.iter().for_each(|certificate| hash.update(certificate));
        let id = hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Self { chain, key, id }
    }
}

/// What a transport needs to send a request for a credential, and all it needs.
#[derive(Debug)]
pub struct Access {
    /// The only place the headers may go to.
    pub origin: Origin,
    /// The proof and the custom headers; their values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A secret path and query that the request's own path is added to.
    pub path: Option<Secret>,
    /// The client certificate that the connection shows.
    pub identity: Option<Identity>,
}

impl Access {
    /// Joins the proof of the type with the custom headers of the credential.
    ///
    /// `None` when a custom header cannot be sent as stored, or the credential is no tool on the web; the rules at save
    /// time exclude both.
    pub fn join(credential: &Credential, proof: Proof, fields: &Fields) -> Option<Self> {
        let except = credential.left_out_of(SentWith::ApiRequest);
        let mut headers = proof.headers;
        headers.extend(custom_headers(credential, fields, except)?);
        let identity = client_certificate::identity(fields, except).ok()?;
        Some(Self { origin: credential.target.origin()?.clone(), headers, path: proof.path, identity })
    }

    /// What a token request goes out with: its own proof and the custom headers that belong to it.
    ///
    /// `None` as with [`Access::join`].
    pub fn join_exchange(credential: &Credential, exchange: &Exchange, fields: &Fields) -> Option<Self> {
        let mut headers = exchange.headers.clone();
        let except = credential.left_out_of(SentWith::TokenRequest);
        headers.extend(custom_headers(credential, fields, except)?);
        let path = Some(exchange.to.tail_with(exchange.query.expose()));
        let identity = client_certificate::identity(fields, except).ok()?;
        Some(Self { origin: exchange.to.origin().clone(), headers, path, identity })
    }
}

/// The custom headers with their values, those for other requests left out.
fn custom_headers(
    credential: &Credential,
    fields: &Fields,
    except: Option<SentWith>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let sent = credential.custom_headers.iter().filter(|header| Some(header.sent_with) != except);
    let sent = sent.map(|header| {
        let value = fields.secret(&header.secret_key())?;
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, crate::header::sensitive(value)?))
    });
    sent.collect()
}

impl Draft {
    /// The secrets that were sent where the credential has one already, for the same destination: one of them may be the
    /// same again.
    pub fn sent_again(&self, current: &Credential) -> Vec<(&str, &Secret)> {
        if self.binding() != current.binding() {
            return Vec::new();
        }
        let sent = self.secrets.iter().filter_map(|(key, change)| match change {
            Change::Replace(secret) if current.secrets.contains_key(key) => Some((key.as_str(), secret)),
            Change::Replace(_) | Change::Keep => None,
        });
        sent.collect()
    }

    /// Keeps the secrets that were found to be the same.
    pub fn keep(&mut self, same: &[String]) {
        for key in same {
            self.secrets.insert(key.clone(), Change::Keep);
        }
    }

    /// Keeps the key pair that was made the last time that such a one was asked for. A file asks each time that it is
    /// applied.
    pub fn keep_made_pair(&mut self, current: &Credential) {
        let Some(wish) = self.new_key_pair else { return };
        let Some(certificate) = current.plain.get(wish.certificate) else { return };
        if !wish.made(current.id, certificate) {
            return;
        }
        let before = self.plain.insert(wish.certificate.to_owned(), certificate.clone());
        if self.binding() == current.binding() && current.secrets.contains_key(wish.key) {
            self.secrets.insert(wish.key.to_owned(), Change::Keep);
            self.new_key_pair = None;
            return;
        }
        match before {
            Some(before) => self.plain.insert(wish.certificate.to_owned(), before),
            None => self.plain.remove(wish.certificate),
        };
    }

    fn binding(&self) -> Binding {
        binding(&self.target, self.authorization_type, &self.plain)
    }

    /// Seals what was typed and keeps what was kept: the record to store. `id` is that of a new one. A key pair that is
    /// to be created takes up to seconds.
    pub fn seal(
        mut self,
        vault: &Vault,
        save: &Save<'_>,
        id: CredentialId,
        current: Option<&Credential>,
    ) -> Credential {
        let id = current.map_or(id, |current| current.id);
        let revision = current.map_or(1, |current| current.revision + 1);
        if let Target::Sftp(host) = &mut self.target {
            let before = current.and_then(|current| current.target.sftp()).map(|host| &host.pins);
            let compared_with = std::mem::take(&mut self.compared_with);
            host.pins
                .confirm(before, &Confirmed { by: save.by.to_owned(), at: save.now.millis(), compared_with });
        }
        if let Some(wish) = self.new_key_pair.take() {
            let (certificate, key) = wish.create(id, save.now);
            self.plain.insert(wish.certificate.to_owned(), certificate.pem());
            self.secrets.insert(wish.key.to_owned(), Change::Replace(key));
        }
        let binding = self.binding();
        let id_text = id.to_string();
        let mut secrets = BTreeMap::new();
        for (key, change) in self.secrets {
            let stored = match change {
                Change::Keep => current.and_then(|current| current.secrets.get(&key).cloned()),
                Change::Replace(secret) => {
                    let place = Credential::place(&id_text, &key, revision, &binding);
                    Some(StoredSecret {
                        sealed: vault.seal(&place, &secret),
                        generation: revision,
                        updated_at: save.now,
                        updated_by: save.by.to_owned(),
                    })
                }
            };
            if let Some(stored) = stored {
                secrets.insert(key, stored);
            }
        }
        let moved = current.is_some_and(|current| current.binding() != binding);
        let granted = self.authorization_type.tokens == Tokens::Granted;
        let mut credential = Credential {
            id,
            name: self.name,
            target: self.target,
            authorization_type: self.authorization_type,
            plain: self.plain,
            custom_headers: self.custom_headers,
            secrets,
            test_path: self.test_path,
            ends_on: self.ends_on,
            labels: self.labels,
            max_concurrency: self.max_concurrency,
            max_per_second: self.max_per_second,
            managed_by: current.and_then(|current| current.managed_by.clone()),
            seen: Status::not_tested(save.now),
            last_used_at: None,
            created_at: current.map_or(save.now, |current| current.created_at),
            updated_at: save.now,
            revision,
        };
        if granted && (moved || current.is_none()) {
            credential.seen = Status::not_authorized(save.now);
        }
        if let Some(current) = current {
            credential.goes_on_from(current);
        }
        credential
    }
}

/// Who saves, and when.
#[derive(Clone, Copy, Debug)]
pub struct Save<'a> {
    /// The time of the save.
    pub now: Timestamp,
    /// The name of the person or API key.
    pub by: &'a str,
}

/// The type stored under this word.
///
/// # Errors
/// The word itself, when a newer program stored it.
pub fn stored_type(kind: &str) -> Result<&'static AuthorizationType, String> {
    auth::find(kind).ok_or_else(|| kind.to_owned())
}

#[cfg(test)]
mod tests;
