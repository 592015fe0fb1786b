import { diskUsage, type DiskUsage } from '../../engine/upkeep/disk-usage.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { formatSize } from '../../spec/index.js';
import { paint, renderShares, renderTable } from '../format/text.js';
import { showsUnicode, wantsColor } from '../output/terminal.js';
import { withStore } from '../images/with-store.js';

const WIDEST = 80;

export async function dfCommand(context: CommandContext): CommandResult {
  const { signal, stdout, env } = context;
  const usage = await withStore(context, (store) => diskUsage(store, { signal }));
  answer(context, usage, () =>
    renderDiskUsage(usage, {
      width: Math.min(stdout.columns ?? WIDEST, WIDEST),
      // Piped output is read by other programs, or later and elsewhere.
      unicode: stdout.isTTY === true && showsUnicode(env),
      color: wantsColor(stdout, env),
    }),
  );
  return 0;
}

export interface RenderDiskUsageOptions {
  /** Columns. */
  readonly width: number;
  readonly unicode: boolean;
  readonly color: boolean;
}

interface Part {
  readonly name: string;
  readonly bytes: number;
  readonly unicode: string;
  readonly ascii: string;
  readonly color?: 'green' | 'cyan' | 'yellow' | 'magenta';
}

/** The space that a store takes as a table, and below it a bar of the file system that it lies on. */
export function renderDiskUsage(usage: DiskUsage, options: RenderDiskUsageOptions): string {
  return `${tableOf(usage, options)}\n${barOf(usage, options)}`;
}

function tableOf(usage: DiskUsage, { width }: RenderDiskUsageOptions): string {
  const { blobs, snapshots, partials, database, quarantine } = usage;
  const rows: [name: string, count: number | undefined, bytes: number, reclaimable: number][] = [
    ['blobs', blobs.count, blobs.bytes, blobs.reclaimable],
    ['snapshots', snapshots.count, snapshots.bytes, snapshots.reclaimable],
    ['partial downloads', partials.count, partials.bytes, partials.reclaimable],
    ['database', undefined, database.bytes, 0],
    ['quarantine', quarantine.count, quarantine.bytes, 0],
    ['total', undefined, usage.total, usage.reclaimable],
  ];
  return renderTable(
    [
      { title: 'TYPE', shrinks: true },
      { title: 'COUNT', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'RECLAIMABLE', align: 'right' },
    ],
    rows.map(([name, count, bytes, reclaimable]) => [
      name,
      count === undefined ? '' : String(count),
      formatSize(bytes),
      `${formatSize(reclaimable)}${percentOf(reclaimable, bytes)}`,
    ]),
    { width },
  );
}

function percentOf(part: number, whole: number): string {
  return part === 0 || whole === 0 ? '' : ` (${Math.round((part * 100) / whole)}%)`;
}

function barOf(usage: DiskUsage, { width, unicode, color }: RenderDiskUsageOptions): string {
  const parts = partsOf(usage).filter(({ bytes }) => bytes > 0);
  const painted = (text: string, at: number): string => {
    const own = parts[at]?.color;
    return !color || own === undefined || text === '' ? text : paint(own, text);
  };
  const markOf = (part: Part): string => (unicode ? part.unicode : part.ascii);
  const bar = renderShares(
    parts.map((part) => ({ amount: part.bytes, mark: markOf(part) })),
    Math.max(1, width - 2),
    painted,
  );
  const legend = parts.map(
    (part, at) => `  ${painted(markOf(part), at)} ${part.name} ${formatSize(part.bytes)}\n`,
  );
  return `[${bar}]\n${legend.join('')}`;
}

/** The whole file system, cut into what the store takes, what others take, and what is left. */
function partsOf(usage: DiskUsage): readonly Part[] {
  const { blobs, snapshots, partials, database, quarantine, total, freeBytes, capacityBytes } = usage;
  return [
    { name: 'blobs', bytes: blobs.bytes, unicode: '█', ascii: '#', color: 'green' },
    { name: 'snapshots', bytes: snapshots.bytes, unicode: '▓', ascii: '=', color: 'cyan' },
    { name: 'partial downloads', bytes: partials.bytes, unicode: '▒', ascii: '+', color: 'yellow' },
    {
      name: 'database and quarantine',
      bytes: database.bytes + quarantine.bytes,
      unicode: '▪',
      ascii: 'o',
      color: 'magenta',
    },
    // Also what the file system keeps for itself and for root.
    { name: 'used by others', bytes: capacityBytes - freeBytes - total, unicode: '░', ascii: '-' },
    { name: 'free', bytes: freeBytes, unicode: '·', ascii: '.' },
  ];
}
