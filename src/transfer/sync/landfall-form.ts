import { type JsonObject, parseReference, type Reference } from '../../spec/index.js';
import type { CopyChoice, ReferrerChoice } from '../copy/copy-request.js';
import { checkShape, type Shape } from './check-shape.js';
import { FormReader, type ReadMirrorFileOptions, tagList } from './form-reader.js';
import {
  type Connection,
  type ListedTags,
  type MirrorDestination,
  type MirrorFile,
  type MirrorSource,
  type PasswordFrom,
  type Selection,
  type TagRules,
  type TransportName,
  versionRange,
} from './mirror-file.js';
import { templateFault } from './planned.js';
import { parseHost, parseTransportName } from './transport-name.js';
import type { YamlPath, YamlText } from './yaml-text.js';

/** The parts of the schema that stand at several places of the file. */
const TEXT = { type: 'string', minLength: 1 } as const;
const TEXTS = { type: 'array', items: TEXT } as const;
const TEXT_OR_TEXTS = { type: ['string', 'array'], minLength: 1, items: TEXT } as const;

const TAGS = {
  description: 'Which tags: a list of them, or rules for the tags of the repository.',
  type: ['array', 'object'],
  items: { type: ['string', 'number'] },
  additionalProperties: false,
  properties: {
    list: {
      description: 'These tags, whatever the rules say. Without any rule, these alone.',
      type: 'array',
      items: { type: ['string', 'number'] },
    },
    include: {
      description: 'Regular expressions; a tag is taken when one of them matches all of it.',
      ...TEXT_OR_TEXTS,
    },
    exclude: {
      description: 'Regular expressions; a tag is left out when one of them matches all of it.',
      ...TEXT_OR_TEXTS,
    },
    semver: { description: 'A range of versions, such as ">=1.2 <3" or "^1.4 || ~2.0".', type: 'string' },
    prereleases: {
      description:
        'Whether versions with a hyphen count: 1.0.0-rc.1, 3.20-slim. Without it a range takes those that it names.',
      type: 'boolean',
    },
    newest: {
      description: 'At most so many, the newest by version or by when the image was made.',
      type: ['integer', 'object'],
      minimum: 1,
      required: ['count'],
      additionalProperties: false,
      properties: {
        count: { type: 'integer', minimum: 1 },
        by: { enum: ['semver', 'created'], default: 'semver' },
      },
    },
    since: {
      description: 'Made at that moment or later: 2025-01-31, 2025-01-31T12:00:00Z, or 90d for so long ago.',
      ...TEXT,
    },
  },
} as const;

const PLATFORMS = {
  description: '"all", or the platforms that are wanted: [linux/amd64, linux/arm64].',
  type: ['string', 'array'],
  minLength: 1,
  minItems: 1,
  items: TEXT,
} as const;

const REFERRERS = {
  description: 'Whether signatures, SBOMs and the like come along, and which of them.',
  type: ['boolean', 'object'],
  default: true,
  additionalProperties: false,
  properties: {
    types: { description: 'Only those of these artifact types.', ...TEXTS, minItems: 1 },
    cosignTags: {
      description: "Whether tags by cosign's scheme (sha256-….sig, .att, .sbom) count.",
      type: 'boolean',
      default: true,
    },
  },
} as const;

const TO = {
  description: 'The repository at the destination instead of the same name: mirror/app, hub/{repository}.',
  ...TEXT,
} as const;

const CONNECTION = {
  authFile: { description: 'Credentials as docker keeps them.', ...TEXT },
  credentials: {
    description: 'A user, and where the password is found; never the password itself.',
    type: 'object',
    additionalProperties: false,
    required: ['username'],
    properties: {
      username: TEXT,
      passwordEnv: { description: 'A variable of the environment.', ...TEXT },
      passwordFile: { description: 'A file with the password alone.', ...TEXT },
    },
  },
  tls: {
    type: 'object',
    additionalProperties: false,
    properties: {
      ca: { description: 'Authorities that are trusted too, in PEM.', ...TEXT },
      insecure: { description: 'Takes any certificate.', type: 'boolean' },
      plainHttp: { description: 'Speaks HTTP without TLS.', type: 'boolean' },
      clientCert: {
        description: 'Shown to a registry that asks for it.',
        type: 'object',
        additionalProperties: false,
        required: ['cert', 'key'],
        properties: { cert: TEXT, key: TEXT },
      },
    },
  },
  limits: {
    type: 'object',
    additionalProperties: false,
    properties: {
      rate: { description: 'Bytes per second that are read there: 500K, 10M.', type: ['string', 'integer'] },
      requestsPerSecond: { type: 'number', exclusiveMinimum: 0 },
      connections: { type: 'integer', minimum: 1, maximum: 256 },
    },
  },
} as const;

