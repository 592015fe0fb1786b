import { status } from '@grpc/grpc-js';
import { RecentMap } from '../../concurrency/index.js';
import { collectGarbage } from '../../engine/upkeep/collect-garbage.js';
import { releaseSnapshot } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import { type ErrorCode, isLandfallError, LandfallError, TrustError, UnpackError } from '../../errors.js';
import { type Digest, isDigest } from '../../spec/index.js';
import type { Labels, Mount, SnapshotImage, SnapshotInfo } from '../../unpack/index.js';
import { StatusError, type StreamingMethod, type UnaryMethod } from '../grpc/calls.js';
import {
  chainIn,
  type InfoMessage,
  type PrepareRequest,
  REF_LABEL,
  type RemoteImage,
  remoteImageIn,
  type TimestampMessage,
} from './remote-image.js';
import type { RemoteLayers } from './remote-layers.js';
import type { SnapshotAdmission } from './snapshot-admission.js';

/** The holder of snapshots that are prepared here, in the store. */
export const HOLDER = 'containerd';

/** How a layer came that containerd asked for by its chain ID. */
export type LayerOutcome = 'present' | 'pulled' | 'left';

/** A layer that containerd downloads and unpacks itself. */
export interface LeftLayer {
  /** The image that it is of, where containerd says so. */
  readonly image: string | undefined;
  readonly reason: Error;
  /** Whether it is the first that is left of its image, or of a stack of layers: others follow from it. */
  readonly isFirst: boolean;
}

export interface SnapshotsServiceOptions {
  readonly store: Store;
  readonly remote: Pick<RemoteLayers, 'bring' | 'held'>;
  /** What a signature policy has to say; absent where there is none. */
  readonly admission?: Pick<SnapshotAdmission, 'admit'> | undefined;
  /**
   * Called for each layer of an image that was asked for; the reason comes with a layer that is left to
   * containerd.
   */
  readonly onLayer: (outcome: LayerOutcome, chainId: Digest, left?: LeftLayer) => void;
  /** Called with bytes that were freed, by the removal of a snapshot or by a collection. */
  readonly onFreed?: ((by: 'snapshot' | 'collection', bytes: number) => void) | undefined;
}

/** One snapshot, by its key or its name. */
interface KeyRequest {
  readonly key: string;
}

interface CommitRequest extends PrepareRequest {
  readonly name: string;
  /** The new parent of the snapshot; empty where the parent stays (since containerd 2.2). */
  readonly parent: string;
}

interface UpdateRequest {
  readonly info: InfoMessage | null;
  readonly updateMask: { readonly paths: readonly string[] } | null;
}

/** containerd.services.snapshots.v1.Snapshots */
export interface SnapshotsService {
  readonly prepare: UnaryMethod<PrepareRequest, { readonly mounts: readonly Mount[] }>;
  readonly view: UnaryMethod<PrepareRequest, { readonly mounts: readonly Mount[] }>;
  readonly mounts: UnaryMethod<KeyRequest, { readonly mounts: readonly Mount[] }>;
  readonly commit: UnaryMethod<CommitRequest, object>;
  readonly remove: UnaryMethod<KeyRequest, object>;
  readonly stat: UnaryMethod<KeyRequest, { readonly info: InfoMessage }>;
  readonly update: UnaryMethod<UpdateRequest, { readonly info: InfoMessage }>;
  readonly list: StreamingMethod<
    { readonly filters: readonly string[] },
    { readonly info: readonly InfoMessage[] }
  >;
  readonly usage: UnaryMethod<KeyRequest, { readonly size: string; readonly inodes: string }>;
  readonly cleanup: UnaryMethod<object, object>;
}

/**
 * The end of the key of a copy of an image, in which containerd's client changes all owners where its
 * configuration does not say that the snapshotter maps them (containerd: client/snapshotter_opts_unix.go).
 */
const REMAPPING = '-remap';

/** Snapshots in a message of a stream. */
const LISTED_AT_ONCE = 100;

/**
 * The store's snapshots as a containerd sees them: those that it prepared and committed itself, and the
 * verified chains that it has asked for. A collection of either side leaves what the other one retains.
 */
