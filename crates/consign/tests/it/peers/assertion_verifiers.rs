//! Verifiers of SAML assertions that share no code with us, nor with each other: xmlsec1 (libxml2), signxml (lxml and
//! pyca/cryptography) and xml-crypto (xmldom and Node.js). What they verified is read back by lxml and expat.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Folder, variable};

/// What stands in an assertion, as a parser of somebody else reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reading {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) issued_at: String,
    pub(crate) issuer: String,
    pub(crate) name_id: String,
    pub(crate) name_id_format: String,
    pub(crate) name_qualifier: String,
    pub(crate) method: String,
    pub(crate) recipient: String,
    pub(crate) confirmed_until: String,
    pub(crate) confirmed_from: Option<String>,
    pub(crate) begins: String,
    pub(crate) ends: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) authn_context: String,
    pub(crate) attributes: Vec<(String, Vec<String>)>,
}

/// A program that answers a line of JSON with another one.
struct Answering {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Answering {
    fn start(program: &str, script: &str) -> Self {
        let mut command = Command::new(program);
        let mut child =
            command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("it says {line:?} to {question}"))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All verifiers, started.
pub(crate) struct Verifiers {
    signxml: Answering,
    xml_crypto: Answering,
    folder: Folder,
}

/// What the verifiers say of one assertion: the content that each of them verified.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The canonical form that xmlsec1 digested.
    pub(crate) xmlsec1: Result<String, String>,
    /// The canonical form that xml-crypto digested.
    pub(crate) xml_crypto: Result<String, String>,
    /// What lxml reads in what signxml verified.
    pub(crate) signxml: Result<Reading, String>,
}

impl Verified {
    pub(crate) fn is_refused_by_all(&self) -> bool {
        self.xmlsec1.is_err() && self.xml_crypto.is_err() && self.signxml.is_err()
    }
}

impl Verifiers {
    pub(crate) fn start() -> Self {
        let scripts = std::path::PathBuf::from(variable("CONSIGN_TEST_AUTHORIZATION_SERVER"));
        let script = |name: &str| scripts.with_file_name(name).display().to_string();
        Self {
            signxml: Answering::start(&variable("CONSIGN_TEST_PYTHON"), &script("verify-assertions.py")),
            xml_crypto: Answering::start(&variable("CONSIGN_TEST_NODE"), &script("verify-assertions.mjs")),
            folder: Folder::new("assertions"),
        }
    }

    pub(crate) fn verify(&mut self, xml: &str, certificate: &str) -> Verified {
        Verified {
            xmlsec1: self.xmlsec1(xml, certificate),
            xml_crypto: self.xml_crypto(xml, certificate),
            signxml: self.signxml(xml, certificate),
        }
    }

    /// Verifies with the given certificate alone; what stands in the assertion is not trusted.
    pub(crate) fn xmlsec1(&self, xml: &str, certificate: &str) -> Result<String, String> {
        let (file, key) = (self.folder.write("a.xml", xml), self.folder.write("c.pem", certificate));
        let mut command = Command::new(variable("CONSIGN_TEST_XMLSEC1"));
        command.args(["--verify", "--store-references", "--print-debug", "--pubkey-cert-pem"]).arg(key);
        command.arg("--enabled-key-data").arg("rsa,ec,x509").arg("--ignore-manifests");
        command.arg("--id-attr:ID").arg("urn:oasis:names:tc:SAML:2.0:assertion:Assertion").arg(file);
        let said = command.output().expect("xmlsec1 runs");
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        if !said.status.success() {
            return Err(err.into_owned());
        }
        let canonical = out.split_once("== PreDigest data - start buffer:\n").and_then(|(_, rest)| {
            rest.split_once("\n== PreDigest data - end buffer").map(|(canonical, _)| canonical.to_owned())
        });
        canonical.ok_or_else(|| panic!("xmlsec1 does not say what it digested:\n{out}\n{err}"))
    }

    pub(crate) fn xml_crypto(&mut self, xml: &str, certificate: &str) -> Result<String, String> {
        let said = self.xml_crypto.ask(&json!({ "xml": xml, "certificate": certificate }));
        match said["canonical"].as_str() {
            Some(canonical) => Ok(canonical.to_owned()),
            None => Err(said["error"].to_string()),
        }
    }

    pub(crate) fn signxml(&mut self, xml: &str, certificate: &str) -> Result<Reading, String> {
        let said = self.signxml.ask(&json!({ "xml": xml, "certificate": certificate }));
        if said["valid"] != true {
            return Err(said["error"].to_string());
        }
        assert_eq!(said["position"], 1, "the signature stands right after the issuer");
        Ok(serde_json::from_value(said["read"].clone()).unwrap())
    }

    /// What expat reads in a text.
    pub(crate) fn read(&mut self, canonical: &str) -> Reading {
        serde_json::from_value(self.signxml.ask(&json!({ "canonical": canonical }))).unwrap()
    }
}
