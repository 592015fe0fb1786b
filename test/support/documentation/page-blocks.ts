import { readFile } from 'node:fs/promises';

/** A block of commands of a page, with what the comments above it say of it. */
export interface CommandBlock {
  readonly page: string;
  /** Of its first command. */
  readonly line: number;
  /** The title that it stands under. */
  readonly title: string;
  readonly commands: string;
  /** What the page shows as its output: a block of `text`, where that is the next. */
  readonly shown?: { readonly line: number; readonly text: string };
  /** `not run: REASON`: why it cannot run in a test. */
  readonly notRun?: string;
  /** `exit: CODE`: how it ends. 0 without it. */
  readonly exit: number;
  /** `stays running`: it goes on until the page ends, or the same command is started again. */
  readonly staysRunning: boolean;
  /**
   * `at: NAME`: the machine on which it is typed, from here to the next that says so. The first is `here`.
   */
  readonly at: string;
  /**
   * `first: COMMAND`: what a reader has done already, or what stands for something that a test does not have.
   */
  readonly first: readonly string[];
}

const FENCE = /^(?<ticks>`{3,})(?<language>[\w-]*).*$/;
const INDENT = '    ';
const REMARK = /^<!-- (?<what>not run|exit|stays running|at|first)(?:: (?<value>.*))? -->$/;

interface Code {
  readonly language: string;
  readonly line: number;
  readonly text: string;
  readonly title: string;
  readonly remarks: readonly (readonly [what: string, value: string])[];
}

/**
 * All blocks of a text, in order: those between fences, and those that are indented as what a shell takes.
 */
function codeIn(text: string, { indented }: { readonly indented: boolean }): Code[] {
  const found: Code[] = [];
  let title = '';
  let remarks: [string, string][] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const remark = REMARK.exec(line)?.groups;
    const fence = FENCE.exec(line)?.groups;
    if (remark !== undefined) remarks.push([remark['what'] ?? '', remark['value'] ?? '']);
    else if (fence !== undefined) {
      const end = lines.indexOf(fence['ticks'] ?? '', at + 1);
      if (end < 0) throw new Error(`line ${at + 1}: a block that does not end`);
      const inner = lines.slice(at + 1, end).join('\n');
      found.push({ language: fence['language'] ?? '', line: at + 2, text: inner, title, remarks });
      remarks = [];
      at = end;
    } else if (indented && line.startsWith(INDENT) && (lines[at - 1] ?? '') === '') {
      const length = lines.slice(at).findIndex((next) => next !== '' && !next.startsWith(INDENT));
      const inner = lines.slice(at, length < 0 ? undefined : at + length);
      const commands = inner.map((next) => next.slice(INDENT.length)).join('\n');
      found.push({ language: 'sh', line: at + 1, text: commands.trimEnd(), title, remarks });
      remarks = [];
      at += inner.length - 1;
    } else if (line.trim() !== '') {
      if (line.startsWith('#')) title = line.replace(/^#+ /, '');
      if (remarks.length > 0) throw new Error(`line ${at + 1}: a remark that stands above no block`);
    }
  }
  return found;
}

/**
 * The blocks of commands (` ```sh `) of a page, in order, each with the output (` ```text `) that is shown
 * after it.
 *
 * @param o `indented`: blocks that are indented are commands too, as examples are, of which no output is
 *   shown
 */
export async function commandBlocks(
  page: string,
  o: { readonly indented: boolean } = { indented: false },
): Promise<CommandBlock[]> {
  return blocksIn(page, await readFile(page, 'utf8'), o);
}

/** The same of a text. */
export function blocksIn(
  page: string,
  text: string,
  o: { readonly indented: boolean } = { indented: false },
): CommandBlock[] {
  const blocks: CommandBlock[] = [];
  let machine = 'here';
  let before = '';
  for (const { language, line, text: inner, title, remarks } of codeIn(text, o)) {
    const said = new Map(remarks);
    const last = blocks.at(-1);
    const shows = language === 'text' && before === 'sh' && last?.title === title && !said.has('not run');
    if (shows && !o.indented) blocks.splice(-1, 1, { ...last, shown: { line, text: inner } });
    before = language;
    if (language !== 'sh') continue;
    machine = said.get('at') ?? machine;
    const notRun = said.get('not run');
    blocks.push({
      page,
      line,
      title,
      commands: inner,
      ...(notRun === undefined ? {} : { notRun }),
      exit: Number(said.get('exit') ?? 0),
      staysRunning: said.has('stays running'),
      at: machine,
      first: remarks.flatMap(([what, value]) => (what === 'first' ? [value] : [])),
    });
  }
  return blocks;
}

/** The languages of a page's fenced blocks, and where each stands last. */
export function languagesIn(text: string): ReadonlyMap<string, number> {
  return new Map(codeIn(text, { indented: true }).map(({ language, line }) => [language, line]));
}
