import { quoted } from '../../spec/index.js';
import type { JsonField } from './json-tree.js';
import { parseRequirement } from './parse-requirement.js';
import type { Policy } from './policy.js';
import { itemsOf, PolicyObject } from './policy-object.js';
import { parsePolicyJson, type PolicyText } from './policy-text.js';
import type { PolicyRule } from './requirement.js';
import { scopeFault } from './scope-fault.js';

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
