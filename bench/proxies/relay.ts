import type { Socket } from 'node:net';
import type { Line } from './line.js';

interface Held {
  readonly due: number;
  /** Undefined: the sender has ended. */
  readonly piece: Buffer | undefined;
}

/**
 * Passes one way of a connection on, in order and as its line says. The sender waits while the line holds as
 * much as it may. An end is passed on as an end, behind all that came before it, and the other way goes on; a
 * sender that breaks off breaks off the receiver, and what was under way is lost.
 */
export class Relay {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #line: Line;
  readonly #held: Held[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(from: Socket, to: Socket, line: Line) {
    this.#from = from;
    this.#to = to;
    this.#line = line;
  }

  static start(from: Socket, to: Socket, line: Line): void {
    const relay = new Relay(from, to, line);
    from.on('data', (piece: Buffer) => relay.#hold(piece));
    from.on('end', () => relay.#hold(undefined));
    // What closes says so by 'close', which these would otherwise keep from coming by throwing.
    from.on('error', () => undefined);
    to.on('error', () => undefined);
    from.on('close', () => {
      if (!from.readableEnded) to.resetAndDestroy();
    });
    to.on('close', () => {
      clearTimeout(relay.#timer);
      if (!to.writableFinished) from.resetAndDestroy();
    });
    to.on('drain', () => relay.#paceSender());
  }

  #hold(piece: Buffer | undefined): void {
    const bytes = piece?.length ?? 0;
    this.#bytes += bytes;
    this.#held.push({ due: this.#line.leavesAt(bytes, performance.now()), piece });
    if (this.#timer === undefined) this.#deliver();
    this.#paceSender();
  }

  #deliver(): void {
    if (this.#to.destroyed) return;
    const now = performance.now();
    let next = this.#held[0];
    for (; next !== undefined && next.due <= now; next = this.#held[0]) {
      this.#held.shift();
      if (next.piece === undefined) {
        this.#to.end();
      } else {
        this.#bytes -= next.piece.length;
        this.#to.write(next.piece);
      }
    }
    if (next === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#deliver();
      this.#paceSender();
    }, next.due - now);
  }

  #paceSender(): void {
    if (this.#bytes + this.#to.writableLength >= this.#line.holds) this.#from.pause();
    else if (this.#from.isPaused()) this.#from.resume();
  }
}
