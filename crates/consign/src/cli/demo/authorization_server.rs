//! The stand-in authorization server of the demo: it checks the client, asks the person, and issues tokens that live
//! for a minute. RFC 6749 with the proof key of RFC 7636, the issuer of RFC 9207, and refresh tokens that work once; RFC
//! 7522 where xmlsec1 is at hand to judge the signature.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use consign_core::time::Timestamp;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::assertions::{Trusted, Verifier};
use super::https::{Identity, random};

/// Short, so that a demo sees renewals.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A code is redeemed at once.
const CODE_LIFE: Duration = Duration::from_secs(60);
const BODY_BYTES_MAX: usize = 64 << 10;
/// Of each kind; a demo sees a handful.
const KEPT_MAX: usize = 1_000;

const SAML2_BEARER: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// Who signs assertions, and for whom.
const SIGNER: &str = "consign-demo";
const SIGNED_FOR: &str = "demo-user";

/// A client that is known here.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) secret: String,
}

/// The running server.
#[derive(Clone)]
pub(super) struct AuthorizationServer(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    machine: Client,
    person: Client,
    known: Mutex<Known>,
    /// Judges assertions; absent where its program is.
    verifier: Option<Verifier>,
}

#[derive(Default)]
struct Known {
    redirect_url: Option<String>,
    /// Approval pages that are open, by their number.
    asked: HashMap<String, Asked>,
    codes: HashMap<String, (Asked, Timestamp)>,
    /// Refresh tokens with their family; a renewal replaces the token.
    refresh: HashMap<String, u64>,
    /// Those that were replaced: coming again, they end the family.
    replaced: HashMap<String, u64>,
    access: HashMap<String, (Option<u64>, Timestamp)>,
    families: u64,
}

/// What an approval page was opened with.
#[derive(Clone)]
struct Asked {
    redirect_url: String,
    state: String,
    challenge: String,
    scope: String,
}

type Reply = Response<Full<Bytes>>;

impl AuthorizationServer {
    /// Starts the server on a listener.
    pub(super) fn start(
        listener: TcpListener,
        identity: &Identity,
        verifier: Option<Verifier>,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let machine = Client { id: "demo-machine", secret: random()? };
        let person = Client { id: "demo-person", secret: random()? };
        let server = Self(Arc::new(Inner { address, machine, person, known: Mutex::default(), verifier }));
        let serving = server.clone();
        identity.serve(listener, move |request| {
            let server = serving.clone();
            async move { server.answer(request).await }
        });
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.address.port()
    }

    pub(super) fn issuer(&self) -> String {
        format!("https://{}", self.0.address)
    }

    /// The settings of a credential of its client that acts for itself.
    pub(super) fn of_machine(&self) -> Value {
        self.settings(&self.0.machine)
    }

    /// The settings of a credential of its client that acts for a person.
    pub(super) fn of_person(&self) -> Value {
        let mut settings = self.settings(&self.0.person);
        settings["authorization_code_url"] = format!("{}/authorize", self.issuer()).into();
        settings["pkce"] = "s256".into();
        settings
    }

    /// The settings of a credential that signs assertions.
    pub(super) fn of_signer(&self) -> Value {
        let address = format!("{}/token", self.issuer());
        json!({
            "key_pair": "generate", "key_pair_bits": 2048, "key_pair_years": 1,
            "name_id": SIGNED_FOR, "issuer": SIGNER, "recipient": address, "audience": address,
        })
    }

    /// Whether assertions can be judged here.
    pub(super) fn judges_assertions(&self) -> bool {
        self.0.verifier.is_some()
    }

    /// Registers the certificate of the signer, as an administrator of a tool does.
    pub(super) fn trust(&self, certificate: &str) {
        if let Some(verifier) = &self.0.verifier {
            verifier.trust(Trusted {
                certificate: certificate.to_owned(),
                issuer: SIGNER.to_owned(),
                name_id: SIGNED_FOR.to_owned(),
                address: format!("{}/token", self.issuer()),
            });
        }
    }

    fn settings(&self, client: &Client) -> Value {
        json!({
            "client_id": client.id,
            "client_secret": client.secret,
            "access_token_url": format!("{}/token", self.issuer()),
            "authentication_information": "header",
            "scope": "tickets",
        })
    }

    /// Where the client that acts for a person may send people back to.
    pub(super) fn register(&self, redirect_url: &str) {
        self.known().redirect_url = Some(redirect_url.to_owned());
    }

