import { type Abortable, ContentError, LandfallError, RegistryError } from '../../errors.js';
import { type Descriptor, exactSize, shortDigest } from '../../spec/index.js';
import {
  type BlobAnswer,
  HeadRequests,
  type MirrorList,
  type HostRun,
  type HostAttempt,
} from '../hosts/mirror-list.js';
import { BlobUpload, type UploadTarget, writing } from './blob-upload.js';
import type { SourceFault, VerifiedSource } from './verified-source.js';

export interface PushBlobOptions extends Abortable {
  /** Repositories of the same registry that may have the blob, likeliest first. */
  readonly mountFrom?: readonly string[] | undefined;
  /** Whether it is known not to be there. */
  readonly absent?: boolean | undefined;
}

type Outcome = 'pushed' | 'mounted' | 'exists';

/** Up to this size a blob is verified in memory, and sent with the request that closes its upload. */
export const SMALL_BLOB_BYTES: number = 4 * 1024 * 1024;
/** Each vain one leaves an upload behind that is to be cancelled. */
const MOUNT_TRIES = 3;
const SOURCE_TRIES = 3;
const CANCEL_MS = 2_000;

/**
 * Pushes a blob into a repository, unless it is there or can be mounted (distribution-spec: Pushing blobs).
 *
 * A small one goes in one PUT. A larger one goes in one PATCH and an empty PUT, as docker sends it and every
 * registry takes it. Where that breaks, the registry is asked what it holds, and gets the rest; where it
 * holds nothing, or the body was too large for something on the way, the rest goes in chunks, so that the
 * next break costs no more than one.
 *
 * @throws {RegistryError} all codes; {@link ContentError} SIZE_MISMATCH, DIGEST_MISMATCH; what the source
 *   throws
 */
export async function pushBlob(
  mirrors: MirrorList,
  repository: string,
  descriptor: Descriptor,
  source: VerifiedSource,
  options: PushBlobOptions = {},
): Promise<Outcome> {
  const push = new BlobPush(uploadTarget(mirrors, repository, descriptor), source, options);
  try {
    const run: HostRun = { capability: 'push', signal: options.signal };
    return await mirrors.run(run, (attempt) => push.attempt(attempt));
  } catch (error) {
    source.close();
    await push.abandon();
    throw error instanceof SourceFailure ? error.cause : error;
  } finally {
    source.close();
  }
}

/**
 * Whether a repository has a blob, asked where blobs are pushed to. @throws {RegistryError}; {@link
 * ContentError} SIZE_MISMATCH
 */
export async function hasBlob(
  mirrors: MirrorList,
  repository: string,
  descriptor: Descriptor,
  { signal }: Abortable = {},
): Promise<boolean> {
  const target = uploadTarget(mirrors, repository, descriptor);
  const heads = new HeadRequests();
  return await mirrors.run({ capability: 'push', signal }, (attempt) => blobExists(target, attempt, heads));
}

function uploadTarget(mirrors: MirrorList, repository: string, descriptor: Descriptor): UploadTarget {
  const subject = `blob ${shortDigest(descriptor.digest)} of ${mirrors.registry}/${repository}`;
  return { repository, descriptor, subject };
}

/** Carries what the source threw past whatever retries the errors of registries. */
class SourceFailure extends Error {}

interface Interrupted {
  readonly upload: BlobUpload;
  /** What the registry held before the try that broke. */
  readonly before: number;
  readonly attempt: HostAttempt;
}

/** A push, and what is known of it between its tries. */
class BlobPush {
  readonly #target: UploadTarget;
  readonly #source: VerifiedSource;
  readonly #mountFrom: readonly string[];
  /**
   * Whether it is known to be absent, so that no look is needed; cleared once a try of this push may have
   * brought it there.
   */
  #absent: boolean;
  readonly #pieces = new PieceSize();
  readonly #heads = new HeadRequests();
  #upload: BlobUpload | undefined;
  /** Whether it is not known what the registry holds of the upload. */
  #unsure = false;
  /** Whether a closing request was sent, so that the push may be done though no answer has come. */
  #closing = false;
  /** Of the source, since the registry last had more than before. */
  #sourceFailures = 0;

