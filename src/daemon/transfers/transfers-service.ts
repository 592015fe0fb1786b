import { deferred, type Deferred } from '../../concurrency/index.js';
import { isLandfallError, LandfallError } from '../../errors.js';
import type { Credentials } from '../../registry/index.js';
import { formatPlatform, parsePlatform } from '../../spec/index.js';
import type { CallContext, StreamingMethod, UnaryMethod } from '../grpc/calls.js';
import type { AskedPull, Pulls } from '../pulls/pulls.js';
import type { Transfer, TransferProgress } from '../pulls/transfer.js';
import type {
  CredentialsMessage,
  PullRequestMessage,
  PullUpdateMessage,
  TransferMessage,
  TransfersMessage,
} from './messages.js';

/** landfall.v1.Transfers */
export interface TransfersService {
  readonly list: UnaryMethod<object, TransfersMessage>;
  readonly watch: StreamingMethod<object, TransfersMessage>;
  readonly pull: StreamingMethod<PullRequestMessage, PullUpdateMessage>;
  readonly cancel: UnaryMethod<{ readonly id: string }, { readonly cancelled: boolean }>;
}

/** The pause between two updates, in milliseconds. */
const TELL_MS = 200;
/** So many events of a pull wait for a client that reads slowly; the oldest give way. */
const MOST_EVENTS = 1_000;

export function transfersService(pulls: Pulls): TransfersService {
  return {
    list: () => Promise.resolve(allOf(pulls)),
    watch: (_request, call) => watch(pulls, call),
    pull: (request, call) => pullFor(pulls, request, call),
    cancel: ({ id }) => Promise.resolve({ cancelled: pulls.cancel(id) }),
  };
}

function allOf(pulls: Pulls): TransfersMessage {
  return { transfers: pulls.list().map((one) => transferMessage(one, pulls.waitingFor(one.id))) };
}

/** First all of them, then what has changed since, a few times a second. */
async function* watch(pulls: Pulls, { signal }: CallContext): AsyncIterable<TransfersMessage> {
  const changed = new Set<Transfer>();
  const due = new MessageQueue<readonly Transfer[]>(MOST_EVENTS);
  const onChanged = (transfer: Transfer): void => {
    changed.add(transfer);
  };
  pulls.on('changed', onChanged);
  const timer = setInterval(() => {
    // A slow reader gets its update later, with all that changed since.
    if (changed.size === 0 || due.waiting > 0) return;
    due.push([...changed]);
    changed.clear();
  }, TELL_MS);
  const end = (): void => due.end();
  signal.addEventListener('abort', end, { once: true });
  try {
    yield allOf(pulls);
    for await (const some of due)
      yield { transfers: some.map((one) => transferMessage(one.progress(), pulls.waitingFor(one.id))) };
  } finally {
    clearInterval(timer);
    pulls.off('changed', onChanged);
    signal.removeEventListener('abort', end);
  }
}

async function* pullFor(
  pulls: Pulls,
  request: PullRequestMessage,
  { signal }: CallContext,
): AsyncIterable<PullUpdateMessage> {
  const events = new MessageQueue<string>(MOST_EVENTS);
  const pulling = pulls
    .pull({ ...askedIn(request), signal, onEvent: (event) => events.push(JSON.stringify(event)) })
    .finally(() => events.end());
  // Thrown below, once all events were sent.
  pulling.catch(() => undefined);
  for await (const event of events) yield { event };
  const result = await pulling;
  // As `pull --output json` has it.
  yield { result: JSON.stringify({ ...result, platform: formatPlatform(result.platform) }) };
}

function askedIn(request: PullRequestMessage): AskedPull {
  const { reference, platform, credentials, allPlatforms, noUnpack, verifyFirst, discardLayers } = request;
  return {
    reference,
    platform: platform === '' ? undefined : parsePlatform(platform),
    credentials: credentials === null ? undefined : credentialsIn(credentials),
    allPlatforms,
    unpack: !noUnpack,
    verifyFirst,
    discardLayers,
  };
}

function credentialsIn(message: CredentialsMessage): Credentials {
  const { username, password, identityToken, registryToken } = message;
  if (registryToken !== '') return { registryToken };
  if (identityToken !== '') return { identityToken };
  if (username !== '') return { username, password };
  throw new LandfallError('INVALID_CONFIG', 'the credentials of the pull are empty', {
    hint: 'Leave them out to use those of the daemon.',
  });
}

/** A queue of messages for a stream. Where too many wait, the oldest are dropped. */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #most: number;
  readonly #waiting: T[] = [];
  #changed: Deferred<undefined> = deferred();
  #ended = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** How many messages wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(message: T): void {
    if (this.#ended) return;
    this.#waiting.push(message);
    if (this.#waiting.length > this.#most) this.#waiting.shift();
    this.#changed.resolve(undefined);
  }

  /** What waits is still sent. */
  end(): void {
    this.#ended = true;
    this.#changed.resolve(undefined);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      yield* this.#waiting.splice(0);
      if (this.#ended && this.#waiting.length === 0) return;
      await this.#changed.promise;
      this.#changed = deferred();
    }
  }
}

/** As enums of proto files are written. */
function upper<State extends string>(state: State): Uppercase<State> {
  return state.toUpperCase() as Uppercase<State>;
}

/** @param waiting calls that wait for it */
function transferMessage(progress: TransferProgress, waiting: number): TransferMessage {
  const { id, reference, error } = progress;
  return {
    id,
    reference,
    state: upper(progress.state),
    totalBytes: String(progress.totalBytes),
    presentBytes: String(progress.presentBytes),
    downloadedBytes: String(progress.downloadedBytes),
    bytesPerSecond: String(progress.bytesPerSecond),
    layers: progress.layers.map(({ digest, size, presentBytes, state }) => ({
      digest,
      size: String(size),
      presentBytes: String(presentBytes),
      state: upper(state),
    })),
    startedAt: String(progress.startedAt.getTime()),
    waiting,
    errorCode: isLandfallError(error) ? error.code : '',
    errorMessage: error?.message ?? '',
  };
}
