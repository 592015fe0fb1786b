import type { BodySink } from './body-source.js';
import type { HttpResponse } from './http.js';

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
