//! A request as it was made, kept to be sent again exactly so. Its sign-in is not in it, nor what says when it was sent
//! and that it is ours: time and signature are those of the attempt.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::Message;
use crate::target::RemotePath;

/// Made for each attempt.
const OF_THE_ATTEMPT: [&str; 2] = ["webhook-timestamp", "webhook-signature"];
/// Raised when an older program must not read it.
const FORM: u64 = 1;

/// A request without its sign-in.
#[derive(Clone, Debug)]
pub struct KeptRequest {
    /// Where it went: scheme, host and port.
    pub origin: String,
    /// Its head, without what each attempt makes for itself.
    pub message: Message,
    /// Its body.
    pub body: Bytes,
}

impl KeptRequest {
    /// A request that goes out now; `None` for one with headers that are no text.
    pub fn new(origin: String, message: &Message, body: &Bytes) -> Option<Self> {
        let mut message = message.clone();
        message.headers.retain(|(name, _)| !OF_THE_ATTEMPT.contains(&name.as_str()));
        let text = message.headers.iter().all(|(_, value)| value.to_str().is_ok());
        text.then(|| Self { origin, message, body: body.clone() })
    }

    /// As it is sealed: the head on one line, and the body. A body that is the data of the event is not there twice.
    pub fn to_bytes(&self, data: &[u8]) -> Vec<u8> {
        let is_data = self.body == data;
        let headers = self.message.headers.iter().map(|(name, value)| {
            json!([name.as_str(), value.to_str().expect("headers that are no text are not kept")])
        });
        let head = json!({
            "form": FORM,
            "origin": self.origin,
            "method": self.message.method.as_str(),
            "path": self.message.path.as_str(),
            "headers": headers.collect::<Vec<_>>(),
            "body_is_data": is_data,
        });
        let mut bytes = head.to_string().into_bytes();
        bytes.push(b'\n');
        if !is_data {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Reads what was sealed; `None` for what a newer program may have stored.
    pub fn from_bytes(kept: &[u8], data: &Bytes) -> Option<Self> {
        let end = kept.iter().position(|byte| *byte == b'\n')?;
        let head: Value = serde_json::from_slice(&kept[..end]).ok()?;
        if head["form"] != FORM {
            return None;
        }
        let header = |pair: &Value| {
            let name = HeaderName::from_bytes(pair[0].as_str()?.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(pair[1].as_str()?).ok()?))
        };
        let message = Message {
            method: Method::from_bytes(head["method"].as_str()?.as_bytes()).ok()?,
            path: RemotePath::parse(head["path"].as_str()?).ok()?,
            headers: head["headers"].as_array()?.iter().map(header).collect::<Option<_>>()?,
        };
        let body = if head["body_is_data"] == true {
            data.clone()
        } else {
            Bytes::copy_from_slice(&kept[end + 1..])
        };
        Some(Self { origin: head["origin"].as_str()?.to_owned(), message, body })
    }
}

#[cfg(test)]
mod tests;
