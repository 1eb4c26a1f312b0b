/** The real server and the real demo device, started for a test and stopped after it. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = new URL('../../../', import.meta.url);
const BINARY = process.env['CUTTLEBONE_BIN'] ?? fileURLToPath(new URL('target/debug/cuttlebone', ROOT));
/** The program that spoils connections is built beside the server. */
const FAULT_PROXY = process.env['FAULT_PROXY_BIN'] ?? join(dirname(BINARY), 'fault-proxy');
/** So is a server whose credentials do not last. */
const SHORT_LIVED = process.env['SHORT_LIVED_BIN'] ?? join(dirname(BINARY), 'short-lived-credentials');
const START_MS = 20_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/**
 * Runs a command of the program to its end.
 *
 * @param {string[]} args
 * @returns {Promise<string>} what it printed, without the last line break
 */
export async function run(args) {
  const { stdout } = await promisify(execFile)(BINARY, args);
  return stdout.trimEnd();
}

/** A program that a test started. */
export class Program {
  #child;
  #log = '';

  /**
   * @param {string[]} args
   * @param {Record<string, string>} [env]
   */
  constructor(args, env = {}, binary = BINARY) {
    this.#child = spawn(binary, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.#child);
    this.#child.stderr.on('data', (data) => (this.#log = (this.#log + data).slice(-20_000)));
    this.ended = once(this.#child, 'exit').then(() => void running.delete(this.#child));
  }

  get input() {
    return this.#child.stdin;
  }

  get output() {
    return this.#child.stdout;
  }

  get log() {
    return this.#log;
  }

  /**
   * Of a demo device: the ids of the clients that had a picture of it, once for each picture.
   *
   * @returns {string[]}
   */
  get pictures() {
    return [...this.#log.matchAll(/viewer connected\W+client\W+(\d+)/g)].map(([, id]) => String(id));
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = 'SIGTERM') {
    this.#child.kill(signal);
    await this.ended;
  }
}

export class Server {
  #program;

  /**
   * @param {Program} program
   * @param {string} url
   */
  constructor(program, url) {
    this.#program = program;
    this.url = url;
    this.port = Number(new URL(url).port);
  }

  /** @param {{ port?: number, env?: Record<string, string> }} [options] port 0 is any that is free */
  static async start({ port = 0, env } = {}) {
    const program = new Program(['serve', '--listen', `127.0.0.1:${port}`, '--metrics-listen', '127.0.0.1:0'], env);
    const lines = createInterface(program.output);
    return new Server(program, await listening(program, lines, /^listening on (https?:\S+)/));
  }

  /**
   * One whose TURN credentials are good for so many seconds only, which no configuration allows.
   *
   * @param {string} turn the address of the relay
   * @param {string} secret
   * @param {number} seconds
   */
  static async shortLived(turn, secret, seconds) {
    const program = new Program(['--turn', turn, '--secret', secret, '--ttl-seconds', String(seconds)], {}, SHORT_LIVED);
    const lines = createInterface(program.output);
    return new Server(program, await listening(program, lines, /^listening on (http:\S+)/));
  }

  /** @param {NodeJS.Signals} [signal] */
  stop(signal) {
    return this.#program.stop(signal);
  }

  /**
   * @param {string} id
   * @param {string} [tokenFile]
   */
  device(id, tokenFile) {
    return new Program(['device', '--server', this.url, '--id', id, ...(tokenFile ? ['--token-file', tokenFile] : [])]);
  }

  /** The end of what it logged. */
  get log() {
    return this.#program.log;
  }

  /** @param {string} deviceId */
  viewer(deviceId) {
    return `${this.url}/viewer.html?deviceId=${encodeURIComponent(deviceId)}`;
  }

  get socketUrl() {
    return this.url.replace(/^http/, 'ws');
  }
}

/** What stands between a browser and a server, and spoils their connections when it is told to. */
export class FaultProxy {
  #program;
  /** @type {((answer: string) => void)[]} */
  #asked = [];

  /**
   * @param {Program} program
   * @param {import('node:readline').Interface} lines
   * @param {string} address
   */
  constructor(program, lines, address) {
    this.#program = program;
    this.url = `http://${address}`;
    lines.on('line', (line) => this.#asked.shift()?.(line));
  }

  /** @param {number} port of the server, on this machine */
  static async start(port) {
    const program = new Program(['--to', `127.0.0.1:${port}`], {}, FAULT_PROXY);
    const lines = createInterface(program.output);
    return new FaultProxy(program, lines, await listening(program, lines, /^listening on (\S+)/));
  }

  /**
   * @param {string} command such as `cut`; `fault-proxy --help` names all
   * @returns {Promise<string>} the answer, when it is done
   */
  async tell(command) {
    const answer = new Promise((resolve) => this.#asked.push(resolve));
    this.#program.input.write(`${command}\n`);
    const line = String(await answer);
    if (!line.startsWith('ok')) throw new Error(line);
    return line.slice(3);
  }

  stop() {
    return this.#program.stop();
  }
}

/**
 * Waits until a program says where it listens.
 *
 * @param {Program} program
 * @param {import('node:readline').Interface} lines
 * @param {RegExp} shape
 * @returns {Promise<string>}
 */
async function listening(program, lines, shape) {
  const { promise, resolve, reject } = withResolvers();
  const timer = setTimeout(() => reject(new Error(`It did not start: ${program.log}`)), START_MS);
  const onLine = (/** @type {string} */ line) => {
    const [, where] = shape.exec(line) ?? [];
    if (where) resolve(where);
  };
  lines.on('line', onLine);
  program.ended.then(() => reject(new Error(`It ended: ${program.log}`)));
  try {
    return await promise;
  } finally {
    lines.off('line', onLine);
    clearTimeout(timer);
  }
}

function withResolvers() {
  /** @type {any} */
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
