import { isDigest, parseReference } from '../../spec/index.js';
import { checkShape, type Shape } from './check-shape.js';
import { FormReader, type ReadMirrorFileOptions, tagList } from './form-reader.js';
import {
  type Connection,
  type ListedTags,
  type MirrorFile,
  type MirrorSource,
  type Selection,
  versionRange,
} from './mirror-file.js';
import { parseHost } from './transport-name.js';
import type { YamlPath, YamlText } from './yaml-text.js';

const TEXTS = { type: ['object', 'string'], maxLength: 0, additionalProperties: { type: 'string' } } as const;

/** The form that `skopeo sync --src yaml` reads. An empty value is as good as none. */
const SCHEMA = {
  type: 'object',
  additionalProperties: {
    type: ['object', 'string'],
    maxLength: 0,
    additionalProperties: false,
    properties: {
      images: {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: {
          type: ['array', 'string'],
          maxLength: 0,
          items: { type: ['string', 'number'] },
        },
      },
      'images-by-tag-regex': TEXTS,
      'images-by-semver': TEXTS,
      credentials: {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: false,
        properties: {
          username: { type: 'string' },
          password: { type: 'string' },
          identitytoken: { type: 'string' },
        },
      },
      'tls-verify': { type: 'boolean' },
      'cert-dir': { type: 'string' },
    },
  },
} as const;

type RawRegistry = Exclude<Shape<typeof SCHEMA>[string], string>;

/**
 * Whether a file is what `skopeo sync --src yaml` reads: registries by their hosts, with its keys and no
 * others.
 */
export function isSkopeoForm(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value as Readonly<Record<string, unknown>>);
  if (entries.length === 0 || Object.hasOwn(value, 'sources')) return false;
  return entries.some(
    ([key, inner]) =>
      parseHost(key) !== undefined &&
      typeof inner === 'object' &&
      inner !== null &&
      Object.keys(inner).some((name) => Object.hasOwn(SCHEMA.additionalProperties.properties, name)),
  );
}

/**
 * A file of skopeo's form, taken as `skopeo sync --src yaml` takes it.
 *
 * @param o `allPlatforms` is its `--all`: without it the manifest for this machine is copied, not the index
 * @throws {MirrorFileError}
 */
export function readSkopeoForm(yaml: YamlText, o: ReadMirrorFileOptions): MirrorFile {
  const { allPlatforms = false } = o;
  const raw = checkShape(yaml, SCHEMA);
  const reader = new FormReader(yaml, o);
  const form = new SkopeoForm(reader, allPlatforms);
  const sources = Object.entries(raw).flatMap(([host, registry]) => form.source(host, registry));
  reader.end();
  const selections = sources.reduce((sum, source) => sum + source.selections.length, 0);
  return {
    name: yaml.name,
    form: 'skopeo',
    sources,
    destinations: [],
    notes: [
      `${yaml.name} is a file of skopeo sync: took ${selections} repositories of ${sources.length} registries, ${allPlatforms ? 'with all their platforms' : 'each image for this platform alone; --all takes all of them'}`,
      ...form.notes,
    ],
    warnings: form.warnings,
  };
}

class SkopeoForm {
  readonly notes: string[] = [];
  readonly warnings: string[] = [];
  readonly #reader: FormReader;
  readonly #allPlatforms: boolean;

  constructor(reader: FormReader, allPlatforms: boolean) {
    this.#reader = reader;
    this.#allPlatforms = allPlatforms;
  }

