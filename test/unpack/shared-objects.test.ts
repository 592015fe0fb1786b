import { createSnapshots } from '../support/unpack-fixture.js';
import { archive, file } from '../support/tar-builder.js';
import { sharedObjectSuite } from '../suites/shared-object.js';

sharedObjectSuite(
  'an unpacker',
  async () => {
    const snapshots = await createSnapshots('native');
    return {
      begin: async ({ key, signal, work }) => {
        const layer = await snapshots.layer(archive(file(key, key)));
        const open: typeof layer.open = async (o) => {
          await work(o.signal);
          return await layer.open(o);
        };
        await snapshots.unpacker.unpack([{ ...layer, open }], { signal });
      },
      // What is being unpacked lies in a directory of its own; only what is committed stays.
      left: async () => ({
        directories: (await snapshots.directories()).length - (await committed(snapshots)),
      }),
      close: async () => snapshots[Symbol.asyncDispose](),
    };
  },
  { atOnce: 8, io: true, runs: 5 },
);

async function committed({ database }: Awaited<ReturnType<typeof createSnapshots>>): Promise<number> {
  return (await database.all('SELECT * FROM snapshots')).length;
}
