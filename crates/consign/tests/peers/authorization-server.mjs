// A real authorization server for tests: oidc-provider over HTTPS on loopback, with its state in memory.
//
// The first line of standard input is its configuration; it answers with one line of JSON that names its ports, and it
// ends when standard input is closed, so that nothing outlives a test. A second port, plain HTTP, is for the test alone:
// what was asked, and the weather.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import readline from 'node:readline';

import Provider, { errors, interactionPolicy } from 'oidc-provider';

import { judged } from './saml.mjs';

const YEAR_SECONDS = 365 * 24 * 3600;
const SCOPES = ['openid', 'offline_access', 'read', 'write', 'email', 'profile', 'groups'];
/** What a client gets that asks for nothing. */
const USUAL_SCOPE = 'read';
const TOKEN_PATH = '/token';
const SAML2_BEARER = 'urn:ietf:params:oauth:grant-type:saml2-bearer';

/** Everything that is stored: model → id → payload. Nothing is ever pushed out by something newer. */
const stored = new Map();
/** Grants that oidc-provider revoked by itself, because a refresh token or a code came twice. */
const revokedByReuse = new Set();
/** Every token request, in the order in which they were done. */
const log = [];
/** What the token endpoint does to every request. */
const weather = { down: false, delay_ms: 0, lose: false };
/** Who is there to approve, and what is known of them: `sub`, and the claims of OpenID Connect. */
let person = { sub: 'ana' };
/** How often the keys are asked for before the one that signs is among them. */
let keysLate = 0;
/** Whose assertions are taken, and how: `certificate`, `issuer`, `audience`, `name_id`, `clock_ahead_seconds`. */
const signer = {};
/** Every assertion that was taken, with its encoding as it came. */
const assertions = [];

function rowsOf(model) {
  if (!stored.has(model)) {
    stored.set(model, new Map());
  }
  return stored.get(model);
}

/** oidc-provider's storage. `overlapSeconds`: how long a rotated refresh token still works. */
function adapterWith(overlapSeconds) {
  return class Adapter {
    constructor(model) {
      this.model = model;
      this.rows = rowsOf(model);
    }

    async upsert(id, payload) {
      this.rows.set(id, payload);
    }

    async find(id) {
      const payload = this.rows.get(id);
      if (payload?.consumed > now()) {
        return { ...payload, consumed: undefined };
      }
      return payload;
    }

    async findByUid(uid) {
      return [...this.rows.values()].find((payload) => payload.uid === uid);
    }

    async findByUserCode() {
      return undefined;
    }

    async consume(id) {
      this.rows.get(id).consumed ??= now() + (this.model === 'RefreshToken' ? overlapSeconds : 0);
    }

    async destroy(id) {
      this.rows.delete(id);
    }

    async revokeByGrantId(grantId) {
      forget(this.model, (payload) => payload.grantId === grantId);
    }
  };
}

function now() {
  return Math.floor(Date.now() / 1000);
}

function forget(model, which = () => true) {
  const rows = rowsOf(model);
  for (const [id, payload] of rows) {
    if (which(payload)) {
      rows.delete(id);
    }
  }
}

/** One page for signing in and for consent, asked every time. */
function policy() {
  const { Prompt, Check } = interactionPolicy;
  const asked = ({ oidc }) => (oidc.result?.consent ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT);
  const approval = new Check('approval_missing', 'approval is needed', 'consent_required', asked);
  return [new Prompt({ name: 'consent', requestable: true }, approval)];
}

function provider(issuer, config) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'tests' };
  const made = new Provider(issuer, {
    adapter: adapterWith(config.refresh_token_overlap_seconds ?? 0),
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      revocation: { enabled: true },
    },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    scopes: SCOPES,
    pkce: { required: () => true },
    rotateRefreshToken: config.rotation ?? true,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    conformIdTokenClaims: config.claims_in_id_token !== true,
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ ...person, sub: accountId }) }),
    interactions: { policy: policy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: config.access_token_seconds,
      ClientCredentials: config.access_token_seconds,
      AuthorizationCode: 60,
      Grant: YEAR_SECONDS,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: YEAR_SECONDS,
      Session: YEAR_SECONDS,
    },
  });
  strict(made.Client);
  made.registerGrantType(SAML2_BEARER, takeAssertion, ['assertion', 'scope']);
  made.on('grant.revoked', (ctx, grantId) => {
    if (ctx.path === TOKEN_PATH) {
      revokedByReuse.add(grantId);
    }
  });
  made.on('server_error', (_ctx, error) => console.error(error));
  made.use(watched);
  return made;
}

