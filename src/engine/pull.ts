import { type Abortable, LandfallError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import { isMisdescribed } from '../registry/misdescribed.js';
import type { Descriptor, Platform, Reference } from '../spec/index.js';
import { tellingCaller } from '../system/caller-callback.js';
import type { PolicyFile } from '../trust/index.js';
import type { PullBudget } from './pull-budget.js';
import type { PullEvent } from './pull-event.js';
import type { PullResult } from './pull-result.js';
import { PullSession } from './pull-session.js';
import type { Store } from './store.js';
import type { PullGate } from './trust/pull-gate.js';

/**
 * Pulls an image: resolve, have its signatures verified where a policy asks for some, fetch, unpack, record. Layers download
 * at the same time and are unpacked while they arrive; nothing is recorded before everything was verified. A pull that fails
 * or is aborted leaves no image, and partial blobs from which the next one goes on.
 * Errors: those of the policy and of `verifyImage`, before a blob is asked for; those of resolver, fetcher, content store and
 * unpacker; NO_MATCHING_PLATFORM; NO_SPACE before a layer is begun that could not end; INVALID_CONFIG (options that exclude
 * each other); UNSUPPORTED (what is to inflate is not here); ABORTED.
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  if (options.discardLayers === true && options.unpack === false) {
    throw new LandfallError('INVALID_CONFIG', 'without unpacking, no layer can be discarded', {
      hint: 'Use either --discard-layers or --no-unpack.',
    });
  }
  return await tellingCaller(options, (telling) => pullResolved({ ...options, ...telling }, false));
}

/** Once more by GET, where the manifest could not be had as HEAD had described it. */
async function pullResolved(options: PullOptions, byGet: boolean): Promise<PullResult> {
  const session = new PullSession(options);
  const gate = await session.gate();
  const target = await session.resolve(byGet);
  try {
    return await pullTarget(target, { options, session, gate });
  } catch (error) {
    if (byGet || !isMisdescribed(error, target)) throw error;
    return await pullResolved(options, true);
  }
}

interface Pull {
  readonly options: PullOptions;
  readonly session: PullSession;
  readonly gate: PullGate;
}

async function pullTarget(target: Descriptor, { options, session, gate }: Pull): Promise<PullResult> {
  await gate.admit(target);
  const present = await session.present(target);
  if (present !== undefined) {
    await gate.record();
    return { ...(await session.result(target, present, 0)), ...signedBy(gate) };
  }
  if (options.unpack !== false) {
    options.store.unpacker.requireInflate();
    options.store.unpacker.prepare();
  }
  // Held until all is done: what a name reaches needs no lease, but nothing has a name before `record`.
  await using lease = await options.store.leases.create();
  const fetched = await session.fetchAndUnpack(target, lease);
  await gate.record(lease);
  await session.record(target);
  const bytesDiscarded = await session.discard(fetched, lease);
  return { ...(await session.result(target, fetched, bytesDiscarded)), ...signedBy(gate) };
}

function signedBy({ signatures }: PullGate): Pick<PullResult, 'signatures'> {
  return signatures === undefined ? {} : { signatures };
}

export interface PullOptions extends Abortable {
  /** Where the image goes. Closed by whoever opened it. */
  readonly store: Store;
  readonly registry: RegistryClient;
  /** A familiar or canonical name; `latest` when it has neither tag nor digest. */
  readonly reference: string | Reference;
  /** The platform to unpack; default: this machine's. */
  readonly platform?: Platform;
  /** Download every platform's blobs, and unpack the one above. Default false. */
  readonly allPlatforms?: boolean;
  /** Make snapshots of the layers. Default true. */
  readonly unpack?: boolean;
  /**
   * Verify every byte of a layer's blob before any of it is parsed; otherwise a layer is unpacked while it arrives, into a
   * directory that nobody sees before both digests were found right. Default false.
   */
  readonly verifyFirst?: boolean;
  /**
   * Drop the blob of each layer once it is a snapshot, as far as no other image needs it. The store remembers that they
   * were dropped, and later pulls of the image go without them too. Default false.
   */
  readonly discardLayers?: boolean;
  /**
   * Give the image no name: what was pulled stays for as long as somebody leases or holds it. Default false.
   */
  readonly nameless?: boolean;
  /** What says which signatures the image needs; without it, none. */
  readonly policy?: PolicyFile;
  /** What the image was asked for as, where the reference is a manifest that this leads to: by that name the policy knows it. */
  readonly askedAs?: Reference;
  /** What this pull shares with others. Without it, it has one of its own. */
  readonly budget?: PullBudget;
  /** Told what happens, at once and one event after the other. What it throws ends the pull. */
  readonly onEvent?: (event: PullEvent) => void;
}
