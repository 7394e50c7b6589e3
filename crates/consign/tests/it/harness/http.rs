//! A plain HTTP/1.1 client that sends what it is told, follows nothing, and remembers every reply for the canaries.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::peers;

/// Longer than any answer that a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// One answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Method and path that it answers.
    pub(crate) asked: String,
}

impl Reply {
    /// The reply itself, when it has the status that a test needs to go on.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The `code` of a problem document.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}: {}",
            self.asked,
            self.text()
        );
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The sentences of a 422, each with its pointer and code.
    #[track_caller]
    pub(crate) fn faults(&self) -> Vec<(String, String, String)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let problem = self.json();
        let rows = problem["errors"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| (text(row, "pointer"), text(row, "code"), text(row, "message"))).collect()
    }

    /// Where a redirect leads.
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        let location = self.header("location");
        location
            .unwrap_or_else(|| panic!("{} has no Location: {} {}", self.asked, self.status, self.text()))
            .to_owned()
    }

    /// Head and body as text, for the canaries. Cookies are the browser's own secret and stand in the head alone.
    fn as_served(&self) -> Vec<u8> {
        let mut served = Vec::with_capacity(self.body.len() + 512);
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != hyper::header::SET_COOKIE) {
            served.extend_from_slice(name.as_str().as_bytes());
            served.extend_from_slice(b": ");
            served.extend_from_slice(value.as_bytes());
            served.push(b'\n');
        }
        served.extend_from_slice(&self.body);
        served
    }
}

/// What was served, and as an answer to what.
pub(crate) type Served = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Speaks to one address.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// Over TLS, to a peer with a certificate of the authority.
    secure: bool,
    served: Served,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, served: Served) -> Self {
        Self { address, secure: false, served }
    }

    /// Speaks to a peer as others do, over TLS.
    pub(crate) fn secure(address: SocketAddr) -> Self {
        Self { address, secure: true, served: Served::default() }
    }

    /// The same memory, another address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, secure: self.secure, served: self.served.clone() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let reply = self.try_send(method, path, headers, body).await;
        reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Client::send`], where a server that does not answer is no failure.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        let sent = tokio::time::timeout(PATIENCE, self.exchange(method, path, headers, body.into()));
        let reply = sent.await.map_err(|_| "no answer in time".to_owned())??;
        let entry = (reply.asked.clone(), reply.as_served());
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(reply)
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let stream = connect(self.address).await.map_err(|error| error.to_string())?;
        if self.secure {
            let stream = peers::secured(stream).await.map_err(|error| error.to_string())?;
            converse(stream, request).await
        } else {
            converse(stream, request).await
        }
    }
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let asked = format!("{} {}", request.method(), request.uri());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    connection.abort();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body, asked })
}

#[expect(clippy::disallowed_methods, reason = "the client of the tests dials the product, not a third party")]
pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A parameter in the query of an address, decoded.
pub(crate) fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').expect("a query").1;
    let pairs = decoded_pairs(query);
    pairs.into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {address}")).1
}

fn decoded_pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// Text as it stands in a form or query.
pub(crate) fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The body of a posted form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value)));
    pairs.collect::<Vec<_>>().join("&")
}
