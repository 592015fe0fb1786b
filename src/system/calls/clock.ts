import { libc, systemError } from './libc.js';

const CLOCK_REALTIME = 0;
const timespec = Buffer.alloc(16);

/**
 * The machine's clock in microseconds since 1970, which a double holds exactly. A Date has milliseconds only,
 * so it may be earlier than what another program read from the same clock just before.
 *
 * @throws SystemError
 */
export function microsecondsNow(): number {
  if (libc().clock_gettime(CLOCK_REALTIME, timespec) < 0) throw systemError('clock_gettime');
  return (
    Number(timespec.readBigInt64LE(0)) * 1_000_000 + Math.floor(Number(timespec.readBigInt64LE(8)) / 1000)
  );
}
