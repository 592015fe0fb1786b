import { type Command, InvalidArgumentError, type Option } from 'commander';
import { isLandfallError, type LandfallError } from '../../errors.js';
import {
  type ConfigPlace,
  configPlaces,
  type GivenValue,
  type GivenValues,
  homeOf,
  invalidConfig,
  keyOf,
  keyOfAttribute,
  kindOf,
  type Origin,
  type Origins,
  parseTexts,
} from './settings.js';

/** The library reads it by itself, after it was asked whether there is something more to the point. */
const READ_BY_LIBRARY = 'REGISTRY_AUTH_FILE';

/** The parts of the process that configuration comes from. */
export interface ConfigurationSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of the system's configuration file. Default: `/etc/landfall/config.toml`. */
  readonly systemConfig?: string | undefined;
}

/**
 * The values of configuration files and the environment for options that were not typed. A typed option
 * counts most, then the environment, then the user's file, then the system's, each key by itself.
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
    { env, systemConfig }: ConfigurationSurroundings,
  ): Promise<Configuration> {
    const faults: LandfallError[] = [];
    const fromEnvironment = environmentValues(program, env, (fault) => faults.push(fault));
    const places = placesFor(program, env, systemConfig, faults);
    const values: GivenValue[] = [];
    for (const place of places.filter(({ isThere }) => isThere)) {
      // Only where there is a file: its reader and the parser take longer to load than all else here.
      const { readConfigFile } = await import('./config-file.js');
      const file = readConfigFile(place, program, homeOf(env));
      values.push(...file.values);
      faults.push(...file.faults);
    }
    return new Configuration(places, faults, [...values, ...fromEnvironment]);
  }

  /**
   * Gives options that were not typed their values, as if they had been, and tells where those of all come
   * from.
   */
  apply(program: Command, command: Command = program): Origins {
    const origins = new Map<string, Origin>();
    for (const one of new Set([program, command])) {
      const table = one === program ? '' : `${one.name()}.`;
      for (const option of one.options) {
        const apply = kindOf(option) === 'table' ? this.#applyTable : this.#applyTo;
        apply.call(this, one, option, `${table}${keyOf(option)}`, origins);
      }
    }
    return origins;
  }

  #applyTo(command: Command, option: Option, key: string, origins: Map<string, Origin>): void {
    const given = this.values.get(key);
    if (isTyped(command, option)) origins.set(key, { from: 'option' });
    else if (given !== undefined) {
      origins.set(key, given.origin);
      setValue(command, option, given);
    }
  }

  /** Of a table each name counts by itself. */
  #applyTable(command: Command, option: Option, key: string, origins: Map<string, Origin>): void {
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
  env: ConfigurationSurroundings['env'],
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
  // A switch that keeps its default counts as not given.
  if (kindOf(option) === 'switch' && value !== !option.negate) return;
  command.setOptionValueWithSource(
    option.attributeName(),
    value,
    origin.from === 'environment' ? 'env' : 'config',
  );
}

/**
 * The environment's values for global options that were not typed. An empty variable counts as unset.
 *
 * @param report is given what cannot be: INVALID_CONFIG
 */
export function environmentValues(
  program: Command,
  env: Readonly<Record<string, string | undefined>>,
  report: (fault: LandfallError) => void,
): readonly GivenValue[] {
  return program.options.flatMap((option) => {
    const variable = variablesOf(option).find((name) => (env[name] ?? '') !== '');
    // Where several limits have names, those that were not typed are still to be had.
    if (variable === undefined || (isTyped(program, option) && kindOf(option) !== 'table')) return [];
    try {
      return valuesIn(option, variable, env[variable] ?? '');
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      report(fault(option, variable, env[variable] ?? '', error));
      return [];
    }
  });
}

/** Whether the option stands on the command line. */
export function isTyped(command: Command, option: Option): boolean {
  return command.getOptionValueSource(option.attributeName()) === 'cli';
}

function valuesIn(option: Option, variable: string, text: string): GivenValue[] {
  const key = keyOf(option);
  const origin = { from: 'environment', variable } as const;
  switch (kindOf(option)) {
    case 'switch': {
      const value = /^(?:true|1)$/i.test(text);
      if (value || /^(?:false|0)$/i.test(text)) return [{ key, option, value, origin }];
      throw new InvalidArgumentError('It is neither true nor false.');
    }
    case 'list': {
      // As in PATH; none of the lists of global options has colons in its elements.
      const texts = text.split(':').filter((part) => part !== '');
      return texts.length === 0 ? [] : [{ key, option, value: parseTexts(option, texts), origin }];
    }
    case 'table':
      return text
        .split(',')
        .filter((part) => part !== '')
        .map((part) => {
          const value = parseTexts(option, [part]);
          return { key: `${key}.${part.split('=')[0] ?? ''}`, option, value, origin };
        });
    case 'choice':
    case 'number':
    case 'text':
      return [{ key, option, value: parseTexts(option, [text]), origin }];
  }
}

function fault(
  option: Option,
  variable: string,
  text: string,
  { message }: InvalidArgumentError,
): LandfallError {
  const choices = kindOf(option) === 'switch' ? ['true', 'false'] : option.argChoices;
  return invalidConfig(`${variable} is ${text}`, {
    hint:
      choices === undefined
        ? `${message} Set it otherwise, or unset it.`
        : `Set it to ${choices.join(' or ')}, or unset it.`,
    details: { variable },
  });
}

/** Those that are not called as their option is, the first that is set counts. */
const NAMED_OTHERWISE: ReadonlyMap<string, readonly string[]> = new Map([
  ['additional-root', ['LANDFALL_ADDITIONAL_ROOTS']],
  // The second is that of skopeo, podman and buildah.
  ['authfile', ['LANDFALL_AUTHFILE', 'REGISTRY_AUTH_FILE']],
]);

/** These answer by themselves, so that nothing is left to be set. */
const ANSWERS: readonly string[] = ['help', 'version'];

/** The environment variables that stand for a global option: `--plain-http` is `LANDFALL_PLAIN_HTTP`. */
export function variablesOf(option: Option): readonly string[] {
  const name = option.name();
  if (ANSWERS.includes(name)) return [];
  return NAMED_OTHERWISE.get(name) ?? [`LANDFALL_${name.toUpperCase().replaceAll('-', '_')}`];
}
