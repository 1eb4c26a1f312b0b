/** Everything a page of your own needs. */

export { Backoff } from './backoff.js';
export { DeviceList } from './device_list.js';
export { InputSender, toPicture } from './input.js';
export { SendError, SignalingClient, socketUrl } from './signaling.js';
export { StatsSampler } from './stats.js';
export { ViewerSession } from './viewer_session.js';
