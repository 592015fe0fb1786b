import type { IncomingMessage } from 'node:http';

/** Of requests whose body was read, in bytes. */
const received = new WeakMap<IncomingMessage, number>();

/**
 * The parts of a body as they come, which are counted. A reader that stops before the end can still answer.
 */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer, void, undefined> {
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received.set(request, receivedBytes(request) + part.length);
    yield part;
  }
}

/** How many bytes of its body were read. */
export function receivedBytes(request: IncomingMessage): number {
  return received.get(request) ?? 0;
}

/** How long a request says that its body is, in bytes; undefined where it does not. */
export function announcedLength({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

/** Whether a request has a body, though it may turn out to be empty. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || (announcedLength(request) ?? 0) > 0;
}
