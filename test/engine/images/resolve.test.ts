import { describe, expect, test } from 'vitest';

import { resolveReference } from '../../../src/engine/images/read-manifest.js';
import {
  type Descriptor,
  digestOf,
  MEDIA_TYPES,
  parsePlatform,
  parseReference,
} from '../../../src/spec/index.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

interface Document {
  readonly text: string;
  readonly descriptor: Descriptor;
}

function manifestOrIndex(content: object, mediaType: string): Document {
  const text = JSON.stringify(content);
  const bytes = Buffer.from(text);
  return { text, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function image(
  architecture: string,
  configType: string = MEDIA_TYPES.ociConfig,
  mediaType: string = MEDIA_TYPES.ociManifest,
): Document & { config: Document } {
  const config = manifestOrIndex(
    {
      os: architecture === 'unknown' ? 'unknown' : 'linux',
      architecture,
      rootfs: { type: 'layers', diff_ids: [] },
    },
    configType,
  );
  const manifest = { schemaVersion: 2, mediaType, config: config.descriptor, layers: [] };
  return { ...manifestOrIndex(manifest, mediaType), config };
}

function index(...images: readonly [architecture: string, Document][]): Document {
  const manifests = images.map(([architecture, { descriptor }]) => {
    return { ...descriptor, platform: { os: 'linux', architecture } };
  });
  const mediaType = MEDIA_TYPES.ociIndex;
  return manifestOrIndex({ schemaVersion: 2, mediaType, manifests }, mediaType);
}

/** Of entries that name no platform, or say that it is null, beside those that do. */
function silent(entries: readonly (Document | object)[], mediaType: string = MEDIA_TYPES.ociIndex): Document {
  const manifests = entries.map((entry) => ('descriptor' in entry ? entry.descriptor : entry));
  return manifestOrIndex({ schemaVersion: 2, mediaType, manifests }, mediaType);
}

const [amd64, arm64] = [image('amd64'), image('arm64')];
const both = index(['amd64', amd64], ['arm64', arm64]);
const artifact = image('', 'application/vnd.example.config+json');
const nowhere = image('');
const docker = image('amd64', MEDIA_TYPES.dockerConfig, MEDIA_TYPES.dockerManifest);
const attestation = image('unknown');
const unknown = { os: 'unknown', architecture: 'unknown' };
const attested = { ...attestation.descriptor, platform: unknown };
const listed = (of: Document, platform: unknown): object => ({ ...of.descriptor, platform });

function head({ text, descriptor }: Document): Step {
  return { on: 'HEAD /v2/team/app/manifests/1', ...manifestReply(text, descriptor.mediaType) };
}

function manifest({ text, descriptor }: Document): Step {
  return {
    on: `GET /v2/team/app/manifests/${descriptor.digest}`,
    ...manifestReply(text, descriptor.mediaType),
  };
}

function blob({ text, descriptor }: Document): Step {
  return { on: `GET /v2/team/app/blobs/${descriptor.digest}`, body: text };
}

async function resolved(steps: readonly Step[], platform?: string): Promise<Descriptor> {
  await using registry = await ScriptedRegistry.start(steps);
  await using client = fastClient();
  return await resolveReference({
    registry: client,
    reference: parseReference(`${registry.address}/team/app:1`),
    ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
  });
}

describe('a name leads to', () => {
  const rows: [name: string, steps: Step[], platform: string | undefined, found: Document][] = [
    ['an index', [head(both)], undefined, both],
    ['an image', [head(arm64)], undefined, arm64],
    ['the image of a platform', [head(both), manifest(both), manifest(arm64)], 'linux/arm64', arm64],
    [
      'the only image, for which its config speaks',
      [head(arm64), manifest(arm64), blob(arm64.config)],
      'arm64',
      arm64,
    ],
    ['an artifact, which is for all', [head(artifact), manifest(artifact)], 'linux/arm64', artifact],
    ...[
      ['says no platform', silent([amd64])],
      ['says that it is null', silent([listed(amd64, null)])],
      ['says an empty one', silent([listed(amd64, {})])],
      ['says no platform, beside an attestation', silent([attested, amd64])],
    ].map(([what, of]): [string, Step[], string, Document] => {
      const found = of as Document;
      const steps = [head(found), manifest(found), manifest(amd64), blob(amd64.config)];
      return [`the image of an index that ${what as string}`, steps, 'linux/amd64', amd64];
    }),
    [
      'the image of a list of Docker that says no platform',
      ((list) => [head(list), manifest(list), manifest(docker), blob(docker.config)])(
        silent([docker], MEDIA_TYPES.dockerList),
      ),
      'linux/amd64',
      docker,
    ],
    [
      'the image behind an artifact, where neither says a platform',
      ((list) => [head(list), manifest(list), manifest(artifact), manifest(amd64), blob(amd64.config)])(
        silent([artifact, amd64]),
      ),
      'linux/amd64',
      amd64,
    ],
    [
      'the one of several images that say no platform whose config says the wanted one',
      ((list) => [
        head(list),
        ...[manifest(list), manifest(amd64), blob(amd64.config), manifest(arm64), blob(arm64.config)],
      ])(silent([amd64, arm64])),
      'linux/arm64',
      arm64,
    ],
    [
      'the image for which an index says the platform, rather than one of which only the config could',
      ((list) => [head(list), manifest(list), manifest(arm64)])(
        silent([amd64, listed(arm64, { os: 'linux', architecture: 'amd64' })]),
      ),
      'linux/amd64',
      arm64,
    ],
    [
      'the image in the second of two indexes that say no platform',
      ((first, second) =>
        ((list) => [
          ...[head(list), manifest(list), manifest(first), manifest(artifact)],
          ...[manifest(second), manifest(amd64), blob(amd64.config)],
        ])(silent([first, second])))(silent([artifact]), silent([amd64])),
      'linux/amd64',
      amd64,
    ],
    [
      'the image that is there, where another one that says no platform is not',
      ((list) => [
        ...[head(list), manifest(list)],
        { on: `GET /v2/team/app/manifests/${arm64.descriptor.digest}`, status: 404 },
        ...[manifest(amd64), blob(amd64.config)],
      ])(silent([arm64, amd64])),
      'linux/amd64',
      amd64,
    ],
    [
      'the only artifact of an index without images',
      ((list) => [head(list), manifest(list), manifest(artifact)])(silent([artifact])),
      'linux/amd64',
      artifact,
    ],
    [
      'what broke off at first',
      [head(both), { ...manifest(both), dropAfter: 10 }, manifest(both), manifest(amd64)],
      'linux/amd64',
      amd64,
    ],
  ];
  test.each(rows)('%s', async (_name, steps, platform, found) => {
    expect(await resolved(steps, platform)).toMatchObject(found.descriptor);
  });
});

describe('a name does not lead to', () => {
  const rows: [name: string, steps: Step[], platform: string, error: object][] = [
    [
      'a platform that the index has not',
      [head(both), manifest(both)],
      'linux/s390x',
      { code: 'NO_MATCHING_PLATFORM', details: { available: ['linux/amd64', 'linux/arm64'] } },
    ],
    [
      'a platform that the only image is not for',
      [head(amd64), manifest(amd64), blob(amd64.config)],
      'linux/arm64',
      { code: 'NO_MATCHING_PLATFORM', details: { available: ['linux/amd64'] } },
    ],
    [
      'an image that says no platform and is for another one',
      ((list) => [head(list), manifest(list), manifest(arm64), blob(arm64.config)])(
        silent([attested, arm64]),
      ),
      'linux/amd64',
      { code: 'NO_MATCHING_PLATFORM', details: { available: ['linux/arm64'] } },
    ],
    [
      'an attestation, nor is one told of as a platform',
      [head(attestation), manifest(attestation), blob(attestation.config)],
      'linux/amd64',
      { code: 'NO_MATCHING_PLATFORM', details: { available: [] }, hint: 'Choose another image.' },
    ],
    [
      'an image that is for no platform, nor is one told of',
      [head(nowhere), manifest(nowhere), blob(nowhere.config)],
      'linux/amd64',
      { code: 'NO_MATCHING_PLATFORM', details: { available: [] } },
    ],
    [
      'one of more entries without a platform than anybody lists',
      ((list) => [head(list), manifest(list)])(
        silent(Array.from({ length: 101 }, (_, at) => image(`cpu${at}`))),
      ),
      'linux/amd64',
      { code: 'LIMIT_EXCEEDED' },
    ],
    [
      'what was changed on the way',
      [head(both), { ...manifest(both), times: 2, body: both.text.replace('arm64', 'mips6') }],
      'linux/amd64',
      { code: 'DIGEST_MISMATCH', details: { expected: both.descriptor.digest } },
    ],
  ];
  test.each(rows)('%s', async (_name, steps, platform, error) => {
    expect(await failure(resolved(steps, platform))).toMatchObject(error);
  });
});
