import { type Abortable, RegistryError, SpecError } from '../errors.js';
import { quoted } from '../spec/quoted.js';
import { Authenticator } from './authenticate.js';
import { collectBeginning } from './body-source.js';
import type { CredentialsProvider } from './credentials.js';
import { ERROR_BODY_BYTES, responseError } from './error-response.js';
import { speaksNoTls } from './network-error.js';
import { type Followed, sendFollowing } from './redirect.js';
import { secretsOf } from './token.js';
import type { HttpResponse, HttpSender } from './transport.js';

export interface RegistryHostOptions {
  /** As references name it: `docker.io`, `127.0.0.1:5000`. */
  readonly registry: string;
  readonly transport: HttpSender;
  readonly credentials: CredentialsProvider | undefined;
  readonly userAgent: string;
  readonly plainHttp: boolean;
}

export interface RegistryRequest extends Abortable {
  readonly method: 'GET' | 'HEAD';
  /** From `/v2/` on. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What a token must allow: `repository:team/app:pull`. */
  readonly scope: string;
  /** The statuses that are answers; any other is thrown. */
  readonly expected: readonly number[];
  /** What is asked for, in words. */
  readonly subject: string;
  readonly attempt: number;
}

/** How buckets answer a signed URL that has expired; a new try gets a new one from the registry. */
const REFUSALS_OF_SIGNED_URLS: ReadonlySet<number> = new Set([400, 401, 403]);

/** One registry at one address: where it is, whether it speaks TLS, and what it wants to be shown. Retries nothing. */
export class RegistryHost {
  /** As references name it. */
  readonly registry: string;
  readonly #options: RegistryHostOptions;
  readonly #authenticator: Authenticator;
  readonly #address: string;
  readonly #mayBePlain: boolean;
  #protocol: 'https:' | 'http:' | undefined;

  constructor(options: RegistryHostOptions) {
    this.registry = options.registry;
    this.#options = options;
    this.#authenticator = new Authenticator(options);
    this.#address = options.registry === 'docker.io' ? 'registry-1.docker.io' : options.registry;
    // A port beyond 65535, or an address like 1.2.3.999, which the grammar of references lets through.
    if (!URL.canParse(`https://${this.#address}`)) {
      throw new SpecError('INVALID_REFERENCE', `${quoted(this.#address)} is not the address of a registry`, {
        hint: 'Check the host and the port.',
      });
    }
    this.#mayBePlain = isLoopback(this.#address);
    if (options.plainHttp) this.#protocol = 'http:';
  }

  /**
   * One try: redirects are followed and a challenge is answered once.
   *
   * @throws {RegistryError} all codes; {@link RegistryError.retryable} says whether another try may help
   */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    let authorization = await this.#authenticator.authorization(request.scope, request);
    let followed = await this.#send(request, authorization);
    if (followed.response.status === 401 && !followed.crossed) {
      const { response } = followed;
      const body = await collectBeginning(response, ERROR_BODY_BYTES);
      const answer = await this.#authenticator.answer(
        {
          lines: response.headers('www-authenticate'),
          origin: response.url,
          scope: request.scope,
          refused: authorization,
        },
        request,
      );
      if (answer === undefined) throw await this.#refusal(request, followed, authorization, body);
      authorization = answer;
      followed = await this.#send(request, authorization);
    }
    if (request.expected.includes(followed.response.status)) return followed.response;
    const body = await collectBeginning(followed.response, ERROR_BODY_BYTES);
    throw await this.#refusal(request, followed, authorization, body);
  }

  async #send(request: RegistryRequest, authorization: string | undefined): Promise<Followed> {
    const { method, attempt, signal } = request;
    const urlBy = (protocol: string): URL => new URL(`${protocol}//${this.#address}${request.path}`);
    const send = async (protocol: string): Promise<Followed> =>
      await sendFollowing(this.#options.transport, {
        method,
        attempt,
        signal,
        url: urlBy(protocol),
        headers: {
          'user-agent': this.#options.userAgent,
          // A proxy that compresses on the way would change a blob's bytes.
          'accept-encoding': 'identity',
          ...request.headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
      });
    const protocol = this.#protocol ?? 'https:';
    try {
      const followed = await send(protocol);
      this.#protocol ??= protocol;
      return followed;
    } catch (error) {
      // Once https has been spoken there is no way back; and what counts is how this address answers, not the one
      // that it may have redirected to.
      const undecided = this.#mayBePlain && protocol === 'https:' && this.#protocol !== 'https:';
      if (!undecided || !speaksNoTls(error, urlBy(protocol))) throw error;
      this.#protocol = 'http:';
      return await send('http:');
    }
  }

  async #refusal(
    { method, subject }: RegistryRequest,
    { response, crossed }: Followed,
    authorization: string | undefined,
    body: Buffer,
  ): Promise<RegistryError> {
    const credentials = await this.#authenticator.credentials();
    const shown = authorization?.replace(/^\w+ /, '');
    const error = responseError({
      method,
      response,
      body,
      subject,
      authenticated: credentials !== undefined && authorization !== undefined,
      secrets: [...secretsOf(credentials), ...(shown === undefined ? [] : [shown])],
    });
    if (!crossed || !REFUSALS_OF_SIGNED_URLS.has(response.status)) return error;
    return new RegistryError('UNAVAILABLE', error.message, {
      retryable: true,
      details: error.details,
      hint: 'The registry redirected to a place that refused; try again, or ask who runs it.',
    });
  }
}

/** Whether an address without its port is this machine's own. */
export function isLoopback(address: string): boolean {
  const host = address.replace(/:\d+$/, '').toLowerCase();
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
