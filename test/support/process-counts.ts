import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from './daemon-process.js';

/** What lives in a process once its garbage was collected. */
export interface ProcessCounts {
  /** Those that have not ended, also the ones that a process does not wait for. */
  readonly timers: number;
  /** Of abort signals and other event targets. */
  readonly listeners: number;
  readonly signals: number;
  readonly promises: number;
  /** Listeners of emitters are among them. */
  readonly functions: number;
}

const LINE = 'counts ';

/**
 * Node says how many objects of a class there are. Two of these classes have no name, and are had from an
 * object.
 */
const SCRIPT = `
import { isMainThread } from 'node:worker_threads';
import { queryObjects } from 'node:v8';
const timer = setTimeout(() => undefined, 0);
const { constructor: Timer } = timer;
clearTimeout(timer);
const target = new EventTarget();
target.addEventListener('x', () => undefined);
const events = Object.getOwnPropertySymbols(target).map((one) => target[one]).find((one) => one?.get?.('x')?.next !== undefined);
const Listener = events.get('x').next.constructor;
const classes = { timers: Timer, listeners: Listener, signals: AbortSignal, promises: Promise, functions: Function };
if (isMainThread)
  process.on('SIGUSR2', () => {
    const counts = Object.entries(classes).map(([name, one]) => [name, queryObjects(one, { format: 'count' })]);
    process.stderr.write('${LINE}' + JSON.stringify(Object.fromEntries(counts)) + '\\n');
  });
`;

/** Options of Node.js with which a process can be asked for its counts. */
export const COUNTING: `--import=${string}` = `--import=data:text/javascript,${encodeURIComponent(SCRIPT)}`;

/** The counts of a daemon that was started with {@link COUNTING}. */
export async function countsOf(daemon: DaemonProcess): Promise<ProcessCounts> {
  const before = daemon.log.length;
  process.kill(daemon.pid, 'SIGUSR2');
  for (;;) {
    const line = daemon.log.slice(before).find((one) => one.startsWith(LINE));
    if (line !== undefined) return JSON.parse(line.slice(LINE.length)) as ProcessCounts;
    await sleep(5);
  }
}
