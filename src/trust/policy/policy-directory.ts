import { join, resolve } from 'node:path';

import { TrustError } from '../../errors.js';
import { quoted } from '../../spec/index.js';
import { isThere } from './find-policy.js';
import { PolicyFile } from './policy-file.js';

/** A namespace is a DNS label (Kubernetes: Namespaces), so it cannot lead out of a directory either. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Signature policies by Kubernetes namespace, as CRI-O's `signature_policy_dir` has them: `NAMESPACE.json`, looked for at each question. */
export class PolicyDirectory {
  /** Absolute. */
  readonly path: string;
  readonly #fallback: PolicyFile | undefined;

  /** @param fallback for namespaces without a policy of their own, and for what belongs to no namespace */
  constructor(path: string, fallback: PolicyFile | undefined) {
    this.path = resolve(path);
    this.#fallback = fallback;
  }

  /**
   * The policy of a namespace; undefined where neither it nor the fallback is there.
   *
   * @throws TrustError POLICY_REJECTED if it is no namespace, or the directory is not there
   */
  async forNamespace(namespace: string | undefined): Promise<PolicyFile | undefined> {
    if (namespace === undefined || namespace === '') return this.#fallback;
    if (!NAMESPACE.test(namespace)) {
      throw new TrustError(
        'POLICY_REJECTED',
        `no policy can be told for ${quoted(namespace)}, which is no namespace`,
        {
          hint: 'Use a namespace as Kubernetes has them: lower-case letters, digits and dashes.',
        },
      );
    }
    const path = join(this.path, `${namespace}.json`);
    if (await isThere(path)) return new PolicyFile(path);
    // A directory that was not mounted must not loosen what it was to hold.
    if (await isThere(this.path)) return this.#fallback;
    throw new TrustError(
      'POLICY_REJECTED',
      `the directory of policies ${this.path} is not there, so every image is refused`,
      {
        hint: 'Put it there, or start without --policy-dir.',
        details: { policy: path },
      },
    );
  }
}