export function snapshotsService(options: SnapshotsServiceOptions): SnapshotsService {
  const { store, admission, onFreed } = options;
  const { snapshotter } = store;
  const left = new LeftLayers();
  const held = async (name: string): Promise<SnapshotInfo> => {
    const found = await snapshotter.stat(name);
    if (found?.retainedBy === HOLDER) return found;
    throw new UnpackError('SNAPSHOT_NOT_FOUND', `there is no snapshot ${name}`);
  };
  return {
    prepare: async (request, { signal }) => {
      const image = await admission?.admit(request, { signal });
      await bringLayer(options, left, request, image, signal);
      const { key, parent, labels } = request;
      const given = { labels, retainedBy: HOLDER, image, remapped: key.endsWith(REMAPPING) };
      return { mounts: await snapshotter.prepare(key, nameOf(parent), given) };
    },
    view: async (request, { signal }) => {
      await admission?.admit(request, { signal });
      const { key, parent, labels } = request;
      return { mounts: await snapshotter.view(key, nameOf(parent), { labels, retainedBy: HOLDER }) };
    },
    mounts: async ({ key }) => ({ mounts: await snapshotter.mounts(key).catch(asPrecondition) }),
    commit: async ({ key, name, parent, labels }) => {
      if (parent !== '' && (await snapshotter.stat(key))?.parent !== parent) throw noRebase(name, parent);
      await snapshotter.commit(key, name, { labels }).catch(asPrecondition);
      return {};
    },
    remove: async ({ key }) => {
      const freed = await releaseSnapshot(store, key, HOLDER);
      onFreed?.('snapshot', freed);
      return {};
    },
    stat: async ({ key }) => ({ info: messageOf(await held(key)) }),
    update: async ({ info, updateMask }) => {
      const known = await held(info?.name ?? '');
      const labels = labelsAfter(known.labels, info?.labels ?? {}, updateMask?.paths ?? []);
      return { info: messageOf(await snapshotter.update(known.name, { labels })) };
    },
    list: async function* ({ filters }) {
      const fits = parseFilters(filters, fieldOf);
      let page: InfoMessage[] = [];
      for await (const info of snapshotter.listRetained(HOLDER)) {
        if (!fits(info)) continue;
        page.push(messageOf(info));
        if (page.length < LISTED_AT_ONCE) continue;
        yield { info: page };
        page = [];
      }
      if (page.length > 0) yield { info: page };
    },
    usage: async ({ key }) => {
      const { size, inodes } = await snapshotter.usage(key);
      return { size: String(size), inodes: String(inodes) };
    },
    cleanup: async (_, { signal }) => {
      const { freed } = await collectGarbage(store, { signal });
      onFreed?.('collection', freed);
      return {};
    },
  };
}

/**
 * Pulls the chain that a snapshot is to become, and retains it for containerd, which then looks for it by the
 * label that names it. Where that cannot be, containerd downloads the layer itself, into the snapshot that it
 * prepares.
 *
 * @param ending see `SnapshotAdmission.admit`
 * @throws ALREADY_EXISTS where it is here; TrustError, since containerd must not download what a policy
 *   refuses
 */
async function bringLayer(
  { store, remote, onLayer }: SnapshotsServiceOptions,
  left: LeftLayers,
  { key, parent, labels }: PrepareRequest,
  ending: SnapshotImage | undefined,
  signal: AbortSignal,
): Promise<void> {
  const chainId = labels[REF_LABEL];
  const unpacked = chainIn(key);
  if (chainId === undefined && unpacked !== undefined)
    onLayer('left', unpacked, left.note(unpacked, parent, undefined, UNASKED));
  if (chainId === undefined || !isDigest(chainId)) return;
  const hold = async (outcome: LayerOutcome): Promise<void> => {
    const given = { by: HOLDER, parent: nameOf(parent), labels, image: ending };
    if ((await store.snapshotter.retainChain(chainId, given)) === undefined) return;
    remote.held(chainId);
    onLayer(outcome, chainId);
    throw new LandfallError('ALREADY_EXISTS', `the layers ${chainId} are here`);
  };
  await hold('present');
  const image = remoteImageIn(labels);
  let reason: Error | undefined;
  // On what containerd unpacked itself no chain of landfall's can lie.
  if (!(await isChain(store, parent))) reason = ON_OTHERS;
  else if (image === undefined) reason = UNNAMED;
  else reason = await bring(remote, image, chainId, signal);
  if (reason === undefined) await hold('pulled');
  onLayer('left', chainId, left.note(chainId, parent, image?.asked, reason ?? ON_NOTHING));
}

