import type { TransferMessage } from '../daemon/index.js';
import { familiarReference, parseReference } from '../spec/index.js';
import { formatPart, formatRate } from './format/size.js';
import { renderTable } from './format/table.js';
import { ASCII_BAR, renderBar, UNICODE_BAR } from './progress/bar.js';

export interface RenderTransfersOptions {
  /** Columns; absent: as wide as it gets. */
  readonly width?: number | undefined;
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
      { title: 'BYTES', align: 'right' },
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
    width === undefined ? {} : { width },
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
