import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

import { LandfallError, systemCode } from '../../errors.js';

/** What a server shows of itself, in PEM. */
export interface TlsIdentity {
  /** Its certificate, and those between it and one that clients know. */
  readonly cert: string;
  /** Of the certificate. */
  readonly key: string;
}

export interface TlsFilesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  readonly onChange: (identity: TlsIdentity) => void;
  /** Called when the files have changed and cannot be used: the certificate that was read before stays. */
  readonly onError: (error: unknown) => void;
}

/** How often the files are looked at, in ms: certificates are renewed days before they end. */
const LOOK_EVERY_MS = 10_000;

/** A certificate and its key in files, which are read again when they have changed. */
export class TlsFiles implements Disposable {
  readonly identity: TlsIdentity;
  readonly #options: TlsFilesOptions;
  readonly #timer: NodeJS.Timeout;
  #version: string;

  private constructor(options: TlsFilesOptions, identity: TlsIdentity, version: string) {
    this.#options = options;
    this.identity = identity;
    this.#version = version;
    this.#timer = setInterval(() => void this.reload(), LOOK_EVERY_MS).unref();
  }

  /** @throws LandfallError INVALID_CONFIG: they cannot be read, or do not belong together */
  static async open(options: TlsFilesOptions): Promise<TlsFiles> {
    const version = await versionOf(options);
    return new TlsFiles(options, await read(options), version);
  }

  /** Looks whether the files have changed. Never rejects. */
  async reload(): Promise<void> {
    try {
      const version = await versionOf(this.#options);
      if (version === this.#version) return;
      const identity = await read(this.#options);
      this.#version = version;
      this.#options.onChange(identity);
    } catch (error) {
      // While one is there and the other is not yet, they do not belong together: the next look finds both.
      this.#options.onError(error);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

type Names = Pick<TlsFilesOptions, 'certFile' | 'keyFile'>;

async function versionOf({ certFile, keyFile }: Names): Promise<string> {
  try {
    const found = await Promise.all([stat(certFile), stat(keyFile)]);
    return found.map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`).join(' ');
  } catch (cause) {
    throw unusable({ certFile, keyFile }, cause);
  }
}

async function read(names: Names): Promise<TlsIdentity> {
  try {
    const [cert, key] = await Promise.all([
      readFile(names.certFile, 'utf8'),
      readFile(names.keyFile, 'utf8'),
    ]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (cause) {
    throw unusable(names, cause);
  }
}

function unusable({ certFile, keyFile }: Names, cause: unknown): LandfallError {
  const why = systemCode(cause) ?? (cause instanceof Error ? cause.message : 'unknown error');
  return new LandfallError('INVALID_CONFIG', `the certificate ${certFile} with the key ${keyFile}: ${why}`, {
    cause,
    hint: 'Give both in PEM, the certificate with those between it and one that clients know.',
  });
}
