import { isIP } from 'node:net';
import { LandfallError } from '../errors.js';

export interface ListenAt {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:5000`, `[::1]:5000`, `:5000` (all addresses) and `localhost:0` (a free port).
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseListen(text: string): ListenAt {
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const valid = bracketed === undefined ? plain !== undefined : isIP(bracketed) === 6;
  if (!valid || port > 65_535) {
    throw new LandfallError('INVALID_CONFIG', `${JSON.stringify(text)} is not an address to listen on`, {
      hint: `Write HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000; port 0 takes a free one.`,
    });
  }
  const host = bracketed ?? plain ?? '';
  return { host: host === '' ? '0.0.0.0' : host, port };
}
