import type { MirrorFile } from '../../../src/transfer/sync/mirror-file.js';
import { MirrorFileError } from '../../../src/transfer/sync/yaml-text.js';
import type { ReadMirrorFileOptions } from '../../../src/transfer/sync/form-reader.js';
import { readMirrorFile } from '../../../src/transfer/sync/read-mirror-file.js';

export const NOW: number = Date.parse('2026-01-31T00:00:00Z');

/** Reads a file that lies in /etc/mirror. */
export function read(text: string, o: Partial<ReadMirrorFileOptions> = {}): MirrorFile {
  return readMirrorFile(text, { name: 'mirror.yaml', directory: '/etc/mirror', now: NOW, ...o });
}

/** The faults that a file is refused for, each as `LINE:COLUMN: message (hint)`. */
export function faultsIn(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof MirrorFileError)) throw error;
    return error.faults.map(
      ({ at, message, hint }) =>
        `${at.line}:${at.column}: ${message}${hint === undefined ? '' : ` (${hint})`}`,
    );
  }
  throw new Error('the file was taken');
}
