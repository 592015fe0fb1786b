import { LandfallError } from '../../errors.js';
import { parseReference, repositoryName } from '../../spec/index.js';
import type { PlaceName } from './mirror-file.js';

const KEYS = ['registry', 'repository', 'name'] as const;

/** What of a destination's path is known beforehand. */
export interface PathRule {
  readonly place: PlaceName;
  readonly prefix: string;
  readonly path?: string | undefined;
}

/** A repository that is copied from. */
export interface MappedFrom {
  /** `quay.io`; undefined where what is copied has no registry's name. */
  readonly registry: string | undefined;
  /** `team/app` */
  readonly repository: string;
}

/**
 * What is wrong with a template, in words; undefined where it can be used.
 */
export function templateFault(template: string): string | undefined {
  const unknown = [...template.matchAll(/\{([^{}]*)\}/g)]
    .map(([, key = '']) => key)
    .find((key) => !(KEYS as readonly string[]).includes(key));
  if (unknown !== undefined)
    return `there is no {${unknown}}; there are ${KEYS.map((key) => `{${key}}`).join(', ')}`;
  const rest = template.replace(/\{[^{}]*\}/g, 'x');
  if (/[{}]/.test(rest)) return 'a brace stands alone';
  try {
    const { tag, digest } = parseReference(`registry.example/${rest}`);
    return tag === undefined && digest === undefined ? undefined : 'it has a tag or a digest';
  } catch {
    return 'it makes no name of a repository';
  }
}

/**
 * The canonical name of the repository at a destination. A registry's is below its prefix, by default under the name that it
 * has at the source; everywhere else a repository keeps the name of its registry too.
 *
 * @param to what the source says of it; a template
 * @throws {LandfallError} INVALID_CONFIG where what comes out is no repository
 */
export function mapRepository(from: MappedFrom, to: string | undefined, rule: PathRule): string {
  const { place, prefix } = rule;
  const isRegistry = place.kind === 'registry';
  const template = to ?? rule.path ?? (isRegistry ? '{repository}' : '{registry}/{repository}');
  const filled = fill(
    template,
    isRegistry ? { ...from, registry: asComponent(from.registry) } : from,
  ).replace(/^\/+/, '');
  const path = prefix === '' ? filled : `${prefix}/${filled}`;
  const name = isRegistry ? `${place.host}/${path}` : path;
  try {
    const reference = parseReference(name);
    if (reference.tag === undefined && reference.digest === undefined) return repositoryName(reference);
  } catch {
    // Told below, by the name that it would be.
  }
  throw new LandfallError('INVALID_CONFIG', `${name} is no name of a repository`, {
    hint: 'Change the path, the prefix, or say where it goes by `to`.',
  });
}

function fill(template: string, { registry = '', repository }: MappedFrom): string {
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  const values: Readonly<Record<string, string>> = { registry, repository, name };
  return template.replace(/\{([^{}]*)\}/g, (_, key: string) => values[key] ?? '');
}

/** A host as a part of a path, where its port would be read as a tag: `127.0.0.1_5000`. */
function asComponent(registry: string | undefined): string | undefined {
  return registry
    ?.toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '_')
    .replace(/^_|_$/g, '');
}
