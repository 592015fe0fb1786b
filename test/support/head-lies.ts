import { digestOf } from '../../src/spec/index.js';
import { imageSteps } from './image-steps.js';
import { manifestReply, type Reply, type Step } from './scripted-registry.js';
import type { TinyLayout } from './tiny-image.js';

/** What a registry answers to HEAD by a tag, and by digest, although GET by the tag works. */
export interface HeadLie {
  readonly head: (layout: TinyLayout) => Reply;
  /** What the manifest is asked for by, as HEAD has it. */
  readonly claimed: (layout: TinyLayout) => string;
  readonly byDigest: Reply | undefined;
}

const good = ({ target, blobs }: TinyLayout): Reply =>
  manifestReply(blobs.get(target.digest) ?? '', target.mediaType, target.digest);
const having = (layout: TinyLayout, headers: Record<string, string>): Reply => {
  const reply = good(layout);
  return { ...reply, headers: { ...reply.headers, ...headers } };
};
const STALE = digestOf(Buffer.from('what the tag named before'));
const own = ({ target }: TinyLayout): string => target.digest;

export const HEAD_LIES: readonly (readonly [name: string, lie: HeadLie])[] = [
  [
    'has a stale digest',
    {
      head: (layout) => having(layout, { 'docker-content-digest': STALE }),
      claimed: () => STALE,
      byDigest: { status: 404 },
    },
  ],
  [
    'has a wrong length',
    {
      head: (layout) => having(layout, { 'content-length': String(layout.target.size + 7) }),
      claimed: own,
      byDigest: undefined,
    },
  ],
  ['is right, and manifests are had by tag alone', { head: good, claimed: own, byDigest: { status: 404 } }],
  ['is right, and a digest is no reference to it', { head: good, claimed: own, byDigest: { status: 400 } }],
];

/** A registry that has an image as `team/app:1`, and lies so. */
export function lyingSteps(layout: TinyLayout, { head, claimed, byDigest }: HeadLie): Step[] {
  const below = 'GET /v2/team/app/manifests/';
  return [
    { on: 'HEAD /v2/team/app/manifests/1', ...head(layout) },
    ...(byDigest === undefined ? [] : [{ on: `${below}${claimed(layout)}`, ...byDigest }]),
    { on: `${below}1`, ...good(layout) },
    ...imageSteps(layout, { repository: 'team/app', tag: 'unused' }),
  ];
}

/** The requests by which the manifest of a tag is found nevertheless. */
export function honestLines(layout: TinyLayout, { claimed }: HeadLie): string[] {
  const below = '/v2/team/app/manifests/';
  return [`HEAD ${below}1`, `GET ${below}${claimed(layout)}`, `GET ${below}1`];
}
