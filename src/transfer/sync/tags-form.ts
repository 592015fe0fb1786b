import { parseReference } from '../../spec/index.js';
import type { FormReader } from './form-reader.js';
import type { ListedTags, TagRules } from './tag-rules.js';
import { versionRange } from './version.js';
import type { YamlPath } from './yaml-text.js';

type RawList = readonly (string | number)[];

interface RawRules {
  readonly list?: RawList;
  readonly include?: string | readonly string[];
  readonly exclude?: string | readonly string[];
  readonly semver?: string;
  readonly prereleases?: boolean;
  readonly newest?: number | { readonly count: number; readonly by?: 'semver' | 'created' };
  readonly since?: string;
}

/** `tags` as a source or a repository has it. */
export type RawTags = RawList | RawRules;

export function readTags(reader: FormReader, raw: RawTags, where: YamlPath): TagRules {
  if (isList(raw)) return { list: tagList(reader, raw, where) };
  const { list = [], ...rules } = raw;
  const listed = Object.keys(rules).length === 0 && raw.list !== undefined ? undefined : rules;
  return {
    list: tagList(reader, list, [...where, 'list']),
    ...(listed === undefined ? {} : { listed: listedOf(reader, listed, where) }),
  };
}

/** Tags by their names, each of which has to be one. */
export function tagList(reader: FormReader, raw: RawList, where: YamlPath): TagRules['list'] {
  return raw.map(String).flatMap((tag, at) => {
    const place = [...where, at];
    const { tag: read } = reader.attempt(place, () => parseReference(`registry.example/x:${tag}`)) ?? {};
    return read === undefined ? [] : [{ tag: read, at: reader.at(place) }];
  });
}

function listedOf(reader: FormReader, raw: Omit<RawRules, 'list'>, where: YamlPath): ListedTags {
  const { include, exclude, semver, prereleases = false, newest, since } = raw;
  const included = patterns(reader, include, [...where, 'include']);
  const excluded = patterns(reader, exclude, [...where, 'exclude']);
  const range = semver === undefined ? undefined : versionRange(semver, { prereleases });
  if (semver !== undefined && (range === undefined || semver.trim() === '')) {
    reader.fault(
      [...where, 'semver'],
      `${JSON.stringify(semver)} is not a range of versions`,
      'Write for example ">=1.2 <3", "^1.4 || ~2.0" or "1.x".',
    );
  }
  return {
    tests: [
      ...(include === undefined ? [] : [(tag: string) => included.some((pattern) => pattern(tag))]),
      ...(exclude === undefined ? [] : [(tag: string) => !excluded.some((pattern) => pattern(tag))]),
    ],
    range,
    prereleases,
    since: since === undefined ? undefined : reader.moment([...where, 'since'], since),
    newest: newestOf(newest),
    digestTags: false,
  };
}

function newestOf(raw: RawRules['newest']): ListedTags['newest'] {
  if (raw === undefined) return undefined;
  return typeof raw === 'number'
    ? { count: raw, by: 'semver' }
    : { count: raw.count, by: raw.by ?? 'semver' };
}

function patterns(
  reader: FormReader,
  raw: string | readonly string[] | undefined,
  where: YamlPath,
): ((text: string) => boolean)[] {
  if (raw === undefined) return [];
  const list = typeof raw === 'string' ? [raw] : raw;
  return list.flatMap(
    (text, at) => reader.pattern(typeof raw === 'string' ? where : [...where, at], text) ?? [],
  );
}

function isList(raw: RawTags): raw is RawList {
  return Array.isArray(raw);
}
