import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import { LandfallError } from '../../errors.js';
import type { Position } from './mirror-file.js';
import { formatSize } from '../../spec/index.js';

/** Far more than a list of ten thousand images. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Where in a document something is: keys and numbers from its root on. */
export type YamlPath = readonly (string | number)[];

/**
 * A YAML document with the place of everything in it. All plain values are read as the text that stands
 * there: `1.10` is a tag, and not the number 1.1.
 */
export class YamlText {
  readonly name: string;
  readonly value: unknown;
  readonly #document: ReturnType<typeof parseDocument>;
  readonly #lines: LineCounter;

  /** @throws {MirrorFileError} where it is no YAML */
  constructor(name: string, text: string) {
    this.name = name;
    this.#lines = new LineCounter();
    if (Buffer.byteLength(text) > MAX_BYTES) {
      throw new MirrorFileError(name, [
        { at: START, message: `the file is longer than ${formatSize(MAX_BYTES)}` },
      ]);
    }
    this.#document = parseDocument(text, {
      schema: 'failsafe',
      merge: true,
      prettyErrors: false,
      lineCounter: this.#lines,
    });
    if (this.#document.errors.length > 0) {
      throw new MirrorFileError(
        name,
        this.#document.errors.map((error) => ({
          at: this.#position(error.pos[0]),
          message: wordsOf(error.code, error.message),
        })),
      );
    }
    this.value = this.#read();
  }

  /** Where a value stands; where it is not there by itself, what it would be in. */
  at(path: YamlPath): Position {
    for (let length = path.length; length > 0; length -= 1) {
      const node = this.#document.getIn(path.slice(0, length), true) as unknown;
      if (isNode(node) && node.range !== undefined && node.range !== null)
        return this.#position(node.range[0]);
    }
    return this.#position(this.#document.contents?.range?.[0] ?? 0);
  }

  /** Where a key stands. */
  atKey(path: YamlPath, key: string): Position {
    const map: unknown = path.length === 0 ? this.#document.contents : this.#document.getIn(path, true);
    if (isMap(map)) {
      for (const pair of map.items) {
        if (isPair(pair) && isScalar(pair.key) && String(pair.key.value) === key)
          return this.#position(pair.key.range?.[0] ?? 0);
      }
    }
    return this.at(path);
  }

  #read(): unknown {
    try {
      return this.#document.toJS({ maxAliasCount: 1000 }) as unknown;
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new MirrorFileError(this.name, [{ at: START, message }]);
    }
  }

  #position(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return line === 0 ? START : { line, column: col };
  }
}

const START: Position = { line: 1, column: 1 };

/** The parser's messages assume knowledge of YAML's grammar; the usual mistakes have better words. */
function wordsOf(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'this key stands here twice';
    case 'TAB_AS_INDENT':
      return 'a tab indents this line; YAML wants blanks';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; the file is to have one';
    default:
      return `this is not YAML: ${message}`;
  }
}

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
        ...first?.at,
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
