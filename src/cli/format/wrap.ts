/** Words in lines of at most so many columns; a word that is longer has a line of its own. */
export function wrapWords(text: string, width: number): string[] {
  return fill(
    text.split(/\s+/).filter((word) => word !== ''),
    width,
    '',
  );
}

/**
 * A command for a shell in lines of at most so many columns, each but the last with a backslash at its end, so that all of them together
 * can be pasted. What is quoted is not torn.
 */
export function wrapShell(command: string, width: number): string[] {
  const [first = '', ...words] = command.match(/(?:[^\s'"]+|'[^']*'|"[^"]*")+/g) ?? [];
  const lines = fill([first, ...words], width, ' \\');
  // Only what wraps gives way to the backslashes.
  return command.length <= width ? [command] : lines;
}

function fill(words: readonly string[], width: number, end: string): string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of words) {
    if (line === undefined) line = word;
    else if (line.length + 1 + word.length + end.length <= width) line += ` ${word}`;
    else {
      lines.push(line + end);
      line = word;
    }
  }
  return line === undefined ? lines : [...lines, line];
}
