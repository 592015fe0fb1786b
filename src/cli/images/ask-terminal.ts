import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { abortedError, type LandfallError } from '../../errors.js';
import type { CommandContext } from '../output/command-context.js';
import { invalidConfig } from '../config/settings.js';

/** A terminal that is read from, of which each key is heard at once in raw mode. */
interface TerminalInput extends Readable {
  readonly isTTY?: boolean;
  readonly setRawMode?: (on: boolean) => unknown;
}

const LONGEST_ANSWER = 64 * 1024;
const INTERRUPT = '\u0003';
const END = '\u0004';
const ERASE = '\u007f';
const ERASE_LINE = '\u0015';

/**
 * Asks a person at a terminal for one line. The question stands on standard error, since standard output is
 * for what the command answers.
 *
 * @param hidden what is typed is not shown
 * @throws {LandfallError} ABORTED, also by Ctrl-C; INVALID_CONFIG when nothing, or no end, is typed
 */
export async function askTerminal(
  context: Pick<CommandContext, 'stdin' | 'stderr' | 'signal'>,
  question: string,
  { hidden = false }: { hidden?: boolean } = {},
): Promise<string> {
  const { stderr, signal } = context;
  const stdin: TerminalInput = context.stdin;
  stderr.write(question);
  if (hidden) stdin.setRawMode?.(true);
  try {
    const line = await readLine(stdin, signal);
    if (line !== '') return line;
    throw invalidConfig(`nothing was typed for ${question.replace(/:? *$/, '')}`, {
      hint: 'Run it again and type it.',
    });
  } finally {
    if (hidden) {
      stdin.setRawMode?.(false);
      stderr.write('\n');
    }
  }
}

/** Up to a line's end, or the end of all input. */
function readLine(stdin: Readable, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const line = new TypedLine();
    const leave = (): void => {
      stdin.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
      signal.removeEventListener('abort', onAbort);
      // A terminal that is listened to keeps the process from ending.
      stdin.pause();
    };
    const onEnd = (): void => {
      leave();
      resolve(line.text);
    };
    const onError = (error: Error): void => {
      leave();
      reject(error);
    };
    const onAbort = (): void => onError(abortedError(signal));
    const onData = (chunk: Buffer | string): void => {
      const rest = line.type(chunk);
      if (line.interrupted) onError(abortedError());
      else if (line.text.length > LONGEST_ANSWER) onError(tooLong());
      else if (rest !== undefined) {
        onEnd();
        // Text that was typed ahead is the answer to the next question.
        if (rest !== '') stdin.unshift(Buffer.from(rest));
      }
    };
    stdin.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else if (stdin.readableEnded || stdin.destroyed) onEnd();
    else stdin.resume();
  });
}

/** A line as it is typed. In raw mode the terminal handles no keys that mend it, or that interrupt. */
class TypedLine {
  interrupted = false;
  readonly #decoder = new StringDecoder('utf8');
  #keys: string[] = [];

  get text(): string {
    return this.#keys.join('');
  }

  /** Takes more; what is typed behind the line's end, or undefined while it has none. */
  type(chunk: Buffer | string): string | undefined {
    const typed = Array.from(typeof chunk === 'string' ? chunk : this.#decoder.write(chunk));
    for (const [at, key] of typed.entries()) {
      if (key === INTERRUPT) this.interrupted = true;
      if (key === '\r' || key === '\n' || key === END || key === INTERRUPT) {
        const ends = key === '\r' && typed[at + 1] === '\n' ? 2 : 1;
        return typed.slice(at + ends).join('');
      }
      if (key === ERASE || key === '\b') this.#keys.pop();
      else if (key === ERASE_LINE) this.#keys = [];
      else this.#keys.push(key);
    }
    return undefined;
  }
}

function tooLong(): LandfallError<'INVALID_CONFIG'> {
  return invalidConfig('the line is too long', { hint: 'Type one line.' });
}

const LONGEST_PASSWORD = 64 * 1024;

export interface ReadPasswordOptions {
  /** The option that the password is for, as it is named to people. Default `--creds`. */
  readonly option?: '--creds' | '--password-stdin';
}

/**
 * Reads a password from standard input to its end; one line end there is not part of it. There is no prompt:
 * what is to be typed is asked for by {@link askTerminal}.
 *
 * @throws {LandfallError} INVALID_CONFIG when standard input is a terminal, or holds none
 */
export async function readPassword(
  { stdin }: Pick<CommandContext, 'stdin'>,
  { option = '--creds' }: ReadPasswordOptions = {},
): Promise<string> {
  if (stdin.isTTY === true) throw invalidConfig(onTerminal[option], { hint: hints[option] });
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
  throw invalidConfig(`standard input does not hold the password for ${option}`, {
    hint:
      option === '--creds'
        ? 'Write --creds USER:PASSWORD, or pipe the password into standard input.'
        : 'Pipe the password, and nothing else, into standard input.',
  });
}

const onTerminal = {
  '--creds': '--creds names a user without a password',
  '--password-stdin': '--password-stdin reads no terminal, which would show the password',
} as const;

const hints = {
  '--creds': 'Pipe the password into standard input: landfall pull --creds USER REF < password-file.',
  '--password-stdin': 'Pipe the password into standard input, or leave the option out to be asked for it.',
} as const;
