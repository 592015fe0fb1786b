import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

let boot: string | undefined;

/**
 * Which boot of the machine this is (random(4), boot_id): what a power cut can take is what was written in an earlier one.
 * Where the kernel does not tell, it is an ID that no other process has.
 */
export function bootId(): string {
  boot ??= readBootId() ?? randomUUID();
  return boot;
}

/** Undefined where /proc does not tell. */
export function readBootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}
