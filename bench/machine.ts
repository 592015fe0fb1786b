import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { formatSize } from '../src/spec/index.js';

/** What figures depend on, and nothing that tells one machine of a kind from another. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** How many processes ran or waited to, over the minute before: near 0, or the times mean little. */
  readonly load: number;
}

export function thisMachine(): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    load: loadavg()[0] ?? NaN,
  };
}

export function describeMachine({ cores, processor, memoryBytes, kernel, node, load }: Machine): string {
  const parts = [
    `${cores} cores of ${processor}`,
    formatSize(memoryBytes),
    `Linux ${kernel}`,
    `Node ${node}`,
    `load before ${load.toFixed(1)}`,
  ];
  return parts.join(', ');
}
