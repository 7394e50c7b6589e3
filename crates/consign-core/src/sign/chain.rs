//! A certificate with those behind it that lead to an authority (RFC 8446 section 4.4.2): read, judged, and written again.

use x509_cert::der::Decode as _;

use super::{Certificate, pem};
use crate::catalog::{Fault, too_long};
use crate::secret::Secret;

/// The longest text of a chain.
pub const CHARACTERS_MAX: usize = 64 << 10;
/// Chains of the web have three.
const CERTIFICATES_MAX: usize = 10;

/// Certificates, ours first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Ours.
    pub own: Certificate,
    /// Those behind it, in DER.
    authorities: Vec<Vec<u8>>,
}

impl Chain {
    /// Reads a chain: PEM, or the Base64 of one certificate in DER. Its times are not judged.
    ///
    /// # Errors
    /// The sentence for the certificate.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.chars().count() > CHARACTERS_MAX {
            return Err(too_long("Client certificate", CHARACTERS_MAX));
        }
        if text.contains("PRIVATE KEY-----") {
            let sentence = "There is a private key among the certificates. Put it into its own field";
            return Err(Fault::new("private_key_given", sentence));
        }
        let blocks = pem::blocks(text).filter(|blocks| blocks.len() > 1);
        let Some(blocks) = blocks else {
            return Certificate::parse(text).map(|own| Self { own, authorities: Vec::new() });
        };
        if blocks.len() > CERTIFICATES_MAX {
            let sentence = format!("Add {CERTIFICATES_MAX} certificates or fewer");
            return Err(Fault::new("too_many", sentence));
        }
        let mut all = blocks.iter();
        let own = all.next().map_or("", |block| block.text);
        let own = Certificate::parse(own)?;
        let authorities = all.map(|block| {
            let read = x509_cert::Certificate::from_der(&block.content);
            let is_one = block.label.ends_with("CERTIFICATE") && read.is_ok();
            is_one.then(|| block.content.to_vec())
        });
        let unreadable = || {
            let sentence =
                "Each block behind the client certificate must be an X.509 certificate in PEM form";
            Fault::new("bad_form", sentence)
        };
        let authorities: Option<Vec<_>> = authorities.collect();
        Ok(Self { own, authorities: authorities.ok_or_else(unreadable)? })
    }

    /// A text without the private keys in it, and those keys: files often hold both.
    pub fn without_private_keys(text: &str) -> (String, Secret) {
        let (mut rest, mut keys) = (text.to_owned(), String::new());
        for block in pem::blocks(text).unwrap_or_default() {
            if block.label.ends_with("PRIVATE KEY") {
                rest = rest.replacen(block.text, "", 1);
                keys.push_str(block.text);
                keys.push('\n');
            }
        }
        (rest, Secret::new(keys))
    }

    /// The certificates of a stored text, in DER, ours first. `None` when it is no such text.
    pub fn stored(text: &str) -> Option<Vec<Vec<u8>>> {
        let blocks = pem::blocks(text)?;
        let all: Vec<_> = blocks.iter().map(|block| block.content.to_vec()).collect();
        (!all.is_empty()).then_some(all)
    }

    /// The text as it is stored.
    pub fn pem(&self) -> String {
        let behind = self.authorities.iter().map(|der| pem::certificate(der));
        std::iter::once(self.own.pem()).chain(behind).collect()
    }
}
