//! A company's proxy: it leads to where it is asked, to whoever signs in.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct CompanyProxy {
    port: u16,
    led: Arc<Mutex<Vec<String>>>,
}

impl CompanyProxy {
    /// One for this user and password.
    pub(crate) async fn start(login: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let led = Arc::<Mutex<Vec<String>>>::default();
        let (written, wanted) =
            (led.clone(), format!("Proxy-Authorization: Basic {}", BASE64_STANDARD.encode(login)));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead(client, wanted.clone(), written.clone()));
            }
        });
        Self { port, led }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// To where it led, one after another.
    pub(crate) fn led(&self) -> Vec<String> {
        self.led.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy of a test")]
async fn lead(mut client: TcpStream, wanted: String, led: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    if !head.lines().any(|line| line == wanted) {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    }
    let Ok(mut server) = TcpStream::connect(to).await else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    led.lock().unwrap_or_else(PoisonError::into_inner).push(to.to_owned());
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
