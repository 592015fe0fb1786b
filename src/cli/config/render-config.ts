import type { CommandContext } from '../command-context.js';
import { renderTable } from '../format/table.js';
import { type ConfigScope, describeOrigin } from '../origin.js';
import type { EffectiveValue, SettingValue } from './effective-values.js';

/** A place of a configuration file, and what became of it. */
export interface ConfigFileFacts {
  readonly path: string;
  readonly scope: ConfigScope;
  readonly state: 'read' | 'absent' | 'faulty';
}

/** In the order of their weight, the one that counts most last. */
export function configFileFacts({ configuration }: CommandContext): readonly ConfigFileFacts[] {
  const faulty = new Set(configuration?.faults.map(({ details }) => details['file']));
  return (configuration?.places ?? []).map(({ path, scope, isThere }) => ({
    path,
    scope,
    state: faulty.has(path) ? 'faulty' : isThere ? 'read' : 'absent',
  }));
}

const WHOSE: Readonly<Record<ConfigScope, string>> = {
  system: "the system's",
  user: "the user's",
  named: 'the one that is named',
};

const STATES: Readonly<Record<ConfigFileFacts['state'], string>> = {
  read: 'is read',
  absent: 'is not there',
  faulty: 'cannot be used as it is',
};

export function renderConfigFiles(files: readonly ConfigFileFacts[]): string {
  return renderTable(
    [{ title: 'FILE' }, { title: 'WHOSE' }, { title: 'STATE' }],
    files.map(({ path, scope, state }) => [path, WHOSE[scope], STATES[state]]),
  );
}

export function renderSettings(settings: readonly EffectiveValue[]): string {
  return renderTable(
    [{ title: 'KEY' }, { title: 'VALUE' }, { title: 'FROM' }],
    settings.map((setting) => [
      setting.key,
      valueTexts(setting).join(', ') || '-',
      setting.found === undefined ? describeOrigin(setting.origin, setting.long) : 'found',
    ]),
  );
}

/** The value as it would be typed: a list one by one, nothing where there is none. */
export function valueTexts({ key, value, found, hidden }: EffectiveValue): readonly string[] {
  if (hidden === true) return ['(not shown)'];
  if (found !== undefined) return found;
  if (value === null) return [''];
  if (typeof value === 'number') return [numberText(key, value)];
  return Array.isArray(value) ? (value as readonly string[]) : [String(value)];
}

/** One setting for programs. */
export interface SettingFacts {
  readonly key: string;
  readonly value: SettingValue;
  readonly from: 'option' | 'environment' | 'file' | 'default';
  readonly option?: string;
  readonly variable?: string;
  readonly file?: string;
  readonly line?: number;
  readonly scope?: ConfigScope;
  readonly found?: readonly string[];
  readonly hidden?: true;
}

export function settingFacts({ key, long, value, origin, found, hidden }: EffectiveValue): SettingFacts {
  return {
    key,
    value,
    from: origin.from,
    ...(origin.from === 'option' ? { option: long.split(' ')[0] ?? long } : {}),
    ...(origin.from === 'environment' ? { variable: origin.variable } : {}),
    ...(origin.from === 'file' ? { file: origin.path, line: origin.line(), scope: origin.scope } : {}),
    ...(found === undefined ? {} : { found }),
    ...(hidden === undefined ? {} : { hidden }),
  };
}

const UNITS = ['T', 'G', 'M', 'K'] as const;
/** What is smaller is read more easily as it is. */
const LEAST_WITH_UNIT = 64 * 1024;

/** Exact: a size with a unit only where that says all of it. */
function numberText(key: string, value: number): string {
  if (!/(?:bytes|rate|size)$/.test(key) || value < LEAST_WITH_UNIT) return String(value);
  for (const [at, unit] of UNITS.entries()) {
    const size = 1024 ** (UNITS.length - at);
    if (value % size === 0) return `${value / size}${unit}`;
  }
  return String(value);
}
