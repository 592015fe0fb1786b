import { describe, expect, test } from 'vitest';
import { renderDiskUsage } from '../../src/cli/commands/df.js';
import type { DiskUsage } from '../../src/engine/upkeep/disk-usage.js';

const GB = 1e9;
const USAGE: DiskUsage = {
  root: '/var/lib/landfall',
  blobs: { count: 40, bytes: 20 * GB, reclaimable: 5 * GB },
  snapshots: { count: 30, bytes: 30 * GB, reclaimable: 0 },
  partials: { count: 1, bytes: 10 * GB, reclaimable: 10 * GB },
  database: { bytes: 1e6 },
  quarantine: { count: 2, bytes: 2e6 },
  total: 60 * GB + 3e6,
  reclaimable: 15 * GB,
  freeBytes: 25 * GB,
  capacityBytes: 100 * GB,
};

describe('what a store takes', () => {
  test('as a table, with a bar of the file system', () => {
    expect(renderDiskUsage(USAGE, { width: 52, unicode: false, color: false })).toBe(
      [
        'TYPE               COUNT     SIZE     RECLAIMABLE',
        'blobs                 40  20.0 GB    5.0 GB (25%)',
        'snapshots             30  30.0 GB             0 B',
        'partial downloads      1  10.0 GB  10.0 GB (100%)',
        'database                   1.0 MB             0 B',
        'quarantine             2   2.0 MB             0 B',
        'total                     60.0 GB   15.0 GB (25%)',
        '',
        '[##########===============+++++o-------............]',
        '  # blobs 20.0 GB',
        '  = snapshots 30.0 GB',
        '  + partial downloads 10.0 GB',
        '  o database and quarantine 3.0 MB',
        '  - used by others 15.0 GB',
        '  . free 25.0 GB',
        '',
      ].join('\n'),
    );
  });

  test('a terminal that shows more than ASCII gets blocks, and colours where it has them', () => {
    const plain = renderDiskUsage(USAGE, { width: 52, unicode: true, color: false });
    expect(plain).toContain('[██████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒▪░░░░░░░············]');
    const painted = renderDiskUsage(USAGE, { width: 52, unicode: true, color: true });
    expect(painted).toContain('\u001b[32m██████████\u001b[39m');
    expect(painted).toContain('\u001b[36m▓\u001b[39m snapshots');
    // eslint-disable-next-line no-control-regex -- what colours are made of
    expect(painted.replace(/\u001b\[\d+m/g, '')).toBe(plain);
  });

  test('what is not there is not in the bar', () => {
    const nothing = { count: 0, bytes: 0, reclaimable: 0 };
    const empty = { ...USAGE, blobs: nothing, snapshots: nothing, partials: nothing, total: 3e6 };
    const bar = renderDiskUsage(empty, { width: 42, unicode: false, color: false }).split('\n\n')[1];
    expect(bar).toBe(
      [
        `[o${'-'.repeat(29)}${'.'.repeat(10)}]`,
        '  o database and quarantine 3.0 MB',
        '  - used by others 75.0 GB',
        '  . free 25.0 GB',
        '',
      ].join('\n'),
    );
  });

  test('a store that says more than the file system has leaves nothing to others', () => {
    const odd = { ...USAGE, freeBytes: 90 * GB };
    expect(renderDiskUsage(odd, { width: 42, unicode: false, color: false })).not.toContain('used by others');
  });
});
