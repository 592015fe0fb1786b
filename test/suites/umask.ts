import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, MEDIA_TYPES, unpackLimits } from '../../src/spec/index.js';
import { defaultOwnership, WorkerPool } from '../../src/unpack/index.js';
import type { ApplyJob } from '../../src/unpack/jobs/apply-job.js';
import { listing } from '../support/extract-layer.js';
import { isRoot } from '../support/needs-root.js';
import { archive, directory, fifo, file } from '../support/tar-builder.js';
import { removeTree } from '../support/unpack-fixture.js';

/**
 * What threads unpack does not depend on the umask of the process, which stays as it is.
 *
 * @param own - whether the threads can have one of their own
 */
export function umaskSuite(own: boolean): void {
  describe('threads that unpack', () => {
    const TAR = archive(
      file('i/f', 'x', { mode: 0o666 }),
      file('setuid', 'x', { mode: 0o4755 }),
      file('unreadable', 'x', { mode: 0 }),
      fifo('p', { mode: 0o622 }),
      directory('d', { mode: 0o777 }),
      directory('s', { mode: 0o2775 }),
      file('s/f', 'x', { mode: 0o664, xattrs: { 'user.x': 'y' } }),
    );
    const TREE = {
      i: 'dir 755',
      'i/f': 'file 666 x',
      setuid: 'file 4755 x',
      unreadable: 'file 0 x',
      p: 'fifo 622',
      d: 'dir 777',
      s: 'dir 2775',
      's/f': 'file 664 x',
    };
    let root = '';
    let umask = 0;
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'landfall-umask-'));
      umask = process.umask(0o022);
    });
    afterEach(async () => {
      process.umask(umask);
      await removeTree(root);
    });

    async function unpack(pool: WorkerPool, name: string): Promise<Record<string, string>> {
      const blobPath = join(root, `${name}.tar`);
      writeFileSync(blobPath, TAR, { mode: 0o644 });
      mkdirSync(join(root, name));
      const job: ApplyJob = {
        kind: 'apply',
        digest: digestOf(TAR),
        mediaType: MEDIA_TYPES.ociLayer,
        blobPath,
        blobSize: TAR.length,
        directory: join(root, name),
        options: { ownership: defaultOwnership(), devices: true, limits: unpackLimits(), inflate: 'auto' },
      };
      await pool.run(job);
      return listing(join(root, name));
    }

    it.each([0o022, 0o077, ...(isRoot ? [0o777] : [])])(
      'has no umask where the process has %i',
      async (mask) => {
        await using pool = new WorkerPool({ size: 1 });
        process.umask(mask);
        expect(await unpack(pool, 'layer')).toEqual(TREE);
        expect(umasksOfThreads()).toEqual(own ? [0, mask] : [mask]);
        expect(process.umask(0)).toBe(mask);
      },
    );

    it('keeps to that when the process gets another umask', async () => {
      await using pool = new WorkerPool({ size: 1 });
      for (const mask of [0, 0o077, 0o022]) {
        process.umask(mask);
        expect(await unpack(pool, `layer-${mask}`)).toEqual(TREE);
      }
    });
  });
}

/** Each once, in order (proc(5): /proc/pid/status). */
function umasksOfThreads(): number[] {
  const umasks = readdirSync('/proc/self/task').map((thread) => {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
    return parseInt(/^Umask:\s*(\d+)$/m.exec(status)?.[1] ?? '', 8);
  });
  return [...new Set(umasks)].sort((a, b) => a - b);
}
