/** What a proxy makes of the way between a client and a server. */
export type LineShape =
  /**
   * All of them later by so much each way, as many as come: latency, and no limit on how much is under way.
   */
  | { readonly kind: 'far'; readonly oneWayMilliseconds: number }
  /** No more than so many a second each way, on each connection. */
  | { readonly kind: 'capped'; readonly bytesPerSecond: number };

/** One way of one connection. Times are milliseconds of any clock that does not go back. */
export interface Line {
  /** When bytes that came now leave at the other end. Never before those that came earlier. */
  leavesAt(bytes: number, now: number): number;
  /** How many bytes it takes before the sender has to wait. */
  readonly holds: number;
}

/** At 25 ms each way this is 1.3 GB/s: only what the receiver does not take makes the sender wait. */
const FAR_HOLDS = 32 << 20;
/** Enough that the line never runs dry between two reads, and a small part of a second of any cap. */
const CAPPED_HOLDS = 256 << 10;

/**
 * Both ways of a connection that was accepted at `opened`. The kernel here answers a client's SYN at once, so
 * on a far line the round trip that connecting takes is added to the first bytes that the client sends.
 */
export function linesOf(shape: LineShape, opened: number): { readonly up: Line; readonly down: Line } {
  switch (shape.kind) {
    case 'far': {
      const oneWay = shape.oneWayMilliseconds;
      return { up: farLine(oneWay, opened + 2 * oneWay), down: farLine(oneWay, opened) };
    }
    case 'capped':
      return { up: cappedLine(shape.bytesPerSecond), down: cappedLine(shape.bytesPerSecond) };
  }
}

function farLine(oneWay: number, connected: number): Line {
  return { holds: FAR_HOLDS, leavesAt: (_bytes, now) => Math.max(now, connected) + oneWay };
}

/**
 * A piece leaves once its last byte does. Time in which nothing came is lost, as it is on a wire: there are
 * no bursts.
 */
function cappedLine(bytesPerSecond: number): Line {
  let free = 0;
  return {
    holds: CAPPED_HOLDS,
    leavesAt: (bytes, now) => (free = Math.max(free, now) + (bytes * 1000) / bytesPerSecond),
  };
}