/** RFC 7522: the assertion is judged by a library that shares no code with Consign; then a token is issued as usual. */
async function takeAssertion(ctx) {
  const { client, params } = ctx.oidc;
  const known = new Set(assertions.map(({ id }) => id));
  const at = new Date(Date.now() + 1000 * (signer.clock_ahead_seconds ?? 0));
  let taken;
  try {
    taken = judged(params.assertion ?? '', { ...signer, recipient: `${ctx.oidc.issuer}${TOKEN_PATH}`, known, at });
  } catch (error) {
    throw new errors.CustomOIDCProviderError('invalid_grant', signer.silent ? 'grant request is invalid' : error.message);
  }
  assertions.push({ ...taken, query: ctx.querystring, company_id: ctx.oidc.body?.company_id ?? null });
  const { ClientCredentials } = Provider.ctx.oidc.provider;
  const token = new ClientCredentials({ client, scope: params.scope });
  ctx.oidc.entity('ClientCredentials', token);
  ctx.body = {
    access_token: await token.save(),
    expires_in: token.expiration,
    token_type: token.tokenType,
    // RFC 7521 section 4.1 discourages it; a client has to ignore it.
    refresh_token: 'ignore-me',
    ...(token.scope ? { scope: token.scope } : {}),
  };
}

/** The library takes a secret from the header and from the body alike. Here a client sends it the way that it registered. */
function strict(Client) {
  const { compareClientSecret } = Client.prototype;
  Client.prototype.compareClientSecret = async function compare(secret) {
    const used = Provider.ctx.headers.authorization === undefined ? 'client_secret_post' : 'client_secret_basic';
    return used === this.clientAuthMethod && compareClientSecret.call(this, secret);
  };
}

/** Writes down every token request, and applies the weather. */
async function watched(ctx, next) {
  if (ctx.path === '/jwks') {
    await next();
    if (keysLate > 0) {
      keysLate -= 1;
      ctx.body = { keys: ctx.body.keys.map((key) => ({ ...key, kid: 'before' })) };
    }
    return;
  }
  if (ctx.path !== TOKEN_PATH || ctx.method !== 'POST') {
    if (ctx.path === '/auth' && !ctx.query.scope) {
      ctx.query = { ...ctx.query, scope: USUAL_SCOPE };
    }
    await next();
    return;
  }
  const at_ms = Date.now();
  if (signer.clock_ahead_seconds) {
    ctx.set('date', new Date(at_ms + 1000 * signer.clock_ahead_seconds).toUTCString());
  }
  if (weather.down) {
    ctx.status = 503;
    ctx.body = { error: 'temporarily_unavailable' };
  } else {
    await next();
  }
  const params = ctx.oidc?.params ?? {};
  log.push({
    at_ms,
    grant_type: params.grant_type ?? null,
    authentication: authentication(ctx, params),
    client_id: ctx.oidc?.client?.clientId ?? params.client_id ?? null,
    scope: params.scope ?? null,
    status: ctx.status,
    error: ctx.body?.error ?? null,
    error_description: ctx.body?.error_description ?? null,
  });
  // It is done and in the log: a client that ends now does not learn of it.
  if (weather.delay_ms > 0) {
    await new Promise((resolve) => { setTimeout(resolve, weather.delay_ms); });
  }
  if (weather.lose) {
    ctx.respond = false;
    ctx.req.socket.destroy();
  }
}

function authentication(ctx, params) {
  if (ctx.headers.authorization !== undefined) {
    return 'header';
  }
  return params.client_secret === undefined ? 'none' : 'body';
}

