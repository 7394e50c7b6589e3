//! Hands a message to a server of mail (RFC 5321, RFC 3207, RFC 4954, RFC 8314). Nothing but the greeting is said before
//! TLS is verified, and without TLS nothing is sent.
//!
//! By hand and not with a library: libraries of mail dial by themselves, and what leaves here is dialled, judged and
//! verified in one place.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::mail::{Mail, MailLogin, MailServer};
use consign_core::secret::Secret;
use consign_core::target::Origin;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::{Network, NothingSent, Timing, guard, now};

/// All of it. Servers take their time to look at who comes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// RFC 5321 section 4.5.3.1.5, with room.
const LINE_BYTES_MAX: u64 = 2_048;
/// Lines of one reply.
const LINES_MAX: usize = 100;
/// Of what a server says.
const SAID_CHARS_MAX: usize = 200;

/// Why a message was not handed over. Each is a whole sentence.
#[derive(Debug, thiserror::Error)]
pub enum MailFault {
    /// The server was not reached, or not believed.
    #[error("{0}")]
    Unreached(String),
    /// The server offers no TLS.
    #[error(
        "The mail server does not offer STARTTLS, and nothing is sent without TLS. Use smtps:// if it does that."
    )]
    NoTls,
    /// There is a password, and no way to use it.
    #[error("The mail server offers neither AUTH PLAIN nor AUTH LOGIN.")]
    NoSignIn,
    /// The password was not taken. What the server says about it is not shown: it may repeat it.
    #[error("The mail server refused the sign-in ({0}). Check name and password in smtp.url.")]
    SignIn(u16),
    /// Something else was refused.
    #[error("The mail server refused {what}: {}", format!("{code} {said}").trim_end())]
    Refused {
        /// Which part.
        what: &'static str,
        /// The status.
        code: u16,
        /// Its words, cut. About the message only the status of RFC 3463: it may repeat what stands in it.
        said: String,
    },
    /// It did not answer in time, or not in the form of SMTP.
    #[error("The mail server {0}.")]
    Broken(&'static str),
}

/// What a recipient is called in a fault, and the message that is for this one alone.
const RECIPIENT: &str = "the recipient";
const MESSAGE: &str = "the message";

impl MailFault {
    /// Whether it says that this recipient never gets this message: RFC 5321 section 4.2.1, `5yz`.
    pub fn is_of_recipient(&self) -> bool {
        matches!(self, Self::Refused { what: RECIPIENT | MESSAGE, code: 500..=599, .. })
    }
}

impl From<NothingSent> for MailFault {
    fn from(fault: NothingSent) -> Self {
        Self::Unreached(fault.detail)
    }
}

impl From<std::io::Error> for MailFault {
    fn from(_: std::io::Error) -> Self {
        Self::Broken("ended the connection")
    }
}

impl Network {
    /// Hands a message over.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send_mail(&self, server: &MailServer, mail: &Mail) -> Result<(), MailFault> {
        let deadline = now() + TIMEOUT;
        match timeout_at(deadline.into(), hand_over(self, server, mail, deadline)).await {
            Ok(done) => done,
            Err(_) => Err(MailFault::Broken("did not answer within 60 s")),
        }
    }
}

async fn hand_over(
    network: &Network,
    server: &MailServer,
    mail: &Mail,
    deadline: Instant,
) -> Result<(), MailFault> {
    let named = format!("https://{}:{}/", server.host, server.port);
    let origin = Origin::parse("", &named).map_err(|_| MailFault::Broken("has no usable address"))?;
    let guard = network.guard.for_mail(server.port);
    let limit = network.connect_timeout;
    let dialled =
        guard::dial(&guard, &server.host, server.port, limit, deadline, &mut Timing::default()).await;
    let mut stream = dialled.map_err(NothingSent::from)?;
    if !server.implicit_tls {
        stream = start_tls(stream, mail.from.domain()).await?;
    }
    let secured = network.tls.handshake_of_mail(stream, &origin, limit, deadline).await;
    let mut talk = Talk(BufReader::new(secured.map_err(NothingSent::from)?));
    if server.implicit_tls {
        talk.reply("the connection", &[220]).await?;
    }
    let offers = talk.hello(mail.from.domain()).await?;
    if let Some(login) = &server.login {
        talk.sign_in(login, &offers).await?;
    }
    talk.ask(&format!("MAIL FROM:<{}>", mail.from.address()), "the sender", &[250]).await?;
    // 251: it is not local and is forwarded; RFC 5321 section 3.4.1.
    talk.ask(&format!("RCPT TO:<{}>", mail.to.address()), RECIPIENT, &[250, 251]).await?;
    talk.ask("DATA", MESSAGE, &[354]).await?;
    // No line of it begins with a dot: it is headers and Base64.
    talk.0.write_all(&mail.to_bytes()).await?;
    talk.ask(".", MESSAGE, &[250]).await?;
    // It is theirs; whether they say goodbye does not matter.
    let _ = talk.ask("QUIT", "the end", &[221]).await;
    Ok(())
}