const UNASKED = unsupported('containerd unpacks it without asking, as for `ctr images pull` up to 1.7');
const ON_OTHERS = unsupported('it lies on a layer that containerd unpacked itself');
const UNNAMED = unsupported(
  'containerd does not say which image it is of; `landfall doctor --containerd` prints what it lacks',
);
const ON_NOTHING = unsupported('containerd asks for it without the layers that it lies on');

function unsupported(reason: string): LandfallError {
  return new LandfallError('UNSUPPORTED', reason);
}

/** The most images and layers that are remembered as left; the oldest is forgotten, and warned of again. */
const MOST_LEFT = 1_000;

/** The layers that were left to containerd, so that the log has one warning for each image. */
class LeftLayers {
  /** Images, and chains. */
  readonly #noted = new RecentMap<string, true>(MOST_LEFT);

  note(chainId: Digest, parent: string, image: string | undefined, reason: Error): LeftLayer {
    const isFirst =
      parent === '' ||
      !this.#noted.has(parent.slice(parent.lastIndexOf('/') + 1)) ||
      (image !== undefined && !this.#noted.has(image));
    this.#noted.set(chainId, true);
    if (image !== undefined) this.#noted.set(image, true);
    return { image, reason, isFirst };
  }
}

/**
 * A containerd that unpacks all layers at once gives each its parent in the end (core/unpack/unpacker.go).
 */
function noRebase(name: string, parent: string): LandfallError {
  return new LandfallError('UNSUPPORTED', `${name} was not prepared on ${parent}, and gets no other parent`, {
    hint: 'Take "rebase" out of the capabilities of landfall in containerd’s configuration.',
  });
}

/** Whether a layer's parent is none, or a chain that landfall verified. */
async function isChain({ snapshotter }: Store, parent: string): Promise<boolean> {
  if (parent === '') return true;
  const ref = (await snapshotter.stat(parent))?.labels[REF_LABEL];
  return ref !== undefined && isDigest(ref) && (await snapshotter.findChain(ref))?.name === parent;
}

/** @returns the reason why it cannot be had @throws TrustError; any error once the call is cancelled */
async function bring(
  remote: Pick<RemoteLayers, 'bring'>,
  image: RemoteImage,
  chainId: Digest,
  signal: AbortSignal,
): Promise<Error | undefined> {
  try {
    await remote.bring(image, chainId, { signal });
    return undefined;
  } catch (error) {
    if (signal.aborted || error instanceof TrustError) throw error;
    return error as Error;
  }
}

function nameOf(parent: string): string | undefined {
  return parent === '' ? undefined : parent;
}

const WRONG_KIND: ErrorCode = 'INVALID_CONFIG';

/** What containerd's own snapshotters answer where a snapshot is of another kind. */
function asPrecondition(error: unknown): never {
  if (!isLandfallError(error) || error.code !== WRONG_KIND) throw error;
  throw new StatusError(status.FAILED_PRECONDITION, error.message, error);
}

/**
 * A snapshot's labels once the fields of a mask are set to what `given` has of them; without a mask, all are.
 *
 * @throws LandfallError INVALID_CONFIG (the field is not there, or cannot be changed)
 */
function labelsAfter(known: Labels, given: Labels, paths: readonly string[]): Labels {
  let labels = paths.length === 0 ? given : known;
  for (const path of paths) {
    if (path === 'labels') labels = given;
    else if (path.startsWith('labels.')) {
      const label = path.slice('labels.'.length);
      labels = { ...labels, [label]: given[label] ?? '' };
    } else {
      throw new LandfallError('INVALID_CONFIG', `the field ${path} of a snapshot cannot be changed`, {
        hint: 'Name `labels`, or one of them, such as `labels.containerd.io/gc.root`.',
      });
    }
  }
  // The snapshot is found by it, also for other requests.
  const kept = { ...labels, [REF_LABEL]: known[REF_LABEL] ?? labels[REF_LABEL] ?? '' };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== ''));
}

function fieldOf(info: SnapshotInfo, [field, ...rest]: readonly string[]): string | undefined {
  if (field === 'kind' || field === 'name') return info[field];
  if (field === 'parent') return info.parent ?? '';
  return field === 'labels' ? info.labels[rest.join('.')] : undefined;
}

function messageOf({ name, parent, kind, labels, createdAt, updatedAt }: SnapshotInfo): InfoMessage {
  return {
    name,
    parent: parent ?? '',
    kind: kind.toUpperCase() as Uppercase<typeof kind>,
    createdAt: timestampOf(createdAt),
    updatedAt: timestampOf(updatedAt),
    labels,
  };
}

