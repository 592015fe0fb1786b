import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { join } from 'node:path';

/** A secret of the test run, which nothing that landfall says may hold. */
export interface TestSecret {
  readonly value: string;
  readonly name: string;
  /** Path of the test file. */
  readonly test: string;
}

/** Something that was said while a test ran. */
export interface SecretRecord {
  readonly text: string;
  /** What said it: `standard error of landfall`. */
  readonly source: string;
  /** Path of the test file, and the name of the test where one was running. */
  readonly test: string;
}

/** Names the directory of this test run, for the workers too. Without it nothing is kept. */
export const SECRETS_DIRECTORY = 'LANDFALL_TEST_SECRETS';

/** A longer record loses its middle. */
export const MAX_RECORD_CHARACTERS: number = 1 << 20;

export function keepSecret(secret: TestSecret): void {
  append('secrets', secret);
}

export function keepRecord({ text, source, test }: SecretRecord): void {
  if (text === '') return;
  const half = MAX_RECORD_CHARACTERS / 2;
  const kept = text.length > 2 * half ? `${text.slice(0, half)}\n…\n${text.slice(-half)}` : text;
  append('records', { text: kept, source, test });
}

/** Written at once: what a worker said before it was killed counts too. */
function append(kind: 'secrets' | 'records', value: object): void {
  const directory = process.env[SECRETS_DIRECTORY];
  if (directory === undefined) return;
  // A test may be another user for a moment, who cannot write what root began.
  const file = join(directory, `${kind}-${process.pid}-${threadId}-${process.geteuid?.() ?? 0}`);
  appendFileSync(file, `${JSON.stringify(value)}\n`, { mode: 0o600 });
}

export function keptSecrets(directory: string): TestSecret[] {
  return [...kept(directory, 'secrets')] as TestSecret[];
}

/** One process's records at a time are in memory. */
export function keptRecords(directory: string): Iterable<SecretRecord> {
  return kept(directory, 'records') as Iterable<SecretRecord>;
}

function* kept(directory: string, kind: 'secrets' | 'records'): Generator {
  for (const name of readdirSync(directory).filter((each) => each.startsWith(`${kind}-`))) {
    for (const line of readFileSync(join(directory, name), 'utf8').split('\n')) {
      if (line !== '') yield JSON.parse(line);
    }
  }
}
