import { styleText } from 'node:util';

/** Text in a colour or weight. Whether there is to be any is for the caller to know: see `wantsColor`. */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { validateStream: false });
}
