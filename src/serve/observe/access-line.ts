import type { ServedRequest } from '../serve-request.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * A request in the combined log format of web servers, with the milliseconds that it took at the end. Nothing of credentials is
 * in it: a URL that brings some has them taken out.
 */
export function accessLine(request: ServedRequest): string {
  const { method, status, bytes, client, user, userAgent, referer, httpVersion, durationMs } = request;
  const asked = `${method} ${withoutCredentials(request.path)} HTTP/${httpVersion}`;
  return [
    client === '' ? '-' : client,
    '-',
    user === undefined || user === '' ? '-' : user.replace(/\s/g, '_'),
    `[${timeOf(request.startedAt)}]`,
    quoted(asked),
    status,
    bytes,
    quoted(withoutCredentials(referer ?? '-')),
    quoted(userAgent ?? '-'),
    `${Math.round(durationMs)}ms`,
  ].join(' ');
}

/** The same for programs. */
export function accessFacts(request: ServedRequest): Readonly<Record<string, string | number>> {
  const { method, path, status, bytes, receivedBytes, client, user, userAgent, referer, durationMs } =
    request;
  return {
    client,
    ...(user === undefined ? {} : { user }),
    method,
    path: withoutCredentials(path),
    status,
    bytes,
    receivedBytes,
    durationMs: Math.round(durationMs),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(referer === undefined ? {} : { referer: withoutCredentials(referer) }),
  };
}

/** `10/Oct/2000:13:55:36 +0000`, in UTC. */
function timeOf(date: Date): string {
  const [day, time] = [date.getUTCDate(), date.toISOString().slice(11, 19)];
  const month = MONTHS[date.getUTCMonth()] ?? '';
  return `${String(day).padStart(2, '0')}/${month}/${date.getUTCFullYear()}:${time} +0000`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** Also a client's own mistake, to write them into a URL, is not to end in a file. */
function withoutCredentials(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1')
    .replace(/([?&](?:access_token|token|password|account|_state)=)[^&]*/gi, '$1…');
}
