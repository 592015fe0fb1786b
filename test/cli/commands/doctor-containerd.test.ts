import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from './serve-lists.js';

describe('doctor --containerd', () => {
  let directory: string;
  let file: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-doctor-'));
    file = join(directory, 'config.toml');
    await writeFile(
      file,
      'version = 2\n\n[plugins."io.containerd.grpc.v1.cri".containerd]\n  snapshotter = "overlayfs"\n',
    );
  });
  afterAll(() => rm(directory, { recursive: true }));

  test('prints the lines that are missing, which complete the file', async () => {
    const { code, out } = await run('--root', '/srv/landfall', 'doctor', '--containerd', file);
    expect(code).toBe(1);
    expect(out).toContain(`# instead of snapshotter = "overlayfs" (${file}:4)\nsnapshotter = "landfall"\n`);
    const before = (await readFile(file, 'utf8')).split('\n').slice(0, 2).join('\n');
    const mended = join(directory, 'mended.toml');
    await writeFile(mended, `${before}\n${out.slice(out.indexOf('\n'))}`);
    expect(await run('--root', '/srv/landfall', 'doctor', '--containerd', mended)).toMatchObject({
      code: 0,
      out: `${mended} has all that landfall needs as a snapshotter\n`,
    });
  });

  test('prints a file of version 3 that says nothing yet', async () => {
    const empty = join(directory, 'empty.toml');
    await writeFile(empty, 'version = 3\n');
    const { code, out } = await run('doctor', '--containerd', empty);
    expect(code).toBe(1);
    await writeFile(empty, `version = 3\n${out.slice(out.indexOf('\n'))}`);
    expect(await run('doctor', '--containerd', empty)).toMatchObject({ code: 0 });
  });

  test('for programs, as docs/json-output.md shows it', async () => {
    const { code, out } = await run('doctor', '--containerd', file, '--output', 'json');
    expect(code).toBe(1);
    const page = await readFile('docs/json-output.md', 'utf8');
    const [, example = ''] = /With `--containerd \[FILE\]`:\n\n```json\n([\s\S]*?)```/.exec(page) ?? [];
    const documented = JSON.parse(example) as { missing: object[] };
    const shown = JSON.parse(out) as { missing: object[] };
    expect(Object.keys(shown)).toEqual(Object.keys(documented));
    const [, , , snapshotter = {}] = shown.missing;
    expect(snapshotter).toEqual({
      ...documented.missing[0],
      instead: { line: 'snapshotter = "overlayfs"', place: `${file}:4` },
    });
  });

  test('a file that is not there is an error with exit code 2', async () => {
    const { code, err } = await run('doctor', '--containerd', join(directory, 'none.toml'));
    expect(code).toBe(2);
    expect(err).toContain('hint: ');
  });
});