    /// Whether the tool should let an access token in: those of the machine and those of a person are apart.
    pub(super) fn accepts(&self, access_token: &str, of_person: bool) -> bool {
        let known = self.known();
        let found = known.access.get(access_token);
        found
            .is_some_and(|(family, ends)| family.is_some() == of_person && *ends > consign_store::local_now())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => {
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the body is too large");
            }
        };
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/token") => {
                let form = Form::read(&body);
                if form.text("grant_type") == SAML2_BEARER {
                    self.assertion(&form)
                } else {
                    self.token(&head.headers, &form)
                }
            }
            (&Method::GET, "/authorize") => {
                self.ask(&Form::read(head.uri.query().unwrap_or_default().as_bytes()))
            }
            (&Method::POST, "/decision") => self.decide(&Form::read(&body)),
            _ => page(StatusCode::NOT_FOUND, "There is nothing here", ""),
        }
    }

    /// RFC 6749 section 3.2.
    fn token(&self, headers: &HeaderMap, form: &Form) -> Reply {
        let Some(client) = self.client_of(headers) else {
            let mut reply = refusal(StatusCode::UNAUTHORIZED, "invalid_client", "the client is not known");
            let ask = HeaderValue::from_static("Basic realm=\"demo\"");
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
            return reply;
        };
        let of_person = client == self.0.person;
        let bad = |code, why| refusal(StatusCode::BAD_REQUEST, code, why);
        match form.text("grant_type") {
            "client_credentials" if !of_person => self.issue(None, form.text("scope")),
            "authorization_code" if of_person => self.redeem(form),
            "refresh_token" if of_person => self.renew(form.text("refresh_token")),
            "client_credentials" | "authorization_code" | "refresh_token" => {
                bad("unauthorized_client", "this client may not use this grant")
            }
            _ => bad("unsupported_grant_type", "this grant is not known"),
        }
    }

    /// RFC 7522 section 2.1; the signature proves the client.
    fn assertion(&self, form: &Form) -> Reply {
        let bad = |code, why| refusal(StatusCode::BAD_REQUEST, code, why);
        let Some(verifier) = &self.0.verifier else {
            return bad("unsupported_grant_type", "assertions are not judged here");
        };
        let now = consign_store::local_now();
        match tokio::task::block_in_place(|| verifier.judge(form.text("assertion"), now)) {
            Ok(()) => self.issue(None, form.text("scope")),
            Err(why) => bad("invalid_grant", why),
        }
    }

    /// Header only, form-encoded: RFC 6749 section 2.3.1.
    fn client_of(&self, headers: &HeaderMap) -> Option<Client> {
        let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(sent).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let decoded = |text: &str| Form::read(format!("x={text}").as_bytes()).text("x").to_owned();
        let (id, secret) = (decoded(id), decoded(secret));
        let clients = [&self.0.machine, &self.0.person];
        clients.into_iter().find(|client| client.id == id && client.secret == secret).cloned()
    }

    /// RFC 6749 section 4.1.3, RFC 7636 section 4.6.
    fn redeem(&self, form: &Form) -> Reply {
        let refuse = |why| refusal(StatusCode::BAD_REQUEST, "invalid_grant", why);
        let mut known = self.known();
        let Some((asked, ends)) = known.codes.remove(form.text("code")) else {
            return refuse("the code is not known or was used");
        };
        let proof = digest::digest(&digest::SHA256, form.text("code_verifier").as_bytes());
        if ends <= consign_store::local_now() || asked.redirect_url != form.text("redirect_uri") {
            return refuse("the code is too old or came from another redirect URL");
        }
        if BASE64_URL_SAFE_NO_PAD.encode(proof) != asked.challenge {
            return refuse("the proof key does not fit");
        }
        known.families += 1;
        let family = known.families;
        drop(known);
        self.issue(Some(family), &asked.scope)
    }

    /// RFC 6749 section 6. A refresh token that comes twice was stolen: its family ends (RFC 9700 section 4.14).
    fn renew(&self, refresh_token: &str) -> Reply {
        let mut known = self.known();
        if let Some(family) = known.replaced.get(refresh_token).copied() {
            known.refresh.retain(|_, of| *of != family);
            known.access.retain(|_, (of, _)| *of != Some(family));
            return refusal(StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token was used before");
        }
        let Some(family) = known.refresh.remove(refresh_token) else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token is not known");
        };
        room(&mut known.replaced);
        known.replaced.insert(refresh_token.to_owned(), family);
        drop(known);
        self.issue(Some(family), "tickets")
    }

    /// RFC 6749 section 5.1.
    fn issue(&self, family: Option<u64>, scope: &str) -> Reply {
        let (Ok(access), Ok(refresh)) = (random(), random()) else { return exhausted() };
        let mut known = self.known();
        let now = consign_store::local_now();
        known.access.retain(|_, (_, ends)| *ends > now);
        room(&mut known.access);
        known.access.insert(access.clone(), (family, now.plus(TOKEN_LIFE)));
        let mut body = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": TOKEN_LIFE.as_secs(), "scope": scope,
        });
        if let Some(family) = family {
            room(&mut known.refresh);
            known.refresh.insert(refresh.clone(), family);
            body["refresh_token"] = refresh.into();
        }
        json_reply(StatusCode::OK, &body)
    }

    /// The approval page: RFC 6749 section 4.1.1. Whoever is not known here is not sent anywhere.
    fn ask(&self, query: &Form) -> Reply {
        let asked = Asked {
            redirect_url: query.text("redirect_uri").to_owned(),
            state: query.text("state").to_owned(),
            challenge: query.text("code_challenge").to_owned(),
            scope: query.text("scope").to_owned(),
        };
        let mut known = self.known();
        let fits = query.text("client_id") == self.0.person.id
            && known.redirect_url.as_ref() == Some(&asked.redirect_url)
            && query.text("response_type") == "code";
        if !fits {
            let why = "<p>The client, or the address it sends people back to, is not known here.</p>";
            return page(StatusCode::BAD_REQUEST, "This request cannot be approved", why);
        }
        if query.text("code_challenge_method") != "S256" || asked.challenge.is_empty() {
            return back(&self.issuer(), &asked, &[("error", "invalid_request")]);
        }
        let Ok(number) = random() else { return exhausted() };
        let shown = format!(
            "<p><b>Consign</b> wants to send tickets for you{}.</p><form method=\"post\" action=\"/decision\">\
             <input type=\"hidden\" name=\"request\" value=\"{number}\">\
             <button name=\"decision\" value=\"approve\">Approve</button> \
             <button name=\"decision\" value=\"deny\">Deny</button></form>",
            if asked.scope.is_empty() {
                String::new()
            } else {
                format!(" (scope {})", escaped(&asked.scope))
            }
        );
        room(&mut known.asked);
        known.asked.insert(number, asked);
        page(StatusCode::OK, "Stand-in authorization server", &shown)
    }

    /// RFC 6749 section 4.1.2.
    fn decide(&self, form: &Form) -> Reply {
        let mut known = self.known();
        let Some(asked) = known.asked.remove(form.text("request")) else {
            let why = "<p>Start again in Consign.</p>";
            return page(StatusCode::BAD_REQUEST, "This page was used before", why);
        };
        if form.text("decision") != "approve" {
            return back(&self.issuer(), &asked, &[("error", "access_denied")]);
        }
        let Ok(code) = random() else { return exhausted() };
        room(&mut known.codes);
        let ends = consign_store::local_now().plus(CODE_LIFE);
        known.codes.insert(code.clone(), (asked.clone(), ends));
        back(&self.issuer(), &asked, &[("code", &code)])
    }
}

