import { STATUS_CODES } from 'node:http';

/** That a request did not get past the proxy. Never seen outside: it becomes an error that names the request. */
export class ProxyFailure extends Error {
  /** `proxy.lan:3128` */
  readonly host: string;
  /** What the proxy answered instead of letting the request through; undefined when it answered nothing. */
  readonly status: number | undefined;
  /** Whether it was shown credentials. */
  readonly authenticated: boolean;

  /** @param outcome the status that it answered, or what broke */
  constructor(proxy: URL, outcome: { readonly status?: number; readonly cause?: unknown }) {
    super('the proxy failed', { cause: outcome.cause });
    this.host = proxy.host;
    this.status = outcome.status;
    this.authenticated = proxy.username !== '' || proxy.password !== '';
  }
}

export interface ProxyDiagnosis {
  /** `refused the connection` */
  readonly what: string;
  readonly retryable: boolean;
  readonly hint: string;
}

const CHECK = 'Check HTTPS_PROXY and HTTP_PROXY, or list the host in NO_PROXY.';

/** What a failure to reach the proxy is, by the system's or the HTTP library's code. */
const FAILURES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'is an unknown host',
  EAI_AGAIN: 'could not be looked up',
  ECONNREFUSED: 'refused the connection',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  ETIMEDOUT: 'took too long to connect',
  UND_ERR_CONNECT_TIMEOUT: 'took too long to connect',
  UND_ERR_HEADERS_TIMEOUT: 'took too long to connect',
  ECONNRESET: 'broke off the connection',
  EPIPE: 'broke off the connection',
  UND_ERR_SOCKET: 'broke off the connection',
};

/** What there is to say of a connection that failed with this code; undefined where that is nothing of proxies alone. */
export function connectionDiagnosis(code: string): ProxyDiagnosis | undefined {
  const what = Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined;
  return what === undefined ? undefined : { what, retryable: code !== 'ENOTFOUND', hint: CHECK };
}

/** What may be otherwise a moment later; so may all from 500 on. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** What there is to say of a proxy that answered itself, with this status. */
export function statusDiagnosis(status: number, authenticated: boolean): ProxyDiagnosis {
  const said = `(${status} ${STATUS_CODES[status] ?? 'unknown'})`;
  if (status === 407) {
    return {
      what: `${authenticated ? 'refused the credentials' : 'asks for credentials'} ${said}`,
      retryable: false,
      hint: 'Write them into HTTPS_PROXY and HTTP_PROXY: http://USER:PASSWORD@HOST:PORT.',
    };
  }
  const passing = status >= 500 || PASSING.has(status);
  return passing
    ? { what: `cannot connect to it ${said}`, retryable: true, hint: 'Try again, or ask who runs the proxy.' }
    : { what: `does not let it through ${said}`, retryable: false, hint: CHECK };
}
