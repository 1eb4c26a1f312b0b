/** A real relay: coturn, on a free port of this machine, stopped after the test whatever happens. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { Program } from './processes.js';
import { TurnClient } from './turn_client.js';
import { until } from './until.js';

const BINARY = process.env['TURNSERVER_BIN'] ?? '/usr/bin/turnserver';
/** What is there to be copied. */
const SHIPPED = fileURLToPath(new URL('../../../deploy/coturn/turnserver.conf', import.meta.url));
const TRIES = 5;
/** Whether this machine can relay to addresses of IPv6. */
export const HAS_IPV6 = Object.values(networkInterfaces()).some((found) => found?.some(({ address }) => address === '::1'));

/** As good as none for a test, and long enough for the server. */
export const SECRET = 'a-secret-of-these-tests-and-of-nobody-else';

export class Coturn {
  #program;
  #folder;
  #printed = '';

  /**
   * @param {Program} program
   * @param {string} folder
   * @param {number} port
   * @param {number} tlsPort
   */
  constructor(program, folder, port, tlsPort) {
    this.#program = program;
    this.#folder = folder;
    this.port = port;
    this.url = `turn:127.0.0.1:${port}`;
    /** Where it is reached by TCP, and by TLS. */
    this.streams = { tcp: `${this.url}?transport=tcp`, tls: `turns:127.0.0.1:${tlsPort}?transport=tcp` };
    program.output.on('data', (data) => (this.#printed = (this.#printed + data).slice(-200_000)));
  }

  /** One that relays to this machine, which no relay in earnest does. Its certificate is nobody's. */
  static open() {
    return Coturn.#start(['-n', '--realm=test', '--use-auth-secret', '--allow-loopback-peers', '--verbose', '--no-dtls']);
  }

  /** One with the configuration that is there to be copied, and only its own addresses changed. */
  static shipped() {
    return Coturn.#start(['-c', SHIPPED, '--verbose', ...(HAS_IPV6 ? ['--relay-ip=::1'] : [])]);
  }

  /** @param {string[]} args */
  static async #start(args) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: install the Debian package coturn (cargo xtask ci --only tools does)`);
    for (let n = 1; ; n += 1) {
      const relay = await Coturn.#tryStart(args);
      if (await relay.#answers()) return relay;
      await relay.stop();
      // Somebody else may have taken the port in between.
      if (n === TRIES) throw new Error(`coturn did not start: ${relay.log}`);
    }
  }

  /** @param {string[]} args */
  static async #tryStart(args) {
    const [port, tlsPort, folder] = [await freePort(), await freePort(), await mkdtemp(join(tmpdir(), 'cuttlebone-coturn-'))];
    const [cert, key] = await certificate(folder);
    const own = ['--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', `--listening-port=${port}`, `--static-auth-secret=${SECRET}`];
    const tls = [`--tls-listening-port=${tlsPort}`, `--cert=${cert}`, `--pkey=${key}`];
    const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`, '--log-file=stdout', '--simple-log', '--no-cli'];
    const program = new Program([...args, ...own, ...tls, ...files], {}, BINARY);
    return new Coturn(program, folder, port, tlsPort);
  }

  /** What it said. */
  get log() {
    return this.#program.log + this.#printed;
  }

  async stop() {
    await this.#program.stop('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #answers() {
    let ended = false;
    this.#program.ended.then(() => (ended = true));
    const client = new TurnClient(this.port, { username: 'x', credential: 'x' });
    try {
      return await until('coturn answers', async () => ended || client.allocate().catch(() => 0)) === 401;
    } finally {
      client.close();
    }
  }
}

/**
 * A certificate of its own for this machine, and its key.
 *
 * @param {string} folder
 */
async function certificate(folder) {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert]);
  return [cert, key];
}

/** A port that is free for UDP and, as likely, for TCP. */
async function freePort() {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
