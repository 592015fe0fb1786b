import { createHash } from 'node:crypto';

import { initializeTLog, rekorHandler } from '@sigstore/mock';

import { signingKey, type SigningKey } from './signing-keys.js';

/** What a log says of what it has taken (Rekor's API: `LogEntry`). */
export interface LoggedEntry {
  /** As it was logged: canonical JSON in base64. */
  readonly body: string;
  /** Seconds. */
  readonly integratedTime: number;
  readonly logIndex: number;
  /** Hexadecimal. */
  readonly logID: string;
  readonly verification: {
    /** The promise, in base64. */
    readonly signedEntryTimestamp: string;
    readonly inclusionProof: {
      readonly logIndex: number;
      readonly treeSize: number;
      readonly rootHash: string;
      readonly hashes: readonly string[];
      readonly checkpoint: string;
    };
  };
}

/** Rekor, by sigstore's mock of it, with a key of its own. */
export class TransparencyLog {
  readonly key: SigningKey = signingKey();
  readonly #url: string;

  constructor(url = 'https://rekor.test') {
    this.#url = url;
  }

  /** Takes an entry, at a time (default: now). */
  async log(entry: object, time: Date = new Date()): Promise<LoggedEntry> {
    const log = await initializeTLog(this.#url, this.key, time);
    const { statusCode, response } = await rekorHandler(log).fn(JSON.stringify(entry));
    const logged = Object.values(JSON.parse(response.toString()) as Record<string, LoggedEntry>)[0];
    if (statusCode !== 201 || logged === undefined) throw new Error(`not logged: ${response.toString()}`);
    return logged;
  }
}

/** What was signed, by whose key or certificate (PEM). */
export interface SignedThing {
  readonly signature: Buffer;
  readonly payload: Uint8Array;
  readonly signer: string;
}

const hexOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64');

/** The entry of a signature over bytes, as cosign proposes it. */
export function hashedRekord({ signature, payload, signer }: SignedThing): object {
  return {
    kind: 'hashedrekord',
    apiVersion: '0.0.1',
    spec: {
      data: { hash: { algorithm: 'sha256', value: hexOf(payload) } },
      signature: { content: base64(signature), publicKey: { content: base64(signer) } },
    },
  };
}

/** The entry of an envelope. */
export function dsseEntry({ signature, payload, signer }: SignedThing): object {
  return {
    kind: 'dsse',
    apiVersion: '0.0.1',
    spec: {
      envelopeHash: { algorithm: 'sha256', value: hexOf(Buffer.concat([payload, signature])) },
      payloadHash: { algorithm: 'sha256', value: hexOf(payload) },
      signatures: [{ signature: base64(signature), verifier: base64(signer) }],
    },
  };
}

/** The entry of an envelope in its older form. */
export function intotoEntry({ signature, payload, signer }: SignedThing): object {
  return {
    kind: 'intoto',
    apiVersion: '0.0.2',
    spec: {
      content: {
        envelope: {
          payloadType: 'application/vnd.in-toto+json',
          signatures: [{ publicKey: base64(signer), sig: base64(base64(signature)) }],
        },
        hash: { algorithm: 'sha256', value: hexOf(Buffer.concat([payload, signature])) },
        payloadHash: { algorithm: 'sha256', value: hexOf(payload) },
      },
    },
  };
}
