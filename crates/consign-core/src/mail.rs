//! Mail that Consign writes by itself: addresses (RFC 5322 section 3.4), plain messages (RFC 2045, RFC 2047), and the
//! server that takes them (RFC 8314).
//!
//! A message is made of parsed parts: nothing that somebody typed can begin a line of its own.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::host::Host;
use crate::secret::Secret;
use crate::time::Timestamp;

/// RFC 5321 section 4.5.3.1.1.
const LOCAL_CHARS_MAX: usize = 64;
/// RFC 5321 section 4.5.3.1.3, without the angle brackets.
const ADDRESS_CHARS_MAX: usize = 254;
/// Of a name before an address.
const NAME_CHARS_MAX: usize = 80;
/// So many bytes of UTF-8 make an encoded word of at most 75 characters: RFC 2047 section 2.
const WORD_BYTES_MAX: usize = 42;
/// A subject of this length needs no folding.
const SUBJECT_CHARS_MAX: usize = 60;
/// RFC 2045 section 6.8.
const BASE64_LINE_CHARS: usize = 76;
/// Implicit TLS: RFC 8314 section 7.3.
const IMPLICIT_PORT: u16 = 465;
/// STARTTLS: RFC 6409 section 3.1.
const SUBMISSION_PORT: u16 = 587;

/// An address of mail, with a name before it perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    /// Without anything that has a meaning in a header or a command.
    address: String,
}

/// A text that is no address of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs an address such as ana@acme.example")]
pub struct NoMailbox;

impl Mailbox {
    /// Reads `ana@acme.example` or `Ana Silva <ana@acme.example>`. Quoted local parts and address literals are no
    /// addresses here.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoMailbox> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text),
        };
        let (local, domain) = address.rsplit_once('@').ok_or(NoMailbox)?;
        let dotted = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
        let Ok(Host::Name(domain)) = Host::parse(domain) else { return Err(NoMailbox) };
        let address = format!("{local}@{domain}");
        let named = name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control);
        if !dotted || local.len() > LOCAL_CHARS_MAX || address.len() > ADDRESS_CHARS_MAX || !named {
            return Err(NoMailbox);
        }
        Ok(Self { name: Some(name).filter(|name| !name.is_empty()).map(str::to_owned), address })
    }

    /// The address alone.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    fn header(&self) -> String {
        match &self.name {
            Some(name) => format!("{} <{}>", phrase(name), self.address),
            None => self.address.clone(),
        }
    }
}

/// RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A message of plain text.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who writes.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Mailbox,
    /// One line.
    pub subject: String,
    /// The text, its lines ended by `\n`.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// What no other message is called.
    pub id: String,
}

impl Mail {
    /// The message as it is sent: ASCII, its lines ended by CR LF, and none of them a single dot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let seconds = u64::try_from(self.at.seconds()).unwrap_or(0);
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let date = httpdate::fmt_http_date(at).replace("GMT", "+0000");
        let id: String = self.id.chars().filter(char::is_ascii_alphanumeric).collect();
        let head = [
            ("Date", date),
            ("From", self.from.header()),
            ("To", self.to.header()),
            ("Subject", encoded(&self.subject)),
            ("Message-ID", format!("<{id}@{}>", self.from.domain())),
            // RFC 3834 section 5: nobody's holiday answers it.
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", "text/plain; charset=utf-8".to_owned()),
            ("Content-Transfer-Encoding", "base64".to_owned()),
        ];
        let mut whole: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        whole.push_str("\r\n");
        let text = BASE64_STANDARD.encode(self.text.replace("\r\n", "\n").replace('\n', "\r\n"));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(BASE64_LINE_CHARS));
            whole.push_str(line);
            whole.push_str("\r\n");
            rest = more;
        }
        whole.into_bytes()
    }
}

/// The name before an address (RFC 5322 section 3.2.5): as it is when it is atoms, else as encoded words.
fn phrase(name: &str) -> String {
    let atoms = name.split(' ').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
    if atoms && name.len() <= SUBJECT_CHARS_MAX && !name.contains("=?") {
        return name.to_owned();
    }
    encoded_words(name)
}

/// A text in a header: as it is when it is plain and short, else as encoded words.
fn encoded(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_.,:/()'+&".contains(&byte));
    if plain && text.len() <= SUBJECT_CHARS_MAX && !text.contains("=?") {
        return text;
    }
    encoded_words(&text)
}

/// RFC 2047 section 2.
fn encoded_words(text: &str) -> String {
    let mut words = vec![String::new()];
    for character in text.chars() {
        if words.last().is_none_or(|word| word.len() + character.len_utf8() > WORD_BYTES_MAX) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    let words = words.iter().map(|word| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word)));
    words.collect::<Vec<_>>().join("\r\n ")
}

/// The server that takes mail.
#[derive(Debug)]
pub struct MailServer {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS from the start; otherwise after STARTTLS, and never without.
    pub implicit_tls: bool,
    /// Name and password.
    pub login: Option<MailLogin>,
}

/// Who we are to the server.
pub struct MailLogin {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

impl fmt::Debug for MailLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailLogin({}, …)", self.name)
    }
}

impl MailServer {
    /// Reads `smtps://name:password@host:465` (TLS from the start) or `smtp://name:password@host:587` (STARTTLS). Name
    /// and password are percent-encoded.
    ///
    /// # Errors
    /// What is expected; never a part of the text.
    pub fn parse(url: &Secret) -> Result<Self, &'static str> {
        const FORM: &str = "needs an address such as smtps://name:password@mail.acme.example:465";
        let url = url.expose();
        let (rest, implicit_tls) = match (url.strip_prefix("smtps://"), url.strip_prefix("smtp://")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return Err(FORM),
        };
        let (login, authority) = match rest.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, rest),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let usual = if implicit_tls { IMPLICIT_PORT } else { SUBMISSION_PORT };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| FORM)?),
            _ => (authority, usual),
        };
        let login = match login {
            Some(login) => {
                let (name, password) = login.split_once(':').ok_or(FORM)?;
                let (name, password) = (decoded(name).ok_or(FORM)?, decoded(password).ok_or(FORM)?);
                Some(MailLogin { name, password: Secret::new(password) })
            }
            None => None,
        };
        Ok(Self { host: Host::parse(host).map_err(|_| FORM)?, port, implicit_tls, login })
    }
}

/// Percent-decoded (RFC 3986 section 2.1), without control characters.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let pair = std::str::from_utf8(more.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(pair, 16).ok()?);
        rest = &more[2..];
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests;
