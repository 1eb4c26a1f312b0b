/** Who has a device for themselves, in words, and what whoever reads the page may do about it. */

import { mayWatch } from './account.js';
import { clock } from './format.js';

/** @typedef {import('./js/device_list.js').Device} Device */
/** @typedef {import('./account.js').Standing} Standing */

/**
 * take: to have the device alone; release: to give it back; force: to take it from whoever has it or is connected.
 *
 * @typedef {'take' | 'release' | 'force'} Step
 */

/** @typedef {{ ok: boolean, inUse: boolean, text: string }} Outcome */

/** @type {ReadonlyMap<Step, string>} */
export const LABELS = new Map([['take', 'Reserve'], ['release', 'Release'], ['force', 'Take over']]);

/**
 * @param {Device} device
 * @param {Standing} standing
 * @param {number} now
 */
export function leaseText({ cuttlebone_lease: lease }, standing, now) {
  if (!lease) return '';
  const until = `until ${clock(lease.until_ms, now)}`;
  return isOwn(lease, standing) ? `Yours ${until}` : `In use by ${lease.holder} ${until}`;
}

/**
 * What the reader may do with the device, if anything.
 *
 * @param {Device} device
 * @param {Standing} standing
 * @param {boolean} inUse it was seen that others are connected
 * @returns {Step | null}
 */
export function leaseStep({ cuttlebone_lease: lease }, standing, inUse) {
  if (!mayReserve(standing)) return null;
  if (lease && isOwn(lease, standing)) return 'release';
  const mayForce = standing.who?.roles.includes('admin') ?? false;
  if (lease || inUse) return mayForce ? 'force' : null;
  return 'take';
}

/**
 * Whether the reader may have devices alone at all: who is nobody in particular may not.
 *
 * @param {Standing} standing
 */
export function mayReserve(standing) {
  return standing.name === 'known' && mayWatch(standing);
}

/**
 * @param {Device} device
 * @param {Step} step
 * @param {(url: string, init: RequestInit) => Promise<Response>} [ask]
 * @returns {Promise<Outcome>}
 */
export async function changeLease({ device_id: id, cuttlebone_tenant: tenant }, step, ask = fetch) {
  const query = new URLSearchParams();
  if (step === 'force') query.set('force', 'true');
  if (tenant) query.set('tenant', tenant);
  const path = `api/v1/devices/${encodeURIComponent(id)}/lease?${query}`;
  try {
    const answer = await ask(path, { method: step === 'release' ? 'DELETE' : 'POST', cache: 'no-store' });
    if (answer.ok) return { ok: true, inUse: false, text: step === 'release' ? `${id} is free` : `${id} is yours` };
    const code = (await answer.json().catch(() => null))?.cuttlebone_code;
    return { ok: false, inUse: code === 'device_in_use', text: REFUSALS.get(code) ?? 'That did not work' };
  } catch {
    return { ok: false, inUse: false, text: 'The server did not answer' };
  }
}

/** @type {ReadonlyMap<string, string>} */
const REFUSALS = new Map([
  ['device_in_use', 'Others are connected'],
  ['device_leased', 'Somebody else was faster'],
  ['device_not_found', 'The device has left'],
  ['not_leased', 'It was free already'],
  ['too_many_leases', 'You have as many devices as you may have'],
  ['forbidden', 'You may not control this device'],
]);

/** @param {{ holder: string }} lease @param {Standing} standing */
function isOwn({ holder }, { who }) {
  return who?.name === holder;
}
