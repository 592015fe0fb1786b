import { RegistryError } from '../../errors.js';
import type { HostConfig } from './host-config.js';
import { redactUrl } from '../http/urls.js';

/** Where something is asked for, as references name it. */
export interface Place {
  /** Undefined for what belongs to no repository. */
  readonly repository?: string | undefined;
  /** Below the repository, or below the root of the API. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Instead of all that: an address that the host itself gave. */
  readonly location?: URL;
}

/** Turns what is asked for into URLs at one host: its prefix, its own names of repositories, and `ns=` for a mirror. */
export class HostAddress {
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
    // A mirror may serve several registries, and is told which one is meant.
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
