import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDaemon, writeDaemonFile } from '../../src/daemon/daemon-file.js';

describe('the daemon of a root', () => {
  let root: string;
  const servers = new Map<string, Server>();
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-daemon-file-'));
  });
  afterEach(async () => {
    for (const name of servers.keys()) await close(name);
    await rm(root, { recursive: true, force: true });
  });

  const socketOf = (name: string): string => join(root, `${name}.sock`);
  const listen = async (name: string): Promise<void> => {
    const server = createServer().listen(socketOf(name));
    servers.set(name, server);
    await once(server, 'listening');
  };
  const close = async (name: string): Promise<void> => {
    const server = servers.get(name);
    servers.delete(name);
    server?.close();
    if (server !== undefined) await once(server, 'close');
  };
  /** A daemon that listens and says so. */
  const start = async (name: string, pid: number): Promise<AsyncDisposable> => {
    await listen(name);
    return await writeDaemonFile(root, { pid, socket: socketOf(name) });
  };
  const found = async (): Promise<number | undefined> => (await findDaemon(root))?.pid;
  const files = async (): Promise<string[]> =>
    (await readdir(root)).filter((name) => name.endsWith('.json')).sort();
  /** Lets what the one daemon wrote say something else. */
  const rewrite = async (change: object): Promise<void> => {
    const [name = ''] = await files();
    const path = join(root, name);
    await writeFile(
      path,
      JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...change }),
    );
  };

  it('is nobody where none was ever started', async () => {
    expect(await findDaemon(root)).toBeUndefined();
  });

  it('is the one that listens', async () => {
    await using file = await start('one', 7);
    expect(file).toBeDefined();
    expect(await findDaemon(root)).toEqual({ pid: 7, socket: socketOf('one') });
  });

  it('is nobody once it has stopped, or was killed', async () => {
    const file = await start('one', 7);
    await close('one');
    expect(await findDaemon(root)).toBeUndefined();
    await file[Symbol.asyncDispose]();
    expect(await files()).toEqual([]);
  });

  it('is of two the first, and the second when that has stopped', async () => {
    const first = await start('one', 7);
    await rewrite({ since: 1 });
    await using second = await start('two', 8);
    expect(second).toBeDefined();
    expect(await found()).toBe(7);
    expect(await files()).toEqual([expect.stringMatching(/^daemon-[0-9a-f]{16}\.json$/), 'daemon.json']);
    await first[Symbol.asyncDispose]();
    expect(await found()).toBe(8);
  });

  it('is called by its socket only while another one has the usual file', async () => {
    const first = await start('one', 7);
    await start('two', 8);
    await first[Symbol.asyncDispose]();
    await close('one');
    await writeDaemonFile(root, { pid: 9, socket: socketOf('two') });
    expect(await files()).toEqual(['daemon.json']);
    expect(await found()).toBe(9);
  });

  it('is of two the one that is left when the other was killed', async () => {
    await start('one', 7);
    await rewrite({ since: 1 });
    await start('two', 8);
    await close('one');
    expect(await found()).toBe(8);
  });

  it('is rather one here than one in a container, and that rather than nobody', async () => {
    await start('container', 1);
    await rewrite({ since: 1, namespace: 'pid:[1]' });
    expect(await found()).toBe(1);
    await start('here', 8);
    expect(await found()).toBe(8);
  });

  it('is the one that was started in the place of a killed one, and stays when that is forgotten', async () => {
    const killed = await start('one', 7);
    await close('one');
    await start('one', 8);
    await killed[Symbol.asyncDispose]();
    expect(await found()).toBe(8);
    expect(await files()).toHaveLength(1);
  });

  it.each(['', '{', 'null', '{"pid":7}', '{"pid":"7","socket":1}'])(
    'is nobody by a file that says %j',
    async (text) => {
      await start('one', 7);
      const [name = ''] = await files();
      await writeFile(join(root, name), text);
      expect(await findDaemon(root)).toBeUndefined();
    },
  );
});
