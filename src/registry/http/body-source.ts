import type { HttpResponse } from './http.js';

/**
 * A body that is pushed to one sink. The transport pushes straight from the parser into whatever needs the bytes, with no
 * stream between: at loopback speed every layer between costs as much as the socket does.
 */
export interface BodySource {
  /** Begins the flow, once. The sink may be called before this returns. */
  start(sink: BodySink): void;
  /** Goes on after {@link BodySink.data} answered false; otherwise without effect. */
  resume(): void;
  /** Stops, and closes the connection if bytes are still to come. The sink hears nothing more. */
  destroy(): void;
}

export interface BodySink {
  /** False asks for a pause until {@link BodySource.resume}. The chunk is the sink's to keep. */
  data(chunk: Buffer): boolean;
  /** Told when a limit of ours begins to hold bytes back, and when it ends: what they take so long for is not the host. */
  limited?(isHeldBack: boolean): void;
  end(): void;
  /** A LandfallError. Last call, as `end` is. */
  error(error: Error): void;
}

/**
 * The whole body, where it is small.
 *
 * @param limit bytes; beyond it the connection is closed and `tooLong` is thrown
 */
export async function collectBody(source: BodySource, limit: number, tooLong: () => Error): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  await new Promise<void>((resolve, reject) => {
    source.start({
      data: (chunk) => {
        length += chunk.length;
        if (length > limit) {
          source.destroy();
          reject(tooLong());
          return true;
        }
        chunks.push(chunk);
        return true;
      },
      end: resolve,
      error: reject,
    });
  });
  await connectionIsFree();
  return Buffer.concat(chunks, length);
}

/**
 * undici offers a connection again one turn of the event loop after its answer has ended. Whoever asks sooner opens
 * another one, and pays for its handshake.
 */
async function connectionIsFree(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** The first bytes of a body, whatever happens to the rest; read so that the connection can be used again. */
export async function collectBeginning(source: BodySource, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  await new Promise<void>((resolve) => {
    source.start({
      data: (chunk) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > limit) {
          source.destroy();
          resolve();
        }
        return true;
      },
      end: resolve,
      error: () => resolve(),
    });
  });
  await connectionIsFree();
  return Buffer.concat(chunks, length).subarray(0, limit);
}

/** An answer that says once when it is over: read to its end, broken, or destroyed. */
export class WatchedResponse implements HttpResponse {
  readonly status: number;
  readonly url: URL;
  readonly #response: HttpResponse;
  readonly #over: () => void;

  constructor(response: HttpResponse, over: () => void) {
    this.status = response.status;
    this.url = response.url;
    this.#response = response;
    this.#over = over;
  }

  header(name: string): string | undefined {
    return this.#response.header(name);
  }

  headers(name: string): readonly string[] {
    return this.#response.headers(name);
  }

  start(sink: BodySink): void {
    this.#response.start({
      data: (chunk) => sink.data(chunk),
      limited: (isHeldBack) => sink.limited?.(isHeldBack),
      end: () => {
        this.#over();
        sink.end();
      },
      error: (error) => {
        this.#over();
        sink.error(error);
      },
    });
  }

  resume(): void {
    this.#response.resume();
  }

  destroy(): void {
    this.#over();
    this.#response.destroy();
  }
}
