// Signatures of SAML assertions, judged by xml-crypto.

import { createPublicKey, verify } from 'node:crypto';

import { DOMParser } from '@xmldom/xmldom';
import { SignedXml } from 'xml-crypto';

export const SAML = 'urn:oasis:names:tc:SAML:2.0:assertion';
const DSIG = 'http://www.w3.org/2000/09/xmldsig#';
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';

/** xml-crypto knows RSA; ECDSA values of XML Signature are r‖s. */
function ecdsa(name, hash) {
  return class Ecdsa {
    getAlgorithmName() {
      return `${MORE}${name}`;
    }

    verifySignature(material, key, value) {
      const publicKey = { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' };
      return verify(hash, Buffer.from(material), publicKey, Buffer.from(value, 'base64'));
    }
  };
}

export function parsed(xml) {
  const refuse = (message) => { throw new Error(message); };
  const errorHandler = { warning: refuse, error: refuse, fatalError: refuse };
  return new DOMParser({ errorHandler }).parseFromString(xml, 'text/xml');
}

/** The canonical form of what is signed: the assertion without its signature. Throws when the signature does not hold. */
export function verified(xml, certificate) {
  const root = parsed(xml).documentElement;
  const signatures = [...Array.from(root.childNodes)].filter((node) => node.namespaceURI === DSIG && node.localName === 'Signature');
  if (root.namespaceURI !== SAML || root.localName !== 'Assertion' || signatures.length !== 1) {
    throw new Error('no assertion with one signature');
  }
  const signed = new SignedXml({ publicCert: certificate, getCertFromKeyInfo: () => null });
  signed.SignatureAlgorithms[`${MORE}ecdsa-sha256`] = ecdsa('ecdsa-sha256', 'sha256');
  signed.SignatureAlgorithms[`${MORE}ecdsa-sha384`] = ecdsa('ecdsa-sha384', 'sha384');
  signed.loadSignature(signatures[0]);
  if (!signed.checkSignature(xml)) {
    throw new Error('the signature does not hold');
  }
  const [content, ...others] = signed.getSignedReferences();
  if (others.length > 0 || parsed(content).documentElement.getAttribute('ID') !== root.getAttribute('ID')) {
    throw new Error('something else is signed');
  }
  return content;
}

function only(parent, name) {
  const found = [...Array.from(parent.getElementsByTagNameNS(SAML, name))];
  if (found.length !== 1) {
    throw new Error(`${found.length} elements ${name}`);
  }
  return found[0];
}

/** Base64 as it came: url-safe without padding, or the other one. */
function decoded(assertion) {
  if (/^[A-Za-z0-9_-]+$/.test(assertion)) {
    return { xml: Buffer.from(assertion, 'base64url').toString('utf8'), encoding: 'base64url' };
  }
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(assertion)) {
    return { xml: Buffer.from(assertion, 'base64').toString('utf8'), encoding: 'base64' };
  }
  throw new Error('Malformed assertion');
}

/** RFC 7522 section 3, item by item. What is wrong is the description of `invalid_grant`. */
export function judged(assertion, { certificate, issuer, audience, name_id, recipient, known, at }) {
  const { xml, encoding } = decoded(assertion);
  let content;
  try {
    content = parsed(verified(xml, certificate)).documentElement;
  } catch (error) {
    throw new Error('Signature validation failed');
  }
  const said = {
    id: content.getAttribute('ID'),
    issuer: only(content, 'Issuer').textContent,
    audience: only(content, 'Audience').textContent,
    name_id: only(content, 'NameID').textContent,
    attributes: Object.fromEntries(Array.from(content.getElementsByTagNameNS(SAML, 'Attribute')).map((attribute) => [
      attribute.getAttribute('Name'),
      Array.from(attribute.getElementsByTagNameNS(SAML, 'AttributeValue')).map((value) => value.textContent),
    ])),
    encoding,
    embedded: xml.includes('<ds:X509Certificate>'),
  };
  const confirmation = only(content, 'SubjectConfirmation');
  const data = only(confirmation, 'SubjectConfirmationData');
  const conditions = only(content, 'Conditions');
  const expected = [
    [said.issuer === issuer, `Issuer ${said.issuer} is unknown`],
    [said.audience === audience, 'Audience is invalid'],
    [confirmation.getAttribute('Method') === 'urn:oasis:names:tc:SAML:2.0:cm:bearer', 'Confirmation method is not bearer'],
    [data.getAttribute('Recipient') === recipient, 'Recipient does not match'],
    [at < new Date(data.getAttribute('NotOnOrAfter')), 'Assertion expired (NotOnOrAfter)'],
    [at >= new Date(conditions.getAttribute('NotBefore')), 'Assertion is not yet valid (NotBefore)'],
    [at < new Date(conditions.getAttribute('NotOnOrAfter')), 'Assertion expired (NotOnOrAfter)'],
    [said.name_id === name_id, 'User not found'],
    [/^_[0-9a-f]{32}$/.test(said.id) && !known.has(said.id), 'Assertion was used before'],
  ];
  const wrong = expected.find(([right]) => !right);
  if (wrong) {
    throw new Error(wrong[1]);
  }
  return said;
}
