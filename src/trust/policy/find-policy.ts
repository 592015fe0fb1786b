import { lstat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemCode, TrustError } from '../../errors.js';
import { PolicyFile } from './policy-file.js';
import type { PolicyImage } from './policy-image.js';
import type { SignatureRuling } from './signature-ruling.js';

/** A policy, and who has chosen it. */
export interface FoundPolicy {
  /** The policy. */
  readonly file: PolicyFile;
  /** Who has chosen it. */
  readonly origin: 'option' | 'environment' | 'user' | 'system';
}

/** Where a policy is looked for. */
export interface FindPolicyOptions {
  /** What whoever asks has named. */
  readonly explicit?: string | undefined;
  /** For `LANDFALL_POLICY` and `HOME`: usually `process.env`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: `/etc/containers/policy.json`. */
  readonly system?: string;
}

const SYSTEM = '/etc/containers/policy.json';

/**
 * Finds the policy that governs: the one that is named, that of `LANDFALL_POLICY`, then the user's
 * (`$HOME/.config/containers/policy.json`) and the system's, where they are there. One that is named governs also where it is not
 * there, and one that is there also where it cannot be read: it then refuses everything.
 *
 * @throws TrustError INVALID_CONFIG if the name is empty
 */
export async function findPolicyFile(options: FindPolicyOptions): Promise<FoundPolicy | undefined> {
  const named = namedPolicy(options);
  if (named !== undefined) return named;
  const [user, system] = placesOf(options);
  if (await isThere(user)) return { file: new PolicyFile(user), origin: 'user' };
  return (await isThere(system)) ? { file: new PolicyFile(system), origin: 'system' } : undefined;
}

/**
 * The same for what runs for long: where no policy is named, it is looked for anew whenever it is asked.
 *
 * @throws TrustError INVALID_CONFIG if the name is empty
 */
export function lastingPolicy(options: FindPolicyOptions): PolicyFile {
  return namedPolicy(options)?.file ?? new PolicyInPlaces(placesOf(options));
}

function namedPolicy({ explicit, env }: FindPolicyOptions): FoundPolicy | undefined {
  if (explicit === '') {
    throw new TrustError('INVALID_CONFIG', 'the name of the policy is empty', {
      hint: 'Name the file of a policy with --policy, or leave the option out.',
    });
  }
  if (explicit !== undefined) return { file: new PolicyFile(resolve(explicit)), origin: 'option' };
  const named = given(env['LANDFALL_POLICY']);
  if (named !== undefined) return { file: new PolicyFile(resolve(named)), origin: 'environment' };
  return undefined;
}

/** The user's, then the system's. */
function placesOf({ env, system = SYSTEM }: FindPolicyOptions): readonly [string, string] {
  return [resolve(join(given(env['HOME']) ?? homedir(), '.config/containers/policy.json')), system];
}

/** An empty variable counts as unset. */
function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/**
 * The policy that nobody has named, for what runs for long: the first that is there of some places, looked for anew each time, so that one that
 * is put there later governs from then on. While there is none, everything is accepted.
 */
export class PolicyInPlaces extends PolicyFile {
  readonly #places: readonly string[];

  /** @param places absolute, the first that is there counts */
  constructor(places: readonly [string, ...string[]]) {
    super(places[0]);
    this.#places = places;
  }

  override async rulingFor(image: PolicyImage): Promise<SignatureRuling | undefined> {
    return await (await this.#inEffect())?.rulingFor(image);
  }

  override async admitUnnamed(what: string): Promise<void> {
    await (await this.#inEffect())?.admitUnnamed(what);
  }

  override async acceptsEverything(): Promise<boolean> {
    return (await (await this.#inEffect())?.acceptsEverything()) ?? true;
  }

  async #inEffect(): Promise<PolicyFile | undefined> {
    for (const place of this.#places) if (await isThere(place)) return new PolicyFile(place);
    return undefined;
  }
}

/** Whether a policy is there, be it a link to nowhere or where it cannot be looked at: only what surely is not there governs nothing. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}
