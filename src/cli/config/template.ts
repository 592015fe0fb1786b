import type { Command, Option } from 'commander';
import { keyOf, kindOf, type OptionKind } from '../option-kind.js';
import { refusalOf } from './refused-options.js';

const HEAD = [
  "# landfall's configuration: docs/configuration.md says where it lies and what counts more than it.",
  '# `landfall config` shows what holds, and where each value comes from.',
  '#',
  '# A line that begins with # says nothing. Take the # away before a key, and before the [table] that it stands in.',
];

const WIDTH = 100;

/** What an option may be given, by what its help calls it; anything else is a word. */
const SAMPLES: Readonly<Record<string, string>> = {
  bytes: '10M',
  'container:host:size': '0:100000:65536',
  dir: '/path/to/directory',
  duration: '24h',
  file: '/path/to/file',
  'host:port': '127.0.0.1:5000',
  pattern: 'registry.k8s.io/*',
  platform: 'linux/arm64',
  platforms: 'linux/arm64',
  registry: 'quay.io',
  size: '20G',
  address: 'unix:///run/landfall/landfall.sock',
};

/** A configuration file that sets nothing and shows every key, with the words of `--help`. */
export function configTemplate(program: Command): string {
  const tables = program.commands.flatMap((command) => {
    const keys = keyLines(command, command.name());
    return keys.length === 0
      ? []
      : [['', `# Of \`landfall ${command.name()}\`.`, `#[${command.name()}]`], ...keys];
  });
  return `${[HEAD, ...keyLines(program, ''), ...tables].flat().join('\n')}\n`;
}

/** For each key its help and a line that sets it. */
function keyLines(command: Command, name: string): string[][] {
  return command.options
    .filter((option) => !option.hidden && refusalOf(name, option) === undefined)
    .map((option) => [
      '',
      ...wrapped(option.description).map((line) => `# ${line}`),
      `#${keyOf(option)} = ${sampleOf(option, kindOf(option))}`,
    ]);
}

/** A value of the kind that the option takes, in TOML. */
function sampleOf(option: Option, kind: OptionKind): string {
  const [, placeholder = ''] = /[<[](.*?)[\]>]/.exec(option.flags) ?? [];
  const text = JSON.stringify(SAMPLES[placeholder] ?? placeholder);
  switch (kind) {
    case 'switch':
      return String(!option.negate);
    case 'choice':
      return JSON.stringify(option.argChoices?.[0] ?? '');
    case 'number':
      return placeholder in SAMPLES ? text : '8';
    case 'text':
      return text;
    case 'list':
      return `[${text}]`;
    case 'table':
      return '{ layer-bytes = "20G", entries-per-layer = 500000 }';
  }
}

function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last === '') lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
