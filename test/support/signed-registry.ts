import { type Digest, MEDIA_TYPES } from '../../src/spec/index.js';
import { imageSteps } from './image-steps.js';
import {
  errorReply,
  manifestReply,
  ScriptedRegistry,
  type SeenRequest,
  type Step,
} from './scripted-registry.js';
import type { Reply } from './scripted-reply.js';
import type { SignatureArtifact } from './simple-signing.js';
import type { TinyLayout } from './tiny-image.js';

export interface SignedRegistryOptions {
  readonly layout: TinyLayout;
  /** What lies there under its tag. */
  readonly tagged?: readonly SignatureArtifact[];
  /** What refers to the image's target. */
  readonly referrers?: readonly SignatureArtifact[];
  /** Asked first, for every request; undefined goes on to the honest answer. */
  readonly lie?: (request: SeenRequest) => Reply | undefined;
}

const REPOSITORY = 'team/app';
const BELOW = `/v2/${REPOSITORY}`;

/**
 * A registry with one image, `team/app:1`, and its signatures, which lists referrers; honest except where
 * `lie` says otherwise.
 */
export async function startSignedRegistry({
  layout,
  tagged = [],
  referrers = [],
  lie,
}: SignedRegistryOptions): Promise<ScriptedRegistry> {
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: referrers.map(({ manifest }) => manifest),
  };
  return await ScriptedRegistry.start([
    ...(['HEAD', 'GET', 'POST'] as const).map((method): Step => ({
      on: `${method} *`,
      times: 'any',
      reply: (request) => lie?.(request),
    })),
    ...[...tagged, ...referrers].flatMap(artifactSteps),
    always(
      `GET ${BELOW}/referrers/${layout.target.digest}`,
      manifestReply(JSON.stringify(index), MEDIA_TYPES.ociIndex),
    ),
    always(
      `GET ${BELOW}/referrers/*`,
      manifestReply(JSON.stringify({ ...index, manifests: [] }), MEDIA_TYPES.ociIndex),
    ),
    ...imageSteps(layout, { repository: REPOSITORY, tag: '1' }),
    ...['HEAD', 'GET'].map((method) => always(`${method} ${BELOW}/*`, errorReply(404, 'MANIFEST_UNKNOWN'))),
  ]);
}

function artifactSteps({ manifest, blobs, tag }: SignatureArtifact): Step[] {
  const at = (name: Digest | string): Step[] =>
    ['HEAD', 'GET'].map((method) =>
      always(
        `${method} ${BELOW}/manifests/${name}`,
        manifestReply(blobs.get(manifest.digest) ?? '', manifest.mediaType, manifest.digest),
      ),
    );
  return [
    ...at(manifest.digest),
    ...(tag === undefined ? [] : at(tag)),
    ...[...blobs].map(([digest, body]) => always(`GET ${BELOW}/blobs/${digest}`, { body })),
  ];
}

function always(on: string, reply: Reply): Step {
  return { on, times: 'any', ...reply };
}
