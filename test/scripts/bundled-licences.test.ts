import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { licencesOf } from '../../scripts/bundled-licences.js';

describe('the licences of what is bundled', () => {
  let modules: string;
  beforeEach(async () => {
    modules = join(await mkdtemp(join(tmpdir(), 'landfall-licences-')), 'node_modules');
    for (const [name, file] of [
      ['plain', 'LICENSE'],
      ['@team/scoped', 'licence.md'],
      ['plain/node_modules/inner', 'License.txt'],
    ] as const) {
      await mkdir(join(modules, name), { recursive: true });
      await writeFile(join(modules, name, file), `what ${name} asks for\n`);
    }
  });
  afterEach(() => rm(join(modules, '..'), { recursive: true, force: true }));

  it('are those of its packages, each once', async () => {
    const files = ['plain/a.js', 'plain/lib/b.js', '@team/scoped/c.js', 'plain/node_modules/inner/d.js'];
    const text = await licencesOf(['/dist/src/errors.js', ...files.map((file) => join(modules, file))]);
    const parts = text.split(/^-+$/m).map((part) => part.trim());
    expect(parts).toEqual([
      '@team/scoped\n\nwhat @team/scoped asks for',
      'plain\n\nwhat plain asks for',
      'inner\n\nwhat plain/node_modules/inner asks for',
    ]);
  });

  it('must be there', async () => {
    await rm(join(modules, 'plain', 'LICENSE'));
    await expect(licencesOf([join(modules, 'plain/a.js')])).rejects.toThrow(
      'the package plain has no licence',
    );
  });

  it.each([
    ['of the same repository and licence', 'https://team.example', 'MIT', true],
    ['not of another repository', 'https://other.example', 'MIT', false],
    ['not of another licence', 'https://team.example', 'ISC', false],
  ])('may be those of a package of the same scope, %s', async (_name, repository, license, found) => {
    await mkdir(join(modules, '@team/bare'));
    await writeFile(
      join(modules, '@team/bare/package.json'),
      JSON.stringify({ repository: 'https://team.example', license: 'MIT' }),
    );
    await writeFile(join(modules, '@team/scoped/package.json'), JSON.stringify({ repository, license }));
    const text = licencesOf([join(modules, '@team/bare/a.js')]);
    if (found) expect(await text).toBe('@team/bare\n\nwhat @team/scoped asks for\n');
    else await expect(text).rejects.toThrow('the package @team/bare has no licence');
  });

  it('lie beside the built command', async () => {
    const text = await readFile('dist/bin/LICENSES.txt', 'utf8');
    expect(text.split('\n')).toEqual(expect.arrayContaining(['commander', 'undici', 'smol-toml']));
  });
});