const REWRITE_INDEX = {
  description:
    'With platforms: makes a new index of them alone, which has another digest, for registries that take no index of which parts are missing.',
  type: 'boolean',
  default: false,
} as const;

const OF_IMAGES = {
  platforms: PLATFORMS,
  rewriteIndex: REWRITE_INDEX,
  referrers: REFERRERS,
  to: TO,
} as const;

const SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'landfall mirror file',
  description: 'A declared set of images for `landfall sync`.',
  type: 'object',
  additionalProperties: false,
  required: ['sources'],
  patternProperties: { '^x-': { description: 'Yours: anchors, notes. It is not looked at.' } },
  properties: {
    version: { description: 'Of the form of this file.', type: 'integer', enum: [1] },
    concurrency: { description: 'Images at once.', type: 'integer', minimum: 1, maximum: 256, default: 8 },
    defaults: {
      description: 'For every source that does not say otherwise.',
      type: 'object',
      additionalProperties: false,
      properties: { platforms: PLATFORMS, rewriteIndex: REWRITE_INDEX, referrers: REFERRERS },
    },
    sources: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        additionalProperties: false,
        properties: {
          registry: { description: 'The host: quay.io, registry.lan:5000.', ...TEXT },
          from: { description: 'In place of a registry: oci:DIR, oci-archive:FILE or store.', ...TEXT },
          repositories: {
            type: 'array',
            minItems: 1,
            items: {
              description:
                'A name, or a pattern in which * stands for part of a component and ** for any text.',
              type: ['string', 'object'],
              minLength: 1,
              additionalProperties: false,
              properties: {
                name: TEXT,
                regex: { description: 'In place of a name: what the whole name has to match.', ...TEXT },
                exclude: { description: 'Patterns of names that are not meant.', ...TEXT_OR_TEXTS },
                tags: TAGS,
                ...OF_IMAGES,
              },
            },
          },
          images: {
            type: 'array',
            minItems: 1,
            items: {
              description: 'team/app:1.2, team/app@sha256:…, team/app (its tag latest).',
              type: ['string', 'object'],
              minLength: 1,
              required: ['name'],
              additionalProperties: false,
              properties: { name: TEXT, ...OF_IMAGES },
            },
          },
          tags: TAGS,
          ...OF_IMAGES,
          ...CONNECTION,
        },
      },
    },
    destinations: {
      type: 'array',
      minItems: 1,
      items: {
        type: ['string', 'object'],
        minLength: 1,
        required: ['to'],
        additionalProperties: false,
        properties: {
          to: { description: 'docker://HOST[/PATH], oci:DIR, oci-archive:FILE or store.', ...TEXT },
          prefix: { description: "What stands before every repository's name.", ...TEXT },
          path: {
            description:
              'How repositories are called: a text with {registry}, {repository} and {name} in it.',
            ...TEXT,
          },
          ...CONNECTION,
        },
      },
    },
  },
} as const;

/**
 * The JSON Schema of a `mirror.yaml`. docs/mirror.schema.json is this for editors; what it cannot say (a
 * range of versions, a platform, a regular expression) is looked at afterwards.
 */
export const MIRROR_SCHEMA: JsonObject = SCHEMA;

type RawMirror = Shape<typeof SCHEMA>;
type RawSource = RawMirror['sources'][number];
type RawRepository = Exclude<NonNullable<RawSource['repositories']>[number], string>;
type RawImage = Exclude<NonNullable<RawSource['images']>[number], string>;
type RawDestination = Exclude<NonNullable<RawMirror['destinations']>[number], string>;
type RawConnection = Pick<RawSource, keyof typeof CONNECTION>;
type RawOfImages = Pick<RawSource, keyof typeof OF_IMAGES | 'tags'>;
type RawTags = NonNullable<RawSource['tags']>;
type RawRules = Exclude<RawTags, readonly unknown[]>;

