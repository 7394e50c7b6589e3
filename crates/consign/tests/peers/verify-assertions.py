"""Verifies signed SAML assertions with signxml, and reads them with two XML parsers.

Each line of standard input is a question, {"xml": ..., "certificate": PEM}: the answer says whether signxml takes the
signature, and what the content that it verified says (read by lxml). {"canonical": ...} is read by expat alone.
"""

import json
import sys
import xml.etree.ElementTree as expat

from lxml import etree
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier

SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
EXPECTED = SignatureConfiguration(
    location="./",
    expect_references=1,
    signature_methods=frozenset(
        {SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384}
    ),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
)


def text(element):
    return element.text or ""


def read(assertion):
    """What an assertion says; lxml and expat have the same face."""
    subject = assertion.find(SAML + "Subject")
    name = subject.find(SAML + "NameID")
    confirmed = subject.find(f"{SAML}SubjectConfirmation/{SAML}SubjectConfirmationData")
    conditions = assertion.find(SAML + "Conditions")
    statement = assertion.find(SAML + "AuthnStatement")
    return {
        "id": assertion.get("ID"),
        "version": assertion.get("Version"),
        "issued_at": assertion.get("IssueInstant"),
        "issuer": text(assertion.find(SAML + "Issuer")),
        "name_id": text(name),
        "name_id_format": name.get("Format"),
        "name_qualifier": name.get("NameQualifier") or "",
        "method": subject.find(SAML + "SubjectConfirmation").get("Method"),
        "recipient": confirmed.get("Recipient"),
        "confirmed_until": confirmed.get("NotOnOrAfter"),
        "confirmed_from": confirmed.get("NotBefore"),
        "begins": conditions.get("NotBefore"),
        "ends": conditions.get("NotOnOrAfter"),
        "audiences": [text(a) for a in conditions.iterfind(f"{SAML}AudienceRestriction/{SAML}Audience")],
        "authn_context": text(statement.find(f"{SAML}AuthnContext/{SAML}AuthnContextClassRef")),
        "attributes": [
            [attribute.get("Name"), [text(value) for value in attribute.iterfind(SAML + "AttributeValue")]]
            for attribute in assertion.iterfind(f"{SAML}AttributeStatement/{SAML}Attribute")
        ],
    }


def answer(question):
    if "canonical" in question:
        return read(expat.fromstring(question["canonical"]))
    try:
        data = question["xml"].encode()
        result = XMLVerifier().verify(data, x509_cert=question["certificate"], expect_config=EXPECTED)
    except Exception as error:  # Whatever it is, the signature was not taken.
        return {"valid": False, "error": f"{type(error).__name__}: {error}"}
    position = [child.tag for child in etree.fromstring(data)].index("{http://www.w3.org/2000/09/xmldsig#}Signature")
    return {"valid": True, "position": position, "read": read(result.signed_xml)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
