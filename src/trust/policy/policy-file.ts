import { lstat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemCode, TrustError } from '../../errors.js';
import { quoted } from '../../spec/index.js';
import type { PolicyImage } from './policy-image.js';
import { readRegularFile } from './regular-file.js';
import {
  MAX_POLICY_BYTES,
  type Policy,
  type PolicyRequirement,
  type PolicyRule,
  type SignatureRequirement,
  type SignatureRuling,
  type SigstoreSigned,
} from './requirement.js';

/**
 * A signature policy in its file (containers-policy.json(5)). It is read anew whenever it is asked, with the
 * keys that it names, so that what is changed holds from then on.
 */
export class PolicyFile {
  /** Absolute. */
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * What signatures an image needs; undefined where it needs none.
   *
   * @internal
   * @throws TrustError POLICY_REJECTED (the policy refuses the image, or cannot be read or understood, and
   *   then refuses all), UNSUPPORTED (it asks for signatures by GPG)
   */
  async rulingFor(image: PolicyImage): Promise<SignatureRuling | undefined> {
    const policy = await this.#read();
    const governing = governingRule(policy, image);
    const { rule, scope } = governing;
    this.#refuseWhatNothingMeets(governing, image.name);
    const asked = rule.requirements.filter(isSigstoreSigned);
    if (asked.length === 0) return undefined;
    // Here alone, since a policy that asks for no signatures needs no keys.
    const { loadRequirement } = await import('./load-requirement.js');
    const place = { policy: this.path, scope, line: rule.line };
    const requirements: SignatureRequirement[] = [];
    for (const requirement of asked) requirements.push(await loadRequirement(requirement, place));
    return { ...place, requirements };
  }

  /**
   * Lets in an image of which nobody knows where it is from or what it is called, if the policy accepts
   * anything that is at a registry. Whether it does for one place only cannot be of use to an image that may
   * be from another.
   *
   * @internal
   * @param what the image, as a person would write it
   * @throws TrustError POLICY_REJECTED
   */
  async admitUnnamed(what: string): Promise<void> {
    const policy = await this.#read();
    const strict = [...registryRules(policy)].find(({ rule }) => !acceptsAnything(rule));
    if (strict === undefined) return;
    throw this.#refusal(
      strict,
      what,
      `the origin of ${what} is not known, and not everything is accepted by its rule for ${this.#place(strict)}`,
      'Pull or load the image again under its name.',
    );
  }

  /**
   * Whether it asks nothing of any image.
   *
   * @throws TrustError POLICY_REJECTED (it cannot be read or understood, and refuses all)
   */
  async acceptsEverything(): Promise<boolean> {
    const { default: last, transports } = await this.#read();
    return [last, ...[...transports.values()].flatMap((rules) => [...rules.values()])].every(acceptsAnything);
  }

  async #read(): Promise<Policy> {
    let bytes: Buffer;
    try {
      bytes = await readRegularFile(this.path, MAX_POLICY_BYTES);
    } catch (error) {
      const why = error instanceof Error ? error.message : 'cannot be read';
      throw new TrustError('POLICY_REJECTED', `the policy ${this.path} ${why}, so it refuses every image`, {
        hint: 'Put the policy there, or name another with --policy.',
        details: { policy: this.path },
        cause: error,
      });
    }
    const { parsePolicy } = await import('./parse-policy.js');
    return await parsePolicy(bytes, this.path);
  }

  #refuseWhatNothingMeets(governing: GoverningRule, image: string): void {
    const types = new Set(governing.rule.requirements.map(({ type }) => type));
    const place = this.#place(governing);
    if (types.has('reject')) throw this.#refusal(governing, image, `its rule for ${place} is "reject"`);
    for (const type of ['signedBy', 'signedBaseLayer'] as const) {
      if (!types.has(type)) continue;
      const { scope, rule } = governing;
      throw new TrustError(
        'UNSUPPORTED',
        `the policy lets in ${image} only with what landfall cannot verify: its rule for ${place} has ${UNVERIFIED[type]}`,
        {
          hint: 'Have the image signed with sigstore, and ask for "sigstoreSigned" instead.',
          details: { policy: this.path, scope, line: rule.line, image },
        },
      );
    }
  }

  #refusal({ scope, rule }: GoverningRule, image: string, why: string, hint?: string): TrustError {
    return new TrustError('POLICY_REJECTED', `the policy refuses ${image}: ${why}`, {
      hint,
      details: { policy: this.path, scope, line: rule.line, image },
    });
  }

  /** `docker:quay.io/team (/etc/containers/policy.json:12)` */
  #place({ scope, rule }: GoverningRule): string {
    return `${scope} (${this.path}:${rule.line})`;
  }
}

const UNVERIFIED = {
  signedBy: '"signedBy", a signature by GPG',
  signedBaseLayer: '"signedBaseLayer"',
} as const;

function isSigstoreSigned(requirement: PolicyRequirement): requirement is SigstoreSigned {
  return requirement.type === 'sigstoreSigned';
}

/** All rules that can govern an image at a registry. */
function* registryRules(policy: Policy): Generator<{ readonly scope: string; readonly rule: PolicyRule }> {
  for (const [scope, rule] of policy.transports.get('docker') ?? []) yield { scope: `docker:${scope}`, rule };
  yield { scope: 'default', rule: policy.default };
}

/** A policy, and what has chosen it. */
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
 * (`$HOME/.config/containers/policy.json`) and the system's, where they are there. One that is named governs
 * also where it is not there, and one that is there also where it cannot be read: it then refuses everything.
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
 * The policy that nobody has named, for what runs for long: the first that is there of some places, looked
 * for anew each time, so that one that is put there later governs from then on. While there is none,
 * everything is accepted.
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

/**
 * Whether a policy is there, be it a link to nowhere or where it cannot be looked at: only what surely is not
 * there governs nothing.
 */
async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}

/** A namespace is a DNS label (Kubernetes: Namespaces), so it cannot lead out of a directory either. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Signature policies by Kubernetes namespace, as CRI-O's `signature_policy_dir` has them: `NAMESPACE.json`,
 * looked for at each question.
 */
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
        `there is no policy for ${quoted(namespace)}, which is no namespace`,
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

/** The rule of a policy that governs an image. */
interface GoverningRule {
  readonly rule: PolicyRule;
  /** `docker:quay.io/team`, `docker:` for a transport's own default, `default`. */
  readonly scope: string;
}

/** Finds the most specific rule, which alone counts: those of wider scopes are not looked at. */
export function governingRule(policy: Policy, { transport, scopes }: PolicyImage): GoverningRule {
  const rules = policy.transports.get(transport);
  for (const scope of [...scopes, '']) {
    const rule = rules?.get(scope);
    if (rule !== undefined) return { rule, scope: `${transport}:${scope}` };
  }
  return { rule: policy.default, scope: 'default' };
}

/** Whether a rule lets in whatever comes, signed or not. */
function acceptsAnything({ requirements }: PolicyRule): boolean {
  return requirements.every(({ type }) => type === 'insecureAcceptAnything');
}
