import { Ajv, type ErrorObject } from 'ajv';
import type { JsonObject } from '../../spec/index.js';
import { type Fault, MirrorFileError, type YamlPath, type YamlText } from './yaml-text.js';

/** The type of the values that a JSON Schema allows, so that no schema is written twice. */
export type Shape<S> = S extends { readonly enum: readonly (infer V)[] }
  ? V
  : S extends { readonly type: readonly (infer T)[] }
    ? ShapeOf<S, T>
    : S extends { readonly type: infer T }
      ? ShapeOf<S, T>
      : unknown;
type ShapeOf<S, T> = T extends keyof Shapes<S> ? Shapes<S>[T] : never;
interface Shapes<S> {
  readonly string: S extends { readonly maxLength: 0 } ? '' : string;
  readonly number: number;
  readonly integer: number;
  readonly boolean: boolean;
  readonly array: readonly Shape<S extends { readonly items: infer I } ? I : never>[];
  readonly object: S extends { readonly properties: infer P }
    ? Partial<Fields<P>> & Pick<Fields<P>, keyof P & RequiredOf<S>>
    : Readonly<Record<string, Shape<S extends { readonly additionalProperties: infer A } ? A : never>>>;
}
type Fields<P> = { readonly [K in keyof P]: Shape<P[K]> };
type RequiredOf<S> = S extends { readonly required: readonly (infer R)[] } ? R : never;

/**
 * Holds a file against a JSON Schema. Texts that stand for a number or for yes and no become that where the
 * schema wants it.
 *
 * @throws {MirrorFileError} with all that is wrong
 */
export function checkShape<S extends JsonObject>(yaml: YamlText, schema: S): Shape<S> {
  const ajv = new Ajv({
    allErrors: true,
    verbose: true,
    coerceTypes: true,
    allowUnionTypes: true,
    strictRequired: false,
  });
  const validate = ajv.compile(schema);
  const { value } = yaml;
  if (validate(value)) return value as Shape<S>;
  throw new MirrorFileError(yaml.name, faultsOf(validate.errors ?? [], yaml));
}

function faultsOf(errors: readonly ErrorObject[], yaml: YamlText): Fault[] {
  return errors.map((error) => faultOf(error, yaml));
}

function faultOf(error: ErrorObject, yaml: YamlText): Fault {
  const path = pathOf(error.instancePath);
  const params = error.params as Readonly<Record<string, unknown>>;
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(String(params['additionalProperty']), error, path, yaml);
    case 'required':
      return {
        at: yaml.at(path),
        message: `${whereOf(path)}${String(params['missingProperty'])} is missing`,
      };
    case 'type':
      return {
        at: yaml.at(path),
        message: `${nameOf(path)} must be ${wordsOfTypes(params['type'])}, not ${shown(error.data)}`,
      };
    case 'enum':
      return notOneOf(error, path, yaml);
    case 'minItems':
    case 'minLength':
      return { at: yaml.at(path), message: `${nameOf(path)} is empty` };
    case 'maxLength':
      return { at: yaml.at(path), message: `${nameOf(path)} must not be ${shown(error.data)}` };
    default:
      return { at: yaml.at(path), message: `${nameOf(path)} ${error.message ?? 'is not right'}` };
  }
}

function unknownKey(key: string, error: ErrorObject, path: YamlPath, yaml: YamlText): Fault {
  const at = yaml.atKey(path, key);
  if (key === 'password' && path.at(-1) === 'credentials') {
    return {
      at,
      message: 'a password does not belong in this file',
      hint: 'Use passwordEnv or passwordFile, an authFile, or `landfall login`.',
    };
  }
  const known = Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {});
  const meant = nearest(key, known);
  return {
    at,
    message: `${whereOf(path)}there is no key ${JSON.stringify(key)}`,
    hint:
      meant === undefined
        ? `The keys here are ${known.join(', ')}.`
        : `Did you mean ${JSON.stringify(meant)}?`,
  };
}

function notOneOf(error: ErrorObject, path: YamlPath, yaml: YamlText): Fault {
  const allowed = ((error.params as { allowedValues?: readonly unknown[] }).allowedValues ?? []).map(String);
  const meant = nearest(String(error.data), allowed);
  return {
    at: yaml.at(path),
    message: `${nameOf(path)} must be ${allowed.join(' or ')}, not ${shown(error.data)}`,
    hint: meant === undefined ? undefined : `Did you mean ${JSON.stringify(meant)}?`,
  };
}

/** A JSON pointer's parts. */
function pathOf(pointer: string): YamlPath {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

/** `sources[0].tags`; what the file itself is, where it is the root. */
function nameOf(path: YamlPath): string {
  const name = path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
  return name === '' ? 'the file' : name;
}

function whereOf(path: YamlPath): string {
  return path.length === 0 ? '' : `in ${nameOf(path)} `;
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  array: 'a list',
  object: 'a group of keys',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function wordsOfTypes(types: unknown): string {
  const names = (Array.isArray(types) ? types : [types]).map(String).filter((name) => name !== 'number');
  return (names.length === 0 ? ['number'] : names).map((name) => WORDS[name] ?? name).join(' or ');
}

/** What stands there, in short. Nothing that may be a secret is shown: those are texts where texts belong. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a group of keys';
  if (value === '' || value === null) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** The allowed word that is near enough to be meant; undefined where none is. */
function nearest(word: string, known: readonly string[]): string | undefined {
  // Of what is shorter, anything is near.
  if (word.length < 3) return undefined;
  const reach = Math.floor(word.length / 3);
  let best: { readonly word: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance <= reach && (best === undefined || distance < best.distance))
      best = { word: candidate, distance };
  }
  return best?.word;
}

/** How many characters have to be put in, taken out or changed (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, char] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const change = (row[j] ?? 0) + (char === other ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
