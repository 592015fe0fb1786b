import type { Command, Option } from 'commander';
import { isLandfallError, type LandfallError } from '../errors.js';
import type { Surroundings } from './command-context.js';
import { type ConfigPlace, configPlaces, homeOf } from './config-places.js';
import { environmentValues, isTyped } from './environment-values.js';
import type { GivenValue, GivenValues } from './given-value.js';
import { keyOf, keyOfAttribute, kindOf } from './option-kind.js';
import type { Origin, Origins } from './origin.js';

/** The library reads it by itself, after it was asked whether there is something more to the point. */
const READ_BY_LIBRARY = 'REGISTRY_AUTH_FILE';

/**
 * What configuration files and the environment say of options that were not typed. A typed option counts most, then the
 * environment, then the user's file, then the system's, each key by itself.
 */
export class Configuration {
  /** Where files were looked for, the one that counts most last. */
  readonly places: readonly ConfigPlace[];
  /** All that is wrong, in files and variables: INVALID_CONFIG. What is right counts all the same. */
  readonly faults: readonly LandfallError[];
  readonly values: GivenValues;

  private constructor(
    places: readonly ConfigPlace[],
    faults: readonly LandfallError[],
    values: readonly GivenValue[],
  ) {
    this.places = places;
    this.faults = faults;
    // The later of two of one key counts.
    this.values = new Map(values.map((value) => [value.key, value]));
  }

  /** @param program after it has parsed a command line */
  static async read(
    program: Command,
    { env, systemConfig }: Pick<Surroundings, 'env' | 'systemConfig'>,
  ): Promise<Configuration> {
    const faults: LandfallError[] = [];
    const fromEnvironment = environmentValues(program, env, (fault) => faults.push(fault));
    const places = placesFor(program, env, systemConfig, faults);
    const values: GivenValue[] = [];
    for (const place of places.filter(({ isThere }) => isThere)) {
      // Only where there is a file: its reader and the parser take longer to load than all else here.
      const { readConfigFile } = await import('./config/config-file.js');
      const file = readConfigFile(place, program, homeOf(env));
      values.push(...file.values);
      faults.push(...file.faults);
    }
    return new Configuration(places, faults, [...values, ...fromEnvironment]);
  }

  /** Gives options that were not typed their values, as if they had been, and tells where those of all come from. */
  apply(program: Command, command: Command = program): Origins {
    const origins = new Map<string, Origin>();
    for (const one of new Set([program, command])) {
      const table = one === program ? '' : `${one.name()}.`;
      for (const option of one.options) this.#applyTo(one, option, { table, origins });
    }
    return origins;
  }

  #applyTo(
    command: Command,
    option: Option,
    { table, origins }: { readonly table: string; readonly origins: Map<string, Origin> },
  ): void {
    const key = `${table}${keyOf(option)}`;
    const typed = isTyped(command, option);
    if (kindOf(option) === 'table') {
      this.#applyTable(command, option, { key, origins });
      return;
    }
    const given = this.values.get(key);
    if (typed) origins.set(key, { from: 'option' });
    else if (given !== undefined) {
      origins.set(key, given.origin);
      setValue(command, option, given);
    }
  }

  /** Of a table each name counts by itself. */
  #applyTable(
    command: Command,
    option: Option,
    { key, origins }: { readonly key: string; readonly origins: Map<string, Origin> },
  ): void {
    const attribute = option.attributeName();
    const typed = isTyped(command, option) ? (command.getOptionValue(attribute) as object) : undefined;
    const given = [...this.values.values()].filter((value) => value.key.startsWith(`${key}.`));
    for (const value of given) origins.set(value.key, value.origin);
    for (const name of Object.keys(typed ?? {})) {
      origins.set(`${key}.${keyOfAttribute(name)}`, { from: 'option' });
    }
    if (given.length === 0) return;
    const merged = Object.assign({}, ...given.map(({ value }) => value), typed) as unknown;
    command.setOptionValueWithSource(attribute, merged, typed === undefined ? 'config' : 'cli');
  }
}

function placesFor(
  program: Command,
  env: Surroundings['env'],
  systemConfig: string | undefined,
  faults: LandfallError[],
): readonly ConfigPlace[] {
  const typed = program.getOptionValue('config') as string | undefined;
  const variable = env['LANDFALL_CONFIG'];
  try {
    return configPlaces(typed ?? (variable === '' ? undefined : variable), env, systemConfig);
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    faults.push(error);
    return [];
  }
}

function setValue(command: Command, option: Option, { value, origin }: GivenValue): void {
  if (origin.from === 'environment' && origin.variable === READ_BY_LIBRARY) return;
  // A switch that is not moved is as if nobody had spoken of it.
  if (kindOf(option) === 'switch' && value !== !option.negate) return;
  command.setOptionValueWithSource(
    option.attributeName(),
    value,
    origin.from === 'environment' ? 'env' : 'config',
  );
}
