import { formatPlatform } from '../spec/index.js';
import type { ArchiveFormat } from '../transfer/archives/archive.js';
import type { CopyReport } from '../transfer/copy-report.js';
import { copyJson } from './copy-facts.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

/** An archive that was written. */
export interface SavedImages {
  readonly file: string;
  readonly format: ArchiveFormat;
  /** Bytes. */
  readonly size: number;
  /** Names of the files that it was split into; none where it was not. */
  readonly parts: readonly string[];
  readonly reports: readonly CopyReport[];
}

/** As docs/json-output.md has it. */
export function savedJson({ file, format, size, parts, reports }: SavedImages): object {
  return { file, format, size, ...(parts.length === 0 ? {} : { parts }), images: reports.map(copyJson) };
}

export function renderSaved({ file, size, parts, reports }: SavedImages): string {
  const into = parts.length === 0 ? '' : `, ${countOf(parts.length, 'part')}`;
  const lines = reports.flatMap((report) => {
    const { source, target, omitted } = report;
    const left = omitted.map(({ platform, digest }) =>
      platform === undefined ? digest : formatPlatform(platform),
    );
    return [
      `${printable(source)} ${target.digest}`,
      ...(left.length === 0 ? [] : [`  left out: ${printable(left.join(', '))}`]),
    ];
  });
  lines.push(`saved ${countOf(reports.length, 'image')} to ${printable(file)} (${formatSize(size)}${into})`);
  return lines.map((line) => `${line}\n`).join('');
}
