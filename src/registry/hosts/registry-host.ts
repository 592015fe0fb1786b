import { performance } from 'node:perf_hooks';
import { type Abortable, RegistryError } from '../../errors.js';
import { asksForPassword, Authenticator } from '../auth/authenticate.js';
import { type Credentials, type CredentialsProvider, secretsOf } from '../auth/credentials.js';
import { responseError } from '../http/error-response.js';
import {
  collectBeginning,
  holdsSecret,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
  type HttpSender,
  parseWarnings,
  redactUrl,
  WatchedResponse,
} from '../http/http.js';
import { speaksNoTls } from '../http/network-error.js';
import { type Followed, type MakeBody, sendFollowing, withoutSecrets } from '../http/redirect.js';
import type { HostCapability, HostConfig } from './host-config.js';
import { HostLimiter } from './host-health.js';

export interface RegistryHostOptions {
  /** As references name it: `docker.io`, `127.0.0.1:5000`. */
  readonly registry: string;
  readonly config: HostConfig;
  /** Bounds the requests of all clients to this host together. Default: one of its own. */
  readonly limiter?: HostLimiter | undefined;
  /** The key under which its health is kept. Default: itself. */
  readonly identity?: object | undefined;
  readonly transport: HttpSender;
  readonly credentials: CredentialsProvider | undefined;
  readonly userAgent: string;
  /** See {@link RetryOptions.maxRetryAfterMs}. */
  readonly maxRetryAfterMs?: number | undefined;
  /** Called with each text of a `Warning: 299` header (distribution-spec: Warnings). */
  readonly onWarning: ((text: string) => void) | undefined;
}

/**
 * What a token must allow, as references name it. `{ type: 'repository', name: 'team/app', actions: 'pull' }`
 */
export interface Access {
  readonly type: 'repository' | 'registry';
  readonly name: string;
  readonly actions: string;
}

/** {@link Place.location} at another origin is shown no secret. */
export interface RegistryRequest extends Abortable, Place {
  readonly method: HttpMethod;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each sending. Its length is given in `headers`. */
  readonly body?: MakeBody | undefined;
  /** Default: to pull from the repository, where there is one. */
  readonly access?: readonly Access[] | undefined;
  /** The statuses that are answers; any other is thrown. */
  readonly expected: readonly number[];
  /** What is asked for, in words. */
  readonly subject: string;
  readonly attempt: number;
  /** How long the host may take to answer, in milliseconds. Default: as long as any. */
  readonly patienceMs?: number | undefined;
}

/** How buckets answer a signed URL that has expired; a new try gets a new one from the registry. */
const REFUSALS_OF_SIGNED_URLS: ReadonlySet<number> = new Set([400, 401, 403]);

/**
 * One place where content of a registry is had, the registry itself or a mirror: where it is, whether it
 * speaks TLS, what it wants to be shown, and how much may be asked of it at once. Retries nothing.
 */
export class RegistryHost {
  /** As references name it. */
  readonly registry: string;
  /** `mirror.lan:5000` */
  readonly name: string;
  readonly config: HostConfig;
  /** The same for all clients of one host. */
  readonly identity: object;
  readonly #options: RegistryHostOptions;
  readonly #authenticator: Authenticator;
  readonly #address: HostAddress;
  readonly #limiter: HostLimiter;
  /** Undefined while it is not known whether the host speaks TLS. */
  #protocol: string | undefined;

