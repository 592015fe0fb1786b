import { openStore, pullEvents } from 'landfall';

const [reference = 'alpine:3'] = process.argv.slice(2);

await using store = await openStore();
for await (const event of pullEvents({ store, reference })) {
  if (event.type === 'blob' && event.role === 'layer') {
    console.log(event.digest.slice(0, 19), event.state, `${event.bytes} of ${event.size} bytes`);
  }
  if (event.type === 'warning') console.log(event.message);
  if (event.type === 'done')
    console.log(`${event.result.layers.length} layers after ${event.at.toFixed(0)} ms`);
}
