/** A real provider of OpenID Connect: `oidc-provider`, with a page of ours on which one signs in by writing a name. */

import { once } from 'node:events';
import { createServer } from 'node:http';

const CLIENT = 'cuttlebone';
/** An account is known by another name than people know it by. */
const ID = 'id-of-';

/** Whoever signs in is who they say they are, and in the groups that a test says. */
export class OidcProvider {
  #server;

  /**
   * @param {import('node:http').Server} server
   * @param {string} issuer
   */
  constructor(server, issuer) {
    this.#server = server;
    this.issuer = issuer;
  }

  /**
   * Of another site than the server's pages, as browsers see it: `localhost` and not an address.
   *
   * @param {string} root the address of the server's pages, with a slash at the end
   * @param {Record<string, string[]>} groups of each name
   */
  static async start(root, groups) {
    const { Provider } = /** @type {any} */ (await import(/** @type {string} */ ('oidc-provider')));
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const issuer = `http://localhost:${port}`;
    const provider = new Provider(issuer, settings(root, groups));
    provider.on('server_error', (/** @type {any} */ _ctx, /** @type {Error} */ error) => console.error(error));
    const answer = provider.callback();
    server.on('request', (request, response) => {
      if (!request.url?.startsWith('/interaction/')) return answer(request, response);
      interact(provider, request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
    return new OidcProvider(server, issuer);
  }

  /** What makes a server send browsers here. */
  env(/** @type {string} */ root) {
    return {
      CUTTLEBONE__FETCH__ALLOW_PRIVATE: 'true',
      CUTTLEBONE__OIDC__ISSUER: this.issuer,
      CUTTLEBONE__OIDC__CLIENT_ID: CLIENT,
      CUTTLEBONE__OIDC__PUBLIC_URL: root,
      CUTTLEBONE__OIDC__NAME: 'the Lab',
      CUTTLEBONE__OIDC__ROLES_CLAIM: '/lab/groups',
      CUTTLEBONE__OIDC__ROLES: '{users = "client"}',
      CUTTLEBONE__OIDC__DEVICES: '["*"]',
    };
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/**
 * A port that was free a moment ago: the provider is told the server's address before there is a server.
 */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * @param {string} root
 * @param {Record<string, string[]>} groups
 */
function settings(root, groups) {
  return {
    clients: [
      {
        client_id: CLIENT,
        token_endpoint_auth_method: 'none',
        redirect_uris: [`${root}api/v1/login/callback`],
        post_logout_redirect_uris: [root],
      },
    ],
    claims: { openid: ['sub'], profile: ['preferred_username', 'lab'], email: ['email'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['a key of tests'] },
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true, logoutSource: askToLeave } },
    findAccount: (/** @type {any} */ _ctx, /** @type {string} */ id) => {
      const name = id.replace(ID, '');
      return { accountId: id, claims: () => ({ sub: id, preferred_username: name, lab: { groups: groups[name] ?? [] } }) };
    },
    interactions: { url: (/** @type {any} */ _ctx, /** @type {any} */ { uid }) => `/interaction/${uid}` },
    loadExistingGrant: grant,
    pkce: { required: () => true },
    ttl: { Session: 600, Interaction: 600, Grant: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
  };
}

/**
 * Whoever signs in agrees to everything.
 *
 * @param {any} ctx
 */
async function grant({ oidc }) {
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope('openid profile email');
  await grant.save();
  return grant;
}

/**
 * @param {any} ctx
 * @param {string} form
 */
function askToLeave(ctx, form) {
  ctx.body = `<!doctype html><title>The Lab</title>${form}<button form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>`;
}

/**
 * @param {any} provider
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 */
async function interact(provider, request, response) {
  await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    const fields = '<label>Name <input name="name"></label><button name="yes">Continue</button><button name="no">Refuse</button>';
    return response
      .writeHead(200, { 'content-type': 'text/html' })
      .end(`<!doctype html><title>The Lab</title><form method="post">${fields}</form>`);
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  const refused = { error: 'access_denied', error_description: '<script>window.P = 1</script>' };
  const result = form.has('no') ? refused : { login: { accountId: `${ID}${form.get('name')}` } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}
