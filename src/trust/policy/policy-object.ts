import type { TrustError } from '../../errors.js';
import { quoted } from '../../spec/index.js';
import type { JsonField, JsonNode } from './json-tree.js';
import type { PolicyText } from './policy-text.js';

/**
 * An object of a policy, read field by field. What is not as it has to be refuses the whole file: a field that stands twice, or
 * is of another type, null included. Errors: TrustError POLICY_REJECTED.
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
