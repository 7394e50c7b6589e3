//! A call by a person, to see that a gateway works: on the same way as every call, without a body, and with the beginning of
//! the answer to look at.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_core::catalog::{Fault, Reader};
use consign_core::connector::{Gateway, Kind};
use consign_core::rights::Right;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt as _, Empty};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::by_reference;
use crate::App;
use crate::engine::{Call, CallAnswer, CallBody, CallFault, Hangup};
use crate::ops::calls::{self, Asked, NotBegun};
use crate::ops::{Actor, OpError, Sent};

/// A person waits no longer, however patient the gateway is.
const TIME_MAX: Duration = Duration::from_secs(30);
/// What is shown of an answer.
const SHOWN_BYTES_MAX: usize = 64 << 10;
/// What can be tried: a call that changes nothing.
pub const METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// Calls the tool and keeps the beginning of its answer. Nothing of it is an error of this operation: what Consign itself
/// answers is in what it gives.
///
/// # Errors
/// Without the right, when there is no such gateway, or for what cannot be tried.
pub async fn trial(app: &App, actor: &Actor, reference: &str, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::GatewayCall)?;
    let connector = by_reference(&mut *app.store.read().await?, reference).await?;
    let gateway = connector.gateway().ok_or(OpError::NotFound("gateway"))?;
    let (method, path) = read(sent)?;
    let begun = app.now();
    let tried = call(app, actor, gateway, (&method, &path)).await?;
    let mut shown = match tried {
        Ok(answer) => show(answer).await,
        Err((code, detail)) => json!({
            "status": null, "code": code, "detail": detail, "headers": [], "body": null, "body_bytes": 0, "is_whole": true,
        }),
    };
    shown["method"] = json!(method.as_str());
    shown["path"] = json!(path);
    shown["duration_ms"] = json!(u64::try_from(app.now().since(begun).as_millis()).unwrap_or(u64::MAX));
    Ok(shown)
}

fn read(sent: Sent) -> Result<(Method, String), OpError> {
    let mut reader = Reader::new(sent);
    let text = if reader.has("method") { reader.text("method", "Method") } else { "GET".to_owned() };
    let method = METHODS.into_iter().find(|method| method.as_str() == text);
    if method.is_none() {
        let sentence = "Method must be GET or HEAD. Other calls change something, and are for applications";
        reader.refuse("method", Fault::new("unknown", sentence));
    }
    let path = reader.text("path", "Path").trim().to_owned();
    if !path.starts_with('/') {
        reader.refuse("path", Fault::new("slash_needed", "Path must start with /"));
    }
    reader.refuse_unknown(&["method", "path"], &[]);
    let invalid = reader.into_invalid();
    match method {
        Some(method) if invalid.is_empty() => Ok((method, path)),
        _ => Err(OpError::Invalid(invalid)),
    }
}

/// Code and sentence of an answer of Consign's own.
type Own = (&'static str, String);

async fn call(
    app: &App,
    actor: &Actor,
    gateway: &Gateway,
    (method, target): (&Method, &str),
) -> Result<Result<CallAnswer, Own>, OpError> {
    let headers: HeaderMap = [(ACCEPT, HeaderValue::from_static("*/*"))].into_iter().collect();
    let asked =
        Asked { slug: gateway.slug.as_str(), method, target, headers: &headers, hangup: Hangup::default() };
    let own = |fault: CallFault| Ok(Err((fault.code(), fault.detail())));
    let call = match calls::begin(app, actor, asked) {
        Ok(call) => call,
        Err(NotBegun::NoGateway) => return Err(OpError::NotFound("gateway")),
        Err(NotBegun::KeyNotAllowed) => {
            return Ok(Err(("gateway_not_allowed", "This API key may not use this gateway.".to_owned())));
        }
        Err(NotBegun::Method(fault, _) | NotBegun::Fault(fault)) => return own(fault),
    };
    match timeout(TIME_MAX, app.engine.forward_call(searched(call), Empty::<Bytes>::new())).await {
        Ok(Ok(answer)) => Ok(Ok(answer)),
        Ok(Err(fault)) => own(fault),
        Err(_) => Ok(Err(("tool_too_slow", "Nothing came within 30 seconds.".to_owned()))),
    }
}

/// What a person looks at is searched for secrets, also where the gateway passes answers on as they come.
fn searched(mut call: Call) -> Call {
    if let Kind::Gateway(gateway) = &mut Arc::make_mut(&mut call.connector).kind {
        gateway.scrub_answers = true;
    }
    call
}

async fn show(CallAnswer { status, headers, mut body }: CallAnswer) -> Value {
    let mut bytes = Vec::new();
    let is_whole = timeout(TIME_MAX, beginning(&mut body, &mut bytes)).await.unwrap_or(false);
    let text = text_of(&bytes, is_whole);
    let headers = headers.iter().map(
        |(name, value)| json!({ "name": name.as_str(), "value": String::from_utf8_lossy(value.as_bytes()) }),
    );
    json!({
        "status": status.as_u16(), "code": null, "detail": null, "headers": headers.collect::<Vec<_>>(),
        "body": text, "body_bytes": bytes.len(), "is_whole": is_whole,
    })
}

/// Reads what is shown, and tells whether that is all of it.
async fn beginning(body: &mut CallBody, bytes: &mut Vec<u8>) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Ok(piece) = frame.into_data() else { continue };
        let room = SHOWN_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            return false;
        }
    }
    true
}

/// As text, if it is; where it was cut off a character may be, too.
fn text_of(bytes: &[u8], is_whole: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if !is_whole && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
