import { parseReference, type Reference } from '../../spec/index.js';
import type { CopyChoice, ReferrerChoice } from '../copy/copy-request.js';
import { checkShape } from './check-shape.js';
import { FormReader, type RawTags, readTags } from './form-reader.js';
import type {
  Connection,
  MirrorDestination,
  MirrorFile,
  MirrorSource,
  PasswordFrom,
  TransportName,
  Selection,
  TagRules,
} from './mirror-file.js';
import { MIRROR_SCHEMA } from './mirror-schema.js';
import { templateFault } from './planned.js';
import { parseHost, parseTransportName } from './transport-name.js';
import type { YamlPath, YamlText } from './yaml-text.js';

type RawPlatforms = string | readonly string[];
type RawReferrers = boolean | { readonly types?: readonly string[]; readonly cosignTags?: boolean };

interface RawOfImages {
  readonly platforms?: RawPlatforms;
  readonly rewriteIndex?: boolean;
  readonly referrers?: RawReferrers;
  readonly to?: string;
}

interface RawRepository extends RawOfImages {
  readonly name?: string;
  readonly regex?: string;
  readonly exclude?: string | readonly string[];
  readonly tags?: RawTags;
}

interface RawImage extends RawOfImages {
  readonly name: string;
}

interface RawSource extends RawOfImages, RawConnection {
  readonly registry?: string;
  readonly from?: string;
  readonly repositories?: readonly (string | RawRepository)[];
  readonly images?: readonly (string | RawImage)[];
  readonly tags?: RawTags;
}

interface RawDestination extends RawConnection {
  readonly to: string;
  readonly prefix?: string;
  readonly path?: string;
}

interface RawMirror {
  readonly concurrency?: number;
  readonly defaults?: RawOfImages;
  readonly sources: readonly RawSource[];
  readonly destinations?: readonly (string | RawDestination)[];
}

/** A file of landfall's own form. @throws {MirrorFileError} */
export function readLandfallForm(
  yaml: YamlText,
  o: { readonly directory: string; readonly now: number },
): MirrorFile {
  const raw = checkShape(yaml, MIRROR_SCHEMA) as RawMirror;
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
    this.#defaults = this.#wanted(defaults, ['defaults'], { tags: ALL_TAGS, platforms: 'all' });
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

  #wanted(raw: RawOfImages & { readonly tags?: RawTags }, where: YamlPath, around: Wanted): Wanted {
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

function referrersOf(raw: RawReferrers): ReferrerChoice | undefined {
  if (raw === false) return undefined;
  if (raw === true) return {};
  return { artifactTypes: raw.types, cosignTags: raw.cosignTags };
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

interface RawConnection {
  readonly authFile?: string;
  readonly credentials?: {
    readonly username: string;
    readonly passwordEnv?: string;
    readonly passwordFile?: string;
  };
  readonly tls?: {
    readonly ca?: string;
    readonly insecure?: boolean;
    readonly plainHttp?: boolean;
    readonly clientCert?: { readonly cert: string; readonly key: string };
  };
  readonly limits?: {
    readonly rate?: string | number;
    readonly requestsPerSecond?: number;
    readonly connections?: number;
  };
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
