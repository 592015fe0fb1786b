import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { type Deferred, deferred, SingleFlight } from '../../concurrency/index.js';
import { LandfallError, systemCode } from '../../errors.js';
import { RegistryFault } from '../http/answer.js';
import type { Users } from './access.js';

/** Where users are. */
export interface HtpasswdOptions {
  /** As `htpasswd -B` writes it: a user and a bcrypt hash on each line. */
  readonly file: string;
  /** Called when the file has changed and cannot be used: the users that it had stay. */
  readonly onError?: (error: unknown) => void;
}

/** How often the file is looked at, in ms. */
const LOOK_EVERY_MS = 1000;
/** Longer than any list of users that people keep by hand, in bytes. */
const MOST_BYTES = 4 * 1024 * 1024;
const BCRYPT = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;
/** Of no password, but for `$2y$COST`. */
const NOBODY = '$abcdefghijklmnopqrstuuFZMnQGhu1JWZBR5kwvQEUFO2e0SLhMC';

/**
 * The users of an htpasswd file, which is read again when it has changed. A password that was right is known
 * again without bcrypt, by a keyed digest in memory, as long as its line stays.
 */
export class Htpasswd implements Users {
  readonly #options: HtpasswdOptions;
  readonly #thread = new BcryptThread();
  readonly #key = randomBytes(32);
  readonly #proofs = new Map<string, Buffer>();
  readonly #checking = new SingleFlight<string, boolean>();
  readonly #looking = new SingleFlight<'file', void>();
  readonly #wrong = new WrongPasswords();
  #users: ReadonlyMap<string, string>;
  #version: string;
  #lookedAt = Date.now();

  private constructor(options: HtpasswdOptions, users: ReadonlyMap<string, string>, version: string) {
    this.#options = options;
    this.#users = users;
    this.#version = version;
  }

  /**
   * @throws LandfallError INVALID_CONFIG: the file cannot be read, or a line is not a user with a bcrypt hash
   */
  static async open(options: HtpasswdOptions): Promise<Htpasswd> {
    const version = await versionOf(options.file);
    return new Htpasswd(options, await readUsers(options.file), version);
  }

  /**
   * See {@link Users}.
   *
   * @throws {RegistryFault} 429 TOOMANYREQUESTS after ten wrong passwords for this user from this client,
   *   then but for one every six seconds; and where too many wait to be checked
   */
  async verify(username: string, password: string, client?: string): Promise<boolean> {
    await this.#refresh();
    // Before anything is compared, so that a right guess cannot be told from a wrong one either.
    const guesser = client === undefined ? undefined : JSON.stringify([client, username]);
    if (guesser !== undefined) this.#wrong.refuse(guesser);
    const hash = this.#users.get(username);
    // Another one when any of the three is another.
    const parts = JSON.stringify([username, password, hash ?? '']);
    const proof = createHmac('sha256', this.#key).update(parts).digest();
    const known = this.#proofs.get(username);
    if (known !== undefined && timingSafeEqual(known, proof)) return true;
    // Clients ask for many things at once with the same password.
    const flight = JSON.stringify([client, proof.toString('base64')]);
    return await this.#checking.run(flight, async () => {
      // Counted until it is known not to be wrong, since many may be tried at once.
      if (guesser !== undefined) this.#wrong.count(guesser, 1);
      let isWrong = false;
      try {
        const fits = await this.#thread.compare(password, hash ?? hashOfNobody(this.#users));
        isWrong = !fits || hash === undefined;
      } finally {
        if (!isWrong && guesser !== undefined) this.#wrong.count(guesser, -1);
      }
      if (!isWrong && hash !== undefined && this.#users.get(username) === hash) {
        this.#proofs.set(username, proof);
      }
      return !isWrong;
    });
  }

  async #refresh(): Promise<void> {
    if (Date.now() - this.#lookedAt < LOOK_EVERY_MS) return;
    await this.#looking.run('file', () => this.#look());
  }

  async #look(): Promise<void> {
    this.#lookedAt = Date.now();
    try {
      const version = await versionOf(this.#options.file);
      if (version === this.#version) return;
      const users = await readUsers(this.#options.file);
      this.#version = version;
      this.#users = users;
      this.#proofs.clear();
    } catch (error) {
      this.#options.onError?.(error);
    }
  }
}

/** Wrong passwords that may follow one another, and how long each counts, in ms. */
const MOST_WRONG = 10;
const WRONG_COUNTS_MS = 6000;
/** The clients and users that are remembered; many names must not fill the memory. */
const MOST_GUESSERS = 10_000;

/** Bounds the wrong passwords that a client may try for a user: a bucket that leaks. */
class WrongPasswords {
  readonly #counted = new Map<string, { readonly wrong: number; readonly atMs: number }>();

  /** @throws {RegistryFault} 429 TOOMANYREQUESTS */
  refuse(guesser: string): void {
    const tooMany = this.#wrongOf(guesser) + 1 - MOST_WRONG;
    if (tooMany <= 0) return;
    const seconds = Math.ceil((tooMany * WRONG_COUNTS_MS) / 1000);
    throw new RegistryFault(429, 'TOOMANYREQUESTS', 'too many wrong passwords for this user', {
      'Retry-After': String(seconds),
    });
  }

  count(guesser: string, more: number): void {
    const wrong = this.#wrongOf(guesser) + more;
    this.#counted.delete(guesser);
    if (wrong <= 0) return;
    this.#counted.set(guesser, { wrong, atMs: performance.now() });
    const [oldest] = this.#counted.keys();
    if (this.#counted.size > MOST_GUESSERS && oldest !== undefined) this.#counted.delete(oldest);
  }

  #wrongOf(guesser: string): number {
    const counted = this.#counted.get(guesser);
    if (counted === undefined) return 0;
    return Math.max(0, counted.wrong - (performance.now() - counted.atMs) / WRONG_COUNTS_MS);
  }
}

/** Of the highest cost in the file, so that a name that is not there takes as long as a wrong password. */
function hashOfNobody(users: ReadonlyMap<string, string>): string {
  const costs = [...users.values()].map((hash) => hash.slice(4, 6));
  return `$2y$${costs.sort().at(-1) ?? '10'}${NOBODY}`;
}

async function versionOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return [ino, size, mtimeMs, ctimeMs].join(' ');
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

async function readUsers(file: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  if (text.length > MOST_BYTES)
    throw new LandfallError('INVALID_CONFIG', `${file} is too long a list of users`);
  const users = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const [username, hash] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (colon < 1 || !BCRYPT.test(hash)) {
      const message = `line ${index + 1} of ${file} is not a user with a bcrypt hash`;
      throw new LandfallError('INVALID_CONFIG', message, { hint: 'Make it with: htpasswd -B FILE USER.' });
    }
    users.set(username, hash);
  }
  return users;
}