function page(res, status, body) {
  res.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  res.end(`<!doctype html><html lang="en"><title>Approve access</title><main>${body}</main></html>`);
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The page where a person approves or denies: no script, one form, two buttons. */
async function interact(oidc, req, res) {
  const { params } = await oidc.interactionDetails(req, res);
  if (req.method === 'GET') {
    page(res, 200, `<h1>Approve access</h1>
      <p>${escaped(params.client_id)} wants to: ${escaped(params.scope ?? '')}</p>
      <form method="post">
        <button name="decision" value="approve">Approve</button>
        <button name="decision" value="deny">Deny</button>
      </form>`);
    return;
  }
  const decision = new URLSearchParams(await text(req)).get('decision');
  if (decision !== 'approve') {
    const refusal = { error: 'access_denied', error_description: 'The person pressed Deny.' };
    await oidc.interactionFinished(req, res, refusal, { mergeWithLastSubmission: false });
    return;
  }
  const grant = new oidc.Grant({ accountId: person.sub, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const approved = { login: { accountId: person.sub }, consent: { grantId: await grant.save() } };
  await oidc.interactionFinished(req, res, approved, { mergeWithLastSubmission: false });
}

async function text(req) {
  const chunks = [];
  for await (const chunk of req) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Whether a resource server should let this access token in now. */
async function isValid(oidc, token) {
  const found = await oidc.AccessToken.find(token) ?? await oidc.ClientCredentials.find(token);
  return found !== undefined && found.isValid;
}

function register(client) {
  rowsOf('Client').set(client.client_id, client);
}

/** The port of the test. */
async function control(oidc, req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://control');
  const body = req.method === 'POST' ? await text(req) : '';
  const commands = {
    'GET /log': () => log,
    'GET /families': () => ({ revoked: revokedByReuse.size }),
    'GET /introspect': async () => ({ valid: await isValid(oidc, searchParams.get('token') ?? '') }),
    'GET /assertions': () => assertions,
    'POST /signer': () => Object.assign(signer, JSON.parse(body)),
    'POST /person': () => { person = JSON.parse(body); },
    'POST /keys-late': () => { keysLate = JSON.parse(body); },
    'POST /clients': () => register(JSON.parse(body)),
    'POST /weather': () => Object.assign(weather, JSON.parse(body)),
    'POST /expire': () => ['AccessToken', 'ClientCredentials'].forEach((model) => forget(model)),
    'POST /revoke-grants': () => {
      ['Grant', 'AccessToken', 'AuthorizationCode', 'RefreshToken'].forEach((model) => forget(model));
    },
  };
  const command = commands[`${req.method} ${pathname}`];
  res.writeHead(command ? 200 : 404, { 'content-type': 'application/json' });
  res.end(JSON.stringify(command ? await command() ?? {} : {}));
}

/** A fault of this file is an answer, not the end of the server. */
function guarded(handle) {
  return (req, res) => {
    handle(req, res).catch((error) => {
      console.error(error);
      if (!res.headersSent) {
        page(res, error.statusCode ?? 500, escaped(String(error)));
      }
    });
  };
}

function listening(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}

async function serve(config) {
  config.clients.forEach(register);
  const secure = https.createServer({
    cert: readFileSync(config.certificate),
    key: readFileSync(config.key),
  });
  const port = await listening(secure);
  const oidc = provider(`https://127.0.0.1:${port}`, config);
  const callback = oidc.callback();
  secure.on('request', guarded(async (req, res) => {
    const handle = req.url.startsWith('/interaction/') ? () => interact(oidc, req, res) : () => callback(req, res);
    await handle();
  }));
  const controlPort = await listening(http.createServer(guarded((req, res) => control(oidc, req, res))));
  process.stdout.write(`${JSON.stringify({ port, control_port: controlPort })}\n`);
}

// The one line of standard output is ours.
console.info = console.error;
const lines = readline.createInterface({ input: process.stdin });
lines.once('line', (line) => {
  serve(JSON.parse(line)).catch((error) => {
    console.error(error);
    process.exit(1);
  });
});
lines.once('close', () => process.exit(0));
