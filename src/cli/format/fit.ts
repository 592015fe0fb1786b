/** Text cut to a number of columns, its end replaced by an ellipsis. */
export function fitEnd(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 1 ? text.slice(0, Math.max(0, width)) : `${text.slice(0, width - 1)}…`;
}

/** The same with its beginning replaced: the end of an image's name tells more than its registry. */
export function fitStart(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 1
    ? text.slice(text.length - Math.max(0, width))
    : `…${text.slice(text.length - width + 1)}`;
}