/** @param time in microseconds since 1970 */
function timestampOf(time: number): TimestampMessage {
  return { seconds: String(Math.floor(time / 1_000_000)), nanos: (time % 1_000_000) * 1000 };
}

/** The value at a path of a thing, such as `['labels', 'app']`; undefined where it has none. */
export type FieldsOf<Thing> = (thing: Thing, path: readonly string[]) => string | undefined;

/**
 * Reads filters of containerd (github.com/containerd/containerd/filters): a thing fits where it fits one of
 * them, and a filter is a list of selectors, `name==a,labels."b.c"!=d,parent~=/^e/`, all of which have to
 * fit. No filters fit everything.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function parseFilters<Thing>(
  filters: readonly string[],
  fieldsOf: FieldsOf<Thing>,
): (thing: Thing) => boolean {
  const parsed = filters.map((filter) => selectorsIn(filter));
  if (parsed.length === 0) return () => true;
  return (thing) =>
    parsed.some((selectors) => selectors.every((selector) => selector.fits(fieldsOf(thing, selector.path))));
}

interface Selector {
  readonly path: readonly string[];
  fits(value: string | undefined): boolean;
}

const SPACE = /\s*/y;
const FIELD = /[A-Za-z0-9_]+/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
/** A regular expression may be written so too, to need fewer escapes. */
const OTHERWISE_QUOTED = /\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;
const OPERATOR = /[=!~]+/y;
const VALUE = /[^\s,\p{C}]+/uy;

function selectorsIn(filter: string): readonly Selector[] {
  const text = new Scanner(filter);
  if (filter === '') return [];
  const selectors: Selector[] = [];
  do selectors.push(selectorIn(text));
  while (text.take(/,/y) !== undefined);
  if (!text.atEnd) throw text.error('a comma or the end is expected');
  return selectors;
}

function selectorIn(text: Scanner): Selector {
  const path: string[] = [];
  do path.push(quotedOr(text, FIELD, 'field'));
  while (text.take(/\./y) !== undefined);
  const operator = text.take(OPERATOR);
  switch (operator) {
    case undefined:
      return { path, fits: (value) => value !== undefined };
    case '==': {
      const wanted = quotedOr(text, VALUE, 'value');
      return { path, fits: (value) => value === wanted };
    }
    case '!=': {
      const unwanted = quotedOr(text, VALUE, 'value');
      return { path, fits: (value) => (value ?? '') !== unwanted };
    }
    case '~=': {
      const pattern = patternIn(text);
      return { path, fits: (value) => pattern.test(value ?? '') };
    }
    default:
      throw text.error(`${operator} is not an operator`);
  }
}

function quotedOr(text: Scanner, pattern: RegExp, what: string): string {
  const quoted = text.take(QUOTED);
  if (quoted !== undefined) return unquote(text, quoted);
  const found = text.take(pattern);
  if (found === undefined) throw text.error(`a ${what} is expected`);
  return found;
}

function patternIn(text: Scanner): RegExp {
  const source = text.take(OTHERWISE_QUOTED)?.slice(1, -1) ?? quotedOr(text, VALUE, 'value');
  try {
    return new RegExp(source, 'u');
  } catch {
    throw text.error(`${source} is not a regular expression`);
  }
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};
const ESCAPE = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))/gsu;

/** As Go reads a string literal. */
function unquote(text: Scanner, quoted: string): string {
  return quoted
    .slice(1, -1)
    .replaceAll(
      ESCAPE,
      (_, hex?: string, short?: string, long?: string, octal?: string, simple?: string): string => {
        const digits = hex ?? short ?? long;
        const code = digits === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(digits, 16);
        const known = simple === undefined ? undefined : SIMPLE_ESCAPES[simple];
        if (known !== undefined) return known;
        if (Number.isNaN(code) || code > 0x10ffff) throw text.error('an escape is not known');
        return String.fromCodePoint(code);
      },
    );
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  /** What stands next, past spaces, if it is that. */
  take(pattern: RegExp): string | undefined {
    this.#match(SPACE);
    return this.#match(pattern);
  }

  error(what: string): LandfallError {
    return new LandfallError('INVALID_CONFIG', `the filter ${JSON.stringify(this.#text)}: ${what}`, {
      hint: `See character ${this.#at + 1} of it; a filter is written like 'kind==active,labels."a.b"==c'.`,
    });
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, pattern.flags);
    sticky.lastIndex = this.#at;
    const [found] = sticky.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
