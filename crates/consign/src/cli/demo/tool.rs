//! The stand-in tool of the demo: its own HTTPS server, which judges the sign-in itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::time::Timestamp;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::authorization_server::AuthorizationServer;
use super::https::{Identity, random};

const BODY_BYTES_MAX: usize = 1 << 20;
/// Where many records arrive at once; the key of *Basic* opens it.
pub(super) const BULK: &str = "/bulk/devices";
/// Rows of the page.
const PAGE_ROWS_MAX: usize = 200;
/// Arrivals kept for the table.
const ARRIVALS_MAX: usize = 10_000;

/// A door of the tool for one authorization type, and the key that opens it.
pub(super) struct Lock {
    kind: &'static str,
    path: String,
    opens: Opens,
    settings: Value,
}

/// What opens a door.
enum Opens {
    /// This `Authorization` header.
    Header(String),
    /// Knowing the path.
    Path,
    /// An access token of the authorization server, of a person or not.
    Token { of_person: bool },
}

impl Lock {
    /// The body that creates the credential for this door.
    pub(super) fn credential(&self, name: &str, address: &str) -> Value {
        let whole = matches!(self.opens, Opens::Path);
        let mut sent = json!({
            "name": name,
            "protocol": "https",
            "url_address": if whole { format!("{}{}", address.trim_end_matches('/'), self.path) } else { address.to_owned() },
            "authorization_type": self.kind,
        });
        if !whole {
            sent["test_path"] = self.path.as_str().into();
        }
        if let (Some(sent), Some(settings)) = (sent.as_object_mut(), self.settings.as_object()) {
            sent.extend(settings.clone());
        }
        sent
    }

    /// The body that creates the webhook for this door.
    pub(super) fn webhook(&self, name: &str, credential: &Value, kind: &str) -> Value {
        let path = if matches!(self.opens, Opens::Path) { "" } else { self.path.as_str() };
        json!({ "name": name, "credential": credential, "path": path, "event_types": [format!("demo.{kind}")] })
    }
}

/// A request that arrived.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) kind: &'static str,
    pub(super) status: u16,
    pub(super) at: Timestamp,
    pub(super) after: Duration,
    pub(super) reference: String,
}

/// The running tool.
#[derive(Clone)]
pub(super) struct Tool(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    tokens: AuthorizationServer,
    locks: Vec<Lock>,
    arrivals: Mutex<Vec<Arrival>>,
}

