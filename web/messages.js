/**
 * What people are told about everything that can go wrong: by the stable words of the server (`cuttlebone_code`),
 * by those of this page's own WebRTC half, and by close codes where nothing else was said.
 */

/** @typedef {{ title: string, hint: string }} Message */
/** @typedef {import('./js/viewer_session.js').Problem} Problem */

const PAGE_FAULT = 'This is a fault of the page or of something between it and the server. Reload the page; if it comes again, please report it.';
const DEVICE_FAULT = 'This is about what the device sent, and can only be put right there.';

/** @type {ReadonlyMap<string, Message>} */
const BY_CODE = new Map([
  // The device and the way to it.
  ['device_not_found', { title: 'The device is not here', hint: 'No device with this id has connected to the server in the time allowed. Check the id, and that the device is switched on. The page goes on asking.' }],
  ['device_disconnected', { title: 'The device has left', hint: 'It ended its connection to the server or stayed silent for too long. The picture returns by itself when the device does.' }],
  ['device_too_slow', { title: 'The device can not keep up', hint: 'It does not take what its viewers send. Fewer viewers may help.' }],
  ['device_leased', { title: 'The device is in use', hint: 'Somebody has it alone for a while. The page tries again by itself; the list of devices says until when.' }],
  ['too_many_clients', { title: 'Too many viewers', hint: 'This device already has as many viewers as the server allows. A place is free when somebody leaves.' }],
  ['too_many_waiting', { title: 'Too many people are waiting', hint: 'As many viewers as the server allows are already waiting for a device. The page tries again by itself.' }],
  ['too_large_for_device', { title: 'A message was too large for this device', hint: 'The device reads at most 64 KiB at once. The session goes on, without that message.' }],
  ['missing_device_id', { title: 'No device chosen', hint: 'The address of this page names no device. Pick one from the list.' }],
  ['invalid_device_id', { title: 'This can not be a device id', hint: 'An id has at most 256 bytes and no control characters. Pick a device from the list.' }],
  ['cannot_resume', { title: 'The server no longer knows this session', hint: 'The connection was away for too long, or the server was started anew. A new session begins by itself.' }],
  ['closed_by_admin', { title: 'The connection was closed by an administrator', hint: 'Whoever runs the server did that. Ask there.' }],
  ['second_connect', { title: 'This connection already has a device', hint: PAGE_FAULT }],
  ['not_connected', { title: 'Something was sent before the device was there', hint: PAGE_FAULT }],
  // The server's bounds.
  ['too_slow', { title: 'This connection is too slow', hint: 'The server had more to send than this browser took. The page connects again.' }],
  ['rate_limited', { title: 'Too many requests', hint: 'The server asks for a pause. The page tries again by itself.' }],
  ['overloaded', { title: 'The server is busy', hint: 'The page tries again by itself in a moment.' }],
  ['internal_error', { title: 'The server had a fault', hint: 'Its log says more. The page tries again by itself.' }],
  ['message_too_large', { title: 'A message was too large', hint: 'The server takes no more than its configured size at once.' }],
  ['no_first_message', { title: 'The connection was too slow to start', hint: 'The page tries again by itself.' }],
  ['unfinished_message', { title: 'A message was cut off', hint: 'The network is slow or unsteady. The page tries again by itself.' }],
  // Rights.
  ['forbidden', { title: 'You may not watch this device', hint: 'Ask whoever runs this server for access.' }],
  ['unauthenticated', { title: 'You are not signed in', hint: 'The server did not accept this browser’s credentials.' }],
  ['credential_expired', { title: 'Your access has expired', hint: 'It ran out or was withdrawn. Sign in again.' }],
  // What no honest page sends.
  ['binary_message', { title: 'The server got a binary message', hint: PAGE_FAULT }],
  ['not_utf8', { title: 'The server got broken text', hint: PAGE_FAULT }],
  ['invalid_json', { title: 'The server could not read a message', hint: PAGE_FAULT }],
  ['invalid_message', { title: 'The server did not understand a message', hint: PAGE_FAULT }],
  ['nested_too_deep', { title: 'A message was nested too deeply', hint: PAGE_FAULT }],
  ['too_many_fragments', { title: 'A message came in too many pieces', hint: PAGE_FAULT }],
  ['too_many_control_frames', { title: 'Too many pings', hint: PAGE_FAULT }],
  ['unknown_message_type', { title: 'The server does not know a kind of message', hint: 'The page may be newer than the server. Reload it.' }],
  ['missing_payload', { title: 'A message was empty', hint: PAGE_FAULT }],
  // Only devices are told these; they are here so that whoever opens a device’s socket in a page can read them.
  ['device_info_too_large', { title: 'The device describes itself at too great length', hint: DEVICE_FAULT }],
  ['already_registered', { title: 'The device registered twice', hint: DEVICE_FAULT }],
  ['device_id_taken', { title: 'Another device has this id', hint: DEVICE_FAULT }],
  ['taken_over', { title: 'A new registration took this id over', hint: DEVICE_FAULT }],
  ['not_registered', { title: 'The device sent before it registered', hint: DEVICE_FAULT }],
  ['invalid_client_id', { title: 'The device named no viewer', hint: DEVICE_FAULT }],
  // This page’s own.
  ['bad_server_message', { title: 'The answer was not from a signaling server', hint: 'Something else may be listening at this address.' }],
  ['no_offer', { title: 'The device does not answer', hint: 'It is connected to the server but made no offer. Its WebRTC part may have stopped.' }],
  ['no_path', { title: 'No path to the device', hint: 'Signaling works, but no network path for the picture was found. Where a firewall or NAT is in between, the server needs a TURN relay in its configuration.' }],
  ['path_lost', { title: 'The path to the device was lost', hint: 'The network between this browser and the device broke. A new path is looked for.' }],
  ['device_left', { title: 'The device ended the picture', hint: 'A new one is asked for.' }],
  ['bad_offer', { title: 'The device’s offer can not be used', hint: 'This browser did not accept it. The browser console says more.' }],
  ['device_error', { title: 'The device reports a fault', hint: 'What it said stands below.' }],
  ['no_token', { title: 'You could not be signed in', hint: 'The page has no token to show to the server. It tries again by itself.' }],
  ['signaling_failed', { title: 'A message could not be sent', hint: 'The connection to the signaling server does not keep up.' }],
  ['signaling_lost', { title: 'The signaling server can not be reached', hint: 'It may be down or restarting, or this browser may be offline.' }],
  ['signaling_closed', { title: 'The server ended the connection', hint: 'It gave no reason.' }],
]);

