import type { Abortable } from '../../errors.js';
import { collectBeginning } from '../http/body-source.js';
import type { Credentials, CredentialsProvider } from './credentials.js';
import type { HostChain } from '../hosts/host-chain.js';

/** What a registry says to credentials. */
export interface CheckedCredentials {
  /** Whether the registry wanted to see them. If not, it serves everybody, and may take any. */
  readonly asked: boolean;
}

export interface CheckCredentialsOptions extends Abortable {
  /** As references name it. */
  readonly registry: string;
  /** The hosts of that registry, shown what this provider finds. They are used for this alone. */
  readonly chainWith: (credentials: CredentialsProvider) => HostChain | Promise<HostChain>;
}

/** The answer to whether this is a registry has no body worth reading. */
const ANSWER_BYTES = 64 * 1024;

/**
 * Shows credentials to a registry, which does nothing but look at them (distribution-spec: Determining Support).
 * Asked is where a push would go: that a mirror takes them, or nobody's, says nothing about the registry.
 *
 * @throws {RegistryError} UNAUTHORIZED or DENIED where they are wrong, and what stands in the way of asking
 */
export async function checkCredentials(
  credentials: Credentials,
  { registry, chainWith, signal }: CheckCredentialsOptions,
): Promise<CheckedCredentials> {
  let asked = false;
  const chain = await chainWith((name) => {
    if (name !== registry) return Promise.resolve(undefined);
    asked = true;
    return Promise.resolve(credentials);
  });
  await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turn }) => {
    const response = await host.request({
      method: 'GET',
      path: '',
      headers: {},
      access: [],
      expected: [200],
      subject: registry,
      attempt,
      signal: turn,
    });
    await collectBeginning(response, ANSWER_BYTES);
  });
  return { asked };
}
