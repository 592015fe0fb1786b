import { once } from 'node:events';
import { lstat, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isListening, parseSocketAddress, prepareSocket } from '../../../src/daemon/grpc/unix-socket.js';
import type { LandfallError } from '../../../src/errors.js';
import { failure } from '../../support/registry-fixture.js';

describe('the address of a socket', () => {
  it.each([
    ['unix:///run/landfall/landfall.sock', '/run/landfall/landfall.sock'],
    ['unix:/run/x.sock', '/run/x.sock'],
    ['/run/x.sock', '/run/x.sock'],
  ])('%s is %s', (address, path) => {
    expect(parseSocketAddress(address)).toBe(path);
  });

  it.each([
    '',
    'unix://',
    'unix://run/x.sock',
    'run/x.sock',
    'tcp://127.0.0.1:1',
    '/run/',
    `/${'x'.repeat(110)}`,
  ])('%s is refused', (address) => {
    expect(() => parseSocketAddress(address)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }) as LandfallError,
    );
  });
});

describe('a socket', () => {
  let work: string;
  let path: string;
  const servers: Server[] = [];
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-socket-'));
    path = join(work, 'made', 'x.sock');
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close();
    await rm(work, { recursive: true, force: true });
  });

  const listen = async (at: string): Promise<Server> => {
    const server = createServer();
    servers.push(server);
    server.listen(at);
    await once(server, 'listening');
    return server;
  };

  it('has its mode when it has its name', async () => {
    const socket = await prepareSocket(path);
    await listen(socket.temporary);
    await expect(lstat(path)).rejects.toThrow('ENOENT');
    await socket.publish();
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await isListening(path)).toBe(true);
  });

  it('takes the place of one that a dead process left', async () => {
    const first = await prepareSocket(path);
    const server = await listen(first.temporary);
    await first.publish();
    server.close();
    await once(server, 'close');
    expect((await lstat(path)).isSocket()).toBe(true);
    expect(await isListening(path)).toBe(false);
    const second = await prepareSocket(path);
    await listen(second.temporary);
    await second.publish();
    expect(await isListening(path)).toBe(true);
  });

  it('is refused where somebody listens', async () => {
    const socket = await prepareSocket(path);
    await listen(socket.temporary);
    await socket.publish();
    expect(await failure(prepareSocket(path))).toMatchObject({ code: 'IN_USE' });
    expect(await isListening(path)).toBe(true);
  });

  it('is refused where something else lies', async () => {
    await prepareSocket(path);
    await writeFile(path, 'kept');
    expect(await failure(prepareSocket(path))).toMatchObject({ code: 'IN_USE' });
    expect((await stat(path)).size).toBe(4);
  });

  it('is refused where its directory cannot be made', async () => {
    await writeFile(join(work, 'file'), '');
    expect(await failure(prepareSocket(join(work, 'file', 'x.sock')))).toMatchObject({ code: 'FILESYSTEM' });
  });
});
