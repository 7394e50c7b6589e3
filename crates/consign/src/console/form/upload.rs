//! Forms with a file: `multipart/form-data` (RFC 7578). The fields in front of the file are read at once, the file piece
//! by piece by whoever expects one.

use axum::body::Body;
use axum::extract::Request;
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;

use super::{Failure, Form};

/// The fields of a form in front of its file: its token, and little else.
const FIELDS_MAX: usize = 16;
const FIELD_BYTES_MAX: usize = 16 << 10;
const HEAD_BYTES_MAX: usize = 4 << 10;
/// RFC 2046 section 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// A file that is being sent.
pub(crate) struct Upload {
    parts: Parts,
    /// What the browser calls it.
    pub(crate) name: String,
}

impl Upload {
    /// The next piece; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        self.parts.piece().await
    }
}

/// Whether a request sends such a form.
pub(crate) fn is_upload(request: &Request) -> bool {
    boundary(request).is_some()
}

fn boundary(request: &Request) -> Option<String> {
    let kind = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let parameters = kind.strip_prefix("multipart/form-data")?;
    let text = parameters.split(';').find_map(|one| one.trim().strip_prefix("boundary="))?.trim_matches('"');
    (1..=BOUNDARY_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// Reads the fields, up to the first file.
pub(crate) async fn begin(request: Request) -> Result<(Form, Option<Upload>), Failure> {
    let boundary = boundary(&request).ok_or(Failure::NotAForm)?;
    let mut parts = Parts::new(request.into_body(), &boundary);
    let mut fields = Vec::new();
    while let Some(head) = parts.next().await? {
        if let Some(name) = head.file {
            return Ok((Form(fields), Some(Upload { parts, name })));
        }
        let mut value = Vec::new();
        while let Some(piece) = parts.piece().await? {
            value.extend_from_slice(&piece);
            if value.len() > FIELD_BYTES_MAX {
                return Err(Failure::TooLarge);
            }
        }
        let value = String::from_utf8(value).map_err(|_| Failure::NotAForm)?;
        fields.push((head.field, value));
        if fields.len() > FIELDS_MAX {
            return Err(Failure::TooLarge);
        }
    }
    Ok((Form(fields), None))
}

/// The head of a part.
struct Head {
    field: String,
    file: Option<String>,
}

/// The parts of a body, one after the other.
struct Parts {
    body: Body,
    waiting: BytesMut,
    /// A line break, two dashes and the boundary: what ends a part.
    end: Vec<u8>,
    /// The present part has been read.
    over: bool,
}

impl Parts {
    fn new(body: Body, boundary: &str) -> Self {
        // The first boundary may stand at the very beginning, where no line break is before it.
        Self {
            body,
            waiting: BytesMut::from(&b"\r\n"[..]),
            end: format!("\r\n--{boundary}").into_bytes(),
            over: false,
        }
    }

    /// The next part, after the rest of the present one.
    async fn next(&mut self) -> Result<Option<Head>, Failure> {
        while self.piece().await?.is_some() {}
        self.over = false;
        while self.waiting.len() < 2 {
            self.more().await?;
        }
        if self.waiting.starts_with(b"--") {
            return Ok(None);
        }
        let length = loop {
            if let Some(found) = position(&self.waiting, b"\r\n\r\n") {
                break found;
            }
            if self.waiting.len() > HEAD_BYTES_MAX {
                return Err(Failure::NotAForm);
            }
            self.more().await?;
        };
        let head = self.waiting.split_to(length);
        self.waiting.advance(4);
        read_head(str::from_utf8(&head).map_err(|_| Failure::NotAForm)?).map(Some)
    }

    /// The next bytes of the present part; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if self.over {
                return Ok(None);
            }
            if let Some(found) = position(&self.waiting, &self.end) {
                let piece = self.waiting.split_to(found).freeze();
                self.waiting.advance(self.end.len());
                self.over = true;
                return Ok(Some(piece).filter(|piece| !piece.is_empty()));
            }
            // What may be the beginning of the end stays.
            let sure = self.waiting.len().saturating_sub(self.end.len());
            if sure > 0 {
                return Ok(Some(self.waiting.split_to(sure).freeze()));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    self.waiting.extend_from_slice(bytes);
                }
                Ok(())
            }
            Some(Err(_)) | None => Err(Failure::NotAForm),
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// `Content-Disposition: form-data; name="file"; filename="backup.tar.zst"`
fn read_head(text: &str) -> Result<Head, Failure> {
    let line = text.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"));
    let line = line.ok_or(Failure::NotAForm)?;
    let parameter = |name: &str| {
        let (_, after) = line.split_once(&format!("; {name}=\""))?;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    let field = parameter("name").ok_or(Failure::NotAForm)?;
    Ok(Head { field, file: parameter("filename") })
}

#[cfg(test)]
mod tests;
