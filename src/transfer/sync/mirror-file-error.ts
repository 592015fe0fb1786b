import { LandfallError } from '../../errors.js';
import type { Position } from './mirror-file.js';

/** One thing that is wrong in the file. */
export interface Fault {
  /** Where it is. */
  readonly at: Position;
  /** What is wrong. */
  readonly message: string;
  /** What to write instead, as a sentence. */
  readonly hint?: string | undefined;
}

/** All that is wrong in the file, in its order; the message tells of the first. */
export class MirrorFileError extends LandfallError<'INVALID_CONFIG'> {
  /** As it was named. */
  readonly file: string;
  /** All that is wrong, in its order in the file. */
  readonly faults: readonly Fault[];

  constructor(name: string, faults: readonly Fault[]) {
    const sorted = [...faults].sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
    const [first] = sorted;
    super('INVALID_CONFIG', first === undefined ? `${name} cannot be used` : faultLine(name, first), {
      hint: first?.hint ?? 'See docs/mirroring.md for what the file may say.',
      details: {
        file: name,
        ...(first === undefined ? {} : { line: first.at.line, column: first.at.column }),
        faults: sorted.map((fault) => faultLine(name, fault)),
      },
    });
    this.file = name;
    this.faults = sorted;
  }
}

/** `mirror.yaml:3:5: what is wrong`, as compilers say it and editors read it. */
export function faultLine(name: string, { at, message }: Fault): string {
  return `${name}:${at.line}:${at.column}: ${message}`;
}
