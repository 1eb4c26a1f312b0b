/**
 * Signing in at the provider, where the server has one: a visit to it that leads back to this page. What came of it stands in the
 * fragment, as a word: any other says nothing.
 */

import { make, setText } from './dom.js';

/** @typedef {import('./account.js').Account} Account */

/** What each word says, of a provider of that name. */
const OUTCOMES = new Map(/** @type {[string, (name: string) => string][]} */ ([
  ['denied', (name) => `You are not signed in: ${name} did not let you, or you did not want to.`],
  ['refused', () => 'Your account may not sign in here. Ask whoever runs this server.'],
  ['failed', (name) => `You are not signed in: the answer of ${name} was not as it should be. Try again; if that does not help, tell whoever runs this server.`],
  ['unreachable', (name) => `You are not signed in: this server can’t reach ${name}. Try again in a moment.`],
  ['lost', () => 'You are not signed in: it took too long, or it was begun in another window. Try again.'],
  ['busy', () => 'You are not signed in: too many are doing so just now. Try again in a moment.'],
  ['no_end', (name) => `You are signed out here, but ${name} does not say how to sign out there: do so on its own pages.`],
]));

/** Set while this window remembers that somebody of the provider has left. */
const LEFT = 'cuttlebone-left';

/**
 * What came of a visit to the provider. It is said once: the fragment is taken away.
 *
 * @returns {((name: string) => string) | undefined}
 */
function takeOutcome() {
  const [, word] = /^#login=(\w+)$/.exec(location.hash) ?? [];
  if (word === undefined) return undefined;
  history.replaceState(history.state, '', location.pathname + location.search);
  return OUTCOMES.get(word);
}

/** This page as the server knows it: below the root of the pages. */
export function here({ pathname, search } = location) {
  return pathname.slice(pathname.lastIndexOf('/') + 1) + search;
}

/** To be told when somebody signs out. */
export function noteLeaving() {
  sessionStorage.setItem(LEFT, '1');
}

/** The part of the form that leads to the provider. */
export class ProviderSignIn {
  #said = takeOutcome();
  #outcome = make('p', 'fault');
  #link = /** @type {HTMLAnchorElement} */ (make('a', 'button primary', 'Sign in'));
  #end = /** @type {HTMLAnchorElement} */ (make('a', '', 'Sign out there as well'));
  #left = sessionStorage.getItem(LEFT) !== null;

  constructor() {
    sessionStorage.removeItem(LEFT);
    this.#outcome.hidden = true;
    this.#end.href = 'api/v1/login/end';
    const end = make('p', 'hint', this.#end);
    end.hidden = !this.#left;
    this.element = make('div', 'provider', this.#outcome, make('p', '', this.#link), end);
    this.element.hidden = true;
  }

  /**
   * Shows it if there is a provider.
   *
   * @param {Account} account
   * @returns {Promise<string | null>} what is to be said of the last visit, or null; and null if there is no provider
   */
  async show(account) {
    const provider = await account.provider();
    this.element.hidden = !provider;
    if (!provider) return null;
    setText(this.#link, `Sign in with ${provider.name}`);
    setText(this.#end, `Sign out of ${provider.name} as well`);
    this.#link.href = `api/v1/login?return_to=${encodeURIComponent(here())}`;
    const said = this.#said?.(provider.name) ?? null;
    this.#outcome.hidden = said === null;
    setText(this.#outcome, said ?? '');
    return said;
  }

  focus() {
    this.#link.focus({ preventScroll: true });
  }
}
