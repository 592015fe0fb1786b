import { Command, type Option, type ParseOptionsResult } from 'commander';
import { keyOf, kindOf } from './option-kind.js';

/** A word that says of a switch which way it stands. */
interface Position {
  readonly option: Option;
  readonly isOn: boolean;
}

/**
 * A command whose switches may be typed with a value, `--plain-http=false`, so that one run can do without what a configuration
 * file or the environment has switched on. The parser by itself knows them only as they are written in the help.
 */
export class SwitchCommand extends Command {
  override createCommand(name?: string): Command {
    return new SwitchCommand(name);
  }

  override parseOptions(argv: string[]): ParseOptionsResult {
    const end = argv.indexOf('--');
    const typed: Position[] = [];
    const words = argv.filter((word, at) => {
      const position = end < 0 || at < end ? positionOf(this.options, word) : undefined;
      // The last word on a switch counts, in whichever form.
      if (position !== undefined && !isNamed(position.option, argv.slice(at, end < 0 ? undefined : end))) {
        typed.push(position);
      }
      return position === undefined;
    });
    const parsed = super.parseOptions(words);
    for (const { option, isOn } of typed) this.setOptionValueWithSource(option.attributeName(), isOn, 'cli');
    return parsed;
  }
}

function positionOf(options: readonly Option[], word: string): Position | undefined {
  const [, key, value] = /^--([^=]+)=(true|false)$/.exec(word) ?? [];
  const option = options.find((one) => keyOf(one) === key && kindOf(one) === 'switch');
  return option === undefined ? undefined : { option, isOn: value === 'true' };
}

function isNamed({ long, short }: Option, words: readonly string[]): boolean {
  return words.some((word) => word === long || word === short);
}
