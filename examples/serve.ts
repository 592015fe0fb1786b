import { once } from 'node:events';
import { copy, openStore } from 'landfall';
import { serveStore } from 'landfall/serve';

await using store = await openStore();
await using served = await serveStore({ store, writable: true });
console.log(`serving ${store.root} at ${served.host}`);

// Anything that speaks to registries can pull from it and push to it.
const [source] = process.argv.slice(2);
if (source !== undefined) await copy({ source, destination: `docker://${served.host}/copied:1`, store });
else await once(process, 'SIGINT');
