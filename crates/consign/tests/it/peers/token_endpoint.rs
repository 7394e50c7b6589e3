//! A token endpoint of our own that answers as no decent one does, and the class that each answer belongs to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Answer, Asked, Tool, authority, self_signed};
use crate::harness::http;

/// Stands in every body that has room for it, and must be found nowhere else.
pub(crate) const MARKER: &str = "Zq7TokenEndpointSays";

/// A redirect leads here, at the same origin; nobody may ask for it.
pub(crate) const EVIL_PATH: &str = "/evil";

/// The largest body that is read, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest token, in characters.
const TOKEN_CHARACTERS_MAX: usize = 16_384;

/// What the endpoint does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// One after the other, and the last one for good.
    Answers(Vec<Answer>),
    /// Nobody listens at the port.
    NoListener,
    /// Packets get no answer.
    BlackHole,
    /// A trusted certificate for somebody else.
    WrongName,
    /// A certificate that nobody vouches for.
    SelfSigned,
}

/// The class of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Works,
    /// A matter of time: the grant and a token that is still good stay.
    Transient,
    /// Final: somebody has to repair the credential.
    Refused,
    /// The refresh token or code is no longer good. Without a person this is the same as refused.
    GrantEnded,
}

/// The endpoint. It answers well until it is told otherwise.
pub(crate) struct TokenEndpoint {
    tool: Tool,
    /// Holds the port of a black hole.
    hole: Option<Hole>,
}

struct Hole {
    _listener: TcpListener,
    /// They fill the queue, so that nobody else gets an answer.
    _waiting: Vec<TcpStream>,
}

impl TokenEndpoint {
    pub(crate) async fn start() -> Self {
        let tool = Tool::start().await;
        tool.answer(token(&json!({})));
        Self { tool, hole: None }
    }

    pub(crate) fn token_url(&self) -> String {
        format!("{}token", self.tool.origin())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.tool.port()))
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.tool.asked()
    }

    /// From now on, at the same address. Who is connected is hung up on.
    pub(crate) async fn reply(&mut self, reply: &Reply) {
        self.tool.close().await;
        self.hole = None;
        match reply {
            Reply::Answers(answers) => {
                self.tool.answer_each(answers.clone());
                self.tool.open_as(&authority().identity()).await;
            }
            Reply::NoListener => {}
            Reply::BlackHole => self.hole = Some(Hole::at(self.address()).await),
            Reply::WrongName => self.tool.open_as(&authority().identity_of_another()).await,
            Reply::SelfSigned => self.tool.open_as(&self_signed()).await,
        }
    }
}

impl Hole {
    /// A listener whose queue is full: the system drops whatever else comes.
    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(UNANSWERED, http::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        Self { _listener: listener, _waiting: waiting }
    }
}

/// On loopback an answer takes microseconds.
pub(crate) const UNANSWERED: Duration = Duration::from_millis(300);

/// Every hostile or odd reply, with its name and its class. The names with a number are those of the threat model.
pub(crate) fn hostile_replies() -> Vec<(&'static str, Reply, Expected)> {
    [connections(), framings(), statuses(), bodies(), lifetimes(), refresh_tokens()].concat()
}

