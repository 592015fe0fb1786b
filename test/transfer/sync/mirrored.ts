import { sync, type SyncOptions } from '../../../src/transfer/sync/sync.js';
import type { MirrorFile } from '../../../src/transfer/sync/mirror-file.js';
import type { SyncEvent, SyncResult } from '../../../src/transfer/sync/sync-result.js';
import { MemoryPlace, type MemoryRepository } from '../../support/memory-place.js';
import { read } from './read.js';

/** Registries in memory, by their hosts, and what mirrors between them. */
export class Mirrored {
  readonly places: Map<string, MemoryPlace> = new Map<string, MemoryPlace>();
  readonly events: SyncEvent[] = [];
  /** Hosts of sources that cannot be opened. */
  readonly unopened: Set<string> = new Set<string>();

  place(host: string): MemoryPlace {
    const place = this.places.get(host) ?? new MemoryPlace(host);
    this.places.set(host, place);
    return place;
  }

  /** @param name `src.lan/team/app` */
  repository(name: string): MemoryRepository {
    return this.place(name.slice(0, name.indexOf('/'))).repository(name);
  }

  /** The tags of a repository. */
  tags(name: string): string[] {
    return Object.keys(this.repository(name).everything.tags);
  }

  /** Warnings that were told. */
  get warnings(): string[] {
    return this.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  }

  async sync(
    text: string | MirrorFile,
    options: Partial<Omit<SyncOptions, 'file' | 'onEvent'>> = {},
  ): Promise<SyncResult> {
    const open = (place: { kind: string; host?: string }): Promise<MemoryPlace> =>
      Promise.resolve(this.place(place.host ?? place.kind));
    return await sync({
      file: typeof text === 'string' ? read(text) : text,
      places: {
        source: async (place) => {
          if (place.kind === 'registry' && this.unopened.has(place.host)) throw new Error('it is not there');
          return await open(place);
        },
        destination: open,
      },
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }
}

/** A file that mirrors repositories of src.lan to dst.lan. */
export function mirror(repositories: string, more = ''): string {
  return `
sources:
  - registry: src.lan
    repositories: ${repositories}
${more}
destinations: [docker://dst.lan/hub]
`;
}

/** What became of each image: `hub/team/app:1 copied`. */
export function outcomes({ images }: SyncResult): string[] {
  return images.map(({ name, outcome }) => `${name.replace(/^dst\.lan\//, '')} ${outcome}`).sort();
}
