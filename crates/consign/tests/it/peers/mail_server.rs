//! A server that takes mail, with TLS from the start or after STARTTLS, and does what a test tells it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::tool::tls;
use super::{Identity, authority};

/// A mail that was taken: who it is from and for, and every line of it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) lines: Vec<String>,
}

impl Taken {
    /// The text, decoded.
    pub(crate) fn text(&self) -> String {
        let body: String = self.lines.iter().skip_while(|line| !line.is_empty()).cloned().collect();
        String::from_utf8(BASE64_STANDARD.decode(body).expect("Base64")).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let found: Vec<_> = self.lines.iter().filter_map(|line| line.strip_prefix(&start)).collect();
        assert_eq!(found.len(), 1, "{name}: {:?}", self.lines);
        found[0].to_owned()
    }
}

/// How it behaves.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// TLS from the start.
    pub(crate) implicit: bool,
    /// It says nothing of STARTTLS.
    pub(crate) without_tls: bool,
    /// It says more than it was asked when TLS begins.
    pub(crate) injects: bool,
    /// It knows AUTH LOGIN alone.
    pub(crate) login_only: bool,
    /// It refuses each mail after it was told, with these words before the decoded text of the mail.
    pub(crate) repeats: Option<String>,
    /// A command that it refuses, and how.
    pub(crate) refuses: Option<(String, String)>,
}

#[derive(Clone)]
pub(crate) struct MailServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    manners: Manners,
    commands: Vec<String>,
    taken: Vec<Taken>,
}

impl MailServer {
    pub(crate) async fn start(manners: Manners) -> Self {
        Self::start_as(manners, &authority().identity()).await
    }

    pub(crate) async fn start_as(manners: Manners, identity: &Identity) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let state = Arc::new(Mutex::new(State { manners, ..State::default() }));
        let server = Self { address: listener.local_addr().unwrap(), state };
        let (serving, acceptor) = (server.clone(), TlsAcceptor::from(Arc::new(tls(identity))));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, acceptor) = (serving.clone(), acceptor.clone());
                // What became of a connection is the business of its other side.
                tokio::spawn(async move {
                    if server.manners().implicit {
                        return server.talk(acceptor.accept(stream).await?, false).await.map(drop);
                    }
                    match server.talk(stream, true).await? {
                        Some(stream) => server.talk(acceptor.accept(stream).await?, false).await.map(drop),
                        None => io::Result::Ok(()),
                    }
                });
            }
        });
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.state().manners = manners;
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state().taken.clone()
    }

    /// Every line that was said to it, but those of a mail.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manners(&self) -> Manners {
        self.state().manners.clone()
    }

    /// Until the other side goes, or TLS begins: then the stream comes back.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, plain: bool) -> io::Result<Option<S>> {
        let mut stream = BufReader::new(stream);
        let manners = self.manners();
        if plain || manners.implicit {
            stream.write_all(b"220 mail.acme.example ESMTP\r\n").await?;
        }
        let mut login_left = 0;
        let mut mail = Taken { from: String::new(), to: Vec::new(), lines: Vec::new() };
        loop {
            let Some(line) = line(&mut stream).await? else { return Ok(None) };
            self.state().commands.push(line.clone());
            // AUTH LOGIN: the name, then the password.
            if login_left > 0 {
                login_left -= 1;
                let answer = if login_left > 0 { "334 UGFzc3dvcmQ6" } else { "235 welcome" };
                stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
                continue;
            }
            let upper = line.to_ascii_uppercase();
            let refused = manners.refuses.as_ref().filter(|(start, _)| upper.starts_with(start.as_str()));
            let answer = match (refused, upper.split([' ', ':']).next().unwrap_or_default()) {
                (Some((_, answer)), _) => answer.clone(),
                (None, "EHLO") => offers(&manners, plain),
                (None, "STARTTLS") => {
                    let more = if manners.injects { "250 injected\r\n" } else { "" };
                    stream.write_all(format!("220 go on\r\n{more}").as_bytes()).await?;
                    return Ok(Some(stream.into_inner()));
                }
                (None, "AUTH") if manners.login_only => {
                    login_left = 2;
                    "334 VXNlcm5hbWU6".to_owned()
                }
                (None, "AUTH") => "235 welcome".to_owned(),
                (None, "MAIL") => {
                    mail.from = line[10..].to_owned();
                    "250 ok".to_owned()
                }
                (None, "RCPT") => {
                    mail.to.push(line[8..].to_owned());
                    "250 ok".to_owned()
                }
                (None, "DATA") => {
                    stream.write_all(b"354 go on\r\n").await?;
                    while let Some(line) = self::line(&mut stream).await?.filter(|line| line != ".") {
                        mail.lines.push(line);
                    }
                    self.state().taken.push(mail.clone());
                    match &manners.repeats {
                        Some(words) => format!("{words} {}", mail.text().replace(['\r', '\n'], " ")),
                        None => "250 taken".to_owned(),
                    }
                }
                (None, "QUIT") => "221 bye".to_owned(),
                (None, other) => format!("500 what is {other}?"),
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

fn offers(manners: &Manners, plain: bool) -> String {
    let tls = if plain && !manners.without_tls { "250-STARTTLS\r\n" } else { "" };
    let auth = if manners.login_only { "LOGIN" } else { "PLAIN LOGIN" };
    let auth = if plain { String::new() } else { format!("250-AUTH {auth}\r\n") };
    format!("250-mail.acme.example\r\n{tls}{auth}250 SIZE 1000000")
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let whole = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("not ended by CR LF: {line:?}"));
    Ok(Some(whole.to_owned()))
}
