import { performance } from 'node:perf_hooks';
import { Limiter, RecentMap } from '../../concurrency/index.js';
import { type Abortable, LandfallError, RegistryError } from '../../errors.js';

/** How a server takes certain credentials. */
interface Proof {
  /** Held by the use that proves them. */
  readonly turn: Limiter;
  accepted: boolean;
  /** Uses that decided nothing. */
  undecided: number;
  /** By purpose. */
  readonly refusals: Map<string, { readonly error: RegistryError; readonly until: number }>;
}

export interface ProofOptions<T> extends Abortable {
  /** Set where a refusal may be about the purpose rather than the credentials. */
  readonly purpose?: string | undefined;
  /** Uses the credentials without a purpose: this tells whether the refusal of another one was theirs. */
  readonly settle?: ((options: Abortable) => Promise<unknown>) | undefined;
  /** Reads from a result whether the credentials are accepted. Default: they are. */
  readonly judge?: ((result: T) => 'accepted' | 'undecided' | RegistryError) | undefined;
}

/** The purpose of credentials that are refused for every purpose. */
const EVERY = '';
/**
 * Accounts are locked by some wrong passwords within minutes. A server that only lost its directory of users
 * for a while must get them again from a process that runs for weeks.
 */
const REMEMBERED_MS = 15 * 60_000;
/** Some helpers give new credentials every hour. */
const MOST_PROOFS = 100;

/**
 * How the servers of one host take credentials, so that wrong ones are not sent again and again.
 *
 * Until a server has accepted credentials, one use of them goes at a time and proves them, while the others
 * wait. An aborted use proves nothing, and the next one takes its place. Accepted credentials are held back no
 * more: a later refusal is about the purpose. Where a use without a purpose can settle that, they have to be
 * proven anew after it, since a password may have been changed meanwhile.
 */
export class CredentialProofs {
  readonly #proofs = new RecentMap<string, Proof>(MOST_PROOFS);

  /** The refusal that is remembered, if there is one. */
  refusal(key: string, purpose: string = EVERY): RegistryError | undefined {
    const { refusals } = this.#proofOf(key);
    for (const name of [EVERY, purpose]) {
      const refusal = refusals.get(name);
      if (refusal === undefined) continue;
      if (refusal.until > performance.now()) return refusal.error;
      refusals.delete(name);
    }
    return undefined;
  }

  /**
   * @param key the server and the credentials
   * @throws {RegistryError} a refusal that is remembered; ABORTED while it waits; what the use throws
   */
  async prove<T>(key: string, use: () => Promise<T>, options: ProofOptions<T> = {}): Promise<T> {
    const proof = this.#proofOf(key);
    const { purpose = EVERY, settle, signal } = options;
    if (proof.accepted) return await judged(proof, purpose, use, options);
    const before = proof.undecided;
    const proven = await proof.turn.run(
      async () => {
        const refusal = this.refusal(key, purpose);
        if (refusal !== undefined) throw refusal;
        // A server that is out of order shall not keep the others waiting one after the other.
        if (proof.accepted || proof.undecided !== before) return undefined;
        if (settle !== undefined && proof.refusals.size > 0) {
          await judged(proof, EVERY, () => settle({ signal })).catch((error: unknown) => {
            if (isRefusedOrAborted(error)) throw error;
          });
        }
        return { result: await judged(proof, purpose, use, options) };
      },
      { signal },
    );
    return proven === undefined ? await judged(proof, purpose, use, options) : proven.result;
  }

  #proofOf(key: string): Proof {
    const known = this.#proofs.get(key);
    if (known !== undefined) return known;
    const proof = { turn: new Limiter(1), accepted: false, undecided: 0, refusals: new Map() };
    this.#proofs.set(key, proof);
    return proof;
  }
}

async function judged<T>(
  proof: Proof,
  purpose: string,
  use: () => Promise<T>,
  { judge, settle }: ProofOptions<T> = {},
): Promise<T> {
  const note = (outcome: unknown): void =>
    noteOutcome(proof, { purpose, outcome, settles: settle !== undefined });
  try {
    const result = await use();
    note(judge?.(result) ?? 'accepted');
    return result;
  } catch (error) {
    note(error);
    throw error;
  }
}

function noteOutcome(
  proof: Proof,
  {
    purpose,
    outcome,
    settles,
  }: { readonly purpose: string; readonly outcome: unknown; readonly settles: boolean },
): void {
  if (outcome === 'accepted') {
    proof.accepted = true;
    proof.refusals.clear();
  } else if (!isRefusedOrAborted(outcome)) {
    proof.undecided += 1;
  } else if (
    outcome instanceof RegistryError &&
    outcome.code === 'UNAUTHORIZED' &&
    (!proof.accepted || settles)
  ) {
    proof.accepted = false;
    proof.refusals.set(purpose, { error: outcome, until: performance.now() + REMEMBERED_MS });
  }
}

function isRefusedOrAborted(error: unknown): error is LandfallError {
  return error instanceof LandfallError && (error.code === 'UNAUTHORIZED' || error.code === 'ABORTED');
}
