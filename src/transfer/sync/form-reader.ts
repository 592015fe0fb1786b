import path from 'node:path';
import { isLandfallError } from '../../errors.js';
import { parsePlatform, parseReference } from '../../spec/index.js';
import type { PlatformChoice } from '../copy/copy-request.js';
import { type Fault, MirrorFileError, type YamlPath, type YamlText } from './yaml-text.js';
import type { Position, TagRules } from './mirror-file.js';

export interface ReadMirrorFileOptions {
  /** As messages are to name it. */
  readonly name: string;
  /** Absolute; paths in the file are relative to it. */
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Of a file of skopeo's form: whether all platforms come along. Default false. */
  readonly allPlatforms?: boolean | undefined;
  /** False leaves out what refers to the images, whatever the file says. */
  readonly referrers?: boolean | undefined;
}

/** Reads what every form of the file has, and collects the faults, so that the error names all of them. */
export class FormReader {
  readonly yaml: YamlText;
  readonly directory: string;
  readonly #now: number;
  readonly #faults: Fault[] = [];

  constructor(yaml: YamlText, { directory, now }: ReadMirrorFileOptions) {
    this.yaml = yaml;
    this.directory = directory;
    this.#now = now;
  }

  at(where: YamlPath): Position {
    return this.yaml.at(where);
  }

  fault(where: YamlPath, message: string, hint?: string): void {
    this.#faults.push({ at: this.at(where), message, hint });
  }

  faultAtKey(where: YamlPath, key: string, message: string, hint?: string): void {
    this.#faults.push({ at: this.yaml.atKey(where, key), message, hint });
  }

  /** What a function makes of a text; where it refuses, that is a fault of the file. */
  attempt<T>(where: YamlPath, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!isLandfallError(error)) throw error;
      this.fault(where, error.message, error.hint);
      return undefined;
    }
  }

  /** @throws {MirrorFileError} where there was a fault */
  end(): void {
    if (this.#faults.length > 0) throw new MirrorFileError(this.yaml.name, this.#faults);
  }

  path(text: string | undefined): string | undefined {
    return text === undefined ? undefined : path.resolve(this.directory, text);
  }

  /** A regular expression for the whole of a text, unless `anywhere`. */
  pattern(
    where: YamlPath,
    text: string,
    { anywhere = false }: { readonly anywhere?: boolean } = {},
  ): ((text: string) => boolean) | undefined {
    // Go's way to ignore case, which JavaScript of Node 20 lacks.
    const [, flag, body = ''] = /^(\(\?i\))?(.*)$/s.exec(text) ?? [];
    try {
      const expression = new RegExp(anywhere ? body : `^(?:${body})$`, flag === undefined ? 'u' : 'iu');
      return (name) => expression.test(name);
    } catch (error) {
      const why = error instanceof Error ? error.message.replace(/^.*: /, '') : String(error);
      this.fault(where, `${JSON.stringify(text)} is not a regular expression: ${why}`);
      return undefined;
    }
  }

  platforms(where: YamlPath, given: string | readonly string[] | undefined): PlatformChoice | undefined {
    if (given === undefined || given === 'all') return given;
    const list = typeof given === 'string' ? [given] : given;
    return list.flatMap((text, at) => {
      const transport = typeof given === 'string' ? where : [...where, at];
      return this.attempt(transport, () => parsePlatform(text)) ?? [];
    });
  }

  /** Bytes per second: `500K`, `10M`. */
  rate(where: YamlPath, given: string | number | undefined): number | undefined {
    if (given === undefined) return undefined;
    const [, digits = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([KMG]?)$/i.exec(String(given)) ?? [];
    const rate = Math.floor(Number(digits) * (UNITS[unit.toUpperCase()] ?? 0));
    if (rate >= 1) return rate;
    this.fault(where, `${JSON.stringify(given)} is not a number of bytes`, 'Write for example 500K or 10M.');
    return undefined;
  }

  /** A moment, in milliseconds since 1970: a date, a date with its time, or a span before now. */
  moment(where: YamlPath, text: string): number | undefined {
    const [, number, unit = ''] = /^(\d{1,6})([hdw])$/.exec(text) ?? [];
    if (number !== undefined) return this.#now - Number(number) * (SPANS[unit] ?? 0);
    const moment = DATE.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(moment)) return moment;
    this.fault(
      where,
      `${JSON.stringify(text)} is neither a date nor a span of time`,
      'Write for example 2025-01-31, 2025-01-31T12:00:00Z, or 90d.',
    );
    return undefined;
  }
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const HOUR = 3_600_000;
const SPANS: Readonly<Record<string, number>> = { h: HOUR, d: 24 * HOUR, w: 7 * 24 * HOUR };
const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** Tags by their names, each of which has to be one. */
export function tagList(
  reader: FormReader,
  raw: readonly (string | number)[],
  where: YamlPath,
): TagRules['list'] {
  return raw.map(String).flatMap((tag, at) => {
    const transport = [...where, at];
    const { tag: read } = reader.attempt(transport, () => parseReference(`registry.example/x:${tag}`)) ?? {};
    return read === undefined ? [] : [{ tag: read, at: reader.at(transport) }];
  });
}
