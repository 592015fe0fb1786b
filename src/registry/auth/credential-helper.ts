import { spawn } from 'node:child_process';

import { isPlainObject } from '@sindresorhus/is';
import { type Abortable, abortedError, LandfallError, systemCode, throwIfAborted } from '../../errors.js';
import { type Credentials, DOCKER_HUB_KEY, fromPair, TOKEN_USER } from './credentials.js';

export interface HelperOptions {
  /** `PATH` among it, where the program is looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * Until it must have answered, in milliseconds. Default 60,000: it may ask a person, or a service far away.
   */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** Tokens of cloud registries have some kilobytes. */
const ANSWER_BYTES = 1024 * 1024;
/**
 * What all helpers say, on standard output, where they have nothing (docker-credential-helpers:
 * credentials/error.go).
 */
const NOT_FOUND = 'credentials not found in native keychain';

/**
 * A program `docker-credential-NAME`, which keeps credentials for docker and others
 * (docker-credential-helpers: README). What it is given stands on its standard input, never on its command
 * line; what it prints is never shown.
 *
 * All methods throw LandfallError INVALID_CONFIG, which names the program, where it is missing, fails, hangs
 * or prints something else than it should, and ABORTED.
 */
export class CredentialHelper {
  /** `docker-credential-pass` */
  readonly program: string;
  readonly #file: string;
  readonly #options: HelperOptions;

  /**
   * @param suffix as config files name it: `pass`
   * @param file the one that names it, for messages
   */
  constructor(suffix: string, file: string, options: HelperOptions) {
    this.program = `docker-credential-${suffix}`;
    this.#file = file;
    this.#options = options;
    if (!/^[\w.-]+$/.test(suffix)) {
      throw new LandfallError('INVALID_CONFIG', `${file} names a credential helper that cannot be one`, {
        hint: 'Write what follows docker-credential- in the name of the program.',
        details: { path: file },
      });
    }
  }

  /** What it keeps for a registry, if anything. */
  async get(registry: string, options: Abortable = {}): Promise<Credentials | undefined> {
    for (const server of serverNames(registry)) {
      const answer = await this.#run('get', server, options);
      if (answer === undefined) continue;
      const found = this.#parse(answer);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async store(registry: string, credentials: Credentials, options: Abortable = {}): Promise<void> {
    const [ServerURL] = serverNames(registry);
    const [Username, Secret] = pairOf(credentials);
    await this.#run('store', JSON.stringify({ ServerURL, Username, Secret }), options);
  }

  /** Forgets what it keeps for a registry; false where it kept nothing. */
  async erase(registry: string, options: Abortable = {}): Promise<boolean> {
    let erased = false;
    for (const server of serverNames(registry)) {
      // Helpers differ in what they say when they are to erase what they do not have.
      if ((await this.#run('get', server, options)) === undefined) continue;
      await this.#run('erase', server, options);
      erased = true;
    }
    return erased;
  }

  /** What it printed; undefined where it says that it has nothing. */
  async #run(
    action: 'get' | 'store' | 'erase',
    input: string,
    options: Abortable,
  ): Promise<string | undefined> {
    throwIfAborted(options.signal);
    const { code, output } = await this.#ended(action, input, options);
    if (code === 0) return output;
    if (output.trim() === NOT_FOUND) return undefined;
    throw this.#failed(`failed to ${action} (exit code ${code ?? 'none: it was killed'})`);
  }

  #ended(
    action: string,
    input: string,
    { signal }: Abortable,
  ): Promise<{ code: number | null; output: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.program, [action], {
        env: this.#options.env,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const chunks: Buffer[] = [];
      let length = 0;
      const giveUp = (error: Error): void => {
        leave();
        child.kill('SIGKILL');
        // A process that the helper started may hold on to them.
        child.stdin.destroy();
        child.stdout.destroy();
        reject(error);
      };
      const onAbort = (): void => giveUp(abortedError(signal));
      const timer = setTimeout(
        () => giveUp(this.#failed('does not answer')),
        this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      );
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      child.on('error', (error) => giveUp(this.#notStarted(error)));
      child.stdout.on('data', (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length > ANSWER_BYTES) giveUp(this.#failed('prints more than credentials can have'));
      });
      child.on('close', (code) => {
        leave();
        resolve({ code, output: Buffer.concat(chunks).toString() });
      });
      // It may end without reading.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    });
  }

  #parse(output: string): Credentials | undefined {
    let answer: unknown;
    try {
      answer = JSON.parse(output);
    } catch {
      // Without the cause: its message may quote what was printed.
    }
    if (!isPlainObject(answer)) throw this.#failed('prints something that is not JSON');
    const { Username, Secret } = answer;
    if (Secret === undefined || Secret === null || Secret === '') return undefined;
    if (typeof Secret !== 'string' || typeof Username !== 'string')
      throw this.#failed('prints no user and secret');
    return fromPair(Username, Secret);
  }

  #notStarted(cause: Error): LandfallError {
    const code = systemCode(cause);
    if (code !== 'ENOENT') return this.#failed(`cannot be run (${code ?? 'unknown error'})`);
    return this.#failed('is not on PATH');
  }

  #failed(fault: string): LandfallError<'INVALID_CONFIG'> {
    return new LandfallError('INVALID_CONFIG', `${this.program}, which ${this.#file} names, ${fault}`, {
      hint: 'Run it by hand to see why, or take it out of credsStore or credHelpers in that file.',
      details: { helper: this.program, path: this.#file },
    });
  }
}

/** What a helper may know a registry by. Docker has an old URL for Docker Hub, others use its name. */
function serverNames(registry: string): readonly [string, ...string[]] {
  return registry === 'docker.io' ? [DOCKER_HUB_KEY, registry] : [registry];
}

function pairOf(credentials: Credentials): [username: string, secret: string] {
  if ('username' in credentials) return [credentials.username, credentials.password];
  if ('identityToken' in credentials) return [TOKEN_USER, credentials.identityToken];
  throw new LandfallError('INVALID_CONFIG', 'credential helpers keep no registry tokens', {
    hint: 'Log in with a user and a password.',
  });
}
