import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import type { Surroundings } from '../../src/cli/output/command-context.js';
import type { SignalSource } from '../../src/cli/main.js';
import { record } from '../support/secrets.js';

/** A stream that keeps what is written to it, of a given shape. It is searched for secrets. */
export class CapturedStream extends PassThrough {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  #text = '';

  constructor(shape: { isTTY?: boolean; columns?: number; rows?: number } = {}) {
    super();
    Object.assign(this, shape);
    this.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
      record('output of a command', chunk.toString());
    });
  }

  get text(): string {
    return this.#text;
  }
}

export interface FakeSurroundings extends Surroundings {
  readonly stdout: CapturedStream;
  readonly stderr: CapturedStream;
}

export function fakeSurroundings(
  options: {
    env?: Record<string, string>;
    stdin?: string;
    stdout?: CapturedStream;
    stderr?: CapturedStream;
    uid?: number;
    systemConfig?: string;
  } = {},
): FakeSurroundings {
  return {
    // What configuration this machine has does not reach the tests; one that is about files sets it to
    // nothing.
    env: { LANDFALL_CONFIG: '/dev/null', ...options.env },
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: options.stdout ?? new CapturedStream(),
    stderr: options.stderr ?? new CapturedStream(),
    uid: options.uid ?? 0,
    ...(options.systemConfig === undefined ? {} : { systemConfig: options.systemConfig }),
  };
}

/** A process that is sent signals by hand and notes its end instead of ending. */
export class FakeSignals extends EventEmitter implements SignalSource {
  readonly exits: number[] = [];

  exit(code: number): never {
    this.exits.push(code);
    return undefined as never;
  }
}
