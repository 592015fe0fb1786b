import { LandfallError } from '../errors.js';
import type { CommandContext } from './command-context.js';

const LONGEST_PASSWORD = 64 * 1024;

/**
 * Reads a password from standard input to its end; one line feed at the end is not part of it. There is no prompt:
 * a terminal would show what is typed.
 *
 * @throws {LandfallError} INVALID_CONFIG when standard input is a terminal, or holds none
 */
export async function readPassword({ stdin }: Pick<CommandContext, 'stdin'>): Promise<string> {
  if (stdin.isTTY === true) {
    throw new LandfallError('INVALID_CONFIG', '--creds names a user without a password', {
      hint: 'Pipe the password into standard input: landfall pull --creds USER REF < password-file.',
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
  throw new LandfallError('INVALID_CONFIG', 'standard input does not hold the password for --creds', {
    hint: 'Write --creds USER:PASSWORD, or pipe the password into standard input.',
  });
}