  source(key: string, raw: '' | RawRegistry): MirrorSource | [] {
    const host = parseHost(key);
    if (host === undefined) {
      this.#reader.faultAtKey([], key, `${JSON.stringify(key)} is not the host of a registry`);
      return [];
    }
    const registry: RawRegistry = raw === '' ? {} : raw;
    const connection = this.#connection(key, registry);
    const selections = [
      ...entriesOf(registry.images).flatMap(([name, tags]) => this.#listed(key, name, tags)),
      ...entriesOf(registry['images-by-tag-regex']).flatMap(([name, text]) => this.#byRegex(key, name, text)),
      ...entriesOf(registry['images-by-semver']).flatMap(([name, text]) => this.#bySemver(key, name, text)),
    ];
    if (selections.length === 0) this.warnings.push(`${key}: no images are named`);
    return {
      at: this.#reader.yaml.atKey([], key),
      transport: { kind: 'registry', host },
      connection,
      selections,
    };
  }

  #connection(key: string, raw: RawRegistry): Connection {
    const { credentials = '' } = raw;
    const { username, password, identitytoken } = credentials === '' ? {} : credentials;
    if (password !== undefined) {
      this.warnings.push(
        `${this.#reader.yaml.name} holds the password for ${key}: every reader of the file has it; use \`landfall login\` or landfall's own form`,
      );
    }
    if (identitytoken !== undefined) this.notes.push(`${key}: ignored identitytoken; log in instead`);
    const verify = raw['tls-verify'] ?? true;
    if (!verify) this.notes.push(`${key}: took tls-verify: false as any certificate, or HTTP without TLS`);
    return {
      credentials:
        username === undefined || password === undefined
          ? undefined
          : { username, password: { literal: password } },
      certDirectory: raw['cert-dir'] === '' ? undefined : this.#reader.path(raw['cert-dir']),
      ...(verify ? {} : { insecure: true, mayBePlain: true }),
    };
  }

  #listed(key: string, name: string, raw: '' | readonly (string | number)[]): Selection | [] {
    const where: YamlPath = [key, 'images', name];
    if (raw === '' || raw.length === 0) return this.#selection(key, name, where, listed({}));
    const all = raw.map(String);
    const tags = all.filter((text) => !isDigest(text));
    const list = tagList(this.#reader, tags, where);
    return this.#selection(key, name, where, { tags: { list }, digests: all.filter(isDigest) });
  }

  /** skopeo looks for the expression anywhere in the tag. */
  #byRegex(key: string, name: string, text: string): Selection | [] {
    const where: YamlPath = [key, 'images-by-tag-regex', name];
    const pattern = this.#reader.pattern(where, text, { anywhere: true });
    if (pattern === undefined) return [];
    return this.#selection(key, name, where, listed({ tests: [pattern] }));
  }

  /** Its ranges take versions with a hyphen where the range itself has one. */
  #bySemver(key: string, name: string, text: string): Selection | [] {
    const where: YamlPath = [key, 'images-by-semver', name];
    const range = versionRange(text, { prereleases: /\d-[0-9A-Za-z]/.test(text) });
    if (range === undefined) {
      this.#reader.fault(where, `${JSON.stringify(text)} is not a range of versions that landfall can read`);
      return [];
    }
    return this.#selection(key, name, where, listed({ range }));
  }

  #selection(
    key: string,
    name: string,
    where: YamlPath,
    wanted: Pick<Selection, 'tags' | 'digests'>,
  ): Selection | [] {
    const reader = this.#reader;
    const reference = reader.attempt(where, () => parseReference(`${key}/${name}`));
    if (reference === undefined) return [];
    if (reference.tag !== undefined || reference.digest !== undefined) {
      reader.fault(where, `${name} is an image, not a repository`);
      return [];
    }
    return {
      at: reader.at(where),
      text: name,
      name: reference.repository,
      ...wanted,
      platforms: this.#allPlatforms ? 'all' : 'one',
      referrers: {},
    };
  }
}

/** The rules that take a repository's tags as skopeo does. */
function listed(rules: Partial<ListedTags>): Pick<Selection, 'tags' | 'digests'> {
  const all: ListedTags = { tests: [], prereleases: true, loose: true, digestTags: true };
  return { tags: { list: [], listed: { ...all, ...rules } }, digests: [] };
}

function entriesOf<T>(group: '' | Readonly<Record<string, T>> | undefined): [string, T][] {
  return group === undefined || group === '' ? [] : Object.entries(group);
}
