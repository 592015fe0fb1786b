import { untilAborted } from '../concurrency/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import type { Descriptor } from '../spec/index.js';
import type { ContentOutcome } from './copy-report.js';
import type { DestinationRepository } from './destination.js';

/** Puts content, which some repositories of the same registry have already: `docker.io/library/debian`. */
export type PutFrom = (repositories: readonly string[]) => Promise<ContentOutcome>;

/**
 * What is on its way or has arrived in a run, so that each blob moves once however many images share it: who wants it in the
 * same repository waits for it, and who wants it in another one mounts it from there.
 */
export class BlobFlights {
  /** By place, digest and size, since two manifests may not agree on that: the repositories, each with what became of it there. */
  readonly #flights = new Map<string, Map<string, Promise<ContentOutcome>>>();

  /**
   * @param put called unless the content is there by another flight; a flight that fails is only its own image's failure, and
   *   who waited for it tries by itself
   */
  async bring(
    destination: Pick<DestinationRepository, 'name' | 'place'>,
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    put: PutFrom,
    { signal }: Abortable = {},
  ): Promise<ContentOutcome> {
    const flights = this.#of(`${destination.place.name} ${digest} ${size}`);
    for (;;) {
      const known = flights.get(destination.name);
      if (known === undefined) break;
      if (await succeeds(known, signal)) return 'exists';
    }
    const others = [...flights];
    const flight = this.#begin(destination, others, put, signal);
    flights.set(destination.name, flight);
    try {
      return await flight;
    } catch (error) {
      if (flights.get(destination.name) === flight) flights.delete(destination.name);
      throw error;
    }
  }

  async #begin(
    { place }: Pick<DestinationRepository, 'place'>,
    others: readonly (readonly [string, Promise<ContentOutcome>])[],
    put: PutFrom,
    signal: AbortSignal | undefined,
  ): Promise<ContentOutcome> {
    for (const [repository, flight] of others) {
      if (!(await succeeds(flight, signal))) continue;
      // Only a registry tells its repositories apart.
      return place.kind === 'registry' ? await put([repository]) : 'exists';
    }
    return await put([]);
  }

  #of(key: string): Map<string, Promise<ContentOutcome>> {
    const known = this.#flights.get(key);
    if (known !== undefined) return known;
    const made = new Map<string, Promise<ContentOutcome>>();
    this.#flights.set(key, made);
    return made;
  }
}

/** @throws LandfallError ABORTED while it waits */
async function succeeds(flight: Promise<unknown>, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await untilAborted(flight, signal);
    return true;
  } catch {
    throwIfAborted(signal);
    return false;
  }
}
