#!/usr/bin/env node
// Before all else: it hides the arguments, `--creds` among them, from the list of processes.
process.title = 'landfall';

const { main } = await import('../src/cli/main.js');
const uid = process.geteuid?.() ?? 0;
const { env, stdin, stdout, stderr } = process;
const exitCode = await main(process.argv.slice(2), { env, stdin, stdout, stderr, uid }, process);
// The output is written by now; idle connections and threads are not to keep the command alive.
process.exit(exitCode);
