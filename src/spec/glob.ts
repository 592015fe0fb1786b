/** Whether a text matches a pattern as a whole: `*` is any text, `?` any one character, all else itself. */
export function matchesGlob(pattern: string, text: string): boolean {
  // Remembering where the last star was and how much it took keeps this linear in memory and without
  // backtracking into earlier stars, which a regular expression would do.
  let at = 0;
  let star: { readonly pattern: number; text: number } | undefined;
  let next = 0;
  while (at < text.length) {
    const char = pattern[next];
    if (char === '*') {
      star = { pattern: next, text: at };
      next += 1;
    } else if (char !== undefined && (char === '?' || char === text[at])) {
      at += 1;
      next += 1;
    } else if (star !== undefined) {
      star.text += 1;
      at = star.text;
      next = star.pattern + 1;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(next));
}

/** Whether a pattern can match more than itself. */
export function isGlob(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
