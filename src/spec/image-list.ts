/** A line of a list of images. */
export interface ListedImage {
  /** As it was written. */
  readonly name: string;
  /** From 1. */
  readonly line: number;
}

/** Reads a list: one image a line. Empty lines, and what follows `#`, are nothing. */
export function parseImageList(text: string): readonly ListedImage[] {
  return text.split('\n').flatMap((line, at) => {
    const name = (line.split('#', 1)[0] ?? '').trim();
    return name === '' ? [] : [{ name, line: at + 1 }];
  });
}
