import { LandfallError } from '../errors.js';
import type { CommandContext } from './command-context.js';

const LONGEST_PASSWORD = 64 * 1024;

export interface ReadPasswordOptions {
  /** The option that the password is for, as it is named to people. Default `--creds`. */
  readonly option?: '--creds' | '--password-stdin';
}

/**
 * Reads a password from standard input to its end; one line end there is not part of it. There is no prompt: what is to
 * be typed is asked for by {@link askTerminal}.
 *
 * @throws {LandfallError} INVALID_CONFIG when standard input is a terminal, or holds none
 */
export async function readPassword(
  { stdin }: Pick<CommandContext, 'stdin'>,
  { option = '--creds' }: ReadPasswordOptions = {},
): Promise<string> {
  if (stdin.isTTY === true) {
    throw new LandfallError('INVALID_CONFIG', onTerminal[option], {
      hint: hints[option],
    });
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    length += bytes.length;
    if (length > LONGEST_PASSWORD) break;
    chunks.push(bytes);
  }
  const password = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (password !== '' && length <= LONGEST_PASSWORD) return password;
  throw new LandfallError('INVALID_CONFIG', `standard input does not hold the password for ${option}`, {
    hint:
      option === '--creds'
        ? 'Write --creds USER:PASSWORD, or pipe the password into standard input.'
        : 'Pipe the password, and nothing else, into standard input.',
  });
}

const onTerminal = {
  '--creds': '--creds names a user without a password',
  '--password-stdin': '--password-stdin reads no terminal, which would show what is typed',
} as const;

const hints = {
  '--creds': 'Pipe the password into standard input: landfall pull --creds USER REF < password-file.',
  '--password-stdin': 'Pipe the password into standard input, or leave the option out to be asked for it.',
} as const;
