import { posix } from 'node:path';
import { isDigest, isVerifiable, quoted } from '../../spec/index.js';
import type { JsonField } from './json-tree.js';
import { parseRequirement } from './parse-requirement.js';
import { itemsOf, PolicyObject } from './policy-object.js';
import { parsePolicyJson, type PolicyText } from './policy-text.js';
import type { Policy, PolicyRule } from './requirement.js';

/**
 * Parses a policy (containers-policy.json(5)), as strictly as its peers do: what is unknown, stands twice, is of the wrong type or
 * missing refuses the file as a whole, since it may be the misspelled line that was to keep something out.
 *
 * @param file for messages, which begin with FILE:LINE:COLUMN
 * @throws TrustError POLICY_REJECTED
 */
export async function parsePolicy(bytes: Uint8Array, file: string): Promise<Policy> {
  const { text, root } = await parsePolicyJson(bytes, file);
  const policy = new PolicyObject(text, root, 'the policy').only('default', 'transports');
  const rule = ruleOf(text, policy.oneOf('default'));
  const transports = policy.atMostOneOf('transports');
  return {
    default: rule,
    transports: new Map(
      transports === undefined
        ? []
        : new PolicyObject(text, transports.value, '"transports"').fields.map((transport) => [
            transport.key,
            scopesOf(text, transport),
          ]),
    ),
  };
}

function scopesOf(text: PolicyText, transport: JsonField): ReadonlyMap<string, PolicyRule> {
  const { fields } = new PolicyObject(text, transport.value, `the transport ${quoted(transport.key)}`);
  return new Map(
    fields.map((scope) => {
      const fault = scopeFault(transport.key, scope.key);
      if (fault !== undefined) {
        throw text.fault(
          scope.offset,
          `${quoted(scope.key)} is no scope of the transport ${quoted(transport.key)}: ${fault}`,
        );
      }
      return [scope.key, ruleOf(text, scope)];
    }),
  );
}

function ruleOf(text: PolicyText, field: JsonField): PolicyRule {
  return {
    requirements: itemsOf(text, field).map((item) => parseRequirement(text, item)),
    line: text.lineOf(field.offset),
  };
}

type Check = (scope: string) => string | undefined;

const anything: Check = () => undefined;

/** The transport's own default, `''`, would have the meaning of `/` too, and one of them would hide the other. */
const path: Check = (scope) => {
  if (!scope.startsWith('/')) return 'it has to be an absolute path';
  if (scope === '/') return 'write "" for all that the transport has';
  const canonical = posix.resolve(scope);
  return canonical === scope ? undefined : `write it as ${quoted(canonical)}`;
};

const nothing: Check = () => 'it has none but ""';

const name: Check = (scope) =>
  isDigest(scope) && isVerifiable(scope) ? 'it may not be a digest' : undefined;

/**
 * What peers ask of scopes, also of transports that no image comes by here: they share the file. What they ask of those of atomic and
 * containers-storage depends on how they were built.
 */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['docker', anything],
  ['oci', path],
  ['oci-archive', path],
  ['docker-archive', nothing],
  ['dir', path],
  ['sif', path],
  ['tarball', nothing],
  ['docker-daemon', name],
]);

/** Why a transport cannot have a scope (containers-policy.json(5): Supported transports and their scopes); undefined where it can. */
export function scopeFault(transport: string, scope: string): string | undefined {
  return scope === '' ? undefined : (CHECKS.get(transport) ?? anything)(scope);
}
