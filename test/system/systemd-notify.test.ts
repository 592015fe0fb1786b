import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { notifySystemd } from '../../src/system/index.js';
import { needsPeer } from '../support/peers.js';

/** What systemd does with NOTIFY_SOCKET, which Node cannot: it takes datagrams. */
const LISTENER = `
import socket, sys
name = sys.argv[1]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(name.replace('@', '\\0', 1) if name.startswith('@') else name)
print('listening', flush=True)
print(listener.recv(4096).decode(), flush=True)
`;

describe.skipIf(needsPeer('python3') !== undefined)('systemd is told', () => {
  let work: string;
  let child: ChildProcessByStdio<null, Readable, null> | undefined;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-notify-'));
  });
  afterEach(async () => {
    child?.kill('SIGKILL');
    await rm(work, { recursive: true, force: true });
  });

  it.each([
    ['at a path', (): string => join(work, 'notify')],
    ['at a name that is no path', (): string => `@landfall-notify-${process.pid}`],
  ])('%s', async (_, name) => {
    child = spawn('python3', ['-c', LISTENER, name()], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout });
    const reported: string[] = [];
    lines.on('line', (line) => reported.push(line));
    await once(lines, 'line');
    expect(notifySystemd('READY=1', name())).toBe(true);
    await expect.poll(() => reported.at(-1)).toBe('READY=1');
  });

  it('nothing where it does not listen, or is not there', () => {
    expect(notifySystemd('READY=1', join(work, 'nobody'))).toBe(false);
    expect(notifySystemd('READY=1', undefined)).toBe(false);
    expect(notifySystemd('READY=1', '')).toBe(false);
    expect(notifySystemd('READY=1', 'vsock:2:1234')).toBe(false);
    expect(notifySystemd('READY=1', `/${'x'.repeat(200)}`)).toBe(false);
  });
});
