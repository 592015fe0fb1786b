import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { formatPlatform, hostPlatform, MEDIA_TYPES } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, LANDFALL, peerOutput, runCommand } from '../support/landfall-command.js';
import { isRoot } from '../support/needs-root.js';
import { needsPeer } from '../support/peers.js';
import { PlainContainerd } from '../support/plain-containerd.js';
import { putImage } from '../support/put-artifact.js';
import { makeTinyLayout } from '../support/tiny-image.js';
import { ROWS, wordsOf } from './migration-rows.js';

/** One side of a pair, when it has run. */
interface Side {
  /** The directory in which it ran. */
  readonly cwd: string;
  /** What stands for `copy` and `stable` in its names, so that the two sides do not meet. */
  readonly own: 'theirs' | 'ours';
  readonly result: CommandResult;
}

type Compare = (theirs: Side, ours: Side) => Promise<void> | void;

const IMAGE = 'registry.lan:5000/team/app:1';
const COPY = 'docker://registry.lan:5000/copy/app:1';
/** What has a peer speak to a registry without TLS. */
const PLAIN: Readonly<Record<string, readonly string[]>> = {
  'skopeo copy': ['--src-tls-verify=false', '--dest-tls-verify=false'],
  'skopeo delete': ['--tls-verify=false'],
  'skopeo inspect': ['--tls-verify=false'],
  'skopeo list-tags': ['--tls-verify=false'],
  'oras cp': ['--from-plain-http', '--to-plain-http'],
  'oras resolve': ['--plain-http'],
  'oras tag': ['--plain-http'],
  'oras discover': ['--plain-http'],
  'oras repo': ['--plain-http'],
  'oras manifest': ['--plain-http'],
  'oras blob': ['--plain-http'],
};

const sameOutput: Compare = (theirs, ours) => {
  expect(ours.result.stdout.trim()).toBe(theirs.result.stdout.trim());
  expect(ours.result.stdout).not.toBe('');
};

function sortedLines({ result }: Side): string[] {
  return result.stdout.trim().split('\n').sort();
}

function digestsIn({ result }: Side): string[] {
  return result.stdout.match(/sha256:[0-9a-f]{64}/g) ?? [];
}

function inArchive(side: Side, name: string): unknown {
  return JSON.parse(execFileSync('tar', ['-xOf', join(side.cwd, 'app.tar'), name], { encoding: 'utf8' }));
}

const sameArchive: Compare = (theirs, ours) => {
  const [before, after] = [theirs, ours].map((side) => {
    const { manifests } = inArchive(side, 'index.json') as { manifests: { digest: string }[] };
    return manifests.map(({ digest }) => digest);
  });
  expect(after).toEqual(before);
};

const sameConfig: Compare = (theirs, ours) => {
  const [before, after] = [theirs, ours].map((side) => {
    const [image] = inArchive(side, 'manifest.json') as { Config: string }[];
    return /[0-9a-f]{64}/.exec(image?.Config ?? '')?.[0];
  });
  expect(after).toBe(before);
  expect(after).toBeDefined();
};

/** Names and digests of the layout `images`. */
async function namesIn({ cwd }: Side): Promise<unknown> {
  const index = JSON.parse(await readFile(join(cwd, 'images/index.json'), 'utf8')) as {
    manifests: { digest: string; annotations?: Record<string, string> }[] | null;
  };
  // umoci leaves null where nothing is left.
  return (index.manifests ?? [])
    .map(({ digest, annotations }) => [annotations?.['org.opencontainers.image.ref.name'], digest])
    .sort();
}

const sameLayout: Compare = async (theirs, ours) => {
  expect(await namesIn(ours)).toEqual(await namesIn(theirs));
};

/** Every entry with its type, mode, size and target; of directories the size says nothing. */
function treeOf(directory: string): string[] {
  const form = ['(', '-type', 'd', '-printf', '%P %y %m\n', ')', '-o', '-printf', '%P %y %m %s %l\n'];
  const listing = execFileSync('find', ['.', '-mindepth', '1', ...form], {
    cwd: directory,
    encoding: 'utf8',
  });
  return listing.trim().split('\n').sort();
}