impl Tool {
    pub(super) fn address(&self) -> String {
        format!("https://{}/", self.0.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.address.port()
    }

    pub(super) fn lock(&self, kind: &str) -> Option<&Lock> {
        self.0.locks.iter().find(|lock| lock.kind == kind)
    }

    /// What arrived after the first `known`.
    pub(super) fn received(&self, known: usize) -> Vec<Arrival> {
        let arrivals = self.0.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(known..).unwrap_or_default().to_vec()
    }

    /// Whether this `Authorization` header opens a door.
    fn lets_in(&self, lock: &Lock, given: Option<&str>) -> bool {
        match &lock.opens {
            Opens::Header(header) => given == Some(header),
            Opens::Path => given.is_none(),
            Opens::Token { of_person } => given
                .and_then(|header| header.strip_prefix("Bearer "))
                .is_some_and(|token| self.0.tokens.accepts(token, *of_person)),
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if head.method == Method::GET
            && head.uri.path() == "/"
            && !head.headers.contains_key(header::AUTHORIZATION)
        {
            return self.page();
        }
        let Some(lock) = self.0.locks.iter().find(|lock| lock.path == head.uri.path()) else {
            return reply(StatusCode::NOT_FOUND, &json!({ "error": { "message": "no such table" } }));
        };
        let given = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let let_in = self.lets_in(lock, given);
        if head.method == Method::GET && let_in {
            return reply(StatusCode::OK, &json!({ "result": [] }));
        }
        let whole = Limited::new(body, BODY_BYTES_MAX).collect().await.is_ok();
        let at = consign_store::local_now();
        let event = head.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut arrivals = self.0.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match (let_in, whole) {
            (true, true) => StatusCode::CREATED,
            (false, _) => StatusCode::UNAUTHORIZED,
            (true, false) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        let reference = format!("INC{:07}", 10_001 + arrivals.len());
        if lock.path != BULK && head.method != Method::GET && arrivals.len() < ARRIVALS_MAX {
            arrivals.push(Arrival {
                kind: lock.kind,
                status: status.as_u16(),
                at,
                after: age(event, at),
                reference: reference.clone(),
            });
        }
        let body = if status == StatusCode::CREATED {
            json!({ "result": { "number": reference } })
        } else {
            json!({ "error": { "message": "User Not Authenticated" }, "status": "failure" })
        };
        reply(status, &body)
    }
}

impl Tool {
    /// What arrived, the newest first, as a page for people. All of it was made here: there is nothing to escape.
    fn page(&self) -> Response<Full<Bytes>> {
        let rows: String = self.received(0).iter().rev().take(PAGE_ROWS_MAX).map(Arrival::row).collect();
        let text = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Stand-in tool</title></head>\
             <body><main><h1>Stand-in tool of the demo</h1><p>What arrived here, the newest first. Load the page again for more.</p>\
             <table border=\"1\" cellpadding=\"6\"><caption>Requests that arrived</caption><thead><tr><th scope=\"col\">Time (UTC)</th>\
             <th scope=\"col\">Authorization</th><th scope=\"col\">Answer</th><th scope=\"col\">Reference</th></tr></thead>\
             <tbody>{rows}</tbody></table></main></body></html>\n"
        );
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let html = header::HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
        response
    }
}

impl Arrival {
    fn row(&self) -> String {
        let clock = self.at.to_string();
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            clock.get(11..19).unwrap_or_default(),
            self.kind,
            self.status,
            self.reference
        )
    }
}

/// The time since an event was accepted: its id begins with it.
fn age(event: &str, now: Timestamp) -> Duration {
    const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digits = event.strip_prefix("evt_").and_then(|text| text.get(..10)).unwrap_or_default();
    let millis = digits
        .chars()
        .filter_map(|digit| ALPHABET.find(digit))
        .fold(0_i64, |sum, digit| sum * 32 + i64::try_from(digit).unwrap_or(0));
    now.since(Timestamp::from_millis(millis))
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Starts the tool on a listener.
pub(super) fn start(
    listener: TcpListener,
    identity: &Identity,
    tokens: &AuthorizationServer,
) -> anyhow::Result<Tool> {
    let (address, locks) = (listener.local_addr()?, locks(tokens)?);
    let tool = Tool(Arc::new(Inner { address, tokens: tokens.clone(), locks, arrivals: Mutex::default() }));
    let serving = tool.clone();
    identity.serve(listener, move |request| serving.clone().answer(request));
    Ok(tool)
}

/// One door per authorization type, each with a secret made for this run.
fn locks(tokens: &AuthorizationServer) -> anyhow::Result<Vec<Lock>> {
    let (password, token, path) = (random()?, random()?, random()?);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("demo:{password}")));
    Ok(vec![
        Lock {
            kind: "basic",
            path: "/api/now/table/incident".to_owned(),
            opens: Opens::Header(basic.clone()),
            settings: json!({ "username": "demo", "password": password }),
        },
        Lock { kind: "basic", path: BULK.to_owned(), opens: Opens::Header(basic), settings: json!({}) },
        Lock {
            kind: "bearer",
            path: "/v1/requests".to_owned(),
            opens: Opens::Header(format!("Bearer {token}")),
            settings: json!({ "header_prefix": "Bearer", "token": token }),
        },
        Lock {
            kind: "oauth2_client_credentials",
            path: "/api/v2/tickets".to_owned(),
            opens: Opens::Token { of_person: false },
            settings: tokens.of_machine(),
        },
        Lock {
            kind: "oauth2_authorization_code",
            path: "/rest/servicedeskapi/request".to_owned(),
            opens: Opens::Token { of_person: true },
            settings: tokens.of_person(),
        },
        Lock {
            kind: "oauth2_saml_bearer",
            path: "/odata/v2/upsert".to_owned(),
            opens: Opens::Token { of_person: false },
            settings: tokens.of_signer(),
        },
        Lock { kind: "none", path: format!("/hooks/{path}"), opens: Opens::Path, settings: json!({}) },
    ])
}
