import { isDeepStrictEqual } from 'node:util';
import { SingleFlight } from '../../concurrency/index.js';
import { type Abortable, RegistryError } from '../../errors.js';
import { FIELD, HeaderCursor, parseUrl } from '../http/http.js';
import { basicAuthorization, type Credentials, type CredentialsProvider } from './credentials.js';
import { CredentialProofs } from './proof.js';
import { isRefusal, serverKeyOf, type TokenRequest, TokenSource, type TokenSourceOptions } from './token.js';

export interface AuthenticatorOptions extends TokenSourceOptions {
  /** As references name it. */
  readonly registry: string;
  readonly credentials: CredentialsProvider | undefined;
}

/** What a request needs leave for. */
export interface Wanted {
  /** Scopes of the token specification: `repository:team/app:pull`. */
  readonly scopes: readonly string[];
  /** For which credentials are looked up; undefined for what belongs to no repository. */
  readonly repository: string | undefined;
}

type Scheme = { readonly type: 'basic' } | ({ readonly type: 'bearer' } & Omit<TokenRequest, 'scopes'>);

/** The result of a look-up. Once refused it is stale: there may have been another login since. */
interface Found {
  readonly credentials: Credentials | undefined;
  stale: boolean;
}

/**
 * Answers one registry's challenges, and remembers how, so that only the first request for anything is
 * refused.
 */
export class Authenticator {
  /** Of passwords that the host is shown, by the `Authorization` with them; and those of its token servers. */
  readonly proofs: CredentialProofs = new CredentialProofs();
  readonly #options: AuthenticatorOptions;
  #tokens: TokenSource | undefined;
  readonly #lookUps = new SingleFlight<string, Found>();
  /** By repository. */
  readonly #found = new Map<string | undefined, Found>();
  readonly #schemes = new Map<string | undefined, Scheme>();
  #latest: Scheme | undefined;
  /**
   * By repository, where it takes a password as well as a token: why the token could not be had, once that
   * has happened.
   */
  readonly #beside = new Map<string | undefined, RegistryError | undefined>();
  /** What the registry calls what we want, where it says otherwise. */
  readonly #scopes = new Map<string, readonly string[]>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /**
   * The `Authorization` that a request will need by what was learnt so far; undefined when nothing was asked
   * for yet.
   */
  async authorization(wanted: Wanted, options: Abortable = {}): Promise<string | undefined> {
    const known = this.#schemes.get(wanted.repository);
    const scheme = known ?? this.#latest;
    if (scheme === undefined) return undefined;
    try {
      return await this.#authorize(scheme, wanted, undefined, options);
    } catch (error) {
      // Learnt from another repository, which may have a token server of its own: let the registry say.
      if (known === undefined && error instanceof RegistryError && mayBeElsewhere(error)) return undefined;
      const instead = await this.#basicInstead(error, { wanted }, options);
      if (instead === undefined) throw error;
      return instead;
    }
  }

  /**
   * The `Authorization` that answers a 401, or undefined when there is none that was not refused already.
   *
   * `origin` is the registry's own, which says whether tokens may be had over plain http; `refused` is what
   * the request bore. What was looked up before, and is refused now, is looked up once more.
   */
  async answer(
    challenge: {
      readonly lines: readonly string[];
      readonly origin: URL;
      readonly wanted: Wanted;
      readonly refused: string | undefined;
    },
    options: Abortable = {},
  ): Promise<string | undefined> {
    const { wanted, refused } = challenge;
    const { repository } = wanted;
    const challenges = parseChallenges(challenge.lines);
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const basic = basicOf(challenges);
    this.#beside.delete(repository);
    if (bearer === undefined) {
      if (basic === undefined) return undefined;
      this.#learn(basic, repository);
      return await this.#authorize(basic, wanted, { refused }, options);
    }
    if (basic !== undefined) this.#beside.set(repository, undefined);
    try {
      const scheme = bearerOf(bearer, challenge.origin);
      this.#learn(scheme, repository);
      const named = bearer.parameters.get('scope')?.split(' ').filter(Boolean) ?? [];
      if (named.length > 0) this.#scopes.set(scopesKey(wanted), challengedScopes(wanted.scopes, named));
      this.#drop(scheme, wanted, refused);
      return await this.#authorize(scheme, wanted, { refused }, options);
    } catch (error) {
      const instead = await this.#basicInstead(error, { wanted, refused }, options);
      if (instead === undefined) throw error;
      return instead;
    }
  }