function sameTree(name: string): Compare {
  return (theirs, ours) => {
    const tree = treeOf(join(ours.cwd, name));
    expect(tree).toEqual(treeOf(join(theirs.cwd, name)));
    expect(tree.length).toBeGreaterThan(3);
  };
}

const missing = needsPeer('docker-registry', 'skopeo', 'oras', 'umoci');

describe.skipIf(missing !== undefined)('a pair of commands', () => {
  let work: string;
  let registry: DockerRegistry;
  let config: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-migration-'));
    registry = await startDockerRegistry();
    const platforms = [...new Set(['linux/amd64', 'linux/s390x', formatPlatform(hostPlatform())])];
    const layout = await makeTinyLayout(join(work, 'layout'), { platforms });
    config = layout.manifests[0].config.digest;
    await using client = new RegistryClient();
    await putImage(client.repository({ registry: registry.address, repository: 'team/app' }), layout, '1');
    const name = `${registry.address}/team/app:1`;
    const attach = ['attach', '--plain-http', '--artifact-type', 'text/plain', '--annotation', 'note=ahoy'];
    await peerOutput('oras', [...attach, name]);
    const copy = ['copy', '-q', '--src-tls-verify=false', `docker://${name}`, `oci:${work}/images:app`];
    await peerOutput('skopeo', copy);
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  const manifest = (repository: string, tag: string): Promise<Response> =>
    fetch(`http://${registry.address}/v2/${repository}/manifests/${tag}`, {
      headers: { accept: `${MEDIA_TYPES.ociIndex}, ${MEDIA_TYPES.ociManifest}` },
    });
  /** The digest that a tag leads to; null where there is none. */
  const digestAt = async (repository: string, tag: string): Promise<string | null> =>
    (await manifest(repository, tag)).headers.get('docker-content-digest');
  /** What refers to the image, as docker-registry keeps it: under a tag. */
  const referrersAt = async (repository: string): Promise<string[]> => {
    const digest = await digestAt('team/app', '1');
    const answer = await manifest(repository, digest?.replace(':', '-') ?? '');
    const { manifests } = (await answer.json()) as { manifests: { digest: string }[] };
    return manifests.map((descriptor) => descriptor.digest).sort();
  };

  const sameCopy: Compare = async (theirs, ours) => {
    const copied = await digestAt(`${ours.own}/app`, '1');
    expect(copied).toBe(await digestAt(`${theirs.own}/app`, '1'));
    expect(copied).not.toBeNull();
  };
  const sameReferrers: Compare = async (theirs, ours) => {
    await sameCopy(theirs, ours);
    const copied = await referrersAt(`${ours.own}/app`);
    expect(copied).toEqual(await referrersAt(`${theirs.own}/app`));
    expect(copied).toEqual(await referrersAt('team/app'));
  };
  const gone: Compare = async (theirs, ours) => {
    const left = [await digestAt(`${theirs.own}/app`, '1'), await digestAt(`${ours.own}/app`, '1')];
    expect(left).toEqual([null, null]);
  };
  const sameTag: Compare = async () => {
    const tagged = await digestAt('team/app', 'ours');
    expect(tagged).toBe(await digestAt('team/app', 'theirs'));
    expect(tagged).toBe(await digestAt('team/app', '1'));
  };
  const sameFound: Compare = async (theirs, ours) => {
    const index = await digestAt('team/app', '1');
    const found = digestsIn(theirs).filter((digest) => digest !== index);
    expect(found.length).toBeGreaterThan(0);
    expect(digestsIn(ours)).toEqual(expect.arrayContaining(found));
  };

  const PAIRS: readonly (readonly [theirs: string, compare: Compare])[] = [
    [`skopeo inspect --format '{{.Digest}}' docker://${IMAGE}`, sameOutput],
    [`skopeo inspect --raw docker://${IMAGE}`, sameOutput],
    [`skopeo inspect --config --raw docker://${IMAGE}`, sameOutput],
    [
      'skopeo list-tags docker://registry.lan:5000/team/app',
      (theirs, ours) => {
        const { Tags } = JSON.parse(theirs.result.stdout) as { Tags: string[] };
        expect(sortedLines(ours)).toEqual(Tags.sort());
      },
    ],
    [`skopeo copy --all docker://${IMAGE} ${COPY}`, sameCopy],
    [`skopeo delete ${COPY}`, gone],
    [`skopeo copy docker://${IMAGE} oci:images:app`, sameLayout],
    [`skopeo copy docker://${IMAGE} oci-archive:app.tar:app`, sameArchive],
    [`skopeo copy docker://${IMAGE} docker-archive:app.tar:app:1`, sameConfig],
    [`oras resolve ${IMAGE}`, sameOutput],
    [
      'oras repo tags registry.lan:5000/team/app',
      (theirs, ours) => expect(sortedLines(ours)).toEqual(sortedLines(theirs)),
    ],
    [`oras manifest fetch ${IMAGE}`, sameOutput],
    [`oras manifest fetch-config --platform linux/amd64 ${IMAGE}`, sameOutput],
    ['oras blob fetch --output - registry.lan:5000/team/app@sha256:…', sameOutput],
    [`oras cp -r ${IMAGE} registry.lan:5000/copy/app:1`, sameReferrers],
    [`oras tag ${IMAGE} stable`, sameTag],
    [`oras discover ${IMAGE}`, sameFound],
    ['umoci raw unpack --image images:app rootfs', sameTree('rootfs')],
    ['umoci unpack --image images:app bundle', sameTree('bundle/rootfs')],
    ['umoci tag --image images:app stable', sameLayout],
    ['umoci rm --image images:app', sameLayout],
  ];

  /** A command of the page, as one side types it here. */
  const asTyped = (command: string, own: Side['own']): readonly string[] => {
    const [program = '', ...words] = wordsOf(
      command
        .replaceAll('registry.lan:5000/copy/', `registry.lan:5000/${own}/`)
        .replaceAll('registry.lan:5000', registry.address)
        .replaceAll('sha256:…', config)
        .replace(/ stable$/, command.startsWith('umoci') ? ' stable' : ` ${own}`),
    );
    if (program === 'landfall') return [process.execPath, LANDFALL, ...words];
    return [program, ...words, ...(PLAIN[`${program} ${words[0] ?? ''}`] ?? [])];
  };
  const typed = async (command: string, own: Side['own'], at: string): Promise<Side> => {
    const cwd = join(at, own);
    const [program = '', ...words] = asTyped(command, own);
    const env = { HOME: at, LANDFALL_ROOT: join(at, 'store'), XDG_RUNTIME_DIR: at };
    const result = await runCommand(program, words, { cwd, env });
    expect(result.code, `${command}\n${result.stderr}`).toBe(0);
    return { cwd, own, result };
  };

  // umoci gives files to others, as root does.
  const here = PAIRS.filter(([theirs]) => isRoot || !theirs.includes('unpack'));
  it.each(here)('has one outcome: %s', async (theirs, compare) => {
    const ours = ROWS.find((row) => row.theirs === theirs)?.ours[0] ?? '';
    expect(ours, 'the page has that row').not.toBe('');
    const at = await mkdtemp(join(work, 'pair-'));
    for (const own of ['theirs', 'ours']) {
      if (!theirs.startsWith('umoci')) await mkdir(join(at, own));
      else await cp(join(work, 'images'), join(at, own, 'images'), { recursive: true });
    }
    await compare(await typed(theirs, 'theirs', at), await typed(ours, 'ours', at));
  });

  it.skipIf(needsPeer('containerd', 'ctr') !== undefined || !isRoot)('has one outcome with ctr', async () => {
    await using containerd = await PlainContainerd.start();
    const name = `${registry.address}/team/app:1`;
    await containerd.ctr('content', 'fetch', '--plain-http', '--platform', 'linux/amd64', name);
    const env = { LANDFALL_ROOT: join(work, 'beside-containerd') };
    const landfall = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runCommand(process.execPath, [LANDFALL, ...args], { env });
      expect(code, stderr).toBe(0);
      return stdout;
    };
    await landfall('pull', '--no-unpack', '--platform', 'linux/amd64', name);
    const blob = await landfall('blob', `${registry.address}/team/app@${config}`);
    expect(blob).toBe(await containerd.ctr('content', 'get', config));
    expect(await containerd.ctr('content', 'ls', '-q')).toContain((await landfall('images', '-q')).trim());
  });
});