type Row = (&'static str, Reply, Expected);

fn connections() -> Vec<Row> {
    vec![
        ("H01 refused", Reply::NoListener, Expected::Transient),
        ("H02 black hole", Reply::BlackHole, Expected::Transient),
        ("H03 TLS wrong name", Reply::WrongName, Expected::Transient),
        ("H04 TLS self-signed", Reply::SelfSigned, Expected::Transient),
        row("not HTTP", Answer::Noise, Expected::Transient),
        row("hangs up", Answer::HangUp, Expected::Transient),
        row("silence", Answer::Silence, Expected::Transient),
    ]
}

fn framings() -> Vec<Row> {
    use Expected::{Refused, Transient, Works};
    let body = well().to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let sized = format!("{head}content-length: {}\r\n\r\n", body.len());
    let slow = [sized.as_bytes(), body.as_bytes()].concat();
    let bytes = |head: &str, body: &str| Answer::Bytes(format!("{head}\r\n{body}").into_bytes());
    let old = "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n";
    let two = format!("{head}content-length: {}\r\ncontent-length: 9\r\n", body.len());
    vec![
        row("H05 stalls after headers", Answer::Stall(sized.into_bytes()), Transient),
        row("H06 1 byte/s", Answer::Drip(Duration::from_secs(1), slow), Transient),
        row("H07 endless chunked", Answer::Endless, Transient),
        row("H08 1 GiB", Answer::Gibibyte, Transient),
        row("H09 gzip bomb", Answer::Bytes(gzip_bomb()), Refused),
        row("H10 redirect 301", redirect(301), Refused),
        row("H10 redirect 302", redirect(302), Refused),
        row("H10 redirect 303", redirect(303), Refused),
        row("H10 redirect 307", redirect(307), Refused),
        row("H10 redirect 308", redirect(308), Refused),
        row("H11 HTTP/1.0 close without length", bytes(old, &body), Works),
        row("H12 two Content-Length", bytes(&two, &body), Transient),
        row("cut", Answer::Cut, Transient),
        row("largest body", padded(BODY_BYTES_MAX), Works),
        row("body one byte too large", padded(BODY_BYTES_MAX + 1), Transient),
    ]
}

fn statuses() -> Vec<Row> {
    use Expected::{GrantEnded, Refused, Transient, Works};
    let page = format!("<!doctype html><title>Sign in</title><p>{MARKER}</p>");
    let form = format!("access_token={MARKER}-access&token_type=Bearer&expires_in=3600");
    let denied = json!({ "error": "server_error", "error_description": "access_denied" });
    let challenge = [("www-authenticate", "Basic realm=\"tokens\""), ("content-type", "application/json")];
    vec![
        row("H13 200 with a sign-in page", typed(200, "text/html", page.clone()), Refused),
        row("H14 200 form-encoded", typed(200, "application/x-www-form-urlencoded", form), Refused),
        row("H15 200 empty", Answer::status(200), Transient),
        row("H16 204", Answer::status(204), Transient),
        row("H17 400 invalid_client", error(400, "invalid_client"), Refused),
        row("H18 400 invalid_grant", error(400, "invalid_grant"), GrantEnded),
        row("H19 401 with WWW-Authenticate", headed(401, &challenge, &fault("invalid_client")), Refused),
        row("H20 429 and Retry-After", headed(429, &[("retry-after", "7")], &json!({})), Transient),
        row("H21 500", error(500, "server_error"), Transient),
        // The first one is transient, and the next one works.
        ("H22 503 then 200", Reply::Answers(vec![Answer::status(503), token(&json!({}))]), Transient),
        row("201", Answer::json(201, &well()), Works),
        row("408", Answer::status(408), Transient),
        row("425", Answer::status(425), Transient),
        row("502 with a page", typed(502, "text/html", page.clone()), Transient),
        row("503 invalid_client", error(503, "invalid_client"), Transient),
        row("400 unauthorized_client", error(400, "unauthorized_client"), Refused),
        row("400 unsupported_grant_type", error(400, "unsupported_grant_type"), Refused),
        row("400 invalid_scope", error(400, "invalid_scope"), Refused),
        row("400 with an error nobody knows", error(400, "no_such_error"), Refused),
        row("400 with a page", typed(400, "text/html", page.clone()), Refused),
        row("404 with a page", typed(404, "text/html", page), Refused),
        row("401 server_error access_denied (ServiceNow)", Answer::json(401, &denied), Refused),
        row("403 invalid_grant (Atlassian)", error(403, "invalid_grant"), GrantEnded),
        row("401 invalid_grant", error(401, "invalid_grant"), GrantEnded),
        row("200 with an OAuth error", error(200, "invalid_client"), Refused),
        row("200 with invalid_grant", error(200, "invalid_grant"), GrantEnded),
    ]
}

fn bodies() -> Vec<Row> {
    use Expected::{Refused, Works};
    let longest = |more: usize| MARKER.to_owned() + &"a".repeat(TOKEN_CHARACTERS_MAX + more - MARKER.len());
    let twice = format!(
        "{{\"access_token\":\"{MARKER}-1\",\"token_type\":\"Bearer\",\"access_token\":\"{MARKER}-2\"}}"
    );
    let twice_deep =
        format!("{{\"access_token\":\"{MARKER}-1\",\"token_type\":\"Bearer\",\"more\":{{\"a\":1,\"a\":2}}}}");
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        raw_json(&format!(
            "{{\"access_token\":\"{MARKER}\",\"token_type\":\"Bearer\",\"more\":{open}{close}}}"
        ))
    };
    let not_utf8 = b"{\"access_token\":\"Zq7TokenEndpointSays\xff\",\"token_type\":\"Bearer\"}";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", not_utf8.len());
    let not_utf8 = [head.as_bytes(), b"content-type: application/json\r\n\r\n", &not_utf8[..]].concat();
    vec![
        row("longest access token", token(&json!({ "access_token": longest(0) })), Works),
        row("access token one character too long", token(&json!({ "access_token": longest(1) })), Refused),
        row("empty access token", token(&json!({ "access_token": "" })), Refused),
        row("access token with a line break", token(&json!({ "access_token": "Zq7\r\nx: y" })), Refused),
        row("access token with a blank", token(&json!({ "access_token": "Zq7 a" })), Refused),
        row("access token beyond ASCII", token(&json!({ "access_token": "Zq7\u{e9}" })), Refused),
        row("access token is a number", token(&json!({ "access_token": 7 })), Refused),
        row("no access token", without("access_token"), Refused),
        row("no token type", without("token_type"), Refused),
        row("token type mac", token(&json!({ "token_type": "mac" })), Refused),
        row("token type bEaReR", token(&json!({ "token_type": "bEaReR" })), Works),
        row("an unknown member", token(&json!({ "instance_url": "https://x.example" })), Works),
        row("a smaller scope", token(&json!({ "scope": "read" })), Works),
        row("the same key twice", raw_json(&twice), Refused),
        row("the same key twice, deep inside", raw_json(&twice_deep), Refused),
        row("depth 8", nested(8), Works),
        row("depth 9", nested(9), Refused),
        row("an array", Answer::json(200, &json!([well()])), Refused),
        row("a string", Answer::json(200, &json!(MARKER)), Refused),
        row("half a JSON object", raw_json(&well().to_string()[..40]), Refused),
        row("something after the JSON object", raw_json(&format!("{}{{}}", well())), Refused),
        row("not UTF-8", Answer::Bytes(not_utf8), Refused),
    ]
}