  /**
   * Why a token could not be had, where that is why a password was shown instead, which the registry has now
   * refused. The next request asks for a token again.
   */
  refusedInstead(repository: string | undefined): RegistryError | undefined {
    const failure = this.#beside.get(repository);
    if (failure === undefined) return undefined;
    this.#beside.delete(repository);
    this.#schemes.delete(repository);
    return failure;
  }

  /** Looked up once for each repository, unless that fails. */
  async credentials(
    repository: string | undefined,
    options: Abortable = {},
  ): Promise<Credentials | undefined> {
    return (this.#found.get(repository) ?? (await this.#lookUp(repository, options))).credentials;
  }

  #learn(scheme: Scheme, repository: string | undefined): void {
    this.#latest = scheme;
    this.#schemes.set(repository, scheme);
  }

  /**
   * The `Authorization` by password of a registry that takes that too, where its token server fails. A
   * refusal of the credentials is none: they would only be refused once more. Undefined where nothing can be
   * shown instead.
   */
  async #basicInstead(
    error: unknown,
    { wanted: { repository }, refused }: { readonly wanted: Wanted; readonly refused?: string | undefined },
    options: Abortable,
  ): Promise<string | undefined> {
    const isFailure = error instanceof RegistryError && error.code !== 'ABORTED' && !isRefusal(error);
    if (!isFailure || !this.#beside.has(repository)) return undefined;
    const credentials = await this.credentials(repository, options);
    if (credentials === undefined || !('username' in credentials)) return undefined;
    const shown = basicAuthorization(credentials);
    if (shown === refused || this.proofs.refusal(shown) !== undefined) return undefined;
    this.#schemes.set(repository, { type: 'basic' });
    this.#beside.set(repository, error);
    return shown;
  }

  async #authorize(
    scheme: Scheme,
    wanted: Wanted,
    challenged: { readonly refused: string | undefined } | undefined,
    options: Abortable,
  ): Promise<string | undefined> {
    const { repository } = wanted;
    const remembered = this.#fresh(repository);
    const found = remembered ?? (await this.#lookUp(repository, options));
    let failure: RegistryError | undefined;
    try {
      const shown = await this.#show(scheme, wanted, found.credentials, options);
      if (challenged === undefined || (shown !== undefined && shown !== challenged.refused)) return shown;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      failure = error;
    }
    found.stale = true;
    const again =
      remembered === undefined
        ? found
        : (this.#fresh(repository) ?? (await this.#lookUp(repository, options)));
    if (isDeepStrictEqual(again.credentials, found.credentials)) {
      if (failure !== undefined) throw failure;
      return undefined;
    }
    return await this.#show(scheme, wanted, again.credentials, options);
  }

  async #show(
    scheme: Scheme,
    wanted: Wanted,
    credentials: Credentials | undefined,
    options: Abortable,
  ): Promise<string | undefined> {
    if (scheme.type === 'basic') {
      if (credentials === undefined || !('username' in credentials)) return undefined;
      const shown = basicAuthorization(credentials);
      const refusal = this.proofs.refusal(shown);
      if (refusal !== undefined) throw refusal;
      return shown;
    }
    if (credentials !== undefined && 'registryToken' in credentials)
      return `Bearer ${credentials.registryToken}`;
    const request = this.#tokenRequest(scheme, wanted);
    const source = this.#source();
    const use = async (): Promise<string> => `Bearer ${await source.get(request, credentials, options)}`;
    if (credentials === undefined) return await use();
    return await this.proofs.prove(serverKeyOf(request, credentials), use, {
      ...options,
      purpose: request.scopes.join(' '),
      settle: (abortable) => source.get({ ...request, scopes: [] }, credentials, abortable),
    });
  }

  /**
   * Forgets a token that was refused, and looks for its credentials anew: by now there may be better ones.
   */
  #drop(scheme: Scheme & { type: 'bearer' }, wanted: Wanted, refused: string | undefined): void {
    const token = /^Bearer (.+)$/.exec(refused ?? '')?.[1];
    const found = this.#found.get(wanted.repository);
    if (token === undefined || found === undefined) return;
    if (this.#source().drop(this.#tokenRequest(scheme, wanted), found.credentials, token)) found.stale = true;
  }

  #fresh(repository: string | undefined): Found | undefined {
    const found = this.#found.get(repository);
    return found?.stale === false ? found : undefined;
  }

  async #lookUp(repository: string | undefined, options: Abortable): Promise<Found> {
    const start = async (): Promise<Found> => {
      const { registry, credentials } = this.#options;
      const found = { credentials: await credentials?.(registry, repository), stale: false };
      this.#found.set(repository, found);
      return found;
    };
    return await this.#lookUps.run(repository ?? '', start, options);
  }

  /** Made once a token is asked for, which many registries never do. */
  #source(): TokenSource {
    return (this.#tokens ??= new TokenSource(this.#options));
  }

  #tokenRequest({ realm, service }: Omit<TokenRequest, 'scopes'>, wanted: Wanted): TokenRequest {
    const scopes = this.#scopes.get(scopesKey(wanted)) ?? orderedScopes(wanted.scopes);
    return { realm, service, scopes };
  }
}

