import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DaemonProcess } from '../support/daemon-process.js';
import { all, call, type GrpcClient, grpcClient, stream } from '../support/grpc-client.js';
import { imageSteps } from '../support/image-steps.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { makeTinyLayout } from '../support/tiny-image.js';

interface StreamedImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly username: string;
}
interface Streamed {
  readonly images: readonly StreamedImage[];
}

/** For three messages. */
const IMAGES = 230;
/** Pulls at once. */
const AT_ONCE = 10;
/** So long that the messages do not fit into what HTTP/2 sends to a client that reads nothing. */
const REPOSITORY = `${'quay/'.repeat(40)}app`;

describe('the stream of a node’s images, to a client that is made of the proto file', () => {
  let work: string;
  let registry: ScriptedRegistry;
  let daemon: DaemonProcess;
  let client: GrpcClient;

  const name = (n: number): string => `${registry.address}/${REPOSITORY}:${n}`;
  const streamed = (image?: string): AsyncIterable<Streamed> & { cancel(): void } =>
    stream(client, 'StreamImages', image === undefined ? {} : { filter: { image: { image } } });
  const listed = async (): Promise<readonly StreamedImage[]> =>
    (await call<Streamed>(client, 'ListImages')).images;
  const imagesOf = (messages: readonly Streamed[]): readonly StreamedImage[] =>
    messages.flatMap(({ images }) => images);

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-stream-'));
    registry = await ScriptedRegistry.start([]);
    for (let n = 0; n < IMAGES; n += 1) {
      const layout = await makeTinyLayout(join(work, 'layout'), { config: { User: `crew-${n}` } });
      registry.expect(...imageSteps(layout, { repository: REPOSITORY, tag: String(n) }));
    }
    daemon = await DaemonProcess.start(join(work, 'store'), join(work, 's.sock'), ['--sync', 'none']);
    client = grpcClient('runtime-v1.proto', 'runtime.v1.ImageService', daemon.socket);
    const left = Array.from({ length: IMAGES }, (_, n) => n);
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let n = left.pop(); n !== undefined; n = left.pop())
          await call(client, 'PullImage', { image: { image: name(n) } });
      }),
    );
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('has each once, as the list has them, in several messages, and ends', async () => {
    const received = await all(streamed());
    expect(received.length).toBeGreaterThan(1);
    expect(imagesOf(received)).toEqual(await listed());
    const names = imagesOf(received).flatMap(({ repoTags }) => repoTags);
    expect(names.sort()).toEqual(Array.from({ length: IMAGES }, (_, n) => name(n)).sort());
  });

  it('waits for who reads slowly', async () => {
    const received: Streamed[] = [];
    for await (const message of streamed()) {
      await sleep(200);
      received.push(message);
    }
    expect(imagesOf(received)).toEqual(await listed());
  });

  it('stays what it was when it began, whatever is removed meanwhile', async () => {
    const before = await listed();
    const received: Streamed[] = [];
    for await (const message of streamed()) {
      if (received.length === 0) await call(client, 'RemoveImage', { image: { image: name(7) } });
      received.push(message);
    }
    expect(imagesOf(received)).toEqual(before);
    expect(await listed()).toHaveLength(IMAGES - 1);
    await call(client, 'PullImage', { image: { image: name(7) } });
  });

  it.each<[string, (image: StreamedImage) => string]>([
    ['name', ({ repoTags: [tag = ''] }) => tag],
    ['ID', ({ id }) => id],
  ])('is of one image where that is asked for by its %s', async (_, wanted) => {
    const [, image] = await listed();
    if (image === undefined) throw new Error('there is no second image');
    expect(imagesOf(await all(streamed(wanted(image))))).toEqual([image]);
  });

  it('has no message where nothing is what is asked for', async () => {
    expect(await all(streamed(name(IMAGES)))).toEqual([]);
  });

  it('ends with who does not want the rest', async () => {
    const messages = streamed();
    for await (const message of messages) {
      expect(message.images.length).toBeGreaterThan(0);
      break;
    }
    messages.cancel();
    expect(imagesOf(await all(streamed()))).toEqual(await listed());
  });
});
