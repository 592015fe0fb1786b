import { openStore } from 'landfall';
import { load, save } from 'landfall/transfer';

const [source = 'docker://alpine:3', file = 'images.tar'] = process.argv.slice(2);

const { bytes } = await save({ sources: [source], archive: { file }, platforms: 'all' });
console.log(`${file} has ${bytes} bytes`);

await using store = await openStore();
for (const { name, chainId } of await load({ store, archive: { file } })) console.log(name, chainId);