function unreadable(file: string, cause: unknown): LandfallError {
  const why = systemCode(cause) ?? 'unknown error';
  return new LandfallError('INVALID_CONFIG', `the users in ${file} cannot be read: ${why}`, {
    cause,
    hint: 'Make the file with: htpasswd -B -c FILE USER.',
  });
}

/**
 * All that the thread runs. One comparison takes some 100 ms of a processor, in which requests go on being
 * answered.
 */
const CODE = `
const { parentPort, workerData } = require('node:worker_threads');
const bcrypt = require(workerData);
parentPort.on('message', ({ id, password, hash }) => {
  let right = false;
  try {
    right = bcrypt.compareSync(password, hash);
  } catch {}
  parentPort.postMessage({ id, right });
});
`;

/** Comparisons that may wait; a further one gets a 429. */
const MOST_WAITING = 64;

interface Outcome {
  readonly id: number;
  readonly right: boolean;
}

/**
 * Compares passwords with bcrypt hashes beside the event loop, one at a time. The thread starts with the
 * first.
 */
export class BcryptThread {
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Deferred<boolean>>();
  #last = 0;

  /** @throws {RegistryFault} 429 TOOMANYREQUESTS where too many wait already */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.size >= MOST_WAITING) {
      throw new RegistryFault(429, 'TOOMANYREQUESTS', 'too many passwords are being checked', {
        'Retry-After': '1',
      });
    }
    this.#last += 1;
    const id = this.#last;
    const outcome = deferred<boolean>();
    this.#waiting.set(id, outcome);
    this.#started().postMessage({ id, password, hash });
    return await outcome.promise;
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const bcrypt = createRequire(import.meta.url).resolve('bcryptjs');
    const worker = new Worker(CODE, { eval: true, workerData: bcrypt });
    // It keeps nothing alive by itself.
    worker.unref();
    worker.on('message', ({ id, right }: Outcome) => {
      this.#waiting.get(id)?.resolve(right);
      this.#waiting.delete(id);
    });
    worker.on('error', (error) => this.#fail(worker, error));
    worker.on('exit', () => this.#fail(worker, new Error('the thread that checks passwords has ended')));
    this.#worker = worker;
    return worker;
  }

  /**
   * The next comparison starts another thread. One that failed ends as well, when another may have its place
   * already.
   */
  #fail(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
