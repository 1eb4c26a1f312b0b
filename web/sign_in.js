/** The form that asks for a token or leads to the provider, and the name in the bar of whoever has signed in. */

import { byId, make, setText } from './dom.js';
import { ProviderSignIn, noteLeaving } from './provider.js';

/** @typedef {import('./account.js').Account} Account */
/** @typedef {import('./account.js').Standing} Standing */
/** @typedef {import('./account.js').Outcome} Outcome */

/** @type {Record<Exclude<Outcome, 'ok'>, string>} */
const FAULTS = {
  no_token: 'This is no token. A token is one word, without spaces.',
  refused: 'The server does not accept this token. It may be mistyped, expired or taken back.',
  no_cookie: 'The token is good, but this browser did not keep the cookie. Allow cookies for this site, then try again.',
  no_answer: 'The server did not answer as it should. Try again in a moment.',
};

const COMMAND = "cuttlebone token new --name alice --role client --devices '*'";

/**
 * What is said above the form.
 *
 * @param {Standing} standing that is out
 * @param {boolean} hasPicture whether a picture goes on beside it
 */
export function reason({ ended }, hasPicture) {
  if (!ended) return 'This server wants to know who you are.';
  const why = 'You were signed out: your access has expired or was taken back.';
  return hasPicture ? `${why} The picture goes on for as long as the device keeps it. For a new one, sign in.` : why;
}

/**
 * What is known of somebody besides the name, in one line.
 *
 * @param {import('./account.js').Who} who
 */
export function details({ roles, expiresAt }) {
  const until = expiresAt && !Number.isNaN(expiresAt.getTime()) ? [`until ${expiresAt.toLocaleString()}`] : [];
  return [roles.join(', ') || 'no role', ...until].join(', ');
}

export class SignIn {
  #account;
  #next;
  #why = make('p');
  #field = make('input');
  #button = make('button', 'primary', 'Sign in');
  #fault = make('p', 'fault');
  #provider = new ProviderSignIn();
  #token = /** @type {HTMLDetailsElement} */ (make('details'));

  /**
   * @param {Account} account
   * @param {HTMLElement} next gets the focus after the form had it
   */
  constructor(account, next) {
    this.#account = account;
    this.#next = next;
    this.element = this.#build();
    account.on('change', (standing) => showWho(standing));
    account.on('over', () => location.reload());
    byId('sign-out').addEventListener('click', () => signOut(account));
  }

  /**
   * Shows the form. The focus goes to it only if nothing else has it: it may be on a picture that goes on.
   *
   * @param {string} why
   */
  show(why) {
    setText(this.#why, why);
    if (!this.element.hidden) return;
    this.element.hidden = false;
    setText(byId('announce'), `Sign in. ${why}`);
    this.#offer();
  }

  /** Where there is a provider, it comes first. */
  async #offer() {
    const said = await this.#provider.show(this.#account);
    const hasProvider = !this.#provider.element.hidden;
    this.#token.classList.toggle('alone', !hasProvider);
    this.#token.open ||= !hasProvider;
    if (said) setText(byId('announce'), said);
    if (document.activeElement !== document.body || this.element.hidden) return;
    if (hasProvider) this.#provider.focus();
    else this.#field.focus({ preventScroll: true });
  }

  hide() {
    if (this.element.hidden) return;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.#tell(null);
    if (hadFocus) this.#next.focus();
  }

  #build() {
    const title = make('h2', '', 'Sign in');
    title.id = 'sign-in-title';
    this.#fault.id = 'sign-in-fault';
    this.#field.type = 'password';
    this.#field.autocomplete = 'off';
    this.#field.spellcheck = false;
    this.#field.required = true;
    this.#field.setAttribute('aria-describedby', this.#fault.id);
    this.#tell(null);
    const form = make('form', '', make('label', 'field', make('span', '', 'Token'), this.#field), this.#button, this.#fault);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    const hint = make('p', 'hint', 'Whoever runs the server makes one with ', make('code', '', COMMAND));
    this.#token.append(make('summary', '', 'With a token'), form, hint);
    this.#token.classList.add('alone');
    const element = make('section', 'card sign-in', title, this.#why, this.#provider.element, this.#token);
    element.setAttribute('aria-labelledby', title.id);
    element.hidden = true;
    return element;
  }

  async #submit() {
    if (this.#button.disabled) return;
    const token = this.#field.value.trim();
    // Whatever becomes of it, the page does not keep it.
    this.#field.value = '';
    this.#button.disabled = true;
    setText(this.#button, 'Signing in');
    this.#tell(null);
    const outcome = await this.#account.signIn(token);
    this.#button.disabled = false;
    setText(this.#button, 'Sign in');
    if (outcome !== 'ok') this.#tell(outcome);
  }

  /** @param {Exclude<Outcome, 'ok'> | null} outcome */
  #tell(outcome) {
    const text = outcome ? FAULTS[outcome] : '';
    this.#fault.hidden = !outcome;
    setText(this.#fault, text);
    this.#field.setAttribute('aria-invalid', String(outcome === 'no_token' || outcome === 'refused'));
    if (!outcome) return;
    setText(byId('announce'), text);
    this.#field.focus();
  }
}

/** @param {Standing} standing */
function showWho({ who }) {
  byId('account').hidden = !who;
  if (!who) return;
  setText(byId('who'), who.tenant ? `${who.name} · ${who.tenant}` : who.name);
  byId('who').title = details(who);
}

/** @param {Account} account */
async function signOut(account) {
  const button = /** @type {HTMLButtonElement} */ (byId('sign-out'));
  button.disabled = true;
  if (account.standing.who?.identity) noteLeaving();
  const done = await account.signOut();
  button.disabled = false;
  if (done) return;
  // The cookie is still there, and only the server can take it away.
  setText(byId('who'), 'Still signed in: no answer');
  setText(byId('announce'), 'Still signed in: the server did not answer');
}
