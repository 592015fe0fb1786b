import { LandfallError, RegistryError } from '../../errors.js';

/** That a pull is given up which makes no progress. @param ms for how long */
export function stalled(reference: string, ms: number): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    `${reference}: the pull made no progress for ${Math.round(ms / 1000)} seconds`,
    {
      retryable: true,
      hint: 'Check the network and the registry; what has arrived is kept, and the next pull goes on from there.',
    },
  );
}

/** That nothing more is begun. */
export function stopping(): LandfallError {
  return new LandfallError('UNAVAILABLE', 'the daemon is stopping', {
    retryable: true,
    hint: 'Try again when it has been started; what has arrived is kept.',
  });
}