  constructor(options: RegistryHostOptions) {
    const { config, registry, transport, userAgent, maxRetryAfterMs } = options;
    this.registry = registry;
    this.name = config.base.host;
    this.config = config;
    this.identity = options.identity ?? this;
    this.#options = options;
    this.#authenticator = new Authenticator({
      registry,
      credentials: hostCredentials(registry, config, options.credentials),
      transport: { send: (request) => transport.send({ ...request, connection: config.connection }) },
      userAgent,
    });
    this.#address = new HostAddress(registry, config);
    const { maxConnections, requestsPerSecond } = config;
    this.#limiter =
      options.limiter ??
      new HostLimiter({ name: this.name, maxConnections, requestsPerSecond, maxRetryAfterMs });
    if (config.mayBePlain !== true) this.#protocol = config.base.protocol;
  }

  /** Whether it is the registry itself rather than a mirror of it. */
  get isUpstream(): boolean {
    return this.config.role === 'upstream';
  }

  can(capability: HostCapability): boolean {
    return this.config.capabilities.has(capability);
  }

  /**
   * One try: redirects are followed and a challenge is answered once.
   *
   * @throws {RegistryError} all codes; {@link RegistryError.retryable} says whether another try may help
   */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const leave = await this.#limiter.enter(request);
    const startedAt = performance.now();
    try {
      const response = await this.#authorized(request);
      this.#limiter.speedUp();
      return new WatchedResponse(response, leave);
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'RATE_LIMITED') {
        const wait = error.details.retryAfterMs;
        this.#limiter.slowDown(typeof wait === 'number' ? wait : undefined, startedAt);
      }
      leave();
      throw error;
    }
  }

  async #authorized(request: RegistryRequest): Promise<HttpResponse> {
    const { signal, repository } = request;
    const pulling: Access[] =
      repository === undefined ? [] : [{ type: 'repository', name: repository, actions: 'pull' }];
    const scopes = (request.access ?? pulling).map((access) => this.#scopeOf(access));
    let authorization = await this.#authenticator.authorization({ scopes, repository }, { signal });
    let followed = await this.#sendProving(request, authorization);
    if (isRefused(followed)) {
      const { response } = followed;
      const body = await collectBeginning(response);
      const answer = await this.#authenticator.answer(
        {
          lines: response.headers('www-authenticate'),
          origin: response.url,
          wanted: { scopes, repository },
          refused: authorization,
        },
        { signal },
      );
      if (answer === undefined) throw await this.#refusal(request, followed, authorization, body);
      authorization = answer;
      followed = await this.#sendProving(request, authorization);
      const instead = isRefused(followed) ? this.#authenticator.refusedInstead(repository) : undefined;
      if (instead !== undefined) {
        await collectBeginning(followed.response);
        throw instead;
      }
    }
    if (request.expected.includes(followed.response.status)) return followed.response;
    const body = await collectBeginning(followed.response);
    throw await this.#refusal(request, followed, authorization, body);
  }

  /** A password goes to the host once, until it is known whether the host takes it. */
  async #sendProving(request: RegistryRequest, authorization: string | undefined): Promise<Followed> {
    const send = async (): Promise<Followed> => await this.#send(request, authorization);
    if (authorization?.startsWith('Basic ') !== true) return await send();
    const { signal } = request;
    return await this.#authenticator.proofs.prove(authorization, send, { signal, judge: judgeCredentials });
  }

  async #send(request: RegistryRequest, authorization: string | undefined): Promise<Followed> {
    const protocol = this.#protocol ?? 'https:';
    try {
      const followed = await this.#sendBy(protocol, request, authorization);
      this.#protocol ??= protocol;
      return followed;
    } catch (error) {
      // Once https has been spoken there is no way back; and what counts is how this address answers, not the
      // one that it may have redirected to.
      const undecided =
        this.config.mayBePlain === true && protocol === 'https:' && this.#protocol !== 'https:';
      if (!undecided || !speaksNoTls(error, this.#address.url(request, protocol))) throw error;
      this.#protocol = 'http:';
      return await this.#sendBy('http:', request, authorization);
    }
  }

  async #sendBy(
    protocol: string,
    request: RegistryRequest,
    authorization: string | undefined,
  ): Promise<Followed> {
    const { method, attempt, signal, patienceMs, body } = request;
    const url = this.#address.url(request, protocol);
    const own = {
      headers: {
        'user-agent': this.#options.userAgent,
        // A proxy that compresses on the way would change a blob's bytes.
        'accept-encoding': 'identity',
        ...this.config.headers,
        ...request.headers,
        ...(authorization === undefined ? {} : { authorization }),
      },
      connection: this.config.connection,
    };
    // An address that the host gave may lie anywhere.
    const foreign = url.origin !== this.#address.origin(protocol);
    const sent: Omit<HttpRequest, 'body'> = {
      method,
      attempt,
      signal,
      url,
      ...(foreign ? withoutSecrets(own) : own),
      headersMs: patienceMs,
    };
    const followed = await sendFollowing(this.#options.transport, sent, body);
    // A refusal may hold some too.
    await this.#reportWarnings(followed.response, request.repository, authorization);
    return foreign ? { ...followed, crossed: true } : followed;
  }

  #scopeOf({ type, name, actions }: Access): string {
    return `${type}:${type === 'repository' ? this.#address.rewritten(name) : name}:${actions}`;
  }

  async #reportWarnings(
    response: HttpResponse,
    repository: string | undefined,
    authorization: string | undefined,
  ): Promise<void> {
    const texts = parseWarnings(response.headers('warning'));
    if (texts.length === 0) return;
    // What was not shown cannot be echoed, and is not looked up for this.
    const credentials =
      authorization === undefined ? undefined : await this.#authenticator.credentials(repository);
    const secrets = secretsIn(credentials, authorization);
    for (const text of texts) if (!holdsSecret(text, secrets)) this.#options.onWarning?.(text);
  }

  async #refusal(
    { method, subject, repository }: RegistryRequest,
    { response, crossed }: Followed,
    authorization: string | undefined,
    body: Buffer,
  ): Promise<RegistryError> {
    const credentials = await this.#authenticator.credentials(repository);
    const error = responseError({
      method,
      response,
      body,
      subject,
      authenticated: credentials !== undefined && authorization !== undefined,
      secrets: secretsIn(credentials, authorization),
    });
    if (!crossed || !REFUSALS_OF_SIGNED_URLS.has(response.status)) return error;
    return new RegistryError('UNAVAILABLE', error.message, {
      retryable: true,
      details: error.details,
      hint: 'The registry redirected to a place that refused; try again, or ask who runs it.',
    });
  }
}

