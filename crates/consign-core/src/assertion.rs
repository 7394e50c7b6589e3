//! The signed SAML 2.0 assertion of RFC 7522, written in exclusive canonical form in the first place: what is printed
//! is what is digested, and the enveloped signature is taken away by not printing it yet. There is no XML parser here.
//!
//! SAML 2.0 core section 2, XML Signature 1.1 section 4, Exclusive XML Canonicalization 1.0. Nothing in it is a
//! comment, an entity or a processing instruction.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::catalog::Fault;
use crate::hex::hex;
use crate::sign::{Algorithm, SigningKey, Unusable};
use crate::time::Timestamp;

/// A tool's clock may be so far behind.
const SKEW: Duration = Duration::from_secs(60);
const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// What an assertion says. Every text may be written into XML: [`judge`] has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Who signs.
    pub issuer: String,
    /// Whom it is about.
    pub name_id: String,
    /// The form of the name, a URN.
    pub name_id_format: String,
    /// Where the name is from; may be empty.
    pub name_qualifier: String,
    /// The token address.
    pub recipient: String,
    /// Whom it is for.
    pub audience: String,
    /// How the subject was authenticated, a URN.
    pub authn_context: String,
    /// Names with their values, in order.
    pub attributes: Vec<(String, Vec<String>)>,
    /// From now to its end.
    pub lifetime: Duration,
    /// The certificate to put in, as Base64 of DER.
    pub certificate: Option<String>,
}

/// What tells two assertions apart: 128 random bits each (SAML 2.0 core section 1.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    assertion: String,
    session: String,
}

impl Ids {
    /// New ones, for one assertion.
    pub fn random() -> Self {
        Self { assertion: id(), session: id() }
    }

    /// Those of an example.
    pub const fn of(assertion: String, session: String) -> Self {
        Self { assertion, session }
    }
}

impl Assertion {
    /// The assertion without its signature, to be looked at.
    pub fn unsigned(&self, ids: &Ids, now: Timestamp) -> String {
        self.written(ids, now, "")
    }

    /// The assertion with its signature: for one token request, then never again.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn signed(&self, ids: &Ids, now: Timestamp, key: &SigningKey) -> Result<String, Unusable> {
        let digest = digest::digest(&digest::SHA256, self.unsigned(ids, now).as_bytes());
        let digest = BASE64_STANDARD.encode(digest);
        let signed = self.signed_info(ids, &digest, key.algorithm(), &format!(" xmlns:ds=\"{DSIG}\""));
        let value = BASE64_STANDARD.encode(key.sign(signed.as_bytes())?);
        // Below an element that declares the prefix, canonical form does not declare it again.
        let signed = self.signed_info(ids, &digest, key.algorithm(), "");
        let mut signature = format!(
            "<ds:Signature xmlns:ds=\"{DSIG}\">{signed}<ds:SignatureValue>{value}</ds:SignatureValue>"
        );
        if let Some(certificate) = &self.certificate {
            signature.push_str("<ds:KeyInfo><ds:X509Data><ds:X509Certificate>");
            signature.push_str(certificate);
            signature.push_str("</ds:X509Certificate></ds:X509Data></ds:KeyInfo>");
        }
        signature.push_str("</ds:Signature>");
        Ok(self.written(ids, now, &signature))
    }

    fn signed_info(&self, ids: &Ids, digest: &str, algorithm: Algorithm, declared: &str) -> String {
        let method = match algorithm {
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::EcdsaSha256 => "ecdsa-sha256",
            Algorithm::EcdsaSha384 => "ecdsa-sha384",
        };
        // `xsi:type` names the prefix `xs` in a value, where exclusive canonicalization does not look.
        let inclusive = match self.attributes.is_empty() {
            true => String::new(),
            false => format!(
                "<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"xs\"></ec:InclusiveNamespaces>"
            ),
        };
        let id = &ids.assertion;
        format!(
            "<ds:SignedInfo{declared}>\
             <ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#{method}\"></ds:SignatureMethod>\
             <ds:Reference URI=\"#{id}\"><ds:Transforms>\
             <ds:Transform Algorithm=\"{DSIG}enveloped-signature\"></ds:Transform>\
             <ds:Transform Algorithm=\"{EXCLUSIVE}\">{inclusive}</ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        )
    }

    fn written(&self, ids: &Ids, now: Timestamp, signature: &str) -> String {
        let (at, begins) = (seconds(now), seconds(now.minus(SKEW)));
        let ends = seconds(now.plus(self.lifetime));
        let mut xml = Xml::default();
        xml.open(
            "saml:Assertion",
            &[("xmlns:saml", SAML), ("ID", &ids.assertion), ("IssueInstant", &at), ("Version", "2.0")],
        );
        xml.element("saml:Issuer", &[], &self.issuer);
        xml.0.push_str(signature);
        self.subject(&mut xml, &ends);
        xml.open("saml:Conditions", &[("NotBefore", &begins), ("NotOnOrAfter", &ends)]);
        xml.open("saml:AudienceRestriction", &[]);
        xml.element("saml:Audience", &[], &self.audience);
        xml.close(&["saml:AudienceRestriction", "saml:Conditions"]);
        xml.open("saml:AuthnStatement", &[("AuthnInstant", &at), ("SessionIndex", &ids.session)]);
        xml.open("saml:AuthnContext", &[]);
        xml.element("saml:AuthnContextClassRef", &[], &self.authn_context);
        xml.close(&["saml:AuthnContext", "saml:AuthnStatement"]);
        if !self.attributes.is_empty() {
            self.attributes(&mut xml);
        }
        xml.close(&["saml:Assertion"]);
        xml.0
    }

    fn subject(&self, xml: &mut Xml, ends: &str) {
        let bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
        let mut name = vec![("Format", self.name_id_format.as_str())];
        if !self.name_qualifier.is_empty() {
            name.push(("NameQualifier", &self.name_qualifier));
        }
        xml.open("saml:Subject", &[]);
        xml.element("saml:NameID", &name, &self.name_id);
        xml.open("saml:SubjectConfirmation", &[("Method", bearer)]);
        let confirmed = [("NotOnOrAfter", ends), ("Recipient", self.recipient.as_str())];
        xml.element("saml:SubjectConfirmationData", &confirmed, "");
        xml.close(&["saml:SubjectConfirmation", "saml:Subject"]);
    }

    fn attributes(&self, xml: &mut Xml) {
        let text = [
            ("xmlns:xs", "http://www.w3.org/2001/XMLSchema"),
            ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
            ("xsi:type", "xs:string"),
        ];
        let basic = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic";
        xml.open("saml:AttributeStatement", &[]);
        for (name, values) in &self.attributes {
            xml.open("saml:Attribute", &[("Name", name), ("NameFormat", basic)]);
            values.iter().for_each(|value| xml.element("saml:AttributeValue", &text, value));
            xml.close(&["saml:Attribute"]);
        }
        xml.close(&["saml:AttributeStatement"]);
    }
}

