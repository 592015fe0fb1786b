/** A request that was answered. */
export interface ServedRequest {
  /** `GET`, `PUT`, … */
  readonly method: string;
  /** As the client sent it, with its query. */
  readonly path: string;
  /** Of the answer. */
  readonly status: number;
  /** Bytes of body that were given to the connection. */
  readonly bytes: number;
  /** Bytes of body that the client sent and that were read. */
  readonly receivedBytes: number;
  /** When its head had come. */
  readonly startedAt: Date;
  /** Until the answer had ended, in milliseconds. */
  readonly durationMs: number;
  /** The client's numeric IP address; empty where its connection had gone before. */
  readonly client: string;
  /** The user whose credentials the client has shown. */
  readonly user?: string | undefined;
  /** What the client calls itself. */
  readonly userAgent?: string | undefined;
  /** As the client sent it. */
  readonly referer?: string | undefined;
  /** `1.1` */
  readonly httpVersion: string;
  /** What broke, where the answer is a 500 or ended early. */
  readonly error?: unknown;
}

/**
 * A request in the combined log format of web servers, with the milliseconds that it took at the end.
 * Credentials in a URL are taken out.
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
export function accessFields(request: ServedRequest): Readonly<Record<string, string | number | undefined>> {
  const { client, user, method, status, bytes, receivedBytes, userAgent, referer } = request;
  return {
    client,
    user,
    method,
    path: withoutCredentials(request.path),
    status,
    bytes,
    receivedBytes,
    durationMs: Math.round(request.durationMs),
    userAgent,
    referer: referer && withoutCredentials(referer),
  };
}

/** `10/Oct/2000:13:55:36 +0000`, in UTC. */
function timeOf(date: Date): string {
  // `Tue, 10 Oct 2000 13:55:36 GMT`
  const [, day = '', month = '', year = '', time = ''] = date.toUTCString().split(' ');
  return `${day}/${month}/${year}:${time} +0000`;
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
