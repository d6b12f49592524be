// A certified OAuth server (oidc-provider) with refresh-token rotation and reuse detection, the resource it guards,
// and a control side for the tests.
//
//   oidc.mjs CERT KEY LIFETIME [STATE ADDRESS PORT GRACE]      prints {"port", "access", "refresh"} when it is ready
//
//   STATE                           a file that keeps what it knows: it can be killed, and started again
//   GRACE                           for so many seconds a refresh token that was used is taken again, as many servers do
//
//   POST /token, GET /auth, POST /device/auth                  the provider's own
//   GET  /interaction…              where a person would sign in and consent: done at once
//   POST /control/device            the person types in the code of the body, and consents
//   GET  /resource…                 200 for a good access token, else 401
//   POST /control/revoke            ends the access tokens that were used; answers how many
//   POST /control/away/WHAT         /token is answered with "502" or "html", and that is all; "": no more
//   POST /control/close             each connection is for one answer of /token
//   GET  /control/stats             what happened so far
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const [cert, key, lifetime, state, address = "127.0.0.1", port = "0", grace = "0"] = process.argv.slice(2);
const issuer = "https://auth.example.test";
// Nobody reads standard output behind its first line.
console.info = console.error;
const stats = {
  granted: 0, errors: [], grants_revoked: 0, consumed: 0, repeated: 0,
  issued: 0, accepted: 0, rejected: 0, revoked_early: 0,
};
const used = new Set();
let away = "";
let close = false;
const seen = new Set();

// Each change is written before it is answered, so that it is true after a kill too.
const kept = new Map();
function apply(change) {
  if (change.op === "set") kept.set(change.key, change.value);
  if (change.op === "delete") kept.delete(change.key);
}
function record(change) {
  appendFileSync(state, `${JSON.stringify(change)}\n`);
  apply(change);
}
class Kept {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, value) { record({ op: "set", key: this.key(id), value }); }
  async destroy(id) { record({ op: "delete", key: this.key(id) }); }
  async find(id) {
    const found = kept.get(this.key(id));
    const fresh = found?.first_used && Date.now() - found.first_used < Number(grace) * 1000;
    return fresh ? { ...found, consumed: undefined } : found;
  }
  async consume(id) {
    const value = { first_used: Date.now(), ...kept.get(this.key(id)), consumed: Math.floor(Date.now() / 1000) };
    record({ op: "set", key: this.key(id), value });
  }
  async revokeByGrantId(grantId) {
    for (const [key, value] of kept) if (value.grantId === grantId) record({ op: "delete", key });
  }
}
const again = state && existsSync(state);
if (again) readFileSync(state, "utf8").split("\n").filter(Boolean).forEach((line) => apply(JSON.parse(line)));

const provider = new Provider(issuer, {
  adapter: state ? Kept : undefined,
  clients: [{
    client_id: "tests",
    client_secret: "tests-secret",
    grant_types: ["refresh_token", "authorization_code"],
    redirect_uris: ["https://client.example.test/cb"],
    token_endpoint_auth_method: "client_secret_basic",
  }, {
    client_id: "desktop",
    application_type: "native",
    grant_types: ["refresh_token", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    redirect_uris: ["http://127.0.0.1/"],
    token_endpoint_auth_method: "none",
  }],
  ttl: { AccessToken: Number(lifetime), RefreshToken: 86400, Grant: 86400 },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  scopes: ["openid", "offline_access"],
  cookies: { keys: ["tests"] },
});
provider.proxy = true;
provider.on("grant.success", () => { stats.granted += 1; });
provider.on("grant.error", (ctx, error) => {
  const text = `${error.error}: ${error.error_detail ?? error.error_description}`;
  stats.errors.push(text);
  if (state) record({ op: "error", text });
});
provider.on("grant.revoked", () => { stats.grants_revoked += 1; });
provider.on("refresh_token.consumed", () => { stats.consumed += 1; });
provider.on("access_token.issued", () => { stats.issued += 1; });
provider.on("server_error", (ctx, error) => { stats.errors.push(String(error)); });

async function consent(clientId) {
  const grant = new provider.Grant({ accountId: "ann", clientId });
  grant.addOIDCScope("openid offline_access");
  return grant.save();
}

async function login() {
  const client = await provider.Client.find("tests");
  const grantId = await consent("tests");
  const common = { accountId: "ann", client, grantId, scope: "openid offline_access", gty: "authorization_code" };
  const access = await new provider.AccessToken({ ...common, clientId: "tests" }).save();
  const refresh = await new provider.RefreshToken({
    ...common, clientId: "tests", iiat: Math.floor(Date.now() / 1000), rotations: 0, authTime: 1,
  }).save();
  return { access, refresh };
}
const tokens = again ? {} : await login();

async function resource(request, answer) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const found = token && await provider.AccessToken.find(token);
  if (!found || found.isExpired) {
    stats.rejected += 1;
    answer.writeHead(401, { "www-authenticate": "Bearer error=\"invalid_token\"" }).end("no");
    return;
  }
  stats.accepted += 1;
  used.add(token);
  answer.writeHead(200, { "content-type": "text/plain" }).end("in");
}

async function revoke(answer) {
  let ended = 0;
  for (const token of used) {
    const found = await provider.AccessToken.find(token);
    if (found && !found.isExpired) {
      await found.destroy();
      ended += 1;
    }
    used.delete(token);
  }
  stats.revoked_early += ended;
  answer.end(JSON.stringify({ ended }));
}

async function interaction(request, answer) {
  const { params } = await provider.interactionDetails(request, answer);
  const grantId = await consent(params.client_id);
  await provider.interactionFinished(request, answer, { login: { accountId: "ann" }, consent: { grantId } });
}

async function device(request, answer) {
  let typed = "";
  for await (const part of request) typed += part;
  const code = await provider.DeviceCode.findByUserCode(typed.replaceAll("-", ""), { ignoreExpiration: true });
  Object.assign(code, {
    accountId: "ann", grantId: await consent(code.clientId), scope: code.params.scope, authTime: 1,
  });
  await code.save();
  answer.end();
}

const provide = provider.callback();
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, answer) => {
  if (request.url.startsWith("/resource")) return void resource(request, answer);
  if (request.url === "/control/stats") return void answer.end(JSON.stringify(stats));
  if (request.url === "/control/revoke") return void revoke(answer);
  if (request.url.startsWith("/interaction/")) return void interaction(request, answer);
  if (request.url === "/control/device") return void device(request, answer);
  if (request.url === "/control/close") {
    close = true;
    return void answer.end();
  }
  if (request.url.startsWith("/control/away/")) {
    away = request.url.slice("/control/away/".length);
    return void answer.end();
  }
  if (request.url === "/token" && close) answer.setHeader("connection", "close");
  if (request.url === "/token" && away) {
    const html = { "content-type": "text/html" };
    answer.writeHead(away === "502" ? 502 : 200, html).end("<html><body>Please wait</body></html>");
    return;
  }
  if (request.url === "/token") {
    // Which refresh tokens come, and whether any comes twice, seen on the wire.
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const token = new URLSearchParams(Buffer.concat(parts).toString()).get("refresh_token");
      if (token && seen.has(token)) stats.repeated += 1;
      seen.add(token);
    });
  }
  provide(request, answer);
});
server.listen(Number(port), address, () => {
  console.log(JSON.stringify({ port: server.address().port, ...tokens }));
});