/** A file of landfall's own form. @throws {MirrorFileError} */
export function readLandfallForm(yaml: YamlText, o: ReadMirrorFileOptions): MirrorFile {
  const raw = checkShape(yaml, SCHEMA);
  const reader = new FormReader(yaml, o);
  const form = new LandfallForm(reader, raw.defaults ?? {});
  const file: MirrorFile = {
    name: yaml.name,
    form: 'landfall',
    sources: raw.sources.flatMap((source, at) => form.sources(source, ['sources', at])),
    destinations: (raw.destinations ?? []).flatMap((one, at) => form.destination(one, ['destinations', at])),
    concurrency: raw.concurrency,
    notes: [],
    warnings: [],
  };
  reader.end();
  return file;
}

/** What holds for the images of one entry, all that stands around it considered. */
type Wanted = Pick<Selection, keyof CopyChoice | 'tags' | 'to'>;

class LandfallForm {
  readonly #reader: FormReader;
  readonly #defaults: Wanted;

  constructor(reader: FormReader, defaults: RawOfImages) {
    this.#reader = reader;
    this.#defaults = this.#wanted(defaults, ['defaults'], {
      tags: ALL_TAGS,
      platforms: 'all',
      referrers: {},
    });
  }

  /** More than one where names without a registry before them are of several registries. */
  sources(raw: RawSource, where: YamlPath): MirrorSource[] {
    const wanted = this.#wanted(raw, where, this.#defaults);
    const connection = readConnection(this.#reader, raw, where);
    const transport = this.#transportOf(raw, where);
    if (transport === undefined) return [];
    const byHost = new Map<string, Selection[]>();
    const add = (host: string, selection: Selection): void => {
      // Everywhere but at registries all names lie in one place.
      const key = transport === 'named' ? host : '';
      byHost.set(key, [...(byHost.get(key) ?? []), selection]);
    };
    for (const [at, one] of (raw.repositories ?? []).entries())
      this.#repository(one, [...where, 'repositories', at], { transport, wanted, add });
    for (const [at, one] of (raw.images ?? []).entries())
      this.#image(one, [...where, 'images', at], { transport, wanted, add });
    if (raw.repositories === undefined && raw.images === undefined) {
      if (transport === 'named' || transport.kind === 'registry')
        this.#reader.fault(where, 'neither repositories nor images are named', 'Name them; "**" means all.');
      else add('', { at: this.#reader.at(where), text: '**', matches: () => true, digests: [], ...wanted });
    }
    const at = this.#reader.at(where);
    return [...byHost].map(([host, selections]) => ({
      at,
      transport: transport === 'named' ? { kind: 'registry', host } : transport,
      connection,
      selections,
    }));
  }

  destination(raw: string | RawDestination, where: YamlPath): MirrorDestination | [] {
    const reader = this.#reader;
    const { to, prefix, path, ...rest }: RawDestination = typeof raw === 'string' ? { to: raw } : raw;
    const named = reader.attempt(typeof raw === 'string' ? where : [...where, 'to'], () =>
      parseTransportName(to, reader.directory),
    );
    const connection = readConnection(reader, rest, where);
    this.#checkTemplate(path, [...where, 'path']);
    this.#checkTemplate(prefix, [...where, 'prefix']);
    if (named === undefined) return [];
    const trimmed = prefix?.replace(/^\/+|\/+$/g, '') ?? '';
    return {
      at: reader.at(where),
      transport: named.transport,
      connection,
      prefix: [named.prefix, trimmed].filter((part) => part !== '').join('/'),
      path,
    };
  }

  /** `named`: every name has its registry before it. */
  #transportOf(raw: RawSource, where: YamlPath): TransportName | 'named' | undefined {
    const reader = this.#reader;
    if (raw.registry !== undefined && raw.from !== undefined) {
      reader.faultAtKey(where, 'from', 'registry and from exclude each other', 'Make two sources of them.');
      return undefined;
    }
    if (raw.from !== undefined) {
      const { from } = raw;
      const named = reader.attempt([...where, 'from'], () => parseTransportName(from, reader.directory));
      return named?.transport;
    }
    if (raw.registry === undefined) return 'named';
    const host = parseHost(raw.registry);
    if (host !== undefined) return { kind: 'registry', host };
    reader.fault(
      [...where, 'registry'],
      `${JSON.stringify(raw.registry)} is not the host of a registry`,
      'Write HOST or HOST:PORT with a dot or a port in it; paths go to repositories.',
    );
    return undefined;
  }

  #repository(raw: string | RawRepository, where: YamlPath, entry: Entry): void {
    const reader = this.#reader;
    const one: RawRepository = typeof raw === 'string' ? { name: raw } : raw;
    const { name, regex } = one;
    const wanted = this.#wanted(one, where, entry.wanted);
    if ((name === undefined) === (regex === undefined)) {
      reader.fault(where, 'a repository has either a name or a regex');
      return;
    }
    const text = name ?? regex ?? '';
    const at = reader.at(where);
    const nameAt = typeof raw === 'string' ? where : [...where, name === undefined ? 'regex' : 'name'];
    if (regex === undefined && !isGlob(text)) {
      const reference = this.#reference(text, nameAt, entry.transport);
      if (reference === undefined) return;
      if (reference.tag !== undefined || reference.digest !== undefined) {
        reader.fault(nameAt, `${text} is an image, not a repository`, 'Put it below `images`.');
        return;
      }
      if (one.exclude !== undefined)
        reader.faultAtKey(where, 'exclude', 'exclude is for patterns', 'Leave the repository out itself.');
      const called = nameIn(reference, entry.transport);
      entry.add(reference.registry, { at, text, name: called, isOwn: true, digests: [], ...wanted });
      return;
    }
    if (entry.transport === 'named') {
      reader.fault(nameAt, 'a pattern needs a registry to be looked for in', 'Give the source a registry.');
      return;
    }
    const test = regex === undefined ? repositoryGlob(text) : reader.pattern(nameAt, regex);
    const excluded = listOf(one.exclude).map(repositoryGlob);
    const host = entry.transport.kind === 'registry' ? entry.transport.host : '';
    const matches = (tested: string): boolean =>
      test?.(tested) === true && !excluded.some((pattern) => pattern(tested));
    entry.add(host, { at, text, matches, digests: [], ...wanted });
  }

  #image(raw: string | RawImage, where: YamlPath, entry: Entry): void {
    const reader = this.#reader;
    const one: RawImage = typeof raw === 'string' ? { name: raw } : raw;
    const nameAt = typeof raw === 'string' ? where : [...where, 'name'];
    const reference = this.#reference(one.name, nameAt, entry.transport);
    const wanted = this.#wanted(one, where, entry.wanted);
    if (reference === undefined) return;
    const { tag, digest } = reference;
    const at = reader.at(where);
    // With both, the digest says what it is and the tag how it is called; a tag that has moved on is then an
    // error.
    const list = digest === undefined ? [{ tag: tag ?? 'latest', at }] : [];
    entry.add(reference.registry, {
      at,
      text: one.name,
      name: nameIn(reference, entry.transport),
      ...wanted,
      tags: { list },
      digests: digest === undefined ? [] : [digest],
    });
    if (digest !== undefined && tag !== undefined)
      reader.fault(nameAt, `${one.name} has both a tag and a digest`, 'Leave one of them out.');
  }

  /** The registry is put before a name where it is not there. */
  #reference(text: string, where: YamlPath, transport: TransportName | 'named'): Reference | undefined {
    const isOf = transport !== 'named' && transport.kind === 'registry' ? transport.host : undefined;
    const full = isOf === undefined || text.startsWith(`${isOf}/`) ? text : `${isOf}/${text}`;
    return this.#reader.attempt(where, () => parseReference(full));
  }

  #wanted(raw: RawOfImages, where: YamlPath, around: Wanted): Wanted {
    const reader = this.#reader;
    this.#checkTemplate(raw.to, [...where, 'to']);
    return {
      tags: raw.tags === undefined ? around.tags : readTags(reader, raw.tags, [...where, 'tags']),
      platforms: reader.platforms([...where, 'platforms'], raw.platforms) ?? around.platforms,
      rewriteIndex: raw.rewriteIndex ?? around.rewriteIndex,
      referrers: raw.referrers === undefined ? around.referrers : referrersOf(raw.referrers),
      to: raw.to ?? around.to,
    };
  }

  #checkTemplate(template: string | undefined, where: YamlPath): void {
    const fault = template === undefined ? undefined : templateFault(template.replace(/^\/+|\/+$/g, ''));
    if (fault !== undefined) this.#reader.fault(where, `${JSON.stringify(template)}: ${fault}`);
  }
}

