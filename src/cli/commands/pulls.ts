import { DaemonClient, findDaemon, type TransferMessage } from '../../daemon/index.js';
import { LandfallError } from '../../errors.js';
import { familiarReference, formatPart, formatRate, parseReference } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { ASCII_BAR, renderBar, renderTable, type TableOptions, UNICODE_BAR } from '../format/text.js';
import type { EventDisplay } from '../progress/event-display.js';
import { LiveLines } from '../progress/live-lines.js';
import { canDraw, columnsOf, rowsOf, showsUnicode, tableWidth } from '../output/terminal.js';

/** The pulls of the root's daemon at the moment; with `--watch`, until it is interrupted. */
export async function pullsCommand(
  { watch = false }: { readonly watch?: boolean },
  context: CommandContext,
): CommandResult {
  const { root } = context.settings;
  const daemon = await findDaemon(root);
  if (daemon === undefined) {
    throw new LandfallError('UNAVAILABLE', `no daemon serves the store at ${root}`, {
      hint: 'Start one with `landfall daemon`, or name its --root.',
    });
  }
  using client = new DaemonClient(daemon.socket);
  if (watch) return await watchTransfers(client, context);
  const transfers = await client.list({ signal: context.signal });
  answer(context, transfers.map(transferJson), () =>
    transfers.length === 0 ? '' : renderTransfers(transfers, renderOptions(context)),
  );
  return 0;
}

/** Bars in a terminal, else a line for each change. */
async function watchTransfers(client: DaemonClient, context: CommandContext): CommandResult {
  const { stdout, env, settings, signal } = context;
  const draws = settings.output === 'text' && canDraw(stdout, env);
  const board = draws ? openBoard(context) : undefined;
  try {
    for await (const { transfers } of client.watch({ signal })) {
      if (board !== undefined) board.show(transfers);
      else for (const transfer of transfers) stdout.write(lineOf(transfer, context));
    }
  } finally {
    board?.finish();
  }
  return 0;
}

/** All that is in flight, redrawn in place. What has ended stays above it. */
function openBoard(context: CommandContext): EventDisplay<readonly TransferMessage[]> {
  const { stdout } = context;
  const inFlight = new Map<string, TransferMessage>();
  const frame = (): void => lines.draw(boardLines([...inFlight.values()], context));
  const lines = new LiveLines(stdout, { onResize: frame });
  return {
    show: (changed) => {
      for (const transfer of changed) {
        inFlight.delete(transfer.id);
        if (hasEnded(transfer)) lines.above(rowOf(transfer, context));
        else inFlight.set(transfer.id, transfer);
      }
      frame();
    },
    finish: () => lines.close(),
  };
}

/** No line reaches the last column, and there are fewer than the terminal has. */
function boardLines(transfers: readonly TransferMessage[], context: CommandContext): readonly string[] {
  if (transfers.length === 0) return ['nothing in flight'];
  const { stdout, env } = context;
  const width = columnsOf(stdout, env) - 1;
  const lines = renderTransfers(transfers, { ...renderOptions(context), width })
    .trimEnd()
    .split('\n');
  const room = Math.max(1, rowsOf(stdout) - 2);
  return lines.length <= room ? lines : [...lines.slice(0, room), `and ${lines.length - room} more`];
}

function hasEnded({ state }: TransferMessage): boolean {
  return state === 'DONE' || state === 'FAILED';
}

function lineOf(transfer: TransferMessage, context: CommandContext): string {
  return context.settings.output === 'json'
    ? `${JSON.stringify(transferJson(transfer))}\n`
    : `${rowOf(transfer, context)}\n`;
}

/** One transfer without the titles of the columns. */
function rowOf(transfer: TransferMessage, context: CommandContext): string {
  return renderTransfers([transfer], renderOptions(context)).trimEnd().split('\n').at(-1) ?? '';
}

function renderOptions({ stdout, env }: CommandContext): RenderTransfersOptions {
  return { width: tableWidth(stdout, env), unicode: showsUnicode(env) };
}

/** 64-bit numbers are numbers here: no transfer has so many bytes that they were not exact. */
function transferJson(transfer: TransferMessage): object {
  const { id, reference, state, layers, startedAt, waiting, errorCode, errorMessage } = transfer;
  return {
    id,
    reference,
    state: state.toLowerCase(),
    totalBytes: Number(transfer.totalBytes),
    presentBytes: Number(transfer.presentBytes),
    downloadedBytes: Number(transfer.downloadedBytes),
    bytesPerSecond: Number(transfer.bytesPerSecond),
    startedAt: new Date(Number(startedAt)).toISOString(),
    waiting,
    layers: layers.map((layer) => ({
      digest: layer.digest,
      size: Number(layer.size),
      presentBytes: Number(layer.presentBytes),
      state: layer.state.toLowerCase(),
    })),
    ...(errorCode === '' ? {} : { error: { code: errorCode, message: errorMessage } }),
  };
}

export interface RenderTransfersOptions extends TableOptions {
  readonly unicode: boolean;
}

const BAR_WIDTH = 20;

/** Transfers as a table, each with a bar of what of it is here. */
export function renderTransfers(
  transfers: readonly TransferMessage[],
  { width, unicode }: RenderTransfersOptions,
): string {
  return renderTable(
    [
      { title: 'ID' },
      { title: 'IMAGE', shrinks: true, keeps: 'end' },
      { title: 'STATE' },
      { title: 'PROGRESS' },
      { title: 'SIZE', align: 'right' },
      { title: 'RATE', align: 'right' },
      { title: 'LAYERS', align: 'right', optional: true },
      { title: 'CALLERS', align: 'right', optional: true },
    ],
    transfers.map((transfer) => {
      const { id, reference, state, layers, waiting } = transfer;
      const [total, present] = [Number(transfer.totalBytes), Number(transfer.presentBytes)];
      const done = layers.filter((layer) => layer.state === 'DONE').length;
      return [
        id,
        familiarReference(parseReference(reference)),
        state === 'FAILED' ? `failed: ${transfer.errorCode}` : state.toLowerCase(),
        total === 0 ? '' : barOf(transfer, unicode),
        total === 0 ? '' : formatPart(present, total),
        state === 'TRANSFERRING' ? formatRate(Number(transfer.bytesPerSecond)) : '',
        layers.length === 0 ? '' : `${done}/${layers.length}`,
        String(waiting),
      ];
    }),
    { width },
  );
}

function barOf({ layers, totalBytes, presentBytes }: TransferMessage, unicode: boolean): string {
  const total = Math.max(1, Number(totalBytes));
  const unpacked = layers.reduce((sum, layer) => sum + (layer.state === 'DONE' ? Number(layer.size) : 0), 0);
  const bar = renderBar(
    { downloaded: Number(presentBytes) / total, unpacked: unpacked / total },
    BAR_WIDTH,
    unicode ? UNICODE_BAR : ASCII_BAR,
  );
  return `${bar.unpacked}${bar.downloaded}${bar.missing}`;
}
