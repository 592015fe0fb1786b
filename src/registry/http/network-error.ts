import {
  abortedError,
  isLandfallError,
  type LandfallError,
  RegistryError,
  systemCode,
} from '../../errors.js';
import { connectionDiagnosis, type Diagnosis, ProxyFailure, statusDiagnosis } from './proxy.js';
import { redactUrl } from './http.js';
import { formatSize } from '../../spec/index.js';

/**
 * Of all headers of one answer: a gateway with cookies of its own adds more than the 16 KiB that Node.js
 * takes.
 */
export const MAX_HEADER_BYTES: number = 256 * 1024;

/** What the far side answered when it does not speak TLS: bytes that are no TLS record. */
const NOT_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]);
const NOT_TLS_REASONS: ReadonlySet<string> = new Set(['wrong version number', 'packet length too long']);

/** Node names a certificate's fault by OpenSSL's constant. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
]);
const BAD_CERTIFICATE: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CERT_REJECTED',
  'CERT_SIGNATURE_FAILURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'HOSTNAME_MISMATCH',
]);

/**
 * Whether a failure says that the server at `url` speaks no TLS, as opposed to none that suits us or none
 * now.
 */
export function speaksNoTls(error: unknown, url: URL): boolean {
  return error instanceof RegistryError && error.details.url === redactUrl(url) && isNotTls(error.cause);
}

function isNotTls(native: unknown): boolean {
  const code = systemCode(native);
  if (code === undefined) return false;
  if (NOT_TLS.has(code)) return true;
  // libuv reports any TLS failure while writing as EPROTO; alerts of a server that does speak TLS among them.
  return (
    code === 'EPROTO' &&
    native instanceof Error &&
    'reason' in native &&
    NOT_TLS_REASONS.has(String(native.reason))
  );
}

interface Failed {
  readonly method: string;
  readonly url: URL;
  readonly signal?: AbortSignal | undefined;
  /** Whether the answer's headers had come. Default: no. */
  readonly begun?: boolean;
}

/**
 * The error for an exchange that got no whole answer: UNAVAILABLE, PROTOCOL or ABORTED. Errors of ours pass
 * through.
 */
export function networkError(error: unknown, request: Failed): LandfallError {
  if (isLandfallError(error)) return error;
  if (request.signal?.aborted === true) return abortedError(request.signal);
  const {
    what,
    hint,
    retryable = true,
    code = 'UNAVAILABLE',
  } = error instanceof ProxyFailure
    ? diagnoseProxy(error, request.url.host)
    : ((request.begun === true ? undefined : diagnoseHeaders(error, request.url.host)) ??
      diagnose(error, request.url.host));
  return new RegistryError(code, what, {
    cause: error instanceof ProxyFailure ? error.cause : error,
    retryable,
    hint,
    details: { method: request.method, url: redactUrl(request.url) },
  });
}

function diagnoseProxy({ host, status, authenticated, cause }: ProxyFailure, registry: string): Diagnosis {
  const proxy = `the proxy ${host}`;
  const own =
    status === undefined
      ? connectionDiagnosis(systemCode(cause) ?? '')
      : statusDiagnosis(status, authenticated);
  const { what, ...rest } =
    own === undefined
      ? (diagnoseHeaders(cause, proxy) ?? diagnose(cause, proxy))
      : { ...own, what: `${proxy} ${own.what}` };
  return { ...rest, what: `${registry} cannot be reached: ${what}` };
}

/**
 * What there is to say of headers that the parser refuses: the server would send the same ones again.
 * Undefined for all else. Bytes that are no answer at all may be what an earlier exchange over the same
 * connection has left, so they are not judged here.
 */
function diagnoseHeaders(error: unknown, host: string): Diagnosis | undefined {
  if (!(error instanceof Error)) return undefined;
  const malformed = (reason: string): Diagnosis => ({
    what: `${host} answers with headers that are malformed: ${reason}`,
    code: 'PROTOCOL',
    retryable: false,
    hint: 'The registry, or a proxy before it, breaks HTTP; ask who runs it.',
  });
  // undici says so of any fault that the parser finds behind a Content-Length, which is then hardly ever
  // wrong itself.
  if (systemCode(error) === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
    return malformed(
      'Content-Length comes twice, or beside Transfer-Encoding, or a header behind it is wrong',
    );
  }
  const reason = error.name === 'HTTPParserError' ? /\((.*)\)$/.exec(error.message)?.[1] : undefined;
  return reason === undefined || reason.startsWith('Expected HTTP/') ? undefined : malformed(reason);
}

/** @param host the host or proxy that failed, in words */
function diagnose(error: unknown, host: string): Diagnosis {
  const native = systemCode(error) ?? 'unknown error';
  if (isNotTls(error)) {
    return {
      what: `${host} does not speak TLS`,
      hint: 'Use --plain-http if it is meant to be reached without TLS.',
      retryable: false,
    };
  }
  if (UNTRUSTED.has(native)) {
    return {
      what: `the certificate of ${host} is signed by an unknown authority (${native})`,
      hint: 'Give the authority with --ca, or as `ca` in the hosts.toml of the registry; --insecure accepts any certificate.',
      retryable: false,
    };
  }
  if (BAD_CERTIFICATE.has(native)) {
    return {
      what: `the certificate of ${host} is not valid for it (${native})`,
      hint: 'Check the name and the clock; --insecure accepts any certificate.',
      retryable: false,
    };
  }
  if (native.startsWith('ERR_SSL_') || native === 'EPROTO') {
    return { what: `TLS with ${host} failed (${native})`, retryable: false };
  }
  return diagnoseConnection(native, host);
}

function diagnoseConnection(native: string, host: string): Diagnosis {
  switch (native) {
    case 'ENOTFOUND':
      return { what: `unknown host ${host}`, hint: 'Check how the registry is spelled.', retryable: false };
    case 'EAI_AGAIN':
      return {
        what: `the name of ${host} could not be looked up`,
        hint: 'Check how the registry is spelled, and that name resolution works.',
      };
    case 'ECONNREFUSED':
      return { what: `${host} refused the connection`, hint: 'Check that the registry runs, and its port.' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return { what: `${host} cannot be reached (${native})`, hint: 'Check the network and the proxy.' };
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return {
        what: `connecting to ${host} took too long`,
        hint: 'Check the network and the proxy; use --plain-http if the registry speaks no TLS.',
      };
    case 'UND_ERR_HEADERS_TIMEOUT':
      return { what: `${host} took too long to answer` };
    case 'UND_ERR_BODY_TIMEOUT':
      return { what: `${host} stopped sending in the middle of an answer` };
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return { what: `the registry client was closed while it waited for ${host}`, retryable: false };
    case 'UND_ERR_HEADERS_OVERFLOW':
      return {
        what: `the headers of an answer of ${host} are longer than ${formatSize(MAX_HEADER_BYTES)}`,
        code: 'PROTOCOL',
        retryable: false,
        hint: 'A gateway before the registry adds more than it should, often cookies; ask who runs it.',
      };
    case 'UND_ERR_INVALID_ARG':
      return { what: `the exchange with ${host} broke HTTP (${native})`, code: 'PROTOCOL', retryable: false };
    default:
      if (native.startsWith('HPE_')) {
        return {
          what: `${host} answered something that is not HTTP (${native})`,
          code: 'PROTOCOL',
          retryable: false,
        };
      }
      return { what: `the connection to ${host} broke (${native})` };
  }
}
