import type { CommanderError } from 'commander';
import { LandfallError } from '../errors.js';

/** Wrong usage as one of landfall's own errors: its message in one line, and where to read what is right. */
export function usageError(error: CommanderError, command: string | undefined): LandfallError {
  const [first = '', second = ''] = error.message.replace(/^error: /, '').split('\n');
  const help = `see \`landfall ${command === undefined ? '' : `${command} `}--help\`.`;
  const suggestion = /^\((.*)\)$/.exec(second)?.[1];
  return new LandfallError('INVALID_CONFIG', first, {
    hint: suggestion === undefined ? upperFirst(help) : `${suggestion} Else ${help}`,
  });
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
