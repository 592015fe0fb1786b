import type { Readable } from 'node:stream';
import type { Abortable } from '../../errors.js';
import type { BodySource } from './body-source.js';

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * How an origin is connected to, where it is not as everywhere else. Connections are pooled by the object's identity, so
 * one is made for each host and kept.
 */
export interface ConnectionOptions {
  /** PEM, trusted besides the public authorities. */
  readonly ca?: readonly (string | Buffer)[];
  /** PEM, shown to a server that asks for a client certificate. */
  readonly client?: readonly {
    /** The certificate, and those between it and one that the server knows. */
    readonly cert: Buffer;
    /** Of the certificate. */
    readonly key: Buffer;
  }[];
  /** Takes any certificate. */
  readonly insecure?: boolean;
  /** Until the connection stands, TLS included, in milliseconds. */
  readonly dialTimeoutMs?: number;
}

export interface HttpRequest extends Abortable {
  readonly method: HttpMethod;
  readonly url: URL;
  /**
   * Path and query as they are sent, where that is not as the URL has them: it writes `'` in a query as `%27`, which an
   * address that was signed may not bear.
   */
  readonly target?: string | undefined;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is read once; it is destroyed when the exchange fails. */
  readonly body?: string | Uint8Array | Readable;
  /** Which try of the same request this is, from 1. */
  readonly attempt: number;
  readonly connection?: ConnectionOptions;
  /** From the request to the last of the answer's headers, in milliseconds. Default: the sender's own. */
  readonly headersMs?: number;
}

/** Headers have arrived; the body waits until it is started. It must be started or destroyed. */
export interface HttpResponse extends BodySource {
  readonly status: number;
  readonly url: URL;
  /** The first value of a header, by its name in lower case. */
  header(name: string): string | undefined;
  /** All values of a header. */
  headers(name: string): readonly string[];
}

/** Whatever keeps connections between exchanges, by how they are made. */
export interface ConnectionKeeper {
  /** Keeps connections that are made in this way, which is so unless they were dropped. */
  keep(connection: ConnectionOptions): void;
  /** Keeps none from now on; those that are open are closed once what is under way over them is over. */
  drop(connection: ConnectionOptions): void;
}

/** Whatever makes single HTTP exchanges. It neither redirects, authenticates nor retries. */
export interface HttpSender {
  /** Resolves with the headers. @throws {RegistryError} UNAVAILABLE, PROTOCOL; ABORTED */
  send(request: HttpRequest): Promise<HttpResponse>;
}

/** A URL as it may be shown: without user info, query and fragment, any of which may hold a secret. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** A URL from text, relative to `base` if there is one; undefined when it is none. */
export function parseUrl(text: string, base?: URL): URL | undefined {
  return URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
}

/** Whether a registry's words echo something that no message may hold, as it is or percent-encoded. */
export function holdsSecret(text: string, secrets: readonly string[]): boolean {
  const forms = [text, decoded(text)];
  return secrets.some((secret) => forms.some((form) => form.includes(secret)));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu;

/**
 * Words of a registry made fit for a message: one line, nothing that a terminal would act on, and no query of a URL, which
 * may hold a signature.
 *
 * @param maxLength UTF-16 code units; what is longer ends in an ellipsis
 */
export function plainText(text: string, maxLength: number): string {
  const plain = text
    .replace(UNPRINTABLE, ' ')
    .replace(/ {2,}/g, ' ')
    .replace(/(https?:\/\/[^\s?]*)\?\S*/gi, '$1')
    .trim();
  if (plain.length <= maxLength) return plain;
  // Not between the two halves of a character.
  return `${plain.slice(0, maxLength).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
