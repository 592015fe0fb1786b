import type { Reply, SeenRequest, Step } from './scripted-registry.js';
import { manifestReply } from './scripted-registry.js';
import type { TinyLayout } from './tiny-image.js';

export interface ImageStepsOptions {
  /** `team/app` */
  readonly repository: string;
  readonly tag: string;
  /** How blobs are sent. Default: with ranges. */
  readonly blobs?: Reply;
  /** Asked first, for every request; undefined goes on to the honest answer. */
  readonly first?: (request: SeenRequest, nth: number) => Reply | undefined;
  /** Appended to each path: what a mirror is asked with. */
  readonly query?: string;
}

/** Steps by which a scripted registry serves an image, each as often as it is asked. */
export function imageSteps(layout: TinyLayout, options: ImageStepsOptions): Step[] {
  const { repository, tag, blobs = { ranges: true }, first, query = '' } = options;
  const below = `/v2/${repository}`;
  const manifests = [layout.target, ...layout.manifests.map(({ manifest }) => manifest)];
  const steps: Step[] = [];
  const add = (on: string, reply: Reply): void =>
    void steps.push({ on: `${on}${query}`, times: 'any', ...reply });
  for (const { digest, mediaType } of manifests) {
    const reply = manifestReply(layout.blobs.get(digest) ?? '', mediaType, digest);
    for (const method of ['HEAD', 'GET']) {
      add(`${method} ${below}/manifests/${digest}`, reply);
      if (digest === layout.target.digest) add(`${method} ${below}/manifests/${tag}`, reply);
    }
  }
  for (const [digest, body] of layout.blobs) add(`GET ${below}/blobs/${digest}`, { body, ...blobs });
  return [
    ...(first === undefined
      ? []
      : ['HEAD', 'GET'].map((method): Step => ({ on: `${method} *`, times: 'any', reply: first }))),
    ...steps,
  ];
}
