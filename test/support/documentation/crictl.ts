import { existsSync } from 'node:fs';
import { chmod, copyFile, writeFile } from 'node:fs/promises';
import { criClientProgram } from '../cri-client.js';
import { peer } from '../peers.js';
import type { FreshMachine } from './fresh-machine.js';

/**
 * What pages do with crictl, which Debian does not have, by a client with upstream's stubs: `pull`, `images`,
 * `inspecti`, `rmi` and `rmp` of the endpoints of `/etc/crictl.yaml`, or of `--image-endpoint`. As upstream's
 * does, it asks the runtime for images where no other endpoint is named.
 */
const CRICTL = `#!/usr/bin/env node
const fs = require('node:fs');
const { execFileSync } = require('node:child_process');
const words = process.argv.slice(2);
let configured = '';
try {
  configured = fs.readFileSync('/etc/crictl.yaml', 'utf8');
} catch {}
const endpointOf = (kind) => new RegExp('^' + kind + '-endpoint: *(\\\\S+)', 'm').exec(configured)?.[1];
const runtime = endpointOf('runtime') ?? '';
let images = endpointOf('image') ?? runtime;
if (words[0] === '-i' || words[0] === '--image-endpoint') images = words.splice(0, 2)[1];
const [command, ...names] = words;
const ask = (method, request, endpoint = images) => {
  const input = JSON.stringify({ id: 1, method, request }) + '\\n';
  const { response, error } = JSON.parse(execFileSync('cri-client', [endpoint], { input }));
  if (error === undefined) return response;
  console.error('FATA[0000] ' + method + ': rpc error: code = ' + error.code + ' desc = ' + error.message);
  process.exit(1);
};
const idOf = (image) => image.id.replace('sha256:', '').slice(0, 13);
const row = (cells) => console.log(cells.map((cell, at) => (at < 3 ? cell.padEnd([44, 20, 20][at]) : cell)).join(''));
switch (command) {
  case 'pull':
    for (const image of names)
      console.log('Image is up to date for ' + ask('PullImage', { image: { image } }).image_ref);
    break;
  case 'images':
    row(['IMAGE', 'TAG', 'IMAGE ID', 'SIZE']);
    for (const image of ask('ListImages', {}).images ?? [])
      for (const tag of image.repo_tags ?? []) {
        const at = tag.lastIndexOf(':');
        row([tag.slice(0, at), tag.slice(at + 1), idOf(image), (image.size / 1e6).toFixed(2) + 'MB']);
      }
    break;
  case 'inspecti':
    for (const image of names)
      console.log(JSON.stringify({ status: ask('ImageStatus', { image: { image } }).image }, null, 2));
    break;
  case 'rmi':
    if (names[0] === '--all') names.splice(0, 1, ...(ask('ListImages', {}).images ?? []).map(({ id }) => id));
    for (const image of names) {
      ask('RemoveImage', { image: { image } });
      console.log('Deleted: ' + image);
    }
    break;
  case 'rmp':
    for (const { id } of ask('ListPodSandbox', {}, runtime).items ?? [])
      for (const method of ['StopPodSandbox', 'RemovePodSandbox']) ask(method, { pod_sandbox_id: id }, runtime);
    break;
  default:
    console.error('this crictl has no ' + command);
    process.exit(1);
}
`;

/** Brings crictl onto a machine that has none. */
export async function installCrictl(machine: FreshMachine): Promise<void> {
  if (peer('crictl') !== undefined || existsSync(machine.reach('/usr/local/bin/crictl'))) return;
  await copyFile(await criClientProgram(), machine.reach('/usr/local/bin/cri-client'));
  await writeFile(machine.reach('/usr/local/bin/crictl'), CRICTL);
  for (const name of ['cri-client', 'crictl']) await chmod(machine.reach(`/usr/local/bin/${name}`), 0o755);
}
