/** Permissions as `ls` shows them, behind the letter of the type: `rwxr-xr-x`, with setuid, setgid and sticky in their places. */
export function formatMode(mode: number): string {
  const special = [0o4000, 0o2000, 0o1000].map((bit) => (mode & bit) !== 0);
  return [6, 3, 0].map((shift, at) => triplet((mode >> shift) & 7, special[at] === true, at === 2)).join('');
}

function triplet(bits: number, isSpecial: boolean, isLast: boolean): string {
  const read = (bits & 4) === 0 ? '-' : 'r';
  const write = (bits & 2) === 0 ? '-' : 'w';
  const executable = (bits & 1) !== 0;
  if (!isSpecial) return `${read}${write}${executable ? 'x' : '-'}`;
  const letter = isLast ? 't' : 's';
  return `${read}${write}${executable ? letter : letter.toUpperCase()}`;
}
