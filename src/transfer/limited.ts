import pLimit from 'p-limit';

/** Does something with each, so many at once; what comes of it in their order. */
export async function limited<T, R>(
  items: readonly T[],
  concurrency: number,
  use: (item: T) => Promise<R>,
): Promise<R[]> {
  const limit = pLimit(concurrency);
  return await Promise.all(items.map((item) => limit(() => use(item))));
}