interface Entry {
  readonly transport: TransportName | 'named';
  readonly wanted: Wanted;
  readonly add: (host: string, selection: Selection) => void;
}

const ALL_TAGS: TagRules = { list: [], listed: { tests: [], prereleases: false, digestTags: false } };

/** How a repository is called in its place. */
function nameIn({ registry, repository }: Reference, transport: TransportName | 'named'): string {
  return transport === 'named' || transport.kind === 'registry' ? repository : `${registry}/${repository}`;
}

function referrersOf(raw: NonNullable<RawSource['referrers']>): ReferrerChoice | undefined {
  if (raw === false) return undefined;
  if (raw === true) return {};
  return { artifactTypes: raw.types, cosignTags: raw.cosignTags };
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

/** How a source or a destination is spoken to. */
function readConnection(reader: FormReader, raw: RawConnection, where: YamlPath): Connection {
  const { authFile, credentials, tls = {}, limits = {} } = raw;
  if (authFile !== undefined && credentials !== undefined)
    reader.faultAtKey(where, 'credentials', 'authFile and credentials exclude each other');
  const password =
    credentials === undefined ? undefined : passwordOf(reader, credentials, [...where, 'credentials']);
  const { clientCert } = tls;
  return {
    authFile: reader.path(authFile),
    credentials:
      credentials === undefined || password === undefined
        ? undefined
        : { username: credentials.username, password },
    ca: reader.path(tls.ca),
    clientCert:
      clientCert === undefined
        ? undefined
        : { cert: reader.path(clientCert.cert) ?? '', key: reader.path(clientCert.key) ?? '' },
    insecure: tls.insecure,
    plainHttp: tls.plainHttp,
    rate: reader.rate([...where, 'limits', 'rate'], limits.rate),
    requestsPerSecond: limits.requestsPerSecond,
    connections: limits.connections,
  };
}

function passwordOf(
  reader: FormReader,
  { passwordEnv, passwordFile }: NonNullable<RawConnection['credentials']>,
  where: YamlPath,
): PasswordFrom | undefined {
  if (passwordEnv !== undefined && passwordFile === undefined) return { env: passwordEnv };
  const file = reader.path(passwordFile);
  if (file !== undefined && passwordEnv === undefined) return { file };
  reader.fault(where, 'the credentials need either passwordEnv or passwordFile');
  return undefined;
}

/** Whether a repository's name is a pattern. No name has one of these characters. */
function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}

