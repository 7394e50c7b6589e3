//! The way through a proxy: CONNECT, and what it answers (RFC 9110 section 9.3.6). What is spoken behind it, TLS or SSH,
//! is between us and the destination.

use std::io;
use std::time::Duration;

use consign_core::host::Host;
use consign_core::proxy::Proxy;
use consign_core::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::words;

/// The head of an answer to CONNECT is a line and some headers.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Answers before the answer (RFC 9110 section 15.2): proxies send one or two, to say that they are still at it.
const INTERIM_MAX: usize = 16;

/// Why a proxy is no way to a destination.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyFault {
    #[error("The company proxy {proxy} cannot be reached: {detail}. See Settings > Egress.")]
    Away { proxy: String, detail: String },
    #[error(
        "The company proxy {proxy} was reached and did not open the way to {host}:{port} within {}. The destination may be slow, or a firewall may block it.",
        words(*.limit)
    )]
    Silent { proxy: String, host: Host, port: u16, limit: Duration },
    #[error(
        "The company proxy {proxy} was reached and ended the connection before it answered: {detail}. See Settings > Egress."
    )]
    Ended { proxy: String, detail: String },
    #[error("The company proxy asks for sign-in (407). See Settings > Egress.")]
    SignIn,
    #[error("The company proxy {proxy} does not let this server reach {host}:{port} ({status}).")]
    Refused { proxy: String, host: Host, port: u16, status: u16 },
    #[error("The company proxy {proxy} could not reach {host}:{port} ({status}).")]
    NotReached { proxy: String, host: Host, port: u16, status: u16 },
    #[error("The company proxy {proxy} answered something that is not HTTP. See Settings > Egress.")]
    NotHttp { proxy: String },
}

/// Asks for the way to a destination. Nothing that comes behind the answer is read here: it is the destination's.
pub(crate) async fn tunnel(
    mut stream: TcpStream,
    proxy: &Proxy,
    (host, port): (&Host, u16),
) -> Result<TcpStream, ProxyFault> {
    let ended =
        |error: io::Error| ProxyFault::Ended { proxy: proxy.name(), detail: error.kind().to_string() };
    let target = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    let head = Secret::new(match &proxy.authorization {
        Some(authorization) => format!("{target}Proxy-Authorization: {}\r\n\r\n", authorization.expose()),
        None => format!("{target}\r\n"),
    });
    stream.write_all(head.expose().as_bytes()).await.map_err(ended)?;
    let not_http = || ProxyFault::NotHttp { proxy: proxy.name() };
    match final_status(&mut stream).await.map_err(ended)?.ok_or_else(not_http)? {
        200..=299 => Ok(stream),
        407 => Err(ProxyFault::SignIn),
        status @ 502..=504 => {
            Err(ProxyFault::NotReached { proxy: proxy.name(), host: host.clone(), port, status })
        }
        status => Err(ProxyFault::Refused { proxy: proxy.name(), host: host.clone(), port, status }),
    }
}

/// The status of the answer. What comes before it, other than a change of protocol, says nothing yet. `None` when it is no
/// answer.
async fn final_status(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    for _ in 0..=INTERIM_MAX {
        match status(stream).await? {
            Some(100 | 102..=199) => {}
            answer => return Ok(answer),
        }
    }
    Ok(None)
}

/// Reads a head, byte by byte so that nothing behind it is taken, and tells the status. `None` when it is no head, or too
/// long.
async fn status(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX || !head.starts_with(&b"HTTP/1."[..head.len().min(7)]) {
            return Ok(None);
        }
        head.push(stream.read_u8().await?);
    }
    // `HTTP/1.1 200 ...`: RFC 9112 section 4.
    let digits =
        head.get(9..12).filter(|_| head.get(8) == Some(&b' ') && matches!(head.get(12), Some(b' ' | b'\r')));
    Ok(digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()))
}
