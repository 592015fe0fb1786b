import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCriClient } from '../support/cri-client.js';
import { beginExamples, prepareExamples } from '../support/documentation/example-setting.js';
import { DocumentedContent } from '../support/documentation/documented-registries.js';
import { commandBlocks, languagesIn } from '../support/documentation/page-blocks.js';
import { PageRun } from '../support/documentation/page-run.js';
import { PAGES } from '../support/documentation/pages.js';
import { needsPeer } from '../support/peers.js';
import { isLong } from '../support/rounds.js';

/** How long a page may take, in milliseconds. */
const FOLLOWING = 240_000;
/**
 * What blocks of the pages are of. Commands that a reader types are sh; shells of other names would not be
 * run.
 */
const LANGUAGES = ['sh', 'text', 'ts', 'js', 'json', 'toml', 'yaml', 'ini', 'console', 'mermaid', 'diff'];

/** The page whose examples stand each for itself. */
const REFERENCE = 'docs/cli.md';
/** Besides the reference, what a reader meets first; the nightly run follows the other pages. */
const FOLLOWED_ALWAYS = ['README.md', 'docs/getting-started.md', 'docs/node.md'];
const examples = await commandBlocks(REFERENCE, { indented: true });
const pages = await Promise.all(
  PAGES.map(async (page) => [page, page === REFERENCE ? [] : await commandBlocks(page)] as const),
);
const withCommands = pages.filter(([, blocks]) => blocks.some(({ notRun }) => notRun === undefined));
const reason =
  needsPeer('docker-registry', 'busybox', 'skopeo', 'runc', 'ip', 'containerd', 'systemd-analyze') ??
  (await whyNoCriClient());

/** What a command prints on a machine of a page. */
async function said(run: PageRun, at: string, command: string): Promise<string> {
  const { code, stdout, stderr } = await (await run.machine(at)).type(command);
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${stderr}`);
  return stdout.trim();
}

/**
 * What there is when a page has been followed, besides what it shows, as others than landfall see it wherever
 * they can.
 */
const OUTCOMES: Readonly<Record<string, (run: PageRun) => Promise<void>>> = {
  'docs/getting-started.md': async (run) => {
    expect(await said(run, 'here', 'landfall images -q; ls -A . /mnt')).toBe('.:\n\n/mnt:');
    expect(await said(run, 'here', 'find /var/lib/landfall/blobs /var/lib/landfall/snapshots -type f')).toBe(
      '',
    );
  },

  'docs/pre-pulling.md': async (run) => {
    for (const image of [
      'registry.k8s.io/kube-proxy:v1.34.0',
      'quay.io/team/app:1',
      'debian:trixie',
      'redis:7',
    ]) {
      const look = `landfall mount ${image} /mnt >/dev/null && cat /mnt/etc/os-release && landfall umount /mnt`;
      expect(await said(run, 'here', look), image).toContain('ID=debian');
    }
    const timer =
      'systemd-analyze calendar --iterations=2 "$(sed -n s/OnCalendar=//p /etc/systemd/system/*.timer)"';
    expect(await said(run, 'here', timer)).toMatch(/Iteration #2/i);
  },

  'docs/node.md': async (run) => {
    const index = await said(
      run,
      'here',
      "skopeo inspect --format '{{.Digest}}' docker://registry.k8s.io/kube-proxy:v1.34.0",
    );
    await said(run, 'here', 'crictl pull registry.k8s.io/kube-proxy:v1.34.0');
    const status = await said(run, 'here', 'crictl inspecti registry.k8s.io/kube-proxy:v1.34.0');
    expect(status).toContain(`registry.k8s.io/kube-proxy@${index}`);
    const look = 'landfall mount registry.k8s.io/kube-proxy:v1.34.0 /mnt >/dev/null && ls /mnt/srv';
    expect(await said(run, 'here', look)).toBe('ready');
  },

  'docs/mirroring.md': async (run) => {
    const digest = (at: string, image: string): Promise<string> =>
      said(run, at, `skopeo inspect --format '{{.Digest}}' docker://${image}`);
    const [near, far] = [
      ['docker.io/library/alpine', 'quay.io/team/app', 'registry.k8s.io/pause'],
      ['library/alpine', 'team/app', 'pause'],
    ];
    const tags = [['3', '3.20', '3.21'], ['1.0', '1.1', '2.0'], ['3.10']];
    for (const [at, names] of tags.entries()) {
      for (const tag of names)
        expect(await digest('far', `registry.lan:5000/${far[at] ?? ''}:${tag}`)).toBe(
          await digest('near', `${near[at] ?? ''}:${tag}`),
        );
    }
    expect(await said(run, 'far', 'getent hosts quay.io || echo nobody')).toBe('nobody');
    expect(await said(run, 'near', 'getent hosts registry.lan || echo nobody')).toBe('nobody');
  },
};

describe('pages with commands', () => {
  it.each(PAGES)('%s has blocks in known languages only', async (page) => {
    for (const [language, line] of languagesIn(await readFile(page, 'utf8')))
      expect(LANGUAGES, `${page}:${line}`).toContain(language);
  });

  it.each(PAGES.filter((page) => page !== REFERENCE))('%s has commands in blocks only', async (page) => {
    const text = (await readFile(page, 'utf8')).replace(/^(`{3,})[^]*?^\1$/gm, '');
    expect(text.match(/^ {4}(?:\$ )?(?:landfall|docker|skopeo|kubectl|runc|curl) .*$/gm) ?? []).toEqual([]);
  });

  it('say of each block that is not run why it is not', () => {
    for (const { page, line, notRun } of [...examples, ...pages.flatMap(([, blocks]) => blocks)])
      if (notRun !== undefined) expect(notRun.length, `${page}:${line}`).toBeGreaterThan(10);
  });

  it('are all that an outcome is known of', () => {
    const followed: readonly string[] = withCommands.map(([page]) => page);
    for (const page of Object.keys(OUTCOMES)) expect(followed).toContain(page);
  });
});

describe.skipIf(reason !== undefined)('whoever follows', () => {
  let content: DocumentedContent;
  beforeAll(async () => {
    content = await DocumentedContent.make();
  });
  afterAll(() => content[Symbol.asyncDispose]());

  const typed = examples.filter(({ notRun }) => notRun === undefined);
  it.concurrent(
    `${REFERENCE} finds that its examples work: ${typed.length} blocks are run, ${examples.length - typed.length} say why they are not`,
    async () => {
      await using run = await PageRun.start(content);
      await prepareExamples(run);
      const failures: string[] = [];
      for (const [at, block] of typed.entries()) {
        if (block.title !== typed[at - 1]?.title) await beginExamples(run);
        await run.follow(block).catch((error: unknown) => failures.push(String(error)));
      }
      expect(failures.join('\n\n')).toBe('');
    },
    FOLLOWING,
  );

  for (const [page, blocks] of withCommands.filter(([page]) => isLong || FOLLOWED_ALWAYS.includes(page))) {
    const followed = blocks.filter(({ notRun }) => notRun === undefined);
    const others = blocks.length - followed.length;
    it.concurrent(
      `${page} gets what it says: ${followed.length} blocks of commands are run, ${others} say why they are not`,
      async () => {
        await using run = await PageRun.start(content);
        for (const block of followed) await run.follow(block);
        await OUTCOMES[page]?.(run);
      },
      FOLLOWING,
    );
  }
});
