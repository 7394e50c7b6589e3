//! A request before it leaves: address and headers joined from parsed parts, and looked at once more.

use std::time::Duration;

use consign_core::connector::Message;
use consign_core::credential::Access;
use consign_core::delivery::{Outcome, Refusal};
use consign_core::secret::Secret;
use consign_core::target::{Origin, RemotePath};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::NothingSent;
use crate::body::{Body, Sending};

/// Names that frame the message or belong to the connection; the rules at save time exclude them already.
const FRAMING: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "http2-settings",
];
/// What a line of a head has beside name and value: a colon, a space and the end of the line.
const LINE_EXTRA_BYTES: usize = 4;

/// A request that is complete but for the version of HTTP.
pub(crate) struct Draft {
    pub(super) request: Request<Body>,
    /// How far a body has come that is made while it is sent, and for how long it may stand still.
    pub(super) sending: Option<(Sending, Duration)>,
    /// Scheme, authority, path and query; HTTP/1.1 sends only the last two.
    pub(super) uri: Uri,
    pub(super) host: HeaderValue,
    pub(super) bytes: u64,
}

/// Why a request was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftFault {
    #[error("the address of the request leaves {0}")]
    LeavesOrigin(Origin),
    #[error("the header {0} is set automatically")]
    Framing(HeaderName),
    #[error("the value of the header {0} has characters that cannot be sent")]
    Value(HeaderName),
}

impl From<DraftFault> for NothingSent {
    fn from(fault: DraftFault) -> Self {
        let words = fault.to_string();
        let detail = format!("The request was not sent: {words}.");
        Self { outcome: Outcome::Refused { refusal: Refusal::NotRendered(words) }, detail }
    }
}

impl Draft {
    /// Joins the message with the access: its headers replace those of the message, its secret path goes
    /// before the message's own. The finished address must have exactly the origin of the access.
    pub(crate) fn new(access: &Access, message: &Message, body: Body) -> Result<Self, DraftFault> {
        let mut start = Start::new(access, message)?;
        for (name, value) in &message.headers {
            check(name, value)?;
            start.headers.insert(name, value.clone());
        }
        Self::joined(access, message, body, start)
    }

    /// The same for headers of someone else, of which one name may have several values, each of any bytes that a header
    /// may have.
    pub(crate) fn passing_on(access: &Access, message: &Message, body: Body) -> Result<Self, DraftFault> {
        let mut start = Start::new(access, message)?;
        for (name, value) in &message.headers {
            if is_framing(name) && *name != ACCEPT_ENCODING {
                return Err(DraftFault::Framing(name.clone()));
            }
            start.headers.append(name, value.clone());
        }
        if body.length().is_none() {
            // Without it a method that rarely has a body would have none.
            start.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Self::joined(access, message, body, start)
    }

    fn joined(
        access: &Access,
        message: &Message,
        body: Body,
        Start { uri, host, mut headers }: Start,
    ) -> Result<Self, DraftFault> {
        for (name, value) in &access.headers {
            check(name, value)?;
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let length = body.length();
        let has_body = matches!(message.method, Method::POST | Method::PUT | Method::PATCH);
        if let Some(length) = length.filter(|length| *length > 0 || has_body) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_EXTRA_BYTES);
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
        let first_line = message.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
        let bytes = first_line + lines.sum::<usize>() + "\r\n".len();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(length.unwrap_or(0));
        let sending = body.sending();
        let mut request = Request::new(body);
        *request.method_mut() = message.method.clone();
        *request.headers_mut() = headers;
        Ok(Self { request, sending, uri, host, bytes })
    }
}

/// What a request begins with.
struct Start {
    uri: Uri,
    host: HeaderValue,
    headers: HeaderMap,
}

impl Start {
    fn new(access: &Access, message: &Message) -> Result<Self, DraftFault> {
        let authority = access.origin.authority();
        let uri = join(&access.origin, &authority, access.path.as_ref(), &message.path)?;
        let host =
            HeaderValue::try_from(authority).map_err(|_| DraftFault::LeavesOrigin(access.origin.clone()))?;
        let mut headers = HeaderMap::with_capacity(message.headers.len() + access.headers.len() + 3);
        headers.insert(HOST, host.clone());
        Ok(Self { uri, host, headers })
    }
}

/// The address of the request, taken apart again and compared with what was meant, byte by byte.
fn join(
    origin: &Origin,
    authority: &str,
    base: Option<&Secret>,
    path: &RemotePath,
) -> Result<Uri, DraftFault> {
    let target = RemotePath::join(base.map(Secret::expose), path);
    let target = target.expose();
    let leaves = || DraftFault::LeavesOrigin(origin.clone());
    let uri = Uri::try_from(format!("https://{authority}{target}")).map_err(|_| leaves())?;
    let same_scheme = uri.scheme_str() == Some("https");
    let same_authority = uri.authority().is_some_and(|own| own.as_str() == authority);
    let same_target = uri.path_and_query().is_some_and(|own| own.as_str() == target);
    if same_scheme && same_authority && same_target && target.starts_with('/') {
        Ok(uri)
    } else {
        Err(leaves())
    }
}

/// The last look at a header before it leaves: nothing that frames the message, one line of visible ASCII.
fn check(name: &HeaderName, value: &HeaderValue) -> Result<(), DraftFault> {
    if is_framing(name) {
        return Err(DraftFault::Framing(name.clone()));
    }
    let bytes = value.as_bytes();
    let blank_edge = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    if blank_edge || !bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(DraftFault::Value(name.clone()));
    }
    Ok(())
}

fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str()) || name.as_str().starts_with("proxy-")
}
