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
 * Reads a text that is known to be JSON, since `JSON.parse` has taken it, and is not nested so deep that the stack would not do. It is
 * read anew because `JSON.parse` tells neither where a value stands nor what stands twice.
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
