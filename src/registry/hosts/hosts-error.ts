import { errorFromJSON, type LandfallError, RegistryError } from '../../errors.js';
import type { RegistryHost } from './registry-host.js';

/** What one host said, or did to the connection. */
export interface HostFailure {
  readonly host: RegistryHost;
  readonly error: LandfallError;
}

/**
 * The error when no host could do it: that of the registry itself, which knows best, and what each other host said. Its
 * details list all of them. With a single host it is that host's own.
 */
export function hostsError(failures: readonly HostFailure[]): LandfallError {
  const main = failures.findLast(({ host }) => host.isUpstream) ?? failures.at(-1);
  if (main === undefined) {
    return new RegistryError('UNAVAILABLE', 'no host could be asked', { retryable: true });
  }
  if (failures.length === 1) return main.error;
  const others = failures.filter((failure) => failure !== main);
  const { message, details, ...rest } = main.error.toJSON();
  return errorFromJSON({
    ...rest,
    message: [message, ...others.map(said)].join('; also tried '),
    retryable: failures.some(({ error }) => error.retryable),
    details: { ...details, hosts: failures.map(said) },
  });
}

function said({ host, error }: HostFailure): string {
  return error.message.includes(host.name) ? error.message : `${host.name}: ${error.message}`;
}
