import { once } from 'node:events';
import type http from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { RangeManners, Reply } from './scripted-reply.js';
import type { SentBytes } from './sent-bytes.js';

const PIECE_BYTES = 64 * 1024;
const PACE_MS = 50;

/** What is sent of a body: the bytes from `start` to before `end`. */
interface Part {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly start: number;
  readonly end: number;
}

/** Bytes of bodies that a connection has carried. */
const carried = new WeakMap<Socket, number>();

/**
 * Gives one reply, in the way that it asks for. Resolves when there is nothing more to send, or nobody to
 * send it to.
 */
export async function sendReply(
  reply: Reply,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  sent: SentBytes,
): Promise<void> {
  if (reply.delayMs !== undefined) await sleep(reply.delayMs);
  await reply.after;
  if (reply.dropAfter === -1) {
    request.socket.destroy();
    return;
  }
  if (reply.stallAfter === -1) return;
  const { body: given = '' } = reply;
  const body = Buffer.isBuffer(given) ? given : Buffer.from(given);
  const part = partOf(reply, request, body.length);
  const length = reply.chunked === true ? {} : { 'content-length': String(part.end - part.start) };
  response.writeHead(part.status, { ...length, ...part.headers, ...reply.headers });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  await sendBody({ reply, request, response, body, part, sent });
}

interface Sending {
  readonly reply: Reply;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly body: Buffer;
  readonly part: Part;
  readonly sent: SentBytes;
}

async function sendBody({ reply, request, response, body, part, sent }: Sending): Promise<void> {
  const { socket } = request;
  const reported = reportedStart(reply);
  const extend = sent.begin(new URL(request.url ?? '/', 'http://localhost').pathname, part.start + reported);
  const room = reply.cutEvery === undefined ? Infinity : reply.cutEvery - (carried.get(socket) ?? 0);
  const most = Math.max(0, Math.min(reply.dropAfter ?? Infinity, reply.stallAfter ?? Infinity, room));
  const end = Math.min(part.end, part.start + most);
  const { paceMs = PACE_MS } = reply;
  const piece =
    reply.bytesPerSecond === undefined
      ? PIECE_BYTES
      : Math.max(1, Math.floor((reply.bytesPerSecond * paceMs) / 1000));
  // A body that is sent to its end may still be one that breaks off: a connection is cut behind its last byte
  // too. One that is sent whole before it would stall ends as any other, or the connection's next request
  // would wait for it.
  const stalls = reply.stallAfter !== undefined && reply.stallAfter < part.end - part.start;
  const breaksOff = reply.dropAfter !== undefined || stalls || room <= part.end - part.start;
  const gone = once(response, 'close').catch(() => undefined);
  if (breaksOff) response.flushHeaders();
  for (let at = part.start; at < end; at += piece) {
    if (at > part.start && reply.bytesPerSecond !== undefined) await sleep(paceMs);
    if (response.destroyed) return;
    const chunk = corrupted(body.subarray(at, Math.min(end, at + piece)), at, reply.corrupt);
    const written = new Promise<Error | null | undefined>((resolve) => response.write(chunk, resolve));
    if ((await Promise.race([written, gone.then(() => new Error('gone'))])) instanceof Error) return;
    extend(chunk.length);
    carried.set(socket, (carried.get(socket) ?? 0) + chunk.length);
  }
  if (!breaksOff) response.end();
  else if (!stalls || most < (reply.stallAfter ?? 0)) socket.destroySoon();
}

/**
 * Where the body of an answer begins that was made as a part by hand, so that what was sent is counted at its
 * place.
 */
function reportedStart({ status, headers, ranges }: Reply): number {
  if (status !== 206 || ranges !== undefined) return 0;
  return Number(/^bytes (\d+)-/.exec(String(headers?.['content-range']))?.[1] ?? 0);
}

function corrupted(chunk: Buffer, at: number, offset: number | undefined): Buffer {
  if (offset === undefined || offset < at || offset >= at + chunk.length) return chunk;
  const copy = Buffer.from(chunk);
  copy.writeUInt8(copy.readUInt8(offset - at) ^ 0xff, offset - at);
  return copy;
}

function partOf({ ranges, status = 200 }: Reply, request: http.IncomingMessage, size: number): Part {
  const whole = { status, headers: {}, start: 0, end: size };
  if (ranges === undefined || ranges === 'ignored' || status !== 200) return whole;
  const honest = { ...whole, headers: { 'accept-ranges': 'bytes' } };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  if (first === '' && last === '') return honest;
  const wanted =
    first === ''
      ? { start: Math.max(0, size - Number(last)), end: size }
      : { start: Number(first), end: last === '' ? size : Math.min(size, Number(last) + 1) };
  if (wanted.start >= wanted.end) {
    return { status: 416, headers: { 'content-range': `bytes */${size}` }, start: 0, end: 0 };
  }
  const { start, end } = answered(wanted, ranges);
  return {
    status: 206,
    headers: { ...honest.headers, 'content-range': `bytes ${start}-${end - 1}/${size}` },
    start,
    end,
  };
}

function answered(
  { start, end }: { start: number; end: number },
  ranges: RangeManners,
): { start: number; end: number } {
  if (ranges === 'wrong') return { start: start === 0 ? 1 : start - 1, end };
  if (ranges === 'short') return { start, end: start + Math.ceil((end - start) / 2) };
  return { start, end };
}
