import type { PolicyImage } from './policy-image.js';
import type { PolicyRule } from './requirement.js';

/** A policy in its file, in bytes. One that lists a thousand repositories on their own has some 300 KiB. */
export const MAX_POLICY_BYTES: number = 1024 * 1024;

/** A policy, understood as a whole. Made by `parsePolicy`. */
export interface Policy {
  /** What holds where nothing else does. */
  readonly default: PolicyRule;
  /** By transport, then by scope; `''` is the transport's own default. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, PolicyRule>>;
}

/** The rule of a policy that governs an image. */
export interface GoverningRule {
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
export function acceptsAnything({ requirements }: PolicyRule): boolean {
  return requirements.every(({ type }) => type === 'insecureAcceptAnything');
}
