// grpc -> pulls -> cri | snapshots | transfers -> containerd, observe -> daemon.ts and what it composes
export type { ContainerdReport, MissingLine } from './containerd/check-containerd.js';
export { Daemon, type DaemonOptions } from './daemon.js';
export { type DaemonAddress, findDaemon } from './daemon-file.js';
export { parseSocketAddress } from './grpc/unix-socket.js';
export { DaemonMetrics } from './observe/metrics.js';
export type { Tracing } from './observe/tracing.js';
export { wantsTracing } from './observe/wants-tracing.js';
export type { EndedPull } from './pulls/pulls.js';
export type { LeftLayer } from './snapshots/snapshots-service.js';
export { DaemonClient } from './transfers/client.js';
export type { TransferMessage } from './transfers/messages.js';
