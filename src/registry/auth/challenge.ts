/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|$))/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BLANKS = /[ \t]*/y;
const COMMAS = /[ \t,]*/y;

/**
 * All challenges of the header's lines, in order. One line may hold several, and each its parameters, all parted by
 * commas; so a token is a parameter's name if `=` follows, else a new scheme. What comes after a fault is left out.
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  return lines.flatMap(parseLine);
}

function parseLine(line: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(line);
    if (match === null) return undefined;
    at = pattern.lastIndex;
    return match;
  };
  let parameters: Map<string, string> | undefined;
  take(COMMAS);
  while (at < line.length) {
    const name = take(TOKEN)?.[0];
    if (name === undefined) break;
    if (parameters !== undefined && take(EQUALS) !== undefined) {
      const quoted = take(QUOTED)?.[1];
      const value = quoted === undefined ? take(TOKEN)?.[0] : quoted.replace(/\\(.)/g, '$1');
      if (value === undefined) break;
      // The first of two holds: a second one would be somebody's attempt to override it.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
    } else {
      parameters = new Map();
      challenges.push({ scheme: name.toLowerCase(), parameters });
      take(BLANKS);
      // `Negotiate oYG…==`: credentials of their own form, of no use here. A parameter looks alike up to its `=`.
      take(TOKEN68);
    }
    take(COMMAS);
  }
  return challenges;
}
