import { openStore, pull } from 'landfall';

const [reference = 'alpine:3'] = process.argv.slice(2);

await using store = await openStore();
const image = await pull({ store, reference });
console.log(image.reference, image.digest);
for (const { digest, size, reused } of image.layers) console.log(digest, size, reused ? 'reused' : 'new');
