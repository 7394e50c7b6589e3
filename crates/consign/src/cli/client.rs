//! A small client of Consign's own API: HTTP/1.1, with TLS by the authorities of this machine. It never talks
//! to anything but the server it was told, and follows no redirect.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::id::RequestId;
use consign_core::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, IF_MATCH, USER_AGENT};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::failure::{Code, Failure};
use super::output::Output;
use super::upload::Upload;

/// Where the API begins.
const BASE: &str = "/api/v1";
/// The largest answer that is read: a page of 200 events with their details is far smaller.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const AGENT: &str = concat!("consign/", env!("CARGO_PKG_VERSION"));
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The address of a Consign server: an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    secure: bool,
    authority: Authority,
}

impl Server {
    /// Reads an address such as `https://consign.example.com`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong =
            || Failure::usage("The server is given as an address such as https://consign.example.com");
        let address: Uri = text.trim().parse().map_err(|_| wrong())?;
        let secure = match address.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority =
            address.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if !["", "/"].contains(&address.path()) {
            return Err(wrong());
        }
        Ok(Self { secure, authority: authority.clone() })
    }

    /// The origin, without a slash at the end.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// Host and port, as a name for a context.
    pub(crate) fn name(&self) -> String {
        self.authority.to_string()
    }

    /// Whether what is sent can be read on the way.
    pub(crate) fn is_exposed(&self) -> bool {
        let host = self.host();
        !self.secure
            && host != "localhost"
            && !host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 })
    }
}

/// A client with what it needs for each request.
pub(crate) struct Client<'a> {
    pub(crate) server: Server,
    pub(crate) token: Option<Secret>,
    /// Email and password with a colon between them, of somebody who has no token.
    pub(crate) person: Option<Secret>,
    pub(crate) time_max: Duration,
    pub(crate) output: &'a Output,
}

/// A good answer.
pub(crate) struct Answer {
    /// The ETag, to be sent back as If-Match.
    pub(crate) etag: Option<String>,
    /// The body as it came.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body read as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|_| {
            Failure::new(Code::Failed, "The server's answer is not JSON. Is it a Consign server?")
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request before it is sent.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Vec<u8>)>,
    if_match: Option<String>,
    idempotency_key: Option<String>,
    /// The media type of a body that is read while it is sent.
    content_type: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

impl Call {
    /// A request to a path of segments below the API; each segment is escaped.
    pub(crate) fn new(method: Method, segments: &[&str]) -> Self {
        let path = segments.iter().fold(BASE.to_owned(), |path, segment| path + "/" + &escape(segment));
        Self { path, ..Self::empty(method) }
    }

    fn empty(method: Method) -> Self {
        Self {
            method,
            path: String::new(),
            body: None,
            if_match: None,
            idempotency_key: None,
            content_type: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    pub(crate) fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// A path outside the API.
    pub(crate) fn outside(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::empty(Method::GET) }
    }

    /// With a query parameter, if there is a value.
    pub(crate) fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let joint = if self.path.contains('?') { '&' } else { '?' };
            self.path.push_str(&format!("{joint}{name}={}", escape(value)));
        }
        self
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", body.to_string().into_bytes()));
        self
    }

    /// With a body of another media type.
    pub(crate) fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Some((content_type, body));
        self
    }

    /// With a key of the caller's own instead of a new one.
    pub(crate) fn idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(key.to_owned());
        self
    }

    /// The media type of a body that is read while it is sent.
    pub(crate) fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// With a header of its own.
    pub(crate) fn header(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Only while the object is unchanged.
    pub(crate) fn if_match(mut self, etag: &str) -> Self {
        self.if_match = Some(etag.to_owned());
        self
    }
}

/// Status, ETag, request id and body.
type Answered = (u16, Option<String>, String, Bytes);

