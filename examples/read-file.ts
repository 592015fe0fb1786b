import { readImageFile } from 'landfall';

const [reference = 'alpine:3', path = '/etc/os-release'] = process.argv.slice(2);

// Nothing is unpacked, and only the layers are fetched that have to be.
for await (const chunk of readImageFile(undefined, `docker://${reference}`, path))
  process.stdout.write(chunk);
