import { listImages, openRegistry, openStore, pull } from 'landfall';

const [first = 'alpine:3', second = 'busybox:1', directory = '.'] = process.argv.slice(2);

// Each has its own root, connections and credentials; nothing is shared but the process.
async function pullInto(root: string, reference: string, username: string): Promise<void> {
  await using store = await openStore({ root });
  const password = process.env[`${username.toUpperCase()}_PASSWORD`] ?? '';
  await using registry = openRegistry({ credentials: () => Promise.resolve({ username, password }) });
  await pull({ store, registry, reference });
  for (const { name, size } of await listImages(store)) console.log(root, name, size);
}

await Promise.all([
  pullInto(`${directory}/first`, first, 'anna'),
  pullInto(`${directory}/second`, second, 'boris'),
]);
