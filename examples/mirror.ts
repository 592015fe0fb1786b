import { copyEvents } from 'landfall';

const [source = 'docker://alpine:3', destination = 'docker://registry.lan:5000/alpine:3'] =
  process.argv.slice(2);

// All platforms, with their signatures and SBOMs. What the destination has is not moved again.
for await (const event of copyEvents({ source, destination, platforms: 'all' })) {
  if (event.type === 'content' && event.state === 'copied') console.log('copied', event.descriptor.digest);
  if (event.type === 'done') console.log(event.result.outcome, event.result.target.digest);
}
