import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { runProgram } from '../../../scripts/release/run-program.js';

const cwd = tmpdir();
const node = (program: string, options: Partial<Parameters<typeof runProgram>[2]> = {}): Promise<string> =>
  runProgram(process.execPath, ['--eval', program], { cwd, ...options });

it('gives what a program printed, in its directory and with its environment', async () => {
  const program = 'console.log(process.cwd(), process.env.PORT)';
  expect(await node(program, { env: { PORT: 'harbour' } })).toBe(`${cwd} harbour\n`);
});

it('fails with what a program said', async () => {
  const failing = 'console.log("half"); console.error("no wind"); process.exitCode = 3';
  await expect(node(failing)).rejects.toThrow(/ failed with 3\nno wind$/);
  expect(await node(failing, { mayFail: true })).toBe('half\n');
});

it('fails where a signal ended a program, and where there is none', async () => {
  await expect(node('process.kill(process.pid, "SIGKILL")')).rejects.toThrow('ended by SIGKILL');
  await expect(runProgram('/nowhere/to/be/found', [], { cwd })).rejects.toThrow('ENOENT');
});