impl Client<'_> {
    /// Sends, and takes only a success for an answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let shown = format!("{} {}", call.method, call.path);
        let (head, body) = self.request(call)?;
        let request = head.body(Full::new(body)).map_err(unsendable)?;
        let asked = timeout(self.time_max, self.exchange(request)).await;
        self.judge(&shown, asked.map_err(|_| self.too_long())??)
    }

    /// Sends what is read while it is sent. It may take as long as bytes move.
    pub(crate) async fn upload(&self, call: Call, body: Upload) -> Result<Answer, Failure> {
        let shown = format!("{} {}", call.method, call.path);
        let (progress, length) = (body.progress(), body.length());
        let (mut head, _) = self.request(call)?;
        if let Some(length) = length {
            head = head.header(CONTENT_LENGTH, length);
        }
        let request = head.body(body).map_err(unsendable)?;
        let mut asked = std::pin::pin!(self.exchange(request));
        let mut before = 0;
        loop {
            match timeout(self.time_max, asked.as_mut()).await {
                Ok(answer) => return self.judge(&shown, answer?),
                Err(_) if progress.bytes() > before => before = progress.bytes(),
                Err(_) => return Err(self.too_long()),
            }
        }
    }

    fn too_long(&self) -> Failure {
        let line = format!("{} did not answer within {} s", self.server.origin(), self.time_max.as_secs());
        Failure::new(Code::TooLong, &line).and("Give it more time with --timeout")
    }

    fn judge(&self, shown: &str, (status, etag, id, body): Answered) -> Result<Answer, Failure> {
        self.output.detail(&format!("{shown} → {status} {id}"));
        match status {
            200..=299 => Ok(Answer { etag, body }),
            300..=399 => {
                Err(Failure::new(Code::Failed, &format!("{} answers with a redirect", self.server.origin()))
                    .and("Use the address that it leads to"))
            }
            _ => Err(Failure::answered(status, &body)),
        }
    }

    /// Takes an answer of any length portion by portion. The time limit holds for its beginning and between portions.
    pub(crate) async fn download(
        &self,
        call: Call,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let (head, body) = self.request(call)?;
        let request = head.body(Full::new(body)).map_err(unsendable)?;
        let too_long = |_| Failure::new(Code::TooLong, "The answer stopped coming").and("Try it again");
        let mut answer = timeout(self.time_max, self.open(request)).await.map_err(too_long)??;
        let status = answer.status().as_u16();
        if status != 200 {
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(cut_off)?;
            return Err(Failure::answered(status, &body.to_bytes()));
        }
        let unwritten = |error| Failure::caused(Code::Failed, "The answer cannot be written", &error);
        while let Some(frame) = timeout(self.time_max, answer.body_mut().frame()).await.map_err(too_long)? {
            let frame = frame.map_err(|error| cut_off(error.into()))?;
            if let Some(bytes) = frame.data_ref() {
                take(bytes).map_err(unwritten)?;
            }
        }
        Ok(())
    }

    /// A request without its body, and the body that is at hand.
    fn request(&self, call: Call) -> Result<(http::request::Builder, Bytes), Failure> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(HOST, self.server.authority.as_str())
            .header(USER_AGENT, AGENT);
        if !call.headers.iter().any(|(name, _)| name == ACCEPT) {
            request = request.header(ACCEPT, "application/json");
        }
        let bearer = self.token.as_ref().map(|token| Secret::new(format!("Bearer {}", token.expose())));
        // RFC 7617 section 2, in UTF-8.
        let basic =
            |person: &Secret| Secret::new(format!("Basic {}", BASE64_STANDARD.encode(person.expose())));
        if let Some(proof) = bearer.or_else(|| self.person.as_ref().map(basic)) {
            let value = HeaderValue::from_str(proof.expose());
            let mut value = value
                .map_err(|_| Failure::new(Code::SignIn, "The token holds characters that no token has"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(etag) = call.if_match {
            request = request.header(IF_MATCH, etag);
        }
        if call.method == Method::POST {
            let key = call.idempotency_key.unwrap_or_else(|| RequestId::new(self.output.now).to_string());
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let body = match call.body {
            Some((content_type, body)) => {
                request = request.header(CONTENT_TYPE, content_type);
                Bytes::from(body)
            }
            None => Bytes::new(),
        };
        Ok((request, body))
    }

    async fn exchange<B>(&self, request: Request<B>) -> Result<Answered, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer = self.open(request).await?;
        let text =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, etag) = (answer.status().as_u16(), text(ETAG.as_str()));
        let id = text("x-request-id").unwrap_or_default();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, etag, id, body.map_err(cut_off)?.to_bytes()))
    }

    /// Sends and reads the head of the answer.
    async fn open<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = connect(&self.server).await.map_err(|error| self.unreachable(&error))?;
        if !self.server.secure {
            return self.open_over(stream, request).await;
        }
        let name = ServerName::try_from(self.server.host().to_owned())
            .map_err(|_| Failure::usage("The server's name cannot be used with TLS"))?;
        let connector = TlsConnector::from(Arc::new(trust()?));
        let secured = connector.connect(name, stream).await;
        let stream = secured.map_err(|error| self.unreachable(&error))?;
        self.open_over(stream, request).await
    }

    async fn open_over<S, B>(&self, stream: S, request: Request<B>) -> Result<Response<Incoming>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(&error))?;
        // Ends with the answer; its errors are seen by the request.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        let line = format!("{} cannot be reached", self.server.origin());
        Failure::caused(Code::Unreachable, &line, error)
            .and("Check that it runs, and the address: --server, CONSIGN_SERVER or the context")
    }
}

fn unsendable(_: http::Error) -> Failure {
    Failure::usage("The request cannot be made of these values")
}

fn cut_off(_: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    Failure::new(Code::Unreachable, "The answer was cut off or is too large")
}

#[expect(clippy::disallowed_methods, reason = "the operator's own server, named by the operator")]
async fn connect(server: &Server) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((server.host(), server.port())).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The authorities of this machine; `SSL_CERT_FILE` names others.
fn trust() -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::new(Code::Unreachable, "This machine trusts no certificate authority")
            .and("Install ca-certificates, or name a file with SSL_CERT_FILE"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.expect("the provider speaks TLS 1.2 and 1.3");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A text as one path segment or query value: RFC 3986 section 2.3.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

#[cfg(test)]
mod tests;
