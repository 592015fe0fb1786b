import { type Abortable, RegistryError } from '../errors.js';
import { type Challenge, parseChallenges } from './challenge.js';
import type { Credentials, CredentialsProvider } from './credentials.js';
import { basicAuthorization, type TokenRequest, TokenSource, type TokenSourceOptions } from './token.js';
import { parseUrl } from './urls.js';

export interface AuthenticatorOptions extends TokenSourceOptions {
  /** As references name it. */
  readonly registry: string;
  readonly credentials: CredentialsProvider | undefined;
}

type Scheme = { readonly type: 'basic' } | ({ readonly type: 'bearer' } & Omit<TokenRequest, 'scope'>);

/**
 * Answers one registry's challenges, and remembers how, so that only the first request for anything is refused.
 * A scope is a string of the token specification: `repository:team/app:pull`.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #tokens: TokenSource;
  #credentials: Promise<Credentials | undefined> | undefined;
  #scheme: Scheme | undefined;
  /** What the registry calls what we want, where it says otherwise. */
  readonly #scopes = new Map<string, string>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#tokens = new TokenSource(options);
  }

  /** The `Authorization` that a request will need by what was learnt so far; undefined when nothing was asked for yet. */
  async authorization(scope: string, options: Abortable = {}): Promise<string | undefined> {
    if (this.#scheme === undefined) return undefined;
    const credentials = await this.credentials();
    return await this.#authorize(this.#scheme, credentials, scope, options);
  }

  /**
   * The `Authorization` that answers a 401, or undefined when there is none that was not refused already.
   *
   * @param origin the registry's own, which says whether tokens may be had over plain http
   * @param refused what the request bore
   */
  async answer(
    challenge: { lines: readonly string[]; origin: URL; scope: string; refused: string | undefined },
    options: Abortable = {},
  ): Promise<string | undefined> {
    const challenges = parseChallenges(challenge.lines);
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const scheme = bearer === undefined ? basicOf(challenges) : bearerOf(bearer, challenge.origin);
    if (scheme === undefined) return undefined;
    const credentials = await this.credentials();
    this.#scheme = scheme;
    if (scheme.type === 'bearer') {
      const named = bearer?.parameters.get('scope');
      if (named !== undefined && named !== '') this.#scopes.set(challenge.scope, named);
      const token = /^Bearer (.+)$/.exec(challenge.refused ?? '')?.[1];
      if (token !== undefined) this.#tokens.drop(this.#tokenRequest(scheme, challenge.scope), token);
    }
    const answer = await this.#authorize(scheme, credentials, challenge.scope, options);
    return answer === challenge.refused ? undefined : answer;
  }

  /** Looked up once, unless that fails. */
  async credentials(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#options.credentials?.(this.#options.registry) ?? Promise.resolve(undefined);
    try {
      return await this.#credentials;
    } catch (error) {
      this.#credentials = undefined;
      throw error;
    }
  }

  async #authorize(
    scheme: Scheme,
    credentials: Credentials | undefined,
    scope: string,
    options: Abortable,
  ): Promise<string | undefined> {
    if (scheme.type === 'basic') {
      return credentials !== undefined && 'username' in credentials
        ? basicAuthorization(credentials)
        : undefined;
    }
    if (credentials !== undefined && 'registryToken' in credentials)
      return `Bearer ${credentials.registryToken}`;
    return `Bearer ${await this.#tokens.get(this.#tokenRequest(scheme, scope), credentials, options)}`;
  }

  #tokenRequest({ realm, service }: Omit<TokenRequest, 'scope'>, scope: string): TokenRequest {
    return { realm, service, scope: this.#scopes.get(scope) ?? scope };
  }
}

function basicOf(challenges: readonly Challenge[]): Scheme | undefined {
  return challenges.some(({ scheme }) => scheme === 'basic') ? { type: 'basic' } : undefined;
}

function bearerOf({ parameters }: Challenge, origin: URL): Scheme {
  const realm = parseUrl(parameters.get('realm') ?? '');
  const allowed = origin.protocol === 'http:' ? ['http:', 'https:'] : ['https:'];
  if (realm === undefined || !allowed.includes(realm.protocol)) {
    throw new RegistryError('PROTOCOL', `${origin.host} sends for tokens to a place that is not https`, {
      hint: 'Tokens and passwords are not sent over plain http; ask who runs the registry to use https.',
    });
  }
  realm.username = '';
  realm.password = '';
  return { type: 'bearer', realm, service: parameters.get('service') };
}