function scopesKey({ scopes }: Wanted): string {
  return orderedScopes(scopes).join(' ');
}

/** A wrong password is wrong everywhere; to ask again would only lock the account sooner. */
function mayBeElsewhere({ code, retryable }: RegistryError): boolean {
  return !retryable && code !== 'UNAUTHORIZED' && code !== 'ABORTED';
}

function basicOf(challenges: readonly Challenge[]): Scheme | undefined {
  return challenges.some(({ scheme }) => scheme === 'basic') ? { type: 'basic' } : undefined;
}

export function asksForPassword(lines: readonly string[]): boolean {
  return basicOf(parseChallenges(lines)) !== undefined;
}

function bearerOf({ parameters }: Challenge, origin: URL): Scheme & { type: 'bearer' } {
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

/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). */
interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN68 = /[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|$))/y;

/**
 * All challenges of the header's lines, in order. One line may hold several, and each its parameters, all
 * parted by commas; so a token is a parameter's name if `=` follows, else a new scheme. What comes after a
 * fault is left out.
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  return lines.flatMap(parseLine);
}

function parseLine(line: string): Challenge[] {
  const challenges: Challenge[] = [];
  const at = new HeaderCursor(line);
  let parameters: Map<string, string> | undefined;
  at.take(FIELD.commas);
  while (!at.isAtEnd) {
    const name = at.take(FIELD.token)?.[0];
    if (name === undefined) break;
    if (parameters !== undefined && at.take(FIELD.equals) !== undefined) {
      const value = at.takeQuoted() ?? at.take(FIELD.token)?.[0];
      if (value === undefined) break;
      // The first of two holds: a second one would be an attempt to override it.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
    } else {
      parameters = new Map();
      challenges.push({ scheme: name.toLowerCase(), parameters });
      at.take(FIELD.blanks);
      // `Negotiate oYG…==`: credentials of their own form, of no use here. A parameter looks alike up to its
      // `=`.
      at.take(TOKEN68);
    }
    at.take(FIELD.commas);
  }
  return challenges;
}

/**
 * A scope is `TYPE:NAME:ACTIONS`, such as `repository:team/app:pull,push` (distribution: Token Scope
 * Documentation). The name may hold colons: `repository:127.0.0.1:5000/app:pull`.
 */
interface Scope {
  /** `repository:team/app` */
  readonly resource: string;
  readonly actions: readonly string[];
}

/** Each once, in one order, so that the same wish is the same token. */
function orderedScopes(scopes: readonly string[]): string[] {
  return [...new Set(scopes)].sort();
}

/**
 * What to ask a token for, once a challenge has named its own scopes. The registry's names hold where it
 * gives a repository another one. But a challenge is about the request that it refused: that one may have
 * needed less than what is wanted, and of two repositories it may name only the one. What it leaves out of
 * our wish is kept.
 */
export function challengedScopes(wanted: readonly string[], named: readonly string[]): string[] {
  if (named.length === 0) return orderedScopes(wanted);
  const merged = new Map<string, readonly string[]>();
  const add = ({ resource, actions }: Scope): void => {
    merged.set(resource, [...new Set([...(merged.get(resource) ?? []), ...actions])]);
  };
  const theirs = named.map(parseScope);
  const known = new Set(theirs.map(({ resource }) => resource));
  for (const scope of wanted.map(parseScope)) {
    if (wanted.length > 1 || known.has(scope.resource)) add(scope);
  }
  theirs.forEach(add);
  return orderedScopes([...merged].map(([resource, actions]) => scopeText(resource, actions)));
}

function parseScope(text: string): Scope {
  const colon = text.lastIndexOf(':');
  if (colon <= 0) return { resource: text, actions: [] };
  return { resource: text.slice(0, colon), actions: text.slice(colon + 1).split(',') };
}

function scopeText(resource: string, actions: readonly string[]): string {
  return actions.length === 0 ? resource : `${resource}:${actions.join(',')}`;
}
