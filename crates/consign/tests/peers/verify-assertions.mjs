// Verifies signed SAML assertions with xml-crypto: a library of its own, with a canonicalizer and a parser of its own.
//
// Each line of standard input is a question, {"xml": ..., "certificate": PEM}; the answer says whether the signature is
// taken, and gives the content that was verified, in canonical form.

import readline from 'node:readline';

import { verified } from './saml.mjs';

const lines = readline.createInterface({ input: process.stdin });
for await (const line of lines) {
  const { xml, certificate } = JSON.parse(line);
  let said;
  try {
    said = { valid: true, canonical: verified(xml, certificate) };
  } catch (error) {
    said = { valid: false, error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
