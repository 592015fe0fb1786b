import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { holdersOf } from '../../src/system/index.js';

describe('holdersOf', () => {
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-holders-'));
    file = join(directory, 'file');
    await writeFile(file, 'x');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('names nobody for a file that is closed or missing', () => {
    expect(holdersOf(file)).toEqual([]);
    expect(holdersOf(join(directory, 'missing'))).toEqual([]);
  });

  it('names this process, whatever the file is called by now', async () => {
    const handle = await open(file);
    await rename(file, `${file}-moved`);
    await link(`${file}-moved`, `${file}-linked`);
    await writeFile(file, 'another');
    expect(holdersOf(file)).toEqual([]);
    expect(holdersOf(`${file}-moved`)).toEqual([process.pid]);
    expect(holdersOf(`${file}-linked`)).toEqual([process.pid]);
    await handle.close();
    expect(holdersOf(`${file}-moved`)).toEqual([]);
  });

  it('names another process', async () => {
    const child = spawn('sh', ['-c', 'exec 3<"$1"; echo; exec sleep 60', 'sh', file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    expect(holdersOf(file)).toEqual([child.pid]);
    child.kill();
    await once(child, 'exit');
    expect(holdersOf(file)).toEqual([]);
  });
});
