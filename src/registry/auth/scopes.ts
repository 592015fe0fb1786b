/**
 * A scope is `TYPE:NAME:ACTIONS`, such as `repository:team/app:pull,push` (distribution: Token Scope Documentation).
 * The name may hold colons: `repository:127.0.0.1:5000/app:pull`.
 */
interface Scope {
  /** `repository:team/app` */
  readonly resource: string;
  readonly actions: readonly string[];
}

/** Each once, in one order, so that the same wish is the same token. */
export function orderedScopes(scopes: readonly string[]): string[] {
  return [...new Set(scopes)].sort();
}

/**
 * What to ask a token for, once a challenge has named its own scopes. The registry's names hold where it gives a
 * repository another one. But a challenge is about the request that it refused: that one may have needed less than what
 * is wanted, and of two repositories it may name only the one. What it leaves out of our wish is kept.
 */
export function challengedScopes(wanted: readonly string[], named: readonly string[]): string[] {
  if (named.length === 0) return orderedScopes(wanted);
  const merged = new Map<string, readonly string[]>();
  const add = ({ resource, actions }: Scope): void => {
    merged.set(resource, [...new Set([...(merged.get(resource) ?? []), ...actions])]);
  };
  const theirs = named.map(parseScope);
  const known = new Set(theirs.map(({ resource }) => resource));
  for (const scope of wanted.map(parseScope)) {
    if (wanted.length > 1 || known.has(scope.resource)) add(scope);
  }
  theirs.forEach(add);
  return orderedScopes([...merged].map(([resource, actions]) => scopeText(resource, actions)));
}

function parseScope(text: string): Scope {
  const colon = text.lastIndexOf(':');
  if (colon <= 0) return { resource: text, actions: [] };
  return { resource: text.slice(0, colon), actions: text.slice(colon + 1).split(',') };
}

function scopeText(resource: string, actions: readonly string[]): string {
  return actions.length === 0 ? resource : `${resource}:${actions.join(',')}`;
}
