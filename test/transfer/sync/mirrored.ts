import { sync, type SyncOptions } from '../../../src/transfer/sync/sync.js';
import type { MirrorFile } from '../../../src/transfer/sync/mirror-file.js';
import type { SyncEvent, SyncResult } from '../../../src/transfer/sync/sync-result.js';
import { MemoryTransport, type MemoryRepository } from '../../support/memory-transport.js';
import { read } from './read.js';

/** Registries in memory, by their hosts, and what mirrors between them. */
export class Mirrored {
  readonly transports: Map<string, MemoryTransport> = new Map<string, MemoryTransport>();
  readonly events: SyncEvent[] = [];
  /** Hosts of sources that cannot be opened. */
  readonly unopened: Set<string> = new Set<string>();

  transport(host: string): MemoryTransport {
    const transport = this.transports.get(host) ?? new MemoryTransport(host);
    this.transports.set(host, transport);
    return transport;
  }

  /** @param name `src.lan/team/app` */
  repository(name: string): MemoryRepository {
    return this.transport(name.slice(0, name.indexOf('/'))).repository(name);
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
    const open = (transport: { kind: string; host?: string }): Promise<MemoryTransport> =>
      Promise.resolve(this.transport(transport.host ?? transport.kind));
    return await sync({
      file: typeof text === 'string' ? read(text) : text,
      transports: {
        source: async (transport) => {
          if (transport.kind === 'registry' && this.unopened.has(transport.host))
            throw new Error('it is not there');
          return await open(transport);
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
