import { STATUS_CODES } from 'node:http';
import { isPlainObject } from '@sindresorhus/is';
import { RegistryError, type RegistryErrorCode } from '../../errors.js';
import { holdsSecret, type HttpResponse, plainText, redactUrl } from './http.js';
import { parseRetryAfter } from './retry.js';

export interface Refusal {
  readonly method: string;
  readonly response: HttpResponse;
  /** What came of the body, as `collectBeginning` gives it. */
  readonly body: Buffer;
  /** What was asked for, in words: `127.0.0.1:5000/team/app:1`. */
  readonly subject: string;
  /** Whether credentials were shown. */
  readonly authenticated: boolean;
  /** Strings that the answer may echo and no message may hold. */
  readonly secrets: readonly string[];
}

/** The error for an answer whose status is not the one hoped for (distribution-spec: Error Codes). */
export function responseError(refusal: Refusal): RegistryError {
  const { method, response, subject } = refusal;
  const { status, url } = response;
  const said = parseErrorBody(refusal.body, refusal.secrets);
  const { code, message, hint, retryable } = classify(refusal, said.codes);
  const retryAfterMs = retryable ? parseRetryAfter(response.header('retry-after')) : undefined;
  const reason = said.text === '' ? '' : `: ${said.text}`;
  return new RegistryError(
    code,
    `${subject}: ${message} (${status} ${STATUS_CODES[status] ?? ''}${reason})`,
    {
      retryable,
      hint,
      details: {
        method,
        url: redactUrl(url),
        status,
        // The number of lines that ask for credentials: without one, no client can know how to answer.
        challenges: status === 401 ? response.headers('www-authenticate').length : undefined,
        registryCodes: said.codes.length === 0 ? undefined : said.codes,
        retryAfterMs,
      },
    },
  );
}

interface Classified {
  readonly code: RegistryErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly hint: string | undefined;
}

function classify(
  { method, response, subject, authenticated }: Refusal,
  codes: readonly string[],
): Classified {
  // The subject, which stands before the message, may name the host already.
  const isNamed = subject.includes(response.url.host);
  const host = isNamed ? 'the registry' : response.url.host;
  const { status } = response;
  const final = (code: RegistryErrorCode, message: string, hint?: string): Classified => ({
    code,
    message,
    hint,
    retryable: false,
  });
  if (status === 401) {
    return authenticated
      ? final(
          'UNAUTHORIZED',
          `${host} refused the credentials`,
          'Check the user name and the password, and whether the repository exists.',
        )
      : final(
          'UNAUTHORIZED',
          `${host} asks for credentials`,
          'Log in with `landfall login`, or give --creds; a repository that does not exist may be answered so too.',
        );
  }
  if (status === 403) {
    const use = method === 'GET' || method === 'HEAD' ? 'read' : 'write to';
    const hint = `Check that the repository exists and that these credentials may ${use} it.`;
    return final('DENIED', `access denied by ${host}`, hint);
  }
  if (status === 404)
    return final('NOT_FOUND', isNamed ? 'not found' : `not found at ${host}`, notFoundHint(codes));
  if (status === 429) {
    const hint = 'Wait, or log in: many registries allow more to known users.';
    return { ...final('RATE_LIMITED', `${host} limits how often it may be asked`, hint), retryable: true };
  }
  if (status === 501) return final('PROTOCOL', `${host} does not know this kind of request`);
  if (status === 408 || status === 425 || status >= 500) {
    return { ...final('UNAVAILABLE', `${host} cannot answer at the moment`), retryable: true };
  }
  return final('PROTOCOL', `unexpected answer from ${host}`);
}

function notFoundHint(codes: readonly string[]): string {
  if (codes.includes('NAME_UNKNOWN')) return 'There is no such repository; check how it is spelled.';
  if (codes.includes('MANIFEST_UNKNOWN'))
    return 'The repository has no such tag or digest; check how it is spelled.';
  return 'Check the names of the repository and of the tag.';
}

/**
 * The registry's own codes and words. Its text is untrusted: short, one line, nothing that a terminal would
 * act on. Token servers write in other forms than the specification's; their words are taken where they are
 * known.
 */
export function parseErrorBody(body: Buffer, secrets: readonly string[]): { codes: string[]; text: string } {
  let document: unknown;
  try {
    document = JSON.parse(body.toString());
  } catch {
    return { codes: [], text: '' };
  }
  if (!isPlainObject(document)) return { codes: [], text: '' };
  const errors = (Array.isArray(document['errors']) ? document['errors'] : [])
    .slice(0, 5)
    .filter((e) => isPlainObject(e));
  const codes = errors
    .map((e) => e['code'])
    .filter(
      (c): c is string => typeof c === 'string' && /^[A-Za-z0-9_]{1,64}$/.test(c) && !holdsSecret(c, secrets),
    );
  const words = [
    ...errors.map((e) => e['message']),
    document['error_description'],
    document['details'],
    document['message'],
  ];
  const text = [
    ...new Set([...codes, ...words.filter((w) => typeof w === 'string').map((w) => printable(w, secrets))]),
  ];
  return { codes, text: text.filter((t) => t !== '').join(', ') };
}

const MESSAGE_LENGTH = 200;

function printable(text: string, secrets: readonly string[]): string {
  return holdsSecret(text, secrets) ? '' : plainText(text, MESSAGE_LENGTH);
}
