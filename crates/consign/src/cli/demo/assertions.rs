//! The stand-in authorization server checks SAML assertions with xmlsec1: a program of somebody else, so that what Consign
//! signs is not judged by Consign. Where it is not installed, the demo says so and leaves this type out.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use consign_core::id::RequestId;
use consign_core::time::Timestamp;

use crate::config::variable;

/// How to get the verifier.
pub(super) const ADVICE: &str = "apt-get install xmlsec1 (or your system's own package of it)";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion";
/// Of ids that were seen; a demo sees a handful.
const SEEN_MAX: usize = 1_000;

/// Verifies assertions of one signer.
pub(super) struct Verifier {
    program: PathBuf,
    folder: PathBuf,
    trusted: Mutex<Option<Trusted>>,
    seen: Mutex<HashSet<String>>,
}

/// What an assertion must say, and the certificate it must be signed for.
#[derive(Clone)]
pub(super) struct Trusted {
    pub(super) certificate: String,
    pub(super) issuer: String,
    pub(super) name_id: String,
    /// The token address: recipient and audience.
    pub(super) address: String,
}

impl Verifier {
    /// The verifier, if its program is installed. `folder`: for files that live as long as a question.
    pub(super) fn find(folder: PathBuf) -> Option<Self> {
        let path = variable("PATH")?;
        let mut programs = std::env::split_paths(&path).map(|folder| folder.join("xmlsec1"));
        let program = programs.find(|program| program.is_file())?;
        Some(Self { program, folder, trusted: Mutex::default(), seen: Mutex::default() })
    }

    /// The tool's administrator registers a signer.
    pub(super) fn trust(&self, trusted: Trusted) {
        *self.trusted.lock().unwrap_or_else(PoisonError::into_inner) = Some(trusted);
    }

    /// RFC 7522 section 3. The error is the description for the client.
    pub(super) fn judge(&self, assertion: &str, now: Timestamp) -> Result<(), &'static str> {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trusted = trusted.ok_or("no issuer is registered")?;
        let xml = BASE64_URL_SAFE_NO_PAD.decode(assertion).map_err(|_| "the assertion is no base64url")?;
        let signed = self.verified(&xml, &trusted.certificate).ok_or("the signature is not valid")?;
        let says = |before: &str, text: &str, after: &str| signed.contains(&format!("{before}{text}{after}"));
        if !says("<saml:Issuer>", &trusted.issuer, "</saml:Issuer>") {
            return Err("the issuer is not known");
        }
        if !says("<saml:Audience>", &trusted.address, "</saml:Audience>") {
            return Err("the audience is another one");
        }
        if !says(" Recipient=\"", &trusted.address, "\"") {
            return Err("the recipient is another one");
        }
        if !says(">", &trusted.name_id, "</saml:NameID>") {
            return Err("the user is not known");
        }
        let time =
            |name: &str| between(&signed, &format!(" {name}=\""), "\"").and_then(Timestamp::parse_rfc3339);
        let (begins, ends) = time("NotBefore").zip(time("NotOnOrAfter")).ok_or("it has no NotOnOrAfter")?;
        if now < begins || now >= ends {
            return Err("the assertion is expired or not yet valid");
        }
        let id = between(&signed, " ID=\"", "\"").ok_or("it has no ID")?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        if seen.insert(id.to_owned()) { Ok(()) } else { Err("the assertion was used before") }
    }

    /// What xmlsec1 digested, when the signature holds for this certificate and no other.
    fn verified(&self, xml: &[u8], certificate: &str) -> Option<String> {
        let name = RequestId::new(consign_store::local_now());
        let (assertion, key) =
            (self.folder.join(format!("{name}.xml")), self.folder.join(format!("{name}.pem")));
        let written = std::fs::write(&assertion, xml).and_then(|()| std::fs::write(&key, certificate));
        let said = written.ok().and_then(|()| {
            let mut command = Command::new(&self.program);
            command.args(["--verify", "--store-references", "--print-debug", "--pubkey-cert-pem"]).arg(&key);
            command.args(["--enabled-key-data", "rsa,x509", "--id-attr:ID", ASSERTION]).arg(&assertion);
            command.stdin(Stdio::null()).output().ok()
        });
        for file in [&assertion, &key] {
            // The whole folder is removed at the end of the demo.
            let _ = std::fs::remove_file(file);
        }
        let said = said.filter(|said| said.status.success())?;
        let said = String::from_utf8(said.stdout).ok()?;
        between(&said, "== PreDigest data - start buffer:\n", "\n== PreDigest data - end buffer")
            .map(str::to_owned)
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests;