fn lifetimes() -> Vec<Row> {
    use Expected::{Refused, Works};
    let lasting = |value: &str| {
        raw_json(&format!(
            "{{\"access_token\":\"{MARKER}\",\"token_type\":\"Bearer\",\"expires_in\":{value}}}"
        ))
    };
    vec![
        row("expires_in missing", without("expires_in"), Works),
        row("expires_in \"3600\"", lasting("\"3600\""), Works),
        row("expires_in -1", lasting("-1"), Works),
        row("expires_in 0", lasting("0"), Works),
        row("expires_in 1", lasting("1"), Works),
        row("expires_in 40 days", lasting("3456000"), Works),
        row("expires_in 1e12", lasting("1e12"), Works),
        row("expires_in fractional", lasting("3599.5"), Works),
        row("expires_in soon", lasting("\"soon\""), Refused),
        row("expires_in \"-1\"", lasting("\"-1\""), Refused),
        row("expires_in \"\"", lasting("\"\""), Refused),
        row("expires_in true", lasting("true"), Refused),
        row("expires_in an object", lasting("{}"), Refused),
    ]
}

fn refresh_tokens() -> Vec<Row> {
    use Expected::{GrantEnded, Refused, Works};
    let longest = "r".repeat(TOKEN_CHARACTERS_MAX);
    let refresh = |value: Value| token(&json!({ "refresh_token": value }));
    vec![
        row("a refresh token", refresh(json!(format!("{MARKER}-refresh"))), Works),
        row("longest refresh token", refresh(json!(longest)), Works),
        row("refresh token too long", refresh(json!(format!("{longest}r"))), Refused),
        row("refresh token with a line break", refresh(json!("Zq7\n")), Refused),
        row("refresh token is a number", refresh(json!(7)), Refused),
        row("refresh token empty", refresh(json!("")), GrantEnded),
    ]
}

fn row(name: &'static str, answer: Answer, expected: Expected) -> Row {
    (name, Reply::Answers(vec![answer]), expected)
}

/// A good answer with these members added or changed.
pub(crate) fn token(more: &Value) -> Answer {
    let mut body = well();
    crate::harness::merge(&mut body, more);
    Answer::json(200, &body)
}

fn without(name: &str) -> Answer {
    let mut body = well();
    body.as_object_mut().unwrap().remove(name);
    Answer::json(200, &body)
}

fn well() -> Value {
    json!({ "access_token": format!("{MARKER}-access"), "token_type": "Bearer", "expires_in": 3600 })
}

fn fault(code: &str) -> Value {
    json!({ "error": code, "error_description": format!("{MARKER} in words") })
}

fn error(status: u16, code: &str) -> Answer {
    Answer::json(status, &fault(code))
}

fn headed(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answer::Reply(status, headers.collect(), body.to_string())
}

fn typed(status: u16, content_type: &str, body: String) -> Answer {
    Answer::Reply(status, vec![("content-type".to_owned(), content_type.to_owned())], body)
}

fn raw_json(text: &str) -> Answer {
    typed(200, "application/json", text.to_owned())
}

fn redirect(status: u16) -> Answer {
    Answer::with(status, &[("location", EVIL_PATH)])
}

/// A good answer of exactly so many bytes.
fn padded(bytes: usize) -> Answer {
    let body = well().to_string();
    raw_json(&format!("{body}{}", " ".repeat(bytes - body.len())))
}

/// 60 KiB that become 60 MiB of zeros. In its one block of DEFLATE (RFC 1951) the bit pair 00 stands for 258
/// more of them, so that nearly all of it is zeros as well; any gzip reads it.
fn gzip_bomb() -> Vec<u8> {
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    const CODES: &[u8] = b"\xed\xc0\x81\0\0\0\0\x80\xa0\xfd\xa9\x17\xa9\0";
    const PAIRS_BYTES: usize = 61_000;
    const END: &[u8] = b"\x06";
    const CHECKSUM: u32 = 0x53d4_21a1;
    const LENGTH: u32 = 62_953_033;
    let pairs = vec![0; PAIRS_BYTES];
    let trailer = [CHECKSUM.to_le_bytes(), LENGTH.to_le_bytes()].concat();
    let body = [GZIP, CODES, &pairs, END, &trailer].concat();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n";
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}