/** A pattern of repositories' names: `*` and `?` stay within a component, `**` does not. */
function repositoryGlob(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    return part.replace(/[.+^${}()|[\]\\/-]/g, '\\$&');
  });
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}

function readTags(reader: FormReader, raw: RawTags, where: YamlPath): TagRules {
  if ('length' in raw) return { list: tagList(reader, raw, where) };
  const { list = [], ...rules } = raw;
  const isListAlone = Object.keys(rules).length === 0 && raw.list !== undefined;
  return {
    list: tagList(reader, list, [...where, 'list']),
    listed: isListAlone ? undefined : listedOf(reader, rules, where),
  };
}

function listedOf(reader: FormReader, raw: Omit<RawRules, 'list'>, where: YamlPath): ListedTags {
  const { include, exclude, semver, prereleases = false, newest, since } = raw;
  const included = patterns(reader, include, [...where, 'include']);
  const excluded = patterns(reader, exclude, [...where, 'exclude']);
  const range = semver === undefined ? undefined : versionRange(semver, { prereleases });
  if (semver !== undefined && (range === undefined || semver.trim() === '')) {
    reader.fault(
      [...where, 'semver'],
      `${JSON.stringify(semver)} is not a range of versions`,
      'Write for example ">=1.2 <3", "^1.4 || ~2.0" or "1.x".',
    );
  }
  return {
    tests: [
      (tag) => include === undefined || included.some((pattern) => pattern(tag)),
      (tag) => !excluded.some((pattern) => pattern(tag)),
    ],
    range,
    prereleases,
    since: since === undefined ? undefined : reader.moment([...where, 'since'], since),
    newest: newestOf(newest),
    digestTags: false,
  };
}

function newestOf(raw: RawRules['newest']): ListedTags['newest'] {
  return raw === undefined
    ? undefined
    : { by: 'semver', ...(typeof raw === 'number' ? { count: raw } : raw) };
}

function patterns(
  reader: FormReader,
  raw: string | readonly string[] | undefined,
  where: YamlPath,
): ((text: string) => boolean)[] {
  return listOf(raw).flatMap(
    (text, at) => reader.pattern(typeof raw === 'string' ? where : [...where, at], text) ?? [],
  );
}
