import { isUtf8 } from 'node:buffer';

import { TrustError } from '../../errors.js';
import { LIMITS } from '../../spec/index.js';
import { type JsonNode, readJsonTree } from './json-tree.js';
import { MAX_POLICY_BYTES } from './requirement.js';

const HINT = 'Mend the policy; it refuses every image until then. docs/signatures.md tells what it may hold.';

/** The text of a policy, which knows where in its file what stands. */
export class PolicyText {
  readonly file: string;
  /** Offsets at which lines begin. */
  readonly #lines: readonly number[];

  constructor(file: string, text: string) {
    this.file = file;
    this.#lines = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  }

  /** The line of an offset, from 1. */
  lineOf(offset: number): number {
    let line = 1;
    // Halves what is left, since a long policy asks this of each of its lines.
    for (let after = this.#lines.length + 1; after - line > 1;) {
      const middle = (line + after) >> 1;
      if ((this.#lines[middle - 1] ?? 0) <= offset) line = middle;
      else after = middle;
    }
    return line;
  }

  /** That the policy cannot be understood, with FILE:LINE:COLUMN of where. */
  fault(offset: number, what: string, cause?: unknown): TrustError {
    const line = this.lineOf(offset);
    const column = offset - (this.#lines[line - 1] ?? 0) + 1;
    return new TrustError('POLICY_REJECTED', `${this.file}:${line}:${column}: ${what}`, {
      hint: HINT,
      details: { policy: this.file, line },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** The JSON of a policy: what it says, and where. */
export interface PolicyJson {
  readonly text: PolicyText;
  readonly root: JsonNode;
}

/**
 * Reads JSON as RFC 8259 has it: no comments, no comma before a closing bracket.
 *
 * @throws TrustError POLICY_REJECTED
 */
export async function parsePolicyJson(bytes: Uint8Array, file: string): Promise<PolicyJson> {
  const nothing = new PolicyText(file, '');
  if (bytes.byteLength > MAX_POLICY_BYTES) {
    throw nothing.fault(0, `the policy has ${bytes.byteLength} bytes, more than ${MAX_POLICY_BYTES}`);
  }
  if (!isUtf8(bytes)) throw nothing.fault(0, 'the policy is not UTF-8');
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const text = new PolicyText(file, content);
  try {
    JSON.parse(content);
  } catch (cause) {
    // What can say where takes longer to load than all of a policy that is right.
    const { syntaxFault } = await import('./syntax-fault.js');
    const { offset, what } = syntaxFault(content);
    throw text.fault(offset, what, cause);
  }
  const tooDeep = offsetBeyond(LIMITS.jsonDepth, content);
  if (tooDeep === undefined) return { text, root: readJsonTree(content) };
  throw text.fault(tooDeep, `the policy is nested more than ${LIMITS.jsonDepth} deep`);
}

/** Where JSON becomes too deep, by a look at the brackets outside strings, before anything follows it down there. */
function offsetBeyond(limit: number, json: string): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const char = json[at];
    if (inString) {
      if (char === '\\') at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') {
      inString = true;
    } else if (char === '{' || char === '[') {
      depth += 1;
      if (depth > limit) return at;
    } else if (char === '}' || char === ']') {
      depth -= 1;
    }
  }
  return undefined;
}