/// The signature in a signed assertion, which is what makes it worth something.
pub fn signature_value(signed: &str) -> Option<&str> {
    let (_, rest) = signed.split_once("<ds:SignatureValue>")?;
    rest.split_once("</ds:SignatureValue>").map(|(value, _)| value)
}

/// The rule of a name: blanks at its ends are mistakes of copying, which nobody sees and the tool compares.
///
/// # Errors
/// The sentence, with `label` as the name of the text.
pub fn judge_name(label: &str, text: &str) -> Result<(), Fault> {
    judge(label, text)?;
    if text.trim() != text {
        return Err(Fault::new("bad_characters", format!("{label} must not start or end with a space")));
    }
    Ok(())
}

/// Whether a text can be written into XML 1.0 and is read back as it was.
///
/// # Errors
/// The sentence, with `label` as the name of the text.
pub fn judge(label: &str, text: &str) -> Result<(), Fault> {
    let refused = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.chars().any(refused) {
        let sentence = format!("{label} must not include control characters");
        return Err(Fault::new("bad_characters", sentence));
    }
    Ok(())
}

/// XML in canonical form: attributes in the order given, which is theirs; an end tag for every element.
#[derive(Default)]
struct Xml(String);

impl Xml {
    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.attribute(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn close(&mut self, names: &[&str]) {
        for name in names {
            self.0.push_str("</");
            self.0.push_str(name);
            self.0.push('>');
        }
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.text(text);
        self.close(&[name]);
    }

    /// Canonical XML section 2.3, text nodes.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\r' => self.0.push_str("&#xD;"),
                other => self.0.push(other),
            }
        }
    }

    /// Canonical XML section 2.3, attribute nodes.
    fn attribute(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '"' => self.0.push_str("&quot;"),
                '\t' => self.0.push_str("&#x9;"),
                '\n' => self.0.push_str("&#xA;"),
                '\r' => self.0.push_str("&#xD;"),
                other => self.0.push(other),
            }
        }
    }
}

/// UTC without fractions (SAML 2.0 core section 1.3.3).
fn seconds(time: Timestamp) -> String {
    Timestamp::from_millis(time.seconds().saturating_mul(1_000)).to_string()
}

/// A name that begins with no digit (XML Schema part 2, section 3.3.8).
fn id() -> String {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).expect("the system has randomness");
    format!("_{}", hex(&bytes))
}

#[cfg(test)]
mod tests;
