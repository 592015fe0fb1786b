import type { PullEvent } from '../../engine/pull/pull-report.js';
import type { RequestEvent } from '../../registry/index.js';
import { chainIds, type Digest, formatPlatform } from '../../spec/index.js';
import type {
  LayerStep,
  PullOutcome,
  Span,
  Throughput,
  TimedBlob,
  TimedLayer,
  TimedNote,
  TimedPull,
  Timeline,
} from './timeline.js';

/**
 * Takes the events of pulls and puts them on one clock. Each pull counts from its own beginning; when that
 * was is told by its first event, and a pull that was under way before anybody asked here (by a daemon) is
 * drawn from when it was asked for. Its size depends on how many layers there are, not on how long they take.
 */
export class TimelineRecorder {
  readonly #now: () => number;
  readonly #pulls = new Map<string, { readonly offset: number; readonly pull: RecordedPull }>();
  readonly #throughput = new ThroughputCounter();
  /** When the first pull began, by `now`. */
  #zero: number | undefined;
  #begun = new Date();

  /** @param now milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(event: PullEvent): void {
    const { offset, pull } = this.#pullOf(event.reference, event.at);
    const held = event.type === 'blob' ? (event.heldMs ?? 0) : 0;
    const at = Math.max(0, offset + event.at - held);
    const arrived = pull.add(event, at);
    if (arrived !== undefined) this.#throughput.add(arrived.bytes, arrived.since, at);
  }

  /** Of a pull that told nothing at all, too. */
  failed(reference: string, outcome: Exclude<PullOutcome, 'done'>, error: string): void {
    const { pull } = this.#pullOf(reference, 0);
    pull.end(outcome, this.moment(), error);
  }

  /** One of them. Empty where it told nothing. */
  pull(reference: string): TimedPull {
    return this.#pullOf(reference, 0).pull.timed(this.moment());
  }

  /** Bytes of an image's layers that its pull did not have to bring. */
  bytesReused(reference: string): number {
    return this.#pulls.get(reference)?.pull.bytesReused ?? 0;
  }

  /** Now, on the clock of the timeline. */
  moment(): number {
    return this.#zero === undefined ? 0 : this.#now() - this.#zero;
  }

  timeline(): Timeline {
    const now = this.moment();
    const pulls = [...this.#pulls.values()].map(({ pull }) => pull.timed(now));
    return {
      end: Math.max(0, ...pulls.map(({ end }) => end)),
      begun: this.#begun,
      pulls,
      throughput: this.#throughput.throughput(),
    };
  }

  #pullOf(reference: string, at: number): { readonly offset: number; readonly pull: RecordedPull } {
    const known = this.#pulls.get(reference);
    if (known !== undefined) return known;
    const now = this.#now();
    if (this.#zero === undefined) {
      this.#zero = now;
      this.#begun = new Date();
    }
    const offset = now - this.#zero - at;
    const recorded = { offset, pull: new RecordedPull(reference, Math.max(0, offset)) };
    this.#pulls.set(reference, recorded);
    return recorded;
  }
}

/** Milliseconds of the first intervals, and so many of them before two become one. */
const FINEST_MS = 25;
const MOST_BUCKETS = 2048;

/**
 * Counts what comes in equal intervals of time, which become longer as time goes on: in the end there are
 * 1,024 to 2,048 of them.
 */
class ThroughputCounter {
  #interval = FINEST_MS;
  #bytes: number[] = [];

