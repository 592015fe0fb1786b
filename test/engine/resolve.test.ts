import { describe, expect, test } from 'vitest';

import { resolveReference } from '../../src/engine/resolve.js';
import {
  type Descriptor,
  digestOf,
  MEDIA_TYPES,
  parsePlatform,
  parseReference,
} from '../../src/spec/index.js';
import { failure, fastClient } from '../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry, type Step } from '../support/scripted-registry.js';

interface Document {
  readonly text: string;
  readonly descriptor: Descriptor;
}

function document(content: object, mediaType: string): Document {
  const text = JSON.stringify(content);
  const bytes = Buffer.from(text);
  return { text, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function image(
  architecture: string,
  configType: string = MEDIA_TYPES.ociConfig,
): Document & { config: Document } {
  const config = document(
    { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: [] } },
    configType,
  );
  const mediaType = MEDIA_TYPES.ociManifest;
  const manifest = { schemaVersion: 2, mediaType, config: config.descriptor, layers: [] };
  return { ...document(manifest, mediaType), config };
}

function index(...images: readonly [architecture: string, Document][]): Document {
  const manifests = images.map(([architecture, { descriptor }]) => {
    return { ...descriptor, platform: { os: 'linux', architecture } };
  });
  const mediaType = MEDIA_TYPES.ociIndex;
  return document({ schemaVersion: 2, mediaType, manifests }, mediaType);
}

const [amd64, arm64] = [image('amd64'), image('arm64')];
const both = index(['amd64', amd64], ['arm64', arm64]);
const artifact = image('', 'application/vnd.example.config+json');

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
