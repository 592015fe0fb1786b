import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { exportImage, openStore, pull, unpackImage } from 'landfall';

const [reference = 'alpine:3', directory = 'rootfs', file = 'rootfs.tar'] = process.argv.slice(2);

await using store = await openStore();
await pull({ store, reference, unpack: false });
const { layers } = await unpackImage(store, reference, directory);
console.log(`${layers.length} layers merged in ${directory}`);

const { archive } = await exportImage(store, reference);
await pipeline(archive, createWriteStream(file));