/** By the host itself: what another origin refuses was none of the host's credentials. */
function isRefused({ response, crossed }: Followed): boolean {
  return response.status === 401 && !crossed;
}

/** A host that asks for something else than a password says nothing of the one that it was shown. */
function judgeCredentials(followed: Followed): 'accepted' | 'undecided' | RegistryError {
  const { status, url } = followed.response;
  if (isRefused(followed)) {
    if (!asksForPassword(followed.response.headers('www-authenticate'))) return 'undecided';
    return responseError({
      method: 'GET',
      response: followed.response,
      body: Buffer.of(),
      subject: url.host,
      authenticated: true,
      secrets: [],
    });
  }
  return followed.crossed || status < 429 ? 'accepted' : 'undecided';
}

/** What no words of an answer may be passed on with. */
function secretsIn(credentials: Credentials | undefined, authorization: string | undefined): string[] {
  const shown = authorization?.replace(/^\w+ /, '');
  return [...secretsOf(credentials), ...(shown === undefined ? [] : [shown])];
}

/** Where something is asked for, as references name it. */
interface Place {
  /** Undefined for what belongs to no repository. */
  readonly repository?: string | undefined;
  /** Below the repository, or below the root of the API. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Instead of all that: an address that the host itself gave. */
  readonly location?: URL | undefined;
}

/**
 * Turns what is asked for into URLs at one host: its prefix, its own names of repositories, and `ns=` for a
 * mirror.
 */
class HostAddress {
  readonly #registry: string;
  readonly #config: HostConfig;

  constructor(registry: string, config: HostConfig) {
    this.#registry = registry;
    this.#config = config;
  }

  /** Without a slash at its end: `https://mirror.lan` */
  origin(protocol: string): string {
    return new URL(`${protocol}//${this.#config.base.host}`).origin;
  }

  /** @throws {RegistryError} REDIRECT_REFUSED where a host that speaks TLS names an address that does not */
  url(place: Place, protocol: string): URL {
    if (place.location !== undefined) return this.#given(place.location, protocol);
    const { base } = this.#config;
    const { repository, path, query = {} } = place;
    const below = repository === undefined ? path : `${this.rewritten(repository)}/${path}`;
    const url = new URL(`${protocol}//${base.host}`);
    // Set by itself, so that what a rule wrote stays a path whatever it holds.
    url.pathname = `${base.pathname.replace(/\/$/, '')}/${below}`;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    // A mirror may serve several registries; `ns` says which is meant.
    if (this.#config.role === 'mirror') url.searchParams.set('ns', this.#registry);
    return url;
  }

  /** A repository as this host names it. The first rule that fits counts. */
  rewritten(repository: string): string {
    const rule = this.#config.rewrite.find(({ pattern }) => repository.search(pattern) >= 0);
    return rule === undefined ? repository : repository.replace(rule.pattern, rule.replacement);
  }

  #given(location: URL, protocol: string): URL {
    const url = new URL(location);
    if (protocol === 'http:' || url.protocol === protocol) return url;
    // A registry behind a proxy that ends TLS may not know that it is reached by https; the proxy does.
    if (url.protocol === 'http:' && url.hostname === this.#config.base.hostname) {
      return new URL(`${protocol}//${this.#config.base.host}${url.pathname}${url.search}`);
    }
    throw new RegistryError(
      'REDIRECT_REFUSED',
      `${this.#config.base.host} goes on at ${url.protocol}//${url.host}, which is not https`,
      {
        hint: 'The registry, or a proxy before it, is set up wrongly; ask who runs it.',
        details: { url: redactUrl(url) },
      },
    );
  }
}

/**
 * Whose credentials a host is shown. A mirror has its own, those stored for its own address, or none: the
 * registry's never go to it unless its configuration says so.
 *
 * @param stored finds credentials by the name of a registry
 */
function hostCredentials(
  registry: string,
  { credentials, role, base }: Pick<HostConfig, 'credentials' | 'role' | 'base'>,
  stored: CredentialsProvider | undefined,
): CredentialsProvider | undefined {
  if (typeof credentials === 'function') return credentials;
  if (typeof credentials !== 'string') return () => Promise.resolve(credentials);
  if (credentials === 'none' || stored === undefined) return undefined;
  const name = credentials === 'upstream' || role === 'upstream' ? registry : base.host;
  return (_registry, repository) => stored(name, repository);
}
