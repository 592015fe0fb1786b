/** The characters of a bar: what is unpacked, what is downloaded, what is still to come. */
export interface BarStyle {
  readonly unpacked: string;
  readonly downloaded: string;
  readonly missing: string;
}

export const UNICODE_BAR: BarStyle = { unpacked: '█', downloaded: '▒', missing: '·' };
export const ASCII_BAR: BarStyle = { unpacked: '#', downloaded: '=', missing: '.' };

/**
 * One bar for two things that happen at once: the unpacked part lies over the downloaded part. Fractions from 0 to 1;
 * a part that is not whole never looks whole.
 */
export function renderBar(
  part: { readonly downloaded: number; readonly unpacked: number },
  width: number,
  style: BarStyle,
): { readonly unpacked: string; readonly downloaded: string; readonly missing: string } {
  const unpacked = cells(part.unpacked, width);
  const downloaded = Math.max(cells(part.downloaded, width), unpacked);
  return {
    unpacked: style.unpacked.repeat(unpacked),
    downloaded: style.downloaded.repeat(downloaded - unpacked),
    missing: style.missing.repeat(width - downloaded),
  };
}

function cells(fraction: number, width: number): number {
  return Math.floor(Math.min(Math.max(fraction, 0), 1) * width);
}
