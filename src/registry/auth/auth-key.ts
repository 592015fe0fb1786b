/** Docker Hub's names in the stores of credentials; the first one is docker's own. */
export const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

const DOCKER_HUB: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** What a key of an auth file is for: a registry, or what lies below a path of it. */
export interface AuthKey {
  /** As references name it, in lower case: `docker.io`, `127.0.0.1:5000`; or a pattern: `*.example.com`. */
  readonly host: string;
  /** `team/app`; empty for the whole registry. */
  readonly path: string;
}

/**
 * Reads a key: a host, a host and a path (containers-auth.json(5)), or a URL as docker wrote them, with the API's version
 * for a path. `https://quay.io/v2/team` is `quay.io/team`; without a scheme, `v2` is a name like any other.
 */
export function parseAuthKey(key: string): AuthKey {
  const bare = key.replace(/^https?:\/\//i, '');
  const slash = bare.indexOf('/');
  const host = (slash === -1 ? bare : bare.slice(0, slash)).toLowerCase();
  const path = slash === -1 ? '' : bare.slice(slash + 1).replace(/\/+$/, '');
  const version = bare === key ? /^v[12]$/ : /^v[12](?:\/|$)/;
  return { host: DOCKER_HUB.has(host) ? 'docker.io' : host, path: path.replace(version, '') };
}

/** Whether both are for the same: the name alone may differ. */
export function sameAuthKey(one: string, other: string): boolean {
  const [a, b] = [parseAuthKey(one), parseAuthKey(other)];
  return a.host === b.host && a.path === b.path;
}

/**
 * The keys that are for a repository, or for the registry alone where none is named, the most specific first: the longest
 * path before a shorter one, the plain name before a URL, and each host's own keys before patterns.
 */
export function matchingKeys(
  keys: readonly string[],
  registry: string,
  repository: string | undefined,
): string[] {
  const wanted = parseAuthKey(registry).host;
  const rank = (key: string): readonly [number, number, number] | undefined => {
    const { host, path } = parseAuthKey(key);
    const below = path === '' || repository === path || repository?.startsWith(`${path}/`) === true;
    if (!below || (host !== wanted && !matchesPattern(host, wanted))) return undefined;
    const plain = key === (path === '' ? registry : `${registry}/${path}`);
    return [host === wanted ? 0 : 1, -path.length, plain ? 0 : 1];
  };
  return keys
    .flatMap((key) => {
      const ranked = rank(key);
      return ranked === undefined ? [] : [{ key, ranked }];
    })
    .sort((a, b) => a.ranked[0] - b.ranked[0] || a.ranked[1] - b.ranked[1] || a.ranked[2] - b.ranked[2])
    .map(({ key }) => key);
}

const PATTERN = /[*?]|\[[^\]:]+\]/;

/** As Kubernetes' keyring: label by label, so that `*` never stands for a dot, and with the same port. */
function matchesPattern(pattern: string, host: string): boolean {
  if (!PATTERN.test(pattern)) return false;
  const source = pattern.replace(/\[\^?[^\]:]+\]|[\s\S]/g, (part) => {
    if (part === '*') return '[^.:]*';
    if (part === '?') return '[^.:]';
    if (part.length > 1) return `[${part.slice(1, -1).replace(/[\\[]/g, '\\$&')}]`;
    return part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`).test(host);
  } catch {
    // A range the wrong way round: `[z-a]`.
    return false;
  }
}