/** @type {ReadonlyMap<number, Message>} */
const BY_CLOSE = new Map([
  [1000, { title: 'The connection was ended', hint: 'The server closed it.' }],
  [1001, { title: 'The server is shutting down, or the device has left', hint: 'The page tries again by itself.' }],
  [1002, { title: 'The connection was garbled', hint: PAGE_FAULT }],
  [1003, { title: 'The server got a binary message', hint: PAGE_FAULT }],
  [1007, { title: 'The server got broken text', hint: PAGE_FAULT }],
  [1008, { title: 'The server refused the connection', hint: 'It holds that a rule was broken, but gave no reason.' }],
  [1009, { title: 'A message was too large', hint: 'The server takes no more than its configured size at once.' }],
  [1011, { title: 'The server had a fault', hint: 'Its log says more. The page tries again by itself.' }],
  [1012, { title: 'The server is restarting', hint: 'The page comes back by itself.' }],
  [1013, { title: 'The server is busy', hint: 'The page tries again by itself in a moment.' }],
  [4001, { title: 'A new registration took this id over', hint: DEVICE_FAULT }],
  [4003, { title: 'Your access has expired', hint: 'It ran out or was withdrawn. Sign in again.' }],
  [4008, { title: 'This connection is too slow', hint: 'The server had more to send than this browser took. The page connects again.' }],
  [4029, { title: 'Too many requests', hint: 'The server asks for a pause. The page tries again by itself.' }],
]);

/**
 * @param {Problem} problem
 * @returns {Message & { said: string | null }} `said` is what the other side said where our own words are not enough
 */
export function explain({ code, text, closeCode }) {
  const known = BY_CODE.get(code);
  const general = code === 'signaling_lost' || code === 'signaling_closed';
  const message = (general && BY_CLOSE.get(closeCode ?? 0)) || known;
  if (!message) return { title: 'The server reports a fault', hint: 'It said:', said: text };
  return { ...message, said: code === 'device_error' ? text : null };
}

/** The words that have a message, for the test that holds them against the server's table. */
export const KNOWN_CODES = new Set(BY_CODE.keys());
