/** The file of tokens that a server reads, and the tokens that are in it. */

import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { run } from './processes.js';

export class Tokens {
  #folder;

  /** @param {string} folder of its own */
  constructor(folder) {
    this.#folder = folder;
    this.file = join(folder, 'tokens');
  }

  static async create() {
    const tokens = new Tokens(await mkdtemp(join(tmpdir(), 'cuttlebone-tokens-')));
    await writeFile(tokens.file, '', { mode: 0o600 });
    return tokens;
  }

  /** What makes a server read them. */
  get env() {
    return { CUTTLEBONE__ACCESS__TOKENS_FILE: this.file };
  }

  /**
   * Makes a token, as whoever runs the server does. It takes the place of an earlier one of that name at one stroke.
   *
   * @param {string} name
   * @param {string} role
   */
  async add(name, role) {
    let token = '';
    await this.#change(name, async (file) => {
      token = await run(['token', 'new', '--name', name, '--role', role, '--devices', '*', '--append-to', file]);
    });
    return token;
  }

  /** @param {string} name */
  takeBack(name) {
    return this.#change(name, async () => {});
  }

  /**
   * Makes a token that a device reads from a file.
   *
   * @param {string} name
   * @returns {Promise<string>} the file
   */
  async addDevice(name) {
    const file = join(this.#folder, `${name}.token`);
    await writeFile(file, await this.add(name, 'device'), { mode: 0o600 });
    return file;
  }

  /**
   * @param {string} name whose line is left out
   * @param {(file: string) => Promise<void>} then changes what is to become the file
   */
  async #change(name, then) {
    const lines = (await readFile(this.file, 'utf8')).split('\n');
    const next = `${this.file}.next`;
    await writeFile(next, lines.filter((line) => !line.split(' ').includes(`name=${name}`)).join('\n'), { mode: 0o600 });
    await then(next);
    await rename(next, this.file);
  }

  remove() {
    return rm(this.#folder, { recursive: true });
  }
}
