import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FuzzInput } from './fuzz-target.js';
import type { InputNumber } from './fuzz-loop.js';
import type { ViolationKind } from './violation.js';

/** An input that violates something, and all that is needed to see it again. */
export interface Finding {
  readonly target: string;
  readonly kind: ViolationKind;
  /** What was violated, and where. */
  readonly message: string;
  readonly number: InputNumber;
  readonly input: FuzzInput;
}

interface FindingFile {
  readonly target: string;
  readonly kind: ViolationKind;
  readonly message: readonly string[];
  readonly number: InputNumber;
  /** Base64. */
  readonly layers: readonly string[];
  readonly expected?: string;
}

/** Writes a finding to a file of its own in the directory; its path. */
export function writeFinding(directory: string, finding: Finding): string {
  const { target, kind, message, number, input } = finding;
  const { layers, expected } = input;
  const file: FindingFile = {
    target,
    kind,
    message: message.split('\n'),
    number,
    layers: layers.map((layer) => layer.toString('base64')),
    ...(expected === undefined
      ? {}
      : { expected: expected === 'refused' ? expected : expected.toString('base64') }),
  };
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${kind}-${target}-${number.seed}-${number.index}.json`);
  writeFileSync(path, `${JSON.stringify(file, undefined, 2)}\n`);
  return path;
}

export function readFinding(path: string): Finding {
  const { target, kind, message, number, layers, expected } = JSON.parse(
    readFileSync(path, 'utf8'),
  ) as FindingFile;
  const input: FuzzInput = {
    layers: layers.map((layer) => Buffer.from(layer, 'base64')),
    ...(expected === undefined
      ? {}
      : { expected: expected === 'refused' ? expected : Buffer.from(expected, 'base64') }),
  };
  return { target, kind, message: message.join('\n'), number, input };
}
