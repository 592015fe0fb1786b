import { readFile } from 'node:fs/promises';
import { openRegistry, openStore, pull } from 'landfall';
import type { Credentials } from 'landfall/registry';

const [reference = 'registry.example/team/app:1', username = 'ci', file = '/run/secrets/registry'] =
  process.argv.slice(2);

// Asked when a registry wants to know who it is, so that a secret that has changed is noticed; a vault could
// be asked here.
async function credentials(registry: string): Promise<Credentials | undefined> {
  if (!reference.startsWith(`${registry}/`)) return undefined;
  console.log(`logging in to ${registry} as ${username}`);
  return { username, password: (await readFile(file, 'utf8')).trim() };
}

await using store = await openStore();
await using registry = openRegistry({ credentials });
const image = await pull({ store, registry, reference });
console.log(`pulled ${image.reference}`);
