import { CriClient } from '../../bench/cri/cri-client.js';
import { record } from './secrets.js';

export { type CriImage, criClientProgram, whyNoCriClient } from '../../bench/cri/cri-client.js';

/**
 * A client of CRI with upstream's stubs, over one connection. What the daemon answers is searched for
 * secrets.
 */
export function connectCri(socket: string): Promise<CriClient> {
  return CriClient.connect(socket, { onLine: (line) => record('answer of the daemon', line) });
}

export type { CriClient };
