import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { formatPlatform, hostPlatform } from '../../src/spec/index.js';
import { cosignKey, cosignSign } from '../support/cosign.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, LANDFALL, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { putImage } from '../support/put-artifact.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const PAGE = 'docs/signatures.md';

interface Block {
  readonly title: string;
  readonly language: string;
  readonly text: string;
}

/** The blocks of code of the page, with the titles that they stand under. */
function blocksOf(page: string): Block[] {
  let title = '';
  const pieces = page.matchAll(/^#+ (?<title>.*)$|^```(?<language>\w+)\n(?<text>[^]*?)^```$/gm);
  return [...pieces].flatMap(({ groups = {} }) => {
    if (groups['title'] !== undefined) title = groups['title'];
    const { language, text } = groups;
    return language === undefined || text === undefined ? [] : [{ title, language, text }];
  });
}

describe.skipIf(needsPeer('docker-registry', 'cosign') !== undefined)('docs/signatures.md', () => {
  let work: string;
  let registry: DockerRegistry;
  let layout: TinyLayout;
  let blocks: Block[];
  beforeAll(async () => {
    blocks = blocksOf(await readFile(PAGE, 'utf8'));
    work = await mkdtemp(join(tmpdir(), 'landfall-signature-docs-'));
    registry = await startDockerRegistry();
    layout = await makeTinyLayout(join(work, 'image'), { platforms: [formatPlatform(hostPlatform())] });
    await using client = new RegistryClient();
    for (const repository of ['team/app', 'team/unsigned', 'team/theirs']) {
      await putImage(client.repository({ registry: registry.address, repository }), layout, '1.0');
    }
    const theirs = await cosignKey(work, 'theirs');
    await cosignSign(`${registry.address}/team/theirs@${layout.target.digest}`, { key: theirs });
    await mkdir(join(work, 'here'));
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Words of the page, as they are here. */
  const here = (text: string): string =>
    text
      .replaceAll('registry.example', registry.address)
      .replaceAll('sha256:…', layout.target.digest)
      .replaceAll('/etc/landfall', join(work, 'here'));
  /** Words from here, as they are on the page. */
  const there = (text: string): string =>
    text
      .replaceAll(join(work, 'here'), '/etc/landfall')
      .replaceAll(registry.address, 'registry.example')
      .replaceAll(new RegExp(`${work}/root-\\d+`, 'g'), '/var/lib/landfall')
      .replaceAll(/sha256([:-])[0-9a-f]{16,64}/g, 'sha256$1…')
      .replaceAll(/linux\/\w+/g, 'linux/amd64');

  const run = (script: string): Promise<CommandResult> =>
    runCommand('bash', ['-euc', `landfall() { ${process.execPath} ${LANDFALL} "$@"; }\n${script}`], {
      cwd: join(work, 'here'),
      env: { COSIGN_PASSWORD: '', LANDFALL_ROOT: join(work, `root-${(runs += 1)}`) },
    });
  let runs = 0;
  const oneOf = (title: string, language: string): string => {
    const found = blocks.find((block) => block.title === title && block.language === language);
    if (found === undefined) throw new Error(`no ${language} under ${title}`);
    return found.text;
  };
  const policy = async (name: string, edit: (text: string) => string): Promise<void> => {
    const text = edit(oneOf('The shortest example', 'json'));
    await writeFile(join(work, 'here', name), here(text));
  };

  it('begins with an example that works', async () => {
    const signing = here(oneOf('The shortest example', 'sh')).replace(
      'cosign sign',
      'cosign sign --yes --allow-http-registry --allow-insecure-registry',
    );
    expect((await run(signing)).code).toBe(0);
    await policy('policy.json', (text) => text);
    const [command = '', ...reported] = oneOf('The shortest example', 'console').trim().split('\n');
    const { code, stdout, stderr } = await run(here(command.replace('$ ', '')));
    expect(code, stderr).toBe(0);
    expect(there(stdout).split('\n').slice(0, reported.length)).toEqual(reported);
  });

  it('shows refusals as they are', async () => {
    await policy('tagged.json', (text) => text.replace(/,\s*"signedIdentity": \{.*\}/, ''));
    await policy('mistyped.json', (text) => text.replace('matchRepository', 'matchRepo'));
    await policy('keyless.json', (text) => text.replace('cosign.pub', 'lost.pub'));
    await policy('gpg.json', (text) =>
      text.replace('sigstoreSigned"', 'signedBy",\n          "keyType": "GPGKeys"'),
    );
    const shown = blocks.filter(({ title, language }) => / exit \d$/.test(title) && language === 'console');
    expect(shown).toHaveLength(7);
    for (const { title, text } of shown) {
      const [command = '', ...reported] = text.trim().split('\n');
      const { code, stderr } = await run(here(command.replace('$ ', '')));
      const said = stderr.trim().split('\n');
      const from = said.findIndex((line) => line.startsWith('landfall:'));
      expect(there(said.slice(from).join('\n')), title).toBe(reported.join('\n'));
      expect(title).toMatch(new RegExp(` exit ${code}$`));
    }
  });

  it('has no other policy than such as can be understood', async () => {
    for (const [at, { text }] of blocks.filter(({ language }) => language === 'json').entries()) {
      const file = join(work, 'here', `block-${at}.json`);
      await writeFile(file, here(text));
      const { stdout } = await run(`landfall doctor --policy ${file}`);
      expect(stdout).toContain(`${file} says which are needed`);
    }
  });
});
