import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileOutput, sweepTemporaryFiles, TemporaryFile } from '../../src/content/store/file-output.js';

describe('a temporary file', () => {
  let work: string;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-temporary-'));
  });
  afterEach(() => rm(work, { recursive: true }));

  test('has its name once it is published, and in place of what had it', async () => {
    await writeFile(join(work, 'name'), 'before');
    {
      await using file = await TemporaryFile.create(work);
      await file.handle.writeFile('after');
      expect(await readFile(join(work, 'name'), 'utf8')).toBe('before');
      await file.publish(join(work, 'name'));
    }
    expect(await readdir(work)).toEqual(['name']);
    expect(await readFile(join(work, 'name'), 'utf8')).toBe('after');
  });

  test('goes when it is not published', async () => {
    {
      await using file = await TemporaryFile.create(work);
      await file.handle.writeFile('never');
    }
    expect(await readdir(work)).toEqual([]);
  });

  test('is swept when nobody writes it any more, and nothing else is', async () => {
    await using file = await TemporaryFile.create(work);
    await writeFile(join(work, '.landfall-left'), '');
    await writeFile(join(work, '.other'), '');
    await sweepTemporaryFiles(work);
    const left = await readdir(work);
    expect(left).toHaveLength(2);
    expect(left).toContain('.other');
    await file.publish(join(work, 'name'));
  });

  test('is not looked for where nothing can be listed', async () => {
    await expect(sweepTemporaryFiles(join(work, 'missing'))).resolves.toBeUndefined();
  });

  test('of an output leaves what was there until it is finished', async () => {
    const name = join(work, 'output');
    await writeFile(name, 'before');
    {
      await using output = await FileOutput.open(name);
      await output.write(Buffer.from('after'));
    }
    expect(await readFile(name, 'utf8')).toBe('before');
    {
      await using output = await FileOutput.open(name);
      await output.write(Buffer.from('after'));
      await output.finish();
    }
    expect(await readFile(name, 'utf8')).toBe('after');
    expect(await readdir(work)).toEqual(['output']);
    await expect(FileOutput.open(work)).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await expect(FileOutput.open(join(work, 'no/such'))).rejects.toMatchObject({ code: 'FILESYSTEM' });
  });
});
