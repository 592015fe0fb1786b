import { isLandfallError, type LandfallError, TrustError } from '../../errors.js';
import { RegistryFault } from '../http/registry-fault.js';

/**
 * The error for a client after a failure at an upstream. A refusal is not passed on as 401, since the client
 * would then send the upstream's credentials here. Errors of this machine are thrown on as they are.
 */
export function upstreamFault(error: unknown, missing: 'BLOB_UNKNOWN' | 'MANIFEST_UNKNOWN'): unknown {
  if (!isLandfallError(error)) return error;
  if (error instanceof TrustError) return refused(error);
  const { message } = error;
  switch (error.code) {
    case 'NOT_FOUND':
    case 'BLOB_NOT_FOUND':
      return new RegistryFault(404, missing, message);
    case 'UNAUTHORIZED':
    case 'DENIED':
      return new RegistryFault(403, 'DENIED', `the upstream refuses this mirror: ${message}`);
    case 'RATE_LIMITED':
      return new RegistryFault(429, 'TOOMANYREQUESTS', message, retryAfter(error));
    case 'UNAVAILABLE':
    case 'PROTOCOL':
    case 'REDIRECT_REFUSED':
    case 'DIGEST_MISMATCH':
    case 'SIZE_MISMATCH':
    case 'INVALID_MANIFEST':
    case 'INVALID_DIGEST':
    case 'LIMIT_EXCEEDED':
    case 'UNSUPPORTED_MEDIA_TYPE':
      return new RegistryFault(502, 'UNKNOWN', message);
    case 'ABORTED':
      return new RegistryFault(503, 'UNKNOWN', 'the upstream took too long, or this mirror ends');
    default:
      return error;
  }
}

/** In seconds, as the upstream asked for it. */
function retryAfter({ details }: LandfallError): Record<string, string> {
  const milliseconds = details['retryAfterMs'];
  return typeof milliseconds === 'number' ? { 'Retry-After': String(Math.ceil(milliseconds / 1000)) } : {};
}

/** A refusal of the signature policy, with the reason and the hint for the client. */
function refused({ code, message, hint, details }: TrustError): RegistryFault {
  // The list of all places that were tried stays here.
  const detail = { code, hint, ...details, tried: undefined };
  return new RegistryFault(403, 'DENIED', message, {}, [{ code: 'DENIED', message, detail }]);
}
