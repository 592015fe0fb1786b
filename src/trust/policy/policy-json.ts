import { isUtf8 } from 'node:buffer';
import { TrustError } from '../../errors.js';
import { exactSize, formatSize, jsonShape, LIMITS, quoted } from '../../spec/index.js';
import { MAX_POLICY_BYTES } from './requirement.js';

const HINT = 'Mend the policy; it refuses every image until then. docs/signatures.md has its fields.';

/** The text of a policy, which knows where in its file what stands. */
export class PolicyText {
  readonly file: string;
  /** Offsets at which lines begin. */
  readonly #lines: readonly number[];

  constructor(file: string, text: string) {
    this.file = file;
    this.#lines = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  }

  /** The line of an offset, from 1. */
  lineOf(offset: number): number {
    let line = 1;
    // Halves what is left, since a long policy asks this of each of its lines.
    for (let after = this.#lines.length + 1; after - line > 1;) {
      const middle = (line + after) >> 1;
      if ((this.#lines[middle - 1] ?? 0) <= offset) line = middle;
      else after = middle;
    }
    return line;
  }

  /** That the policy cannot be understood, with FILE:LINE:COLUMN of where. */
  fault(offset: number, what: string, cause?: unknown): TrustError {
    const line = this.lineOf(offset);
    const column = offset - (this.#lines[line - 1] ?? 0) + 1;
    return new TrustError('POLICY_REJECTED', `${this.file}:${line}:${column}: ${what}`, {
      hint: HINT,
      details: { policy: this.file, line },
      cause,
    });
  }
}

/** The JSON of a policy: what it says, and where. */
export interface PolicyJson {
  readonly text: PolicyText;
  readonly root: JsonNode;
}

/**
 * Reads JSON as RFC 8259 has it: no comments, no comma before a closing bracket.
 *
 * @throws TrustError POLICY_REJECTED
 */
export async function parsePolicyJson(bytes: Uint8Array, file: string): Promise<PolicyJson> {
  const nothing = new PolicyText(file, '');
  if (bytes.byteLength > MAX_POLICY_BYTES) {
    throw nothing.fault(
      0,
      `the policy has ${exactSize(bytes.byteLength)}, more than ${formatSize(MAX_POLICY_BYTES)}`,
    );
  }
  if (!isUtf8(bytes)) throw nothing.fault(0, 'the policy is not UTF-8');
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const text = new PolicyText(file, content);
  try {
    JSON.parse(content);
  } catch (cause) {
    // What can say where takes longer to load than all of a policy that is right.
    const { syntaxFault } = await import('./syntax-fault.js');
    const { offset, what } = syntaxFault(content);
    throw text.fault(offset, what, cause);
  }
  const tooDeep = jsonShape(content).tooDeepAt;
  if (tooDeep === undefined) return { text, root: readJsonTree(content) };
  throw text.fault(tooDeep, `the policy is nested more than ${LIMITS.jsonDepth} deep`);
}

/** A value of a JSON text, and where it stands there. */
export type JsonNode = {
  /** In characters. */
  readonly offset: number;
} & (
  | { readonly type: 'object'; readonly fields: readonly JsonField[] }
  | { readonly type: 'array'; readonly items: readonly JsonNode[] }
  | { readonly type: 'string'; readonly value: string }
  /** A number, true, false or null, none of which a policy has a use for. */
  | { readonly type: 'other' }
);

/** A field of an object; one that stands twice is two. */
export interface JsonField {
  readonly key: string;
  /** Of the key. */
  readonly offset: number;
  readonly value: JsonNode;
}

/**
 * Reads a text that is known to be JSON, since `JSON.parse` has taken it, and is not nested so deep that the
 * stack would not do. It is read anew because `JSON.parse` tells neither where a value stands nor what stands
 * twice.
 */
export function readJsonTree(json: string): JsonNode {
  return new TreeReader(json).value();
}

class TreeReader {
  readonly #json: string;
  #at = 0;

  constructor(json: string) {
    this.#json = json;
  }

  value(): JsonNode {
    const offset = this.#skip(SPACE);
    switch (this.#json[offset]) {
      case '{':
        return { offset, type: 'object', fields: this.#list('}', () => this.#field()) };
      case '[':
        return { offset, type: 'array', items: this.#list(']', () => this.value()) };
      case '"':
        return { offset, type: 'string', value: this.#string() };
      default:
        this.#skip(WORD);
        return { offset, type: 'other' };
    }
  }

  #field(): JsonField {
    const offset = this.#at;
    const key = this.#string();
    this.#skip(COLON);
    return { key, offset, value: this.value() };
  }

  #list<T>(end: string, item: () => T): readonly T[] {
    const items: T[] = [];
    this.#at += 1;
    for (;;) {
      this.#skip(COMMA);
      const next = this.#json[this.#at];
      if (next === end || next === undefined) break;
      items.push(item());
    }
    this.#at += 1;
    return items;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#json.length && this.#json[end] !== '"') end += this.#json[end] === '\\' ? 2 : 1;
    this.#at = end + 1;
    return String(JSON.parse(this.#json.slice(start, this.#at)));
  }

  /** Goes on behind what there is of a pattern, and tells where that is. */
  #skip(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    this.#at += pattern.exec(this.#json)?.[0].length ?? 0;
    return this.#at;
  }
}

const SPACE = /[ \t\r\n]*/y;
const COMMA = /[ \t\r\n,]*/y;
const COLON = /[ \t\r\n:]*/y;
const WORD = /[^ \t\r\n,\]}]*/y;

/**
 * An object of a policy, read field by field. What is not as it has to be refuses the whole file: a field
 * that stands twice, or is of another type, null included. Errors: TrustError POLICY_REJECTED.
 */
export class PolicyObject {
  readonly fields: readonly JsonField[];
  readonly #text: PolicyText;
  readonly #offset: number;
  readonly #name: string;

  /** @param name for messages: `the policy`, `"sigstoreSigned"` */
  constructor(text: PolicyText, node: JsonNode, name: string) {
    if (node.type !== 'object') throw text.fault(node.offset, `${name} has to be an object`);
    this.#text = text;
    this.#offset = node.offset;
    this.#name = name;
    this.fields = node.fields;
    const seen = new Set<string>();
    for (const { key, offset } of this.fields) {
      if (seen.has(key)) throw text.fault(offset, `${quoted(key)} stands twice in ${name}`);
      seen.add(key);
    }
  }

  /** Refuses all fields but these. */
  only(...allowed: readonly string[]): this {
    const unknown = this.fields.find(({ key }) => !allowed.includes(key));
    if (unknown === undefined) return this;
    const what = `${quoted(unknown.key)} is no field of ${this.#name}, which has ${listed(allowed)}`;
    throw this.#text.fault(unknown.offset, what);
  }

  /** Which of these fields are there, in the order of the file. */
  present(...keys: readonly string[]): readonly JsonField[] {
    return this.fields.filter(({ key }) => keys.includes(key));
  }

  /** The one that is there of fields of which exactly one has to be. */
  oneOf(...keys: readonly string[]): JsonField {
    const field = this.atMostOneOf(...keys);
    if (field !== undefined) return field;
    throw this.fault(keys.length === 1 ? `needs ${listed(keys)}` : `needs one of ${listed(keys)}`);
  }

  /** The one that is there of fields of which at most one may be. */
  atMostOneOf(...keys: readonly string[]): JsonField | undefined {
    const [field, other] = this.present(...keys);
    if (field === undefined || other === undefined) return field;
    const what = `${this.#name} has ${quoted(field.key)} already; only one of ${listed(keys)} may stand in it`;
    throw this.#text.fault(other.offset, what);
  }

  /** A string that has to be there, and has to say something. */
  string(key: string): string {
    return stringOf(this.#text, this.oneOf(key));
  }

  /** A string that has to be one of these. */
  choice<T extends string>(key: string, among: readonly T[], unknown: (named: string) => string): T {
    const named = this.string(key);
    const found = among.find((one) => one === named);
    if (found !== undefined) return found;
    const { offset } = this.oneOf(key).value;
    throw this.#text.fault(offset, `${unknown(quoted(named))}; it is ${listed(among)}`);
  }

  optionalString(key: string): string | undefined {
    const [field] = this.present(key);
    return field === undefined ? undefined : stringOf(this.#text, field);
  }

  /** That the object as a whole is not as it has to be: `"fulcio" needs "oidcIssuer"`. */
  fault(what: string): TrustError {
    return this.#text.fault(this.#offset, `${this.#name} ${what}`);
  }
}

/** `"a", "b" or "c"` */
export function listed(keys: readonly string[]): string {
  const all = keys.map((key) => quoted(key));
  const last = all.pop() ?? '';
  return all.length === 0 ? last : `${all.join(', ')} or ${last}`;
}

/** The text of a field that has to be a string that says something. */
export function stringOf(text: PolicyText, { key, value }: JsonField): string {
  if (value.type !== 'string') throw text.fault(value.offset, `${quoted(key)} has to be a string`);
  if (value.value === '') throw text.fault(value.offset, `${quoted(key)} is empty`);
  return value.value;
}

/** The items of a field that has to be a list with at least one. */
export function itemsOf(text: PolicyText, { key, value }: JsonField): readonly JsonNode[] {
  if (value.type !== 'array') throw text.fault(value.offset, `${quoted(key)} has to be a list`);
  if (value.items.length === 0) throw text.fault(value.offset, `${quoted(key)} is an empty list`);
  return value.items;
}
