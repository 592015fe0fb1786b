import { TrustError } from '../../errors.js';
import type { PolicyImage } from './policy-image.js';
import { readRegularFile } from './regular-file.js';
import {
  acceptsAnything,
  type GoverningRule,
  governingRule,
  MAX_POLICY_BYTES,
  type Policy,
  type PolicyRequirement,
  type PolicyRule,
  type SigstoreSigned,
} from './requirement.js';
import type { SignatureRequirement, SignatureRuling } from './signature-ruling.js';

/**
 * A signature policy in its file (containers-policy.json(5)). It is read anew whenever it is asked, with the keys that it names, so
 * that what is changed holds from then on.
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
   * @throws TrustError POLICY_REJECTED (the policy refuses the image, or cannot be read or understood, and then refuses all), UNSUPPORTED (it
   *   asks for signatures by GPG)
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
   * Lets in an image of which nobody knows where it is from or what it is called, if the policy accepts anything that is at a
   * registry. Whether it does for one place only cannot be of use to an image that may be from another.
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
      `nobody knows where ${what} is from, and not everything is accepted by its rule for ${this.#place(strict)}`,
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
      ...(hint === undefined ? {} : { hint }),
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
