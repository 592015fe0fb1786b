import { isLandfallError, LandfallError } from '../errors.js';
import { describeOrigin, type Origins } from './origin.js';

/**
 * Says of an option that is wrong, or does not go with another one, where it comes from if nobody typed it. Messages are for
 * people; what is found in none is no loss.
 */
export function withOrigins(error: unknown, origins: Origins): unknown {
  if (!isLandfallError(error) || error.code !== 'INVALID_CONFIG') return error;
  const said = `${error.message} ${error.hint}`;
  const told = [...origins].flatMap(([key, origin]) => {
    const long = `--${key.split('.').at(-1) ?? ''}`;
    if (origin.from === 'option' || !new RegExp(`${long}(?![\\w-])`).test(said)) return [];
    const place = describeOrigin(origin, long);
    return error.message.includes(place) ? [] : [`${long} comes from ${place}`];
  });
  if (told.length === 0) return error;
  return new LandfallError(error.code, `${error.message} (${told.join(', ')})`, {
    cause: error.cause,
    retryable: error.retryable,
    hint: error.hint,
    details: error.details,
  });
}
