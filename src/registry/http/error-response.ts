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
      ...(hint === undefined ? {} : { hint }),
      details: {
        method,
        url: redactUrl(url),
        status,
        // How many lines ask for credentials: without one, nobody can know how to answer.
        ...(status === 401 ? { challenges: response.headers('www-authenticate').length } : {}),
        ...(said.codes.length === 0 ? {} : { registryCodes: said.codes }),
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      },
    },
  );
}

interface Classified {
  readonly code: RegistryErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly hint?: string;
}

function classify({ method, response, authenticated }: Refusal, codes: readonly string[]): Classified {
  const writes = method !== 'GET' && method !== 'HEAD';
  const { host } = response.url;
  const { status } = response;
  if (status === 401) {
    return {
      code: 'UNAUTHORIZED',
      message: authenticated ? `${host} refused the credentials` : `${host} asks for credentials`,
      retryable: false,
      hint: authenticated
        ? 'Check the user name and the password, and whether the repository exists.'
        : 'Log in with `landfall login`, or give --creds; a repository that does not exist may be answered so too.',
    };
  }
  if (status === 403) {
    return {
      code: 'DENIED',
      message: `access denied by ${host}`,
      retryable: false,
      hint: `Check that the repository exists and that these credentials may ${writes ? 'write to' : 'read'} it.`,
    };
  }
  if (status === 404) {
    return {
      code: 'NOT_FOUND',
      message: `not found at ${host}`,
      retryable: false,
      hint: notFoundHint(codes),
    };
  }
  if (status === 429) {
    return {
      code: 'RATE_LIMITED',
      message: `${host} limits how often it may be asked`,
      retryable: true,
      hint: 'Wait, or log in: many registries allow more to known users.',
    };
  }
  if (status === 501) {
    return { code: 'PROTOCOL', message: `${host} does not know this kind of request`, retryable: false };
  }
  if (status === 408 || status === 425 || status >= 500) {
    return { code: 'UNAVAILABLE', message: `${host} cannot answer at the moment`, retryable: true };
  }
  return { code: 'PROTOCOL', message: `unexpected answer from ${host}`, retryable: false };
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
