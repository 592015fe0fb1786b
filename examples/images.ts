import { diffImages, inspectImage, listImages, openStore, verifyImage } from 'landfall';

const [before, after] = process.argv.slice(2);

await using store = await openStore();
for (const { name } of await listImages(store)) {
  const { platform, config, layers } = await inspectImage(store, name);
  console.log(name, platform.architecture, config.config?.Cmd, `${layers.length} layers`);
  const { faults } = await verifyImage(store, name);
  for (const { kind, message } of faults) console.log(kind, message);
}
if (before !== undefined && after !== undefined)
  for await (const { kind, path } of diffImages(store, before, after)) console.log(kind, path);