/// The part without TLS. What came with the answer to STARTTLS was not said by whom TLS proves, and ends it.
async fn start_tls(stream: TcpStream, own_name: &str) -> Result<TcpStream, MailFault> {
    let mut talk = Talk(BufReader::new(stream));
    talk.reply("the connection", &[220]).await?;
    let offers = talk.hello(own_name).await?;
    if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        return Err(MailFault::NoTls);
    }
    talk.ask("STARTTLS", "STARTTLS", &[220]).await?;
    if !talk.0.buffer().is_empty() {
        return Err(MailFault::Broken("said more than it was asked before the connection was secure"));
    }
    Ok(talk.0.into_inner())
}

/// The status of RFC 3463 with which a reply may begin (RFC 2034), such as `5.7.1`; empty when it does not.
fn enhanced_status(said: &str) -> &str {
    let word = said.split(' ').next().unwrap_or_default();
    let is_number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = word.split('.').collect();
    if parts.len() == 3 && parts.into_iter().all(is_number) { word } else { "" }
}

/// Lines to and fro.
struct Talk<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Says who we are; what the server offers.
    async fn hello(&mut self, own_name: &str) -> Result<Vec<String>, MailFault> {
        self.ask(&format!("EHLO {own_name}"), "the greeting", &[250]).await
    }

    async fn ask(
        &mut self,
        line: &str,
        what: &'static str,
        expected: &[u16],
    ) -> Result<Vec<String>, MailFault> {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.0.flush().await?;
        self.reply(what, expected).await
    }

    /// The lines of a reply with a status that is needed to go on.
    async fn reply(&mut self, what: &'static str, expected: &[u16]) -> Result<Vec<String>, MailFault> {
        let (code, lines) = self.read().await?;
        if expected.contains(&code) {
            return Ok(lines);
        }
        let said = lines.join(" ");
        let said: String = match what {
            // Filters name the address that they dislike, and the link of an invitation lets somebody in.
            MESSAGE => enhanced_status(&said).to_owned(),
            _ => said.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect(),
        };
        Err(MailFault::Refused { what, code, said })
    }

    async fn read(&mut self) -> Result<(u16, Vec<String>), MailFault> {
        const FORM: MailFault = MailFault::Broken("does not speak SMTP");
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut line = Vec::new();
            let read = (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
            if read == 0 {
                return Err(MailFault::Broken("ended the connection"));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\n').ok_or(FORM)?.trim_end();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or(FORM)?;
            let rest = line.get(3..).unwrap_or_default();
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            match rest.as_bytes().first() {
                Some(b'-') => {}
                None | Some(b' ') => return Ok((code, lines)),
                Some(_) => return Err(FORM),
            }
        }
        Err(FORM)
    }

    async fn sign_in(&mut self, login: &MailLogin, offers: &[String]) -> Result<(), MailFault> {
        let mechanisms = offers.iter().find_map(|offer| {
            let (word, rest) = offer.split_once(' ')?;
            word.eq_ignore_ascii_case("AUTH").then(|| rest.to_ascii_uppercase())
        });
        let mechanisms = mechanisms.unwrap_or_default();
        let has = |name: &str| mechanisms.split_whitespace().any(|one| one == name);
        let text = |value: &str| Secret::new(BASE64_STANDARD.encode(value));
        let refused = |fault: MailFault| match fault {
            MailFault::Refused { code, .. } => MailFault::SignIn(code),
            other => other,
        };
        if has("PLAIN") {
            let both = Secret::new(format!("\0{}\0{}", login.name, login.password.expose()));
            let line = Secret::new(format!("AUTH PLAIN {}", text(both.expose()).expose()));
            self.ask(line.expose(), "the sign-in", &[235]).await.map_err(refused)?;
        } else if has("LOGIN") {
            self.ask("AUTH LOGIN", "the sign-in", &[334]).await.map_err(refused)?;
            self.ask(text(&login.name).expose(), "the sign-in", &[334]).await.map_err(refused)?;
            self.ask(text(login.password.expose()).expose(), "the sign-in", &[235]).await.map_err(refused)?;
        } else {
            return Err(MailFault::NoSignIn);
        }
        Ok(())
    }
}
