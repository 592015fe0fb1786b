import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import type { ServeLimits } from './limits.js';

/** How often is looked, as a part of the time that a client has. */
const LOOKS = 4;

interface Watched {
  readonly socket: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  moved: number;
  since: number;
}

/**
 * Cuts off clients that hold a request open and hardly move: who drips an upload, or does not read what it asked for. Only
 * who is waited for counts, never what this machine or an upstream is slow with.
 */
export class SlowClients {
  readonly #limits: Pick<ServeLimits, 'stallMs' | 'leastBytesPerSecond'>;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: Pick<ServeLimits, 'stallMs' | 'leastBytesPerSecond'>) {
    this.#limits = limits;
  }

  /** Watches a request until its answer has ended. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const watched = { socket, request, response, moved: movedOn(socket), since: Date.now() };
    this.#watched.add(watched);
    response.once('close', () => this.#watched.delete(watched));
    this.#timer ??= setInterval(() => this.#look(), this.#limits.stallMs / LOOKS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const { stallMs, leastBytesPerSecond } = this.#limits;
    const now = Date.now();
    for (const watched of this.#watched) {
      const moved = movedOn(watched.socket);
      const least = (leastBytesPerSecond * (now - watched.since)) / 1000;
      if (moved - watched.moved >= least || !isWaitedFor(watched)) {
        watched.moved = moved;
        watched.since = now;
      } else if (now - watched.since >= stallMs) {
        watched.socket.destroy();
      }
    }
  }
}

/** What the client has taken counts, and not what waits here for it. */
function movedOn(socket: Socket): number {
  return socket.bytesRead + socket.bytesWritten - socket.writableLength;
}

function isWaitedFor({ socket, request, response }: Watched): boolean {
  // Bytes wait to be taken, or the request is not whole and all that came of it was read.
  return (
    socket.writableLength > 0 || (!request.complete && !response.headersSent && request.readableLength === 0)
  );
}