/// Makes room for one more.
fn room<T>(kept: &mut HashMap<String, T>) {
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
}

/// Sends the person back, with the issuer of RFC 9207.
fn back(issuer: &str, asked: &Asked, what: &[(&str, &str)]) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(what).append_pair("state", &asked.state).append_pair("iss", issuer);
    let joint = if asked.redirect_url.contains('?') { '&' } else { '?' };
    let to = format!("{}{joint}{}", asked.redirect_url, query.finish());
    let Ok(to) = HeaderValue::from_str(&to) else {
        return page(StatusCode::BAD_REQUEST, "There is no way back", "");
    };
    let mut reply = page(StatusCode::SEE_OTHER, "Back to Consign", "");
    reply.headers_mut().insert(header::LOCATION, to);
    reply
}

fn page(status: StatusCode, title: &str, body: &str) -> Reply {
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui;margin:4rem auto;max-width:32rem;padding:0 1rem}}\
         button{{font:inherit;padding:.4rem 1.2rem}}</style><h1>{title}</h1>{body}</html>"
    );
    with_type(status, "text/html; charset=utf-8", text)
}

fn refusal(status: StatusCode, code: &str, why: &str) -> Reply {
    json_reply(status, &json!({ "error": code, "error_description": why }))
}

fn exhausted() -> Reply {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the system has no randomness")
}

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    with_type(status, "application/json", body.to_string())
}

fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn escaped(text: &str) -> String {
    let escape = |c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => String::from(c),
    };
    text.chars().map(escape).collect()
}

/// Names and values of a form or query.
struct Form(HashMap<String, String>);

impl Form {
    fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests;
