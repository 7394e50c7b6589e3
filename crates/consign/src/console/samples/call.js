// Calls the tool through Consign. `address` is that of the gateway; the API key comes from the environment.
async function call(address, path, { method = 'GET', body, headers = {} } = {}) {
  const answer = await fetch(address + path.replace(/^\/+/, ''), {
    method,
    body,
    headers: { ...headers, authorization: `Bearer ${process.env.CONSIGN_TOKEN}` },
    redirect: 'manual',
    signal: AbortSignal.timeout(90_000),
  });
  const code = answer.headers.get('consign-error');
  if (code) throw new Error(`Consign itself answered: ${code}`);
  return { status: answer.status, body: await answer.text() };
}
