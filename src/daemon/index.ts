export { checkContainerd, type ContainerdReport, type MissingLine } from './check-containerd.js';
export { DaemonClient } from './client.js';
export { Daemon, type DaemonOptions } from './daemon.js';
export { type DaemonAddress, findDaemon } from './daemon-file.js';
export { DaemonMetrics, ObserveServer } from './observe/metrics.js';
export type { EndedPull } from './pulls/pulls.js';
export type { LeftLayer } from './snapshots/snapshots-service.js';
export type { TransferMessage } from './transfers/messages.js';
export { parseSocketAddress } from './unix-socket.js';