  constructor(
    target: UploadTarget,
    source: VerifiedSource,
    { mountFrom = [], absent = false }: PushBlobOptions,
  ) {
    this.#target = target;
    this.#source = source;
    this.#mountFrom = mountFrom.filter((from) => from !== target.repository).slice(0, MOUNT_TRIES);
    this.#absent = absent;
  }

  async attempt(attempt: HostAttempt): Promise<Outcome> {
    if (this.#upload !== undefined && this.#upload.host !== attempt.host) await this.abandon();
    if (this.#upload !== undefined && this.#unsure) await this.#ask(this.#upload, attempt);
    if (this.#upload === undefined) {
      const absent = this.#absent;
      this.#absent = false;
      if (!absent && (await blobExists(this.#target, attempt, this.#heads)))
        return this.#closing ? 'pushed' : 'exists';
      const begun = await this.#begin(attempt);
      if (begun === 'mounted') return begun;
      this.#upload = begun;
    }
    await this.#finish(this.#upload, attempt);
    this.#upload = undefined;
    return 'pushed';
  }

  /** Forgets the upload, and cancels it at the registry if that is possible at once. */
  async abandon(): Promise<void> {
    const upload = this.#upload;
    this.#upload = undefined;
    this.#unsure = false;
    if (upload !== undefined) await cancel(upload);
  }

  async #begin(attempt: HostAttempt): Promise<BlobUpload | 'mounted'> {
    let begun: BlobUpload | undefined;
    for (const from of this.#mountFrom) {
      if (begun !== undefined) await cancel(begun);
      begun = undefined;
      try {
        const answer = await BlobUpload.mount(from, this.#target, attempt);
        if (answer === 'mounted') return answer;
        begun = answer;
      } catch (error) {
        // What cannot be mounted some refuse, or the token for it, instead of beginning an upload.
        if (!(error instanceof RegistryError) || error.retryable) throw error;
      }
    }
    return begun ?? (await BlobUpload.begin(this.#target, attempt));
  }

  /** Sends what is left for as long as each try gets further than the one before; then closes the upload. */
  async #finish(upload: BlobUpload, attempt: HostAttempt): Promise<void> {
    for (;;) {
      const before = upload.held;
      try {
        await this.#send(upload, attempt);
        return;
      } catch (error) {
        if ((await this.#recover(error, { upload, before, attempt })) === 'done') return;
      }
    }
  }

  async #send(upload: BlobUpload, attempt: HostAttempt): Promise<void> {
    const { size } = this.#target.descriptor;
    if (upload.held === 0 && size <= Math.min(SMALL_BLOB_BYTES, this.#pieces.bytes)) {
      const bytes = await this.#source.bytes();
      this.#closing = true;
      await upload.put(bytes, attempt);
      return;
    }
    while (upload.held < size) {
      const start = upload.held;
      const end = this.#pieces.end(start, size, upload.leastChunk);
      await upload.append(end, () => this.#source.piece(start, end), attempt);
    }
    // What was not sent from here cannot be vouched for, whatever the registry says that it holds.
    if (!this.#source.verified) throw await this.#lost(upload);
    this.#closing = true;
    await upload.close(attempt);
  }

  /** Returns where sending can go on at once; throws otherwise, as retryable what another try may mend. */
  async #recover(error: unknown, { upload, before, attempt }: Interrupted): Promise<'done' | 'goes on'> {
    const failed = this.#source.takeFailure();
    if (failed !== undefined) return await this.#recoverSource(failed, { upload, before, attempt });
    switch (kindOf(error)) {
      case 'final':
        // Some close an upload by themselves and refuse to be asked for it.
        if (
          this.#closing &&
          statusOf(error) !== undefined &&
          (await blobExists(this.#target, attempt, this.#heads))
        )
          return 'done';
        if (statusOf(error) !== 400 || upload.parts < 2) throw error;
        // It takes chunks and does not put them together.
        this.#pieces.keepWhole();
        throw await this.#lost(upload, error);
      case 'busy':
        this.#unsure = true;
        throw error;
      case 'too large':
        if (!this.#pieces.shrink(upload.lastBytes, upload.leastChunk)) throw error;
        await this.#gotFurther(upload, before, attempt, error);
        return 'goes on';
      case 'broken':
        if (await this.#gotFurther(upload, before, attempt, error)) return 'goes on';
        this.#pieces.breakUp();
        throw isRetryable(error) ? error : lost(upload, error);
    }
  }

  /** A source that broke is opened again at once: it waits by itself where that is of use. */
  async #recoverSource(
    { error: cause, opened }: SourceFault,
    { upload, before, attempt }: Interrupted,
  ): Promise<'goes on'> {
    const failure = new SourceFailure('the source failed', { cause });
    const mayGoOn = opened && cause instanceof LandfallError && cause.retryable && cause.code !== 'ABORTED';
    if (!mayGoOn) throw failure;
    if (await this.#gotFurther(upload, before, attempt, failure)) this.#sourceFailures = 0;
    this.#sourceFailures += 1;
    if (this.#sourceFailures > SOURCE_TRIES) throw failure;
    return 'goes on';
  }

  /**
   * Asks what the registry holds, where it can go on at all. @throws {@link error} where it cannot be asked
   */
  async #gotFurther(
    upload: BlobUpload,
    before: number,
    attempt: HostAttempt,
    error: unknown,
  ): Promise<boolean> {
    this.#unsure = true;
    try {
      await this.#ask(upload, attempt);
    } catch {
      throw error;
    }
    if (this.#upload === undefined) throw lost(upload, error);
    return upload.held > before;
  }

  /**
   * Goes on from what the registry holds, or forgets an upload that the registry has forgotten or cannot go
   * on with.
   */
  async #ask(upload: BlobUpload, attempt: HostAttempt): Promise<void> {
    const held = this.#pieces.mayBreakUp ? await upload.askHeld(attempt) : undefined;
    if (held === undefined) {
      this.#pieces.breakUp();
      await this.abandon();
      return;
    }
    upload.held = held;
    this.#unsure = false;
  }

  async #lost(upload: BlobUpload, cause?: unknown): Promise<RegistryError> {
    await this.abandon();
    return lost(upload, cause);
  }
}

async function cancel(upload: BlobUpload): Promise<void> {
  try {
    await upload.cancel({ host: upload.host, attempt: 1, signal: AbortSignal.timeout(CANCEL_MS) });
  } catch {
    // It expires by itself; distribution-spec: clients ignore any failure.
  }
}

type Kind = 'final' | 'busy' | 'too large' | 'broken';

function kindOf(error: unknown): Kind {
  if (!(error instanceof RegistryError) || error.code === 'ABORTED') return 'final';
  const { status, retryAfterMs } = error.details;
  if (error.code === 'RATE_LIMITED' || retryAfterMs !== undefined) return 'busy';
  if (status === 413) return 'too large';
  // 416: a piece at another place than where the registry is; 404: an upload that it no longer knows.
  return error.retryable || status === 416 || status === 404 ? 'broken' : 'final';
}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable;
}

function statusOf(error: unknown): number | undefined {
  return error instanceof RegistryError ? error.details.status : undefined;
}

function lost(upload: BlobUpload, cause: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', `${upload.host.name} has lost a part of ${upload.subject}`, {
    retryable: true,
    cause,
  });
}

/** What one request carries, once it has been seen that the whole does not get through in one. */
export const CHUNK_BYTES: number = 16 * 1024 * 1024;
/** Tried at the least where even chunks are too large: the default limit of nginx. */
const LEAST_CHUNK_BYTES = 1024 * 1024;

/**
 * How much of a blob goes in one request: all that is left, until something speaks against it. There are
 * registries that take no chunks, proxies that take no long bodies, and networks over which long bodies do
 * not come through.
 */
class PieceSize {
  #bytes = Infinity;
  #whole = false;

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether an upload may be put together from several requests. */
  get mayBreakUp(): boolean {
    return !this.#whole;
  }

  /** The end of the piece that begins at `start`. @param least the registry's own lower bound */
  end(start: number, size: number, least: number): number {
    return Math.min(size, start + Math.max(this.#bytes, least));
  }

  /** After a break that lost all: so that the next one loses no more than a chunk. */
  breakUp(): void {
    if (!this.#whole) this.#bytes = Math.min(this.#bytes, CHUNK_BYTES);
  }

  /** After a body was too large. False where smaller ones make no sense. */
  shrink(sent: number, least: number): boolean {
    const bytes = sent > CHUNK_BYTES ? CHUNK_BYTES : Math.max(LEAST_CHUNK_BYTES, Math.ceil(sent / 4));
    if (this.#whole || bytes >= sent || bytes < least) return false;
    this.#bytes = bytes;
    return true;
  }

  /** After a registry has taken chunks without putting them together. */
  keepWhole(): void {
    this.#whole = true;
    this.#bytes = Infinity;
  }
}

/**
 * Answers of a host that has no blob, or does not say: a client that may only push is refused, and some are
 * by the bucket that they are redirected to. All of 4xx but those that ask for credentials, may pass, or say
 * that there are no bytes.
 */
const REFUSALS: readonly number[] = Array.from({ length: 100 }, (_, at) => 400 + at).filter(
  (status) => ![401, 407, 408, 416, 425, 429].includes(status),
);

/**
 * Whether a host has a blob already (distribution-spec: Checking if content exists in the registry). False
 * also where it will not tell: the push then says why.
 *
 * @throws {ContentError} SIZE_MISMATCH where it is there with another length, so that the descriptor must be
 *   wrong
 */
async function blobExists(
  { repository, descriptor, subject }: UploadTarget,
  attempt: HostAttempt,
  heads: HeadRequests,
): Promise<boolean> {
  const { host } = attempt;
  const { digest, size } = descriptor;
  const ask = async (): Promise<BlobAnswer> =>
    await heads.blob(attempt, {
      repository,
      path: `blobs/${digest}`,
      access: [writing(repository)],
      expected: [200, ...REFUSALS],
      subject,
    });
  try {
    let answer = await ask();
    if (isOfAnotherSize(answer, size)) {
      heads.distrust(host);
      const byGet = await ask();
      if (!REFUSALS.includes(byGet.status)) answer = byGet;
    }
    if (!isOfAnotherSize(answer, size)) return !REFUSALS.includes(answer.status);
    throw new ContentError(
      'SIZE_MISMATCH',
      `${host.name} has ${digest} with ${answer.size === undefined ? 'another size' : exactSize(answer.size)}, not ${exactSize(size)}`,
      {
        hint: 'The descriptor of the pushed blob is wrong; check its source.',
        details: { digest, expected: size, actual: answer.size },
      },
    );
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code === 'UNAUTHORIZED') throw error;
    const { status } = error.details;
    // A bucket may ask for credentials of its own. Nothing of what is final says that there is no pushing.
    if (status !== undefined && (status === 401 || REFUSALS.includes(status) || !error.retryable))
      return false;
    throw error;
  }
}

/** Where the length is left out some say 0. */
function isOfAnotherSize({ status, size = 0 }: BlobAnswer, expected: number): boolean {
  return !REFUSALS.includes(status) && size !== 0 && size !== expected;
}
