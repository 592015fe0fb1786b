import { TrustError } from '../../errors.js';

/**
 * Why a signature does not count: `attestation`, it is none; `identity`, whoever was asked for has signed this very content, only under
 * another name; `other-signer`, it says itself that another has made it; `signer`, all else.
 */
export type RefusalKind = 'attestation' | 'identity' | 'other-signer' | 'signer';

/** What one signature lacks, in words that follow its name: `made by another key`. It never leaves this folder. */
export class Refusal extends TrustError {
  readonly kind: RefusalKind;

  constructor(reason: string, kind: RefusalKind = 'signer', cause?: unknown) {
    super('SIGNATURE_INVALID', reason, cause === undefined ? {} : { cause });
    this.kind = kind;
  }
}
