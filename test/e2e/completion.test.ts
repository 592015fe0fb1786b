import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { landfall } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { type InteractiveShell, ShellTerminal } from '../support/shell-terminal.js';

/** What is typed before Tab is pressed, and the line that is there then. */
const ROWS: readonly (readonly [what: string, typed: string, line: string])[] = [
  ['a command', 'landfall comp', 'landfall completion'],
  ['an option', 'landfall pull --verif', 'landfall pull --verify-first'],
  ['a value that is one of a few', 'landfall images --output j', 'landfall images --output json'],
  ['the same behind an equals sign', 'landfall images --output=j', 'landfall images --output=json'],
  ['an image of the store', 'landfall rmi al', 'landfall rmi alpine:3'],
  ['an image behind its colon', 'landfall rmi alpine:', 'landfall rmi alpine:3'],
  ['an image of another registry', 'landfall rmi quay.io/team/app:', 'landfall rmi quay.io/team/app:1.0'],
  ['an image in full', 'landfall rmi docker.io/library/alp', 'landfall rmi docker.io/library/alpine:3'],
  ['an image at its registry', 'landfall save docker://quay', 'landfall save docker://quay.io/team/app:1.0'],
  ['a second image', 'landfall rmi alpine:3 qu', 'landfall rmi alpine:3 quay.io/team/app:1.0'],
  ['a directory', 'landfall --root sub', 'landfall --root subdirectory/'],
  ['a directory behind an equals sign', 'landfall --root=sub', 'landfall --root=subdirectory/'],
  ['a layout', 'landfall inspect oci:sub', 'landfall inspect oci:subdirectory/'],
  ['an image of a layout', 'landfall inspect oci:subdirectory:', 'landfall inspect oci:subdirectory:app-1'],
  ['a file', 'landfall pull --ca authority', 'landfall pull --ca authority.pem'],
  ['a socket', 'landfall daemon --cri unix:///usr/shar', 'landfall daemon --cri unix:///usr/share/'],
];

describe('pressing Tab completes', () => {
  let work: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-completion-'));
    const root = join(work, 'store');
    for (const name of ['alpine:3', 'quay.io/team/app:1.0']) {
      const copied = await landfall(['copy', '--root', root, 'oci:fixtures/image', name]);
      expect(copied.code, copied.stderr).toBe(0);
    }
    await mkdir(join(work, 'subdirectory'));
    const manifests = [{ annotations: { 'org.opencontainers.image.ref.name': 'app-1' } }];
    await writeFile(join(work, 'subdirectory', 'index.json'), JSON.stringify({ manifests }));
    await writeFile(join(work, 'authority.pem'), '');
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  describe.each<[InteractiveShell]>([['bash'], ['zsh'], ['fish']])('in %s', (shell) => {
    const skipped = needsPeer('tmux', shell) !== undefined;
    let terminal: ShellTerminal;

    beforeAll(async () => {
      if (skipped) return;
      terminal = await ShellTerminal.open(shell, { cwd: work, env: { LANDFALL_ROOT: join(work, 'store') } });
    });
    afterAll(async () => {
      if (!skipped) await terminal[Symbol.asyncDispose]();
    });

    it.skipIf(skipped).each(ROWS)('%s', async (_, typed, wanted) => {
      await terminal.complete(typed);
      await terminal.showsLine(wanted);
    });

    it.skipIf(skipped)('with what each is for, where there are several', async () => {
      await terminal.complete('landfall pull --log-', shell === 'bash' ? 2 : 1);
      const shown = await terminal.until((text) => text.includes('how much to tell'));
      expect(shown).toContain('--log-level');
      expect(shown).toContain('--log-format');
    });
  });
});
