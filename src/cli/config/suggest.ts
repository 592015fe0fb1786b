/**
 * The known words that a mistyped one may stand for: the nearest alone, else those that it is the beginning
 * of.
 */
export function suggest(word: string, known: readonly string[]): string[] {
  const reach = Math.min(3, Math.floor(word.length * 0.4));
  let nearest = reach;
  let found: string[] = [];
  for (const candidate of new Set(known)) {
    const steps = distance(word.toLowerCase(), candidate.toLowerCase());
    if (steps > nearest) continue;
    if (steps < nearest) found = [];
    nearest = steps;
    found.push(candidate);
  }
  if (found.length === 0 && word.length > 2) found = known.filter((candidate) => candidate.startsWith(word));
  return [...new Set(found)].sort();
}

/** How many letters are missing, too many, wrong or exchanged with their neighbour. */
function distance(from: string, to: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: to.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= from.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const wrong = from[row - 1] === to[column - 1] ? 0 : 1;
      let steps = Math.min(at(last, column) + 1, at(next, column - 1) + 1, at(last, column - 1) + wrong);
      const exchanged = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && exchanged) steps = Math.min(steps, at(before, column - 2) + 1);
      next.push(steps);
    }
    [before, last] = [last, next];
  }
  return at(last, to.length);
}

function at(numbers: readonly number[], index: number): number {
  return numbers[index] ?? 0;
}
