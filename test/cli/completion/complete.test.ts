import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kindsOfArgument, kindsOfOption } from '../../../src/cli/completion/value-words.js';
import { takesValue } from '../../../src/cli/options/options.js';
import { main } from '../../../src/cli/main.js';
import { createProgram } from '../../../src/cli/program.js';
import { FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

let work: string;

beforeAll(async () => {
  work = await mkdtemp(path.join(tmpdir(), 'landfall-complete-'));
  await layout('store', [
    'docker.io/library/alpine:3',
    'docker.io/library/debian:trixie',
    'quay.io/team/app:1',
    // Of none that a store would take.
    'Team/App:1',
  ]);
  await layout('other', ['registry.lan:5000/base:2']);
  await layout('layout', ['app-1', 'app-2', '$(reboot)', 'two words', '-o']);
  await mkdir(path.join(work, 'damaged'));
  await writeFile(path.join(work, 'damaged', 'index.json'), '{"manifests": [');
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function layout(name: string, names: readonly string[]): Promise<void> {
  await mkdir(path.join(work, name));
  const manifests = names.map((ref) => ({ annotations: { 'org.opencontainers.image.ref.name': ref } }));
  await writeFile(path.join(work, name, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}

/** The lines that a shell is answered: the paths that may follow first. */
async function ask(words: readonly string[], env: Record<string, string> = {}): Promise<string[]> {
  const surroundings = fakeSurroundings({
    env: { HOME: work, LANDFALL_ROOT: path.join(work, 'store'), ...env },
  });
  expect(await main(['__complete', ...words], surroundings, new FakeSignals())).toBe(0);
  expect(surroundings.stderr.text).toBe('');
  return surroundings.stdout.text.replace(/\n$/, '').split('\n');
}

describe('completion', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      'commands',
      ['pul'],
      ['words', 'pull\tdownload, verify and unpack images', 'pulls\tshow what the daemon pulls'],
    ],
    [
      'commands to be helped with',
      ['help', 'unp'],
      [
        'words',
        'unpin\tlet pinned images be collected again',
        'unpack\twrite the merged root file system into a directory',
      ],
    ],
    ['values of a few', ['images', '--output', ''], ['words', 'text', 'json']],
    ['the same in one word', ['images', '--output=j'], ['words', '--output=json']],
    [
      'images, as people write them',
      ['rmi', ''],
      ['words', 'alpine:3', 'debian:trixie', 'quay.io/team/app:1'],
    ],
    ['images in full', ['rmi', 'docker.io/library/d'], ['words', 'docker.io/library/debian:trixie']],
    ['images that are not named yet', ['rmi', 'alpine:3', 'a'], ['words']],
    ['images of another root', ['--root', 'OTHER', 'rmi', 'r'], ['words', 'registry.lan:5000/base:2']],
    ['the root in one word', ['rmi', '--root=OTHER', 'r'], ['words', 'registry.lan:5000/base:2']],
    [
      'the root below the home directory',
      ['--root', '~/other', 'rmi', 'r'],
      ['words', 'registry.lan:5000/base:2'],
    ],
    [
      'images of additional roots too',
      ['--additional-root', 'OTHER', 'inspect', 'reg'],
      ['words', 'registry.lan:5000/base:2'],
    ],
    ['repositories', ['tags', 'quay'], ['words', 'quay.io/team/app']],
    ['registries', ['login', ''], ['words', 'docker.io', 'quay.io']],
    ['transports', ['copy', 'o'], ['words', 'oci:', 'oci-archive:']],
    ['an image behind its transport', ['save', 'docker://deb'], ['words', 'docker://debian:trixie']],
    ['layouts', ['inspect', 'oci:x'], ['directories oci:']],
    [
      'images of a layout, but none that a shell would take amiss',
      ['inspect', 'oci:LAYOUT:'],
      ['words', 'oci:LAYOUT:app-1', 'oci:LAYOUT:app-2'],
    ],
    ['directories', ['--root', ''], ['directories ']],
    ['directories in one word', ['--root=/t'], ['directories --root=']],
    ['files', ['--ca', ''], ['files ']],
    ['sockets', ['daemon', '--cri', 'unix:///r'], ['files unix://']],
    [
      'platforms behind a comma',
      ['save', '--platform', 'linux/amd64,linux/arm6'],
      ['words', 'linux/amd64,linux/arm64'],
    ],
    ['limits', ['pull', '--unpack-limit', 'path-b'], ['words', 'path-bytes=']],
    [
      'options of the command first',
      ['pull', '--verif'],
      ['words', '--verify-first\tverify all of a layer before any of it is unpacked'],
    ],
    ['an option only once', ['pull', '--verify-first', '--verif'], ['words']],
    ['no options where none can be', ['pull', '--', '--ver'], ['words']],
    ['nothing behind the last argument', ['umount', '/mnt', ''], ['words']],
    ['nothing for a command that there is not', ['nope', ''], ['words']],
    ['nothing of a store that there is not', ['--root', '/nonexistent/x', 'rmi', ''], ['words']],
    ['nothing of a store that is damaged', ['--root', 'DAMAGED', 'rmi', ''], ['words']],
  ])('%s', async (_, words, wanted) => {
    const at = (text: string): string =>
      text
        .replace('OTHER', path.join(work, 'other'))
        .replace('LAYOUT', path.join(work, 'layout'))
        .replace('DAMAGED', path.join(work, 'damaged'));
    expect(await ask(words.map(at))).toEqual(wanted.map(at));
  });

  test('an option that may be given several times is offered again', async () => {
    const lines = await ask(['images', '--filter', 'pinned=true', '--filt']);
    expect(lines[1]).toMatch(/^--filter\t/);
  });

  test('a store that a configuration file names', async () => {
    const file = path.join(work, 'config.toml');
    await writeFile(file, `root = "${path.join(work, 'other')}"\n`);
    expect(await ask(['rmi', 'r'], { LANDFALL_ROOT: '', LANDFALL_CONFIG: file })).toContain(
      'registry.lan:5000/base:2',
    );
  });

  test.each<[string, (file: string) => Promise<unknown>]>([
    ['pipe', (file) => Promise.resolve(execFileSync('mkfifo', [file]))],
    // It has no end.
    ['device', (file) => symlink('/dev/zero', file)],
  ])('waits for no index that is a %s', async (kind, make) => {
    await mkdir(path.join(work, kind));
    await make(path.join(work, kind, 'index.json'));
    expect(await ask(['--root', path.join(work, kind), 'rmi', ''])).toEqual(['words']);
  });

  test('makes no store', async () => {
    const root = path.join(work, 'none');
    await ask(['--root', root, 'rmi', '']);
    expect(await readdir(work)).not.toContain('none');
  });
});

describe('somebody has thought about', () => {
  const program = createProgram(() => Promise.resolve());

  test('each value of an option', () => {
    for (const command of [program, ...program.commands]) {
      for (const option of command.options.filter((one) => takesValue(one) && one.argChoices === undefined)) {
        expect.soft(kindsOfOption(option), `${command.name()} ${option.flags}`).toBeDefined();
      }
    }
  });

  test('each argument', () => {
    for (const command of program.commands) {
      for (const argument of command.registeredArguments.filter(
        ({ argChoices }) => argChoices === undefined,
      )) {
        expect.soft(kindsOfArgument(command, argument), `${command.name()} ${argument.name()}`).toBeDefined();
      }
    }
  });
});
