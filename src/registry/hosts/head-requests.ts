import { RegistryError } from '../../errors.js';
import { collectBeginning, contentLength, type HttpResponse, parseContentRange } from '../http/http.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { RegistryHost, RegistryRequest } from './registry-host.js';

type Head = Omit<RegistryRequest, 'method'>;

/** What a host says of a blob. */
export interface BlobAnswer {
  /** Among those that were expected, or of a part. */
  readonly status: number;
  /** Of the whole, in bytes; undefined where it does not say. */
  readonly size: number | undefined;
}

/**
 * The HEADs of one task, by which hosts are asked what they have. Some hosts, and more of the proxies before them, answer a
 * HEAD wrongly or not at all and a GET well. Where it was refused, or has failed twice, the host is asked by GET for the rest
 * of the task.
 */
export class HeadRequests {
  readonly #failed = new Set<RegistryHost>();
  /** Where a HEAD has failed in a way that may pass. */
  readonly #failedOnce = new Set<RegistryHost>();

  /**
   * The answer to a HEAD; undefined where the same is to be asked by GET now.
   *
   * @throws {RegistryError} what a GET cannot help, and what may pass: then there is another try
   */
  async send(host: RegistryHost, request: Head): Promise<HttpResponse | undefined> {
    if (this.#failed.has(host)) return undefined;
    try {
      return await host.request({ ...request, method: 'HEAD' });
    } catch (error) {
      if (!mayBeOfHead(error)) throw error;
      // Once, as where a kept connection has just been closed, it may be chance; and registries count GETs, not HEADs.
      if (!error.retryable || this.#failedOnce.has(host)) this.#failed.add(host);
      this.#failedOnce.add(host);
      if (error.retryable) throw error;
      return undefined;
    }
  }

  /** Asks for a blob by HEAD, or else by a GET for its first byte. @throws {RegistryError} */
  async blob(host: RegistryHost, request: Head): Promise<BlobAnswer> {
    const response =
      (await this.send(host, request)) ??
      (await host.request({
        ...request,
        method: 'GET',
        headers: { ...request.headers, range: 'bytes=0-0' },
        // An empty blob has no first byte.
        expected: [...request.expected, 206, 416],
      }));
    // A host that knows no ranges begins to send it all.
    await collectBeginning(response, ERROR_BODY_BYTES);
    return { status: response.status, size: wholeLength(response) };
  }

  /** Asks a host by GET from now on: what it said to a HEAD is not so, or too little. */
  distrust(host: RegistryHost): void {
    this.#failed.add(host);
  }
}

function wholeLength(response: HttpResponse): number | undefined {
  if (response.status === 206) return parseContentRange(response.header('content-range'))?.total;
  return response.status === 416 ? 0 : contentLength(response);
}

/**
 * Whether a failure may be one of HEAD alone. That credentials were refused is none, and to show them once more would only
 * lock the account sooner; nor is what a token server has said, or that there is no connection to be had.
 */
function mayBeOfHead(error: unknown): error is RegistryError {
  if (!(error instanceof RegistryError) || error.details.method !== 'HEAD') return false;
  const { code, retryable, details } = error;
  if (code === 'UNAUTHORIZED') return details['challenges'] === 0;
  if (code === 'ABORTED' || code === 'NOT_FOUND') return false;
  return retryable || details.status !== undefined || code === 'PROTOCOL';
}
