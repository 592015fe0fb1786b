import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type FuzzReport, type FuzzRunOptions, runFuzz } from './fuzz-run.js';

/*
 * `npm run fuzz -- [--seconds N] [--inputs N] [--seed N] [--workers N] [--hang SECONDS] [--findings DIR] [--replay FILE]`: feeds
 * mutated archives to the reader, the writer and what comes after it. The exit code is 1 where something was found.
 */

const USAGE =
  'usage: fuzz [--seconds N] [--inputs N] [--seed N] [--workers N] [--hang SECONDS] [--findings DIR] [--replay FILE]';

function optionsOf(args: readonly string[]): FuzzRunOptions | undefined {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: text,
      inputs: text,
      seed: text,
      workers: text,
      hang: text,
      findings: text,
      replay: text,
    },
  });
  const numbers = [values.seconds, values.inputs, values.seed, values.workers, values.hang];
  if (numbers.some((number) => number !== undefined && !/^[0-9]{1,9}$/.test(number))) return undefined;
  const isBounded = (values.seconds ?? values.inputs ?? values.replay) !== undefined;
  return {
    seed: Number(values.seed ?? Date.now() % 1_000_000),
    workers: values.replay === undefined ? Math.max(1, Number(values.workers ?? 1)) : 1,
    hangSeconds: Number(values.hang ?? 60),
    findings: values.findings ?? join(tmpdir(), 'landfall-fuzz-findings'),
    ...(values.inputs === undefined ? {} : { inputs: Number(values.inputs) }),
    ...(isBounded && values.seconds === undefined ? {} : { seconds: Number(values.seconds ?? 60) }),
    ...(values.replay === undefined ? {} : { replay: resolve(values.replay) }),
  };
}

async function main(args: readonly string[]): Promise<number> {
  let options: FuzzRunOptions | undefined;
  try {
    options = optionsOf(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  if (options === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  process.stdout.write(`seed ${options.seed}, ${options.workers} at a time\n`);
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  const report = await runFuzz({
    ...options,
    signal: interruption.signal,
    onFinding: ({ target, kind, message }, path) =>
      process.stdout.write(`${kind} at ${target}: ${message}\n  replay with --replay ${path}\n`),
  });
  process.stdout.write(render(report));
  return report.findings === 0 ? 0 : 1;
}

function render(report: FuzzReport): string {
  const rows = Object.entries(report.targets).map(([name, { inputs, milliseconds }]) => {
    const rate = milliseconds === 0 ? '' : `${Math.round((inputs / milliseconds) * 1000)}/s of a worker`;
    return `  ${name.padEnd(12)}${String(inputs).padStart(10)}  ${rate}\n`;
  });
  const inputs = Object.values(report.targets).reduce((total, count) => total + count.inputs, 0);
  const where = report.isolated ? 'in mount namespaces of their own' : 'without mounts of their own';
  return [
    `${inputs} inputs in ${report.seconds.toFixed(0)} s, ${report.seeds} seed archives, ${where}\n`,
    ...rows,
    report.findings === 0 ? 'nothing found\n' : `${report.findings} findings\n`,
  ].join('');
}

process.exitCode = await main(process.argv.slice(2));
