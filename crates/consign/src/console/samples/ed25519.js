const crypto = require('node:crypto');

// Whether Consign sent this request. `body` is a Buffer with the bytes as they came.
function verify(publicKey, headers, body) {
  const id = headers['webhook-id'], timestamp = headers['webhook-timestamp'];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const raw = Buffer.from(publicKey.replace(/^whpk_/, ''), 'base64');
  const key = crypto.createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') },
    format: 'jwk',
  });
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  return (headers['webhook-signature'] ?? '').split(' ').some((one) => {
    const [version, signature = ''] = one.split(',');
    return version === 'v1a' && crypto.verify(null, content, key, Buffer.from(signature, 'base64'));
  });
}
