//! The stand-in tool of the demo: its own HTTPS server with a certificate of its own, which judges the sign-in itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use aws_lc_rs::rand;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::hex::hex;
use consign_core::id::RequestId;
use consign_core::time::Timestamp;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const BODY_BYTES_MAX: usize = 1 << 20;
/// Arrivals kept for the table.
const ARRIVALS_MAX: usize = 10_000;

/// A door of the tool for one authorization type, and the key that opens it.
pub(super) struct Lock {
    kind: &'static str,
    path: String,
    header: Option<String>,
    settings: Value,
}

impl Lock {
    /// The body that creates the credential for this door.
    pub(super) fn credential(&self, name: &str, address: &str) -> Value {
        let whole = self.header.is_none();
        let mut sent = json!({
            "name": name,
            "protocol": "https",
            "url_address": if whole { format!("{}{}", address.trim_end_matches('/'), self.path) } else { address.to_owned() },
            "authorization_type": self.kind,
        });
        if let (Some(sent), Some(settings)) = (sent.as_object_mut(), self.settings.as_object()) {
            sent.extend(settings.clone());
        }
        sent
    }

    /// The body that creates the webhook for this door.
    pub(super) fn webhook(&self, name: &str, credential: &Value, kind: &str) -> Value {
        let path = if self.header.is_some() { self.path.as_str() } else { "" };
        json!({ "name": name, "credential": credential, "path": path, "event_types": [format!("demo.{kind}")] })
    }
}

/// A request that arrived.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) kind: &'static str,
    pub(super) status: u16,
    pub(super) at: Timestamp,
    pub(super) after_ms: u64,
    pub(super) reference: String,
}

/// The running tool.
#[derive(Clone)]
pub(super) struct Tool(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    ca_pem: String,
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

    pub(super) fn ca_pem(&self) -> &str {
        &self.0.ca_pem
    }

    pub(super) fn lock(&self, kind: &str) -> Option<&Lock> {
        self.0.locks.iter().find(|lock| lock.kind == kind)
    }

    /// What arrived after the first `known`.
    pub(super) fn received(&self, known: usize) -> Vec<Arrival> {
        let arrivals = self.0.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(known..).unwrap_or_default().to_vec()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let Some(lock) = self.0.locks.iter().find(|lock| lock.path == head.uri.path()) else {
            return Ok(reply(StatusCode::NOT_FOUND, &json!({ "error": { "message": "no such table" } })));
        };
        let given = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let let_in = given == lock.header.as_deref();
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
        if arrivals.len() < ARRIVALS_MAX {
            arrivals.push(Arrival {
                kind: lock.kind,
                status: status.as_u16(),
                at,
                after_ms: age_ms(event, at),
                reference: reference.clone(),
            });
        }
        let body = if status == StatusCode::CREATED {
            json!({ "result": { "number": reference } })
        } else {
            json!({ "error": { "message": "User Not Authenticated" }, "status": "failure" })
        };
        Ok(reply(status, &body))
    }
}

/// The time since an event was accepted: its id begins with it.
fn age_ms(event: &str, now: Timestamp) -> u64 {
    const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digits = event.strip_prefix("evt_").and_then(|text| text.get(..10)).unwrap_or_default();
    let millis = digits
        .chars()
        .filter_map(|digit| ALPHABET.find(digit))
        .fold(0_i64, |sum, digit| sum * 32 + i64::try_from(digit).unwrap_or(0));
    u64::try_from(now.since(Timestamp::from_millis(millis)).as_millis()).unwrap_or(0)
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Starts the tool on a listener.
pub(super) async fn start(listener: TcpListener) -> anyhow::Result<Tool> {
    let (acceptor, ca_pem) = certificate()?;
    let address = listener.local_addr()?;
    let tool = Tool(Arc::new(Inner { address, ca_pem, locks: locks()?, arrivals: Mutex::default() }));
    let serving = tool.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tool) = (acceptor.clone(), serving.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| tool.clone().answer(request));
                // A client that goes away ends its connection and nothing else.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(tool)
}

/// One door per authorization type, each with a secret made for this run.
fn locks() -> anyhow::Result<Vec<Lock>> {
    let (password, token, path) = (random()?, random()?, random()?);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("demo:{password}")));
    Ok(vec![
        Lock {
            kind: "basic",
            path: "/api/now/table/incident".to_owned(),
            header: Some(basic),
            settings: json!({ "username": "demo", "password": password }),
        },
        Lock {
            kind: "bearer",
            path: "/v1/requests".to_owned(),
            header: Some(format!("Bearer {token}")),
            settings: json!({ "header_prefix": "Bearer", "token": token }),
        },
        Lock { kind: "none", path: format!("/hooks/{path}"), header: None, settings: json!({}) },
    ])
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).ok().context("the system has no randomness")?;
    Ok(hex(&bytes))
}

/// An authority of its own, and a certificate for loopback signed by it.
fn certificate() -> anyhow::Result<(TlsAcceptor, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("Consign demo {}", RequestId::new(consign_store::local_now())));
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let leaf = params.signed_by(&key, &issuer)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority_certificate.pem()))
}
