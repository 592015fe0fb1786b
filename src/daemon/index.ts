// grpc -> pulls -> cri | snapshots | transfers -> containerd, observe -> daemon.ts and what it composes
export { checkContainerd, type ContainerdReport, type MissingLine } from './containerd/check-containerd.js';
export { Daemon, type DaemonOptions } from './daemon.js';
export { type DaemonAddress, findDaemon } from './daemon-file.js';
export { parseSocketAddress } from './grpc/unix-socket.js';
export { DaemonMetrics } from './observe/metrics.js';
export { openTracing } from './observe/open-tracing.js';
export { DAEMON_AUTH_FILE, type EndedPull } from './pulls/pulls.js';
export type { LeftLayer } from './snapshots/snapshots-service.js';
export { DaemonClient } from './transfers/client.js';
export type { TransferMessage } from './transfers/messages.js';
