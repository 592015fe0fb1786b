import { STATUS_CODES } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { LandfallError } from '../../errors.js';

export type ProxyEnvironment = Readonly<Record<string, string | undefined>>;

interface Setting {
  readonly name: string;
  readonly value: string;
}

/**
 * The proxy for a URL as the environment has it, or undefined to go there directly: HTTPS_PROXY or HTTP_PROXY
 * by the URL's scheme, else ALL_PROXY, and never what NO_PROXY lists; each in upper case, else in lower case.
 * Read as Go's golang.org/x/net/http/httpproxy reads them, so that a node's other programs go the same way;
 * Go does not know ALL_PROXY.
 *
 * The proxy's URL may hold a user and a password.
 *
 * @throws {LandfallError} INVALID_CONFIG: the proxy that applies is none that can be used
 */
export function proxyFor(url: URL, env: ProxyEnvironment): URL | undefined {
  const setting = settingFor(url, env);
  if (setting === undefined || goesDirectly(url, first(env, 'NO_PROXY')?.value ?? '')) return undefined;
  return parseProxy(setting);
}

function settingFor(url: URL, env: ProxyEnvironment): Setting | undefined {
  const all = first(env, 'ALL_PROXY');
  if (url.protocol === 'https:') return first(env, 'HTTPS_PROXY') ?? all;
  if (url.protocol !== 'http:') return undefined;
  // In a CGI program, the header `Proxy` of a request sets HTTP_PROXY.
  const isCgi = first(env, 'REQUEST_METHOD') !== undefined;
  return (isCgi ? undefined : first(env, 'HTTP_PROXY')) ?? all;
}

function first(env: ProxyEnvironment, name: string): Setting | undefined {
  for (const spelled of [name, name.toLowerCase()]) {
    const value = env[spelled]?.trim();
    if (value !== undefined && value !== '') return { name: spelled, value };
  }
  return undefined;
}

function parseProxy({ name, value }: Setting): URL {
  const text = value.includes('://') ? value : `http://${value}`;
  if (!URL.canParse(text)) throw unusable(name, 'is not the address of a proxy');
  const proxy = new URL(text);
  if (proxy.protocol.startsWith('socks'))
    throw unusable(name, 'names a SOCKS proxy, which landfall does not speak to');
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw unusable(name, 'names a proxy that speaks neither http nor https');
  }
  if (!isDecodable(proxy.username) || !isDecodable(proxy.password)) {
    throw unusable(name, 'has a % in its user or its password that must be written %25');
  }
  return proxy;
}

function isDecodable(text: string): boolean {
  try {
    return decodeURIComponent(text) !== '' || text === '';
  } catch {
    return false;
  }
}

/** The value of `Proxy-Authorization`; undefined where the proxy's URL names no user. */
export function proxyAuthorization({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** Never with the value: it may hold a password. */
function unusable(name: string, what: string): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `the environment variable ${name} ${what}`, {
    hint: `Set ${name} to http://HOST:PORT, or list the host in NO_PROXY.`,
  });
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function goesDirectly(url: URL, noProxy: string): boolean {
  const target: Target = {
    host: withoutBrackets(url.hostname.toLowerCase()),
    port: url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port,
  };
  if (target.host === 'localhost' || isIn(LOOPBACK, target.host)) return true;
  return noProxy.split(',').some((entry) => matches(target, entry.trim().toLowerCase()));
}

interface Target {
  readonly host: string;
  readonly port: string;
}

function matches(target: Target, entry: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isIn(subnet(entry), target.host);
  const { host, port } = splitPort(entry);
  if (host === '' || (port !== '' && port !== target.port)) return false;
  if (isIP(host) !== 0) return isIn(subnet(`${host}/${isIP(host) === 4 ? 32 : 128}`), target.host);
  if (isIP(target.host) !== 0) return false;
  // A name is good for what lies below it too; one that begins with a dot, only for that.
  const pattern = host.startsWith('*.') ? host.slice(1) : host;
  const below = pattern.startsWith('.') ? pattern : `.${pattern}`;
  const suffix = /[^ -~]/.test(below) ? `.${domainToASCII(below.slice(1))}` : below;
  return target.host.endsWith(suffix) || (!pattern.startsWith('.') && target.host === suffix.slice(1));
}

function splitPort(entry: string): Target {
  const [, host, port = ''] = /^(\[.*\]|[^:]*)(?::(\w*))?$/.exec(entry) ?? [];
  // What has more colons is an IPv6 address without a port.
  return host === undefined ? { host: entry, port: '' } : { host: withoutBrackets(host), port };
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** Of `10.0.0.0/8`; empty when it is none. */
function subnet(text: string): BlockList {
  const list = new BlockList();
  const [, address = '', bits = ''] = /^(.*)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  if (family !== 0 && Number(bits) <= (family === 4 ? 32 : 128)) {
    list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** An IPv4 address is found in its IPv6 form as well. */
function isIn(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * That a request did not get past the proxy. Never seen outside: it becomes an error that names the request.
 */
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

/** The reason why an exchange got no whole answer. */
export interface Diagnosis {
  /** `refused the connection`: of a proxy, without its name. */
  readonly what: string;
  readonly hint?: string;
  /** Default true. */
  readonly retryable?: boolean;
  /** Default UNAVAILABLE. */
  readonly code?: 'UNAVAILABLE' | 'PROTOCOL' | 'CERTIFICATE_INVALID';
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

/**
 * What there is to say of a connection that failed with this code; undefined where that is nothing of proxies
 * alone.
 */
export function connectionDiagnosis(code: string): Diagnosis | undefined {
  const what = Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined;
  return what === undefined ? undefined : { what, retryable: code !== 'ENOTFOUND', hint: CHECK };
}

/** What may be otherwise a moment later; so may all from 500 on. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** What there is to say of a proxy that answered itself, with this status. */
export function statusDiagnosis(status: number, authenticated: boolean): Diagnosis {
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
