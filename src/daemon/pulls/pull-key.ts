import { createHmac, randomBytes } from 'node:crypto';
import type { Credentials } from '../../registry/index.js';

/** Made anew with each process, so that a key tells nothing of the credentials in it to anybody. */
const SALT = randomBytes(32);

/** What two pulls have to have in common to be one. */
export interface PullIdentity {
  /** Canonical. */
  readonly reference: string;
  readonly platform: string;
  readonly credentials: Credentials | undefined;
  /** What says which signatures it needs: the policy's path, and what the image was asked for as, where that is something else. */
  readonly policy: string | undefined;
  readonly askedAs: string | undefined;
  /** How it is pulled, as text. */
  readonly manner: string;
}

/**
 * Equal for pulls that may be one: whoever may not pull an image, or may not use it, gets nothing by asking for it while somebody pulls it who
 * may.
 */
export function pullKey({ credentials, ...rest }: PullIdentity): string {
  const { reference, platform, policy = '', askedAs = '', manner } = rest;
  const secret =
    credentials === undefined
      ? ''
      : createHmac('sha256', SALT)
          .update(JSON.stringify(Object.entries(credentials).sort()))
          .digest('hex');
  return JSON.stringify([reference, platform, policy, askedAs, manner, secret]);
}