  /**
   * @param since when the bytes before these came: they are spread from then on
   * @param at milliseconds since the beginning
   */
  add(bytes: number, since: number, at: number): void {
    if (bytes <= 0) return;
    while (at / this.#interval >= MOST_BUCKETS) this.#coarsen();
    const first = this.#place(since);
    const last = Math.max(first, this.#place(at));
    const span = at - since;
    for (let place = first; place <= last; place += 1) {
      const start = Math.max(since, place * this.#interval);
      const end = Math.min(at, (place + 1) * this.#interval);
      const share = first === last || span <= 0 ? 1 / (last - first + 1) : (end - start) / span;
      this.#bytes[place] = (this.#bytes[place] ?? 0) + bytes * share;
    }
  }

  /** In whole bytes, which together are all of them. */
  throughput(): Throughput {
    let sum = 0;
    const bytes = Array.from({ length: this.#bytes.length }, (_, at) => {
      const before = Math.round(sum);
      sum += this.#bytes[at] ?? 0;
      return Math.round(sum) - before;
    });
    return { interval: this.#interval, bytes };
  }

  #place(at: number): number {
    return Math.max(0, Math.floor(at / this.#interval));
  }

  #coarsen(): void {
    this.#interval *= 2;
    this.#bytes = Array.from(
      { length: Math.ceil(this.#bytes.length / 2) },
      (_, at) => (this.#bytes[2 * at] ?? 0) + (this.#bytes[2 * at + 1] ?? 0),
    );
  }
}

/** A request to a registry, or to where that sends its blobs: until its headers. */
export interface TimedRequest {
  readonly start: number;
  readonly end: number;
  readonly method: string;
  /** Without user info and query. */
  readonly url: string;
  readonly host: string;
  readonly attempt: number;
  /** A status, or why no answer came. */
  readonly answer: string;
}

/** Of more a trace would be too large to be opened. */
const MOST_REQUESTS = 20_000;

/** The requests of a run, on the clock of its timeline. */
export class RequestRecord {
  readonly #moment: () => number;
  readonly #requests: TimedRequest[] = [];

  /** @param moment now, on that clock */
  constructor(moment: () => number) {
    this.#moment = moment;
  }

  get all(): readonly TimedRequest[] {
    return this.#requests;
  }

  add({ method, url, host, attempt, durationMs, status, failure }: RequestEvent): void {
    if (this.#requests.length >= MOST_REQUESTS) return;
    const end = this.#moment();
    const answer = status === undefined ? (failure ?? 'no answer') : String(status);
    this.#requests.push({
      start: Math.max(0, end - durationMs),
      end,
      ...{ method, url, host, attempt, answer },
    });
  }
}

/** More warnings are not worth keeping: the log has them. */
const MOST_WARNINGS = 200;

interface RecordedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly chainId: Digest | undefined;
}

/** The events of one pull. All moments are of the common clock. */
class RecordedPull {
  readonly reference: string;
  readonly #start: number;
  readonly #blobs = new Map<Digest, RecordedBlob>();
  readonly #unpacks = new Map<Digest, StateChanges<UnpackState>>();
  readonly #warnings: TimedNote[] = [];
  #layers: readonly RecordedLayer[] = [];
  #digest: Digest | undefined;
  #platform: string | undefined;
  #resolvingAt: number | undefined;
  #resolvedAt: number | undefined;
  #endedAt: number | undefined;
  #outcome: PullOutcome = 'running';
  #error: string | undefined;

  constructor(reference: string, start: number) {
    this.reference = reference;
    this.#start = start;
  }

  /** @returns what came over the network, where the event tells of it */
  add(event: PullEvent, at: number): Arrived | undefined {
    switch (event.type) {
      case 'resolving':
        this.#resolvingAt ??= at;
        return undefined;
      case 'resolved':
        this.#resolvedAt ??= at;
        this.#digest = event.digest;
        return undefined;
      case 'image':
        this.#addImage(event);
        return undefined;
      case 'blob':
        return this.#blobOf(event).add(event, at);
      case 'layer':
        this.#unpackOf(event.chainId).add(event.state, at, event.bytes);
        return undefined;
      case 'warning':
        if (this.#warnings.length < MOST_WARNINGS) this.#warnings.push({ at, text: event.message });
        return undefined;
      case 'omitted':
        return undefined;
      case 'done':
        this.end('done', at);
        return undefined;
    }
  }

  end(outcome: PullOutcome, at: number, error?: string): void {
    this.#endedAt = at;
    this.#outcome = outcome;
    this.#error = error;
  }

  /** Bytes of the layers' blobs that it did not have to bring. */
  get bytesReused(): number {
    const layers = new Map(this.#layers.map((layer) => [layer.digest, layer]));
    return [...layers.values()].reduce((sum, { digest, size, chainId }) => {
      const blob = this.#blobs.get(digest);
      const isUnpacked = chainId !== undefined && this.#unpacks.get(chainId)?.last('present') !== undefined;
      return sum + (blob?.found ?? (isUnpacked ? size : 0));
    }, 0);
  }

  timed(now: number): TimedPull {
    const end = this.#endedAt ?? now;
    const layers = this.#timedLayers(end);
    const own = new Set(layers.map(({ digest }) => digest));
    const blobs = [...this.#blobs.values()].filter(({ digest }) => !own.has(digest));
    const isManifestOrIndex = ({ role }: RecordedBlob): boolean => role !== 'layer' && role !== 'other';
    const start = this.#resolvingAt;
    const settled = layers.map(({ settledAt }) => settledAt);
    const last = Math.max(...settled.map((at) => at ?? -Infinity));
    return {
      reference: this.reference,
      start: this.#start,
      end,
      outcome: this.#outcome,
      error: this.#error,
      digest: this.#digest,
      platform: this.#platform,
      resolve: start === undefined ? undefined : { start, end: this.#resolvedAt ?? end },
      documents: blobs.filter(isManifestOrIndex).map((blob) => blob.timed(end)),
      layers,
      others: blobs.filter((blob) => !isManifestOrIndex(blob)).map((blob) => blob.timed(end)),
      // Where a layer is not settled, the pull did not come to this.
      record:
        layers.length > 0 && settled.every((at) => at !== undefined) && end > last
          ? { start: last, end }
          : undefined,
      warnings: this.#warnings,
    };
  }

  #addImage({ platform, layers }: Extract<PullEvent, { type: 'image' }>): void {
    this.#platform = formatPlatform(platform);
    const chains = chainIds(layers.map(({ diffId }) => diffId));
    this.#layers = layers.map(({ digest, size }, at) => ({ digest, size, chainId: chains[at] }));
  }

  #timedLayers(end: number): readonly TimedLayer[] {
    const unpacks = this.#unpacks.size > 0;
    // When all layers so far were unpacked.
    let parentsAt = 0;
    return this.#layers.map(({ digest, size, chainId }, index) => {
      const blob = this.#blobs.get(digest);
      const changes = (chainId === undefined ? undefined : this.#unpacks.get(chainId)) ?? new StateChanges();
      const hereAt = blob?.hereAt;
      const timed: TimedBlob = blob?.timed(end) ?? {
        ...{ role: 'layer', digest, size, bytes: 0, steps: [], retries: [] },
      };
      const reusedAt = changes.last('present')?.at;
      const unpackedAt = changes.last('unpacked')?.at ?? reusedAt;
      const steps = unpacks ? unpackSteps({ changes, hereAt, parentsAt, end }) : [];
      parentsAt = Math.max(parentsAt, unpackedAt ?? Infinity);
      const settledAt = unpacks ? changes.last('committed', 'present')?.at : hereAt;
      return {
        ...timed,
        number: index + 1,
        steps: [...timed.steps, ...steps],
        reusedAt,
        readyAt: parentsAt === Infinity ? undefined : parentsAt,
        settledAt,
      };
    });
  }

  #blobOf(event: Extract<PullEvent, { type: 'blob' }>): RecordedBlob {
    const known = this.#blobs.get(event.digest);
    if (known !== undefined) return known;
    const blob = new RecordedBlob(event);
    this.#blobs.set(event.digest, blob);
    return blob;
  }

  #unpackOf(chainId: Digest): StateChanges<UnpackState> {
    const known = this.#unpacks.get(chainId);
    if (known !== undefined) return known;
    const changes = new StateChanges<UnpackState>();
    this.#unpacks.set(chainId, changes);
    return changes;
  }
}

type BlobEvent = Extract<PullEvent, { type: 'blob' }>;

/** Bytes that came, and since when. */
interface Arrived {
  readonly bytes: number;
  readonly since: number;
}

/** The events of one blob. */
class RecordedBlob {
  readonly role: BlobEvent['role'];
  readonly digest: Digest;
  readonly size: number;
  readonly changes: StateChanges<BlobState> = new StateChanges<BlobState>();
  #downloaded = 0;
  /** The bytes of it that were here when this pull began to download it. */
  #resumed = 0;
  #seen: { readonly at: number; readonly bytes: number } | undefined;

  constructor({ role, digest, size }: BlobEvent) {
    this.role = role;
    this.digest = digest;
    this.size = size;
  }

  /** When it was here, if it is. */
  get hereAt(): number | undefined {
    return this.changes.last('done', 'present')?.at;
  }

  /** Bytes of it that this pull found here: all of them, or what an earlier download had left. */
  get found(): number {
    if (this.changes.first('downloading', 'elsewhere') === undefined)
      return this.changes.last('present') === undefined ? 0 : this.size;
    return this.#resumed;
  }

  add({ state, bytes }: BlobEvent, at: number): Arrived | undefined {
    const isFirst = this.changes.first('downloading') === undefined;
    this.changes.add(state, at, bytes);
    if (state !== 'downloading' && state !== 'done' && state !== 'retrying') return undefined;
    if (state === 'downloading' && isFirst) this.#resumed = bytes;
    const before = this.#seen;
    this.#seen = { at, bytes };
    if (before === undefined) return undefined;
    const came = Math.max(0, bytes - before.bytes);
    this.#downloaded += came;
    return { bytes: came, since: before.at };
  }

  timed(end: number): TimedBlob {
    return {
      role: this.role,
      digest: this.digest,
      size: this.size,
      bytes: this.#downloaded,
      steps: blobSteps(this.changes, end),
      retries: retriesOf(this.changes, end),
      presentAt: this.changes.last('present')?.at,
    };
  }
}

type BlobState = Extract<PullEvent, { type: 'blob' }>['state'];
type UnpackState = Extract<PullEvent, { type: 'layer' }>['state'];

/** The steps of a blob, from its states. A download that breaks and is begun again is one step. */
function blobSteps(changes: StateChanges<BlobState>, end: number): readonly LayerStep[] {
  const steps: LayerStep[] = [];
  for (const span of changes.spans(end)) {
    const { start, end: until, last } = span;
    const step = stepOf(span.state);
    if (step === undefined) continue;
    const before = steps.at(-1);
    const isOneWith = before?.kind === 'download' && step.kind === 'download' && before.end === start;
    if (isOneWith) steps.pop();
    const begun = isOneWith ? before.start : start;
    steps.push({ ...step, start: begun, end: until, open: last });
  }
  return steps.filter(isSeen);
}

function stepOf(state: BlobState): Pick<LayerStep, 'kind' | 'waitedFor'> | undefined {
  switch (state) {
    case 'waiting':
      return { kind: 'wait', waitedFor: 'download' };
    case 'elsewhere':
      return { kind: 'elsewhere' };
    case 'downloading':
    case 'retrying':
      return { kind: 'download' };
    case 'done':
    case 'present':
      return undefined;
  }
}

/** When a download was broken: until its next bytes. */
function retriesOf(changes: StateChanges<BlobState>, end: number): readonly Span[] {
  return changes
    .spans(end)
    .filter(({ state }) => state === 'retrying')
    .map(({ start, end: until }) => ({ start, end: until }));
}

interface UnpackStepsOptions {
  readonly changes: StateChanges<UnpackState>;
  /** When the blob was here; undefined where it never was, or did not have to be. */
  readonly hereAt: number | undefined;
  /** When all layers below were unpacked; Infinity where they never were. */
  readonly parentsAt: number;
  /** When the pull ended. */
  readonly end: number;
}

/** The steps of a layer beside and after its download. */
function unpackSteps({ changes, hereAt, parentsAt, end }: UnpackStepsOptions): readonly LayerStep[] {
  const begun = changes.first('unpacking')?.at;
  const settled = changes.last('committed', 'present');
  const until = settled?.at ?? end;
  const open = settled === undefined;
  const steps: LayerStep[] = [];
  if (hereAt !== undefined) {
    const isLast = open && begun === undefined;
    steps.push({ kind: 'wait', waitedFor: 'unpack', start: hereAt, end: begun ?? until, open: isLast });
  }
  if (begun === undefined) return steps.filter(isSeen);
  const unpacked = changes.last('unpacked')?.at;
  if (unpacked === undefined) return [...steps, { kind: 'unpack', start: begun, end: until, open }];
  const ready = Math.min(until, Math.max(unpacked, parentsAt));
  const neverReady = open && Math.max(unpacked, parentsAt) >= until;
  steps.push(
    { kind: 'unpack', start: begun, end: unpacked },
    { kind: 'wait', waitedFor: 'parents', start: unpacked, end: ready, open: neverReady },
    { kind: 'commit', start: ready, end: until, open },
  );
  return steps.filter(isSeen);
}

function isSeen({ start, end }: Span): boolean {
  return end > start;
}

interface StateChange<S extends string> {
  readonly state: S;
  readonly at: number;
  readonly bytes: number;
}

/** A connection that breaks all day long fills no memory. */
const MOST = 2000;

/**
 * When something came into each of its states. Events that only say how far it is leave no trace but the last
 * one.
 */
class StateChanges<S extends string> {
  readonly #changes: StateChange<S>[] = [];

  add(state: S, at: number, bytes: number): void {
    const last = this.#changes.at(-1);
    if (last?.state === state) return;
    // Of too many, those in the middle say least: the one before the newest gives way to it.
    if (this.#changes.length >= MOST) this.#changes.pop();
    this.#changes.push({ state, at: Math.max(at, last?.at ?? at), bytes });
  }

  first(...states: readonly S[]): StateChange<S> | undefined {
    return this.#changes.find(({ state }) => states.includes(state));
  }

  last(...states: readonly S[]): StateChange<S> | undefined {
    return this.#changes.findLast(({ state }) => states.includes(state));
  }

  /** The span of each state; the last lasts until `end`. */
  spans(end: number): readonly (Span & { readonly state: S; readonly last: boolean })[] {
    return this.#changes.map(({ state, at }, i) => {
      const next = this.#changes[i + 1];
      return { state, start: at, end: next?.at ?? Math.max(at, end), last: next === undefined };
    });
  }
}
