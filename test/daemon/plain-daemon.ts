import type { DaemonOptions } from '../../src/daemon/index.js';

/** What every daemon of a test is told that asks for nothing else. */
export const PLAIN_DAEMON: Pick<
  DaemonOptions,
  'version' | 'progressTimeoutMs' | 'discardLayers' | 'runtimeHandlers' | 'pins' | 'onError'
> = {
  version: '1.2.3',
  progressTimeoutMs: 0,
  discardLayers: false,
  runtimeHandlers: [],
  pins: [],
  onError: () => undefined,
};
