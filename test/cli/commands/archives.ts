import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { main } from '../../../src/cli/main.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

export interface RanWithBytes {
  readonly code: number;
  readonly bytes: Buffer;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process that reads bytes from standard input, or writes them to standard output. */
export async function runWithBytes(
  argv: readonly string[],
  o: { readonly stdin?: Readable; readonly stdout?: CapturedStream; readonly locale?: string } = {},
): Promise<RanWithBytes> {
  const stdout = o.stdout ?? new CapturedStream();
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const env = { HOME: '/nonexistent', LANG: o.locale ?? 'C.UTF-8' };
  const surroundings = { ...fakeSurroundings({ env, stdout }), stdin: o.stdin ?? Readable.from([]) };
  const code = await main([...argv], surroundings, new FakeSignals());
  const bytes = Buffer.concat(chunks);
  return { code, bytes, out: bytes.toString(), err: surroundings.stderr.text };
}

/** An example of a section of docs/json-output.md, the first one or another. */
export function documented(section: string, at = 0): unknown {
  const page = readFileSync('docs/json-output.md', 'utf8');
  const text = page.split(/^## /m).find((one) => one.startsWith(`${section}\n`));
  const example = [...(text ?? '').matchAll(/```json\n([\s\S]*?)```/g)][at]?.[1];
  if (example === undefined) throw new Error(`docs/json-output.md has no example for ${section}`);
  return JSON.parse(example);
}

/** Which keys there are where; of a list, those of its first element. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}
