/** The real server and the real demo device, started for a test and stopped after it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../../../', import.meta.url);
const BINARY = process.env['CUTTLEBONE_BIN'] ?? fileURLToPath(new URL('target/debug/cuttlebone', ROOT));
const START_MS = 20_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** A program that a test started. */
export class Program {
  #child;
  #log = '';

  /**
   * @param {string[]} args
   * @param {Record<string, string>} [env]
   */
  constructor(args, env = {}) {
    this.#child = spawn(BINARY, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.#child);
    this.#child.stderr.on('data', (data) => (this.#log = (this.#log + data).slice(-20_000)));
    this.ended = once(this.#child, 'exit').then(() => void running.delete(this.#child));
  }

  get output() {
    return this.#child.stdout;
  }

  get log() {
    return this.#log;
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
    const { promise, resolve, reject } = withResolvers();
    const timer = setTimeout(() => reject(new Error(`The server did not start: ${program.log}`)), START_MS);
    createInterface(program.output).on('line', (line) => {
      const [, url] = /^listening on (http:\S+)/.exec(line) ?? [];
      if (url) resolve(url);
    });
    program.ended.then(() => reject(new Error(`The server ended: ${program.log}`)));
    try {
      return new Server(program, await promise);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {NodeJS.Signals} [signal] */
  stop(signal) {
    return this.#program.stop(signal);
  }

  /** @param {string} id */
  device(id) {
    return new Program(['device', '--server', this.url, '--id', id]);
  }

  /** @param {string} deviceId */
  viewer(deviceId) {
    return `${this.url}/viewer.html?deviceId=${encodeURIComponent(deviceId)}`;
  }

  get socketUrl() {
    return this.url.replace(/^http/, 'ws');
  }
}

function withResolvers() {
  /** @type {any} */
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
