import { LandfallError } from '../../errors.js';
import type { DestinationPlace, DestinationRepository, PlaceKind, PutOutcome } from '../destination.js';

/**
 * A place that has nothing yet, for runs that only look: an archive, which is always written anew, and a layout that is not
 * there. Nothing can be put into it.
 */
export class NothingThere implements DestinationPlace {
  readonly kind: PlaceKind;
  readonly name: string;

  /** @param name `oci-archive:/media/images.tar` */
  constructor(kind: PlaceKind, name: string) {
    this.kind = kind;
    this.name = name;
  }

  repository(name: string): DestinationRepository {
    return {
      name,
      location: `${this.name}:${name}`,
      place: this,
      stored: () => Promise.resolve(undefined),
      has: () => Promise.resolve(false),
      put: (): Promise<PutOutcome> => Promise.reject(onlyLooking()),
      tags: () => NONE,
      deleteTag: () => Promise.reject(onlyLooking()),
      deleteManifest: () => Promise.reject(onlyLooking()),
    };
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const NONE: AsyncIterable<string> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

function onlyLooking(): LandfallError {
  return new LandfallError('UNSUPPORTED', 'nothing is written in a run that only looks');
}
