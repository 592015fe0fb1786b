/** The repositories of a registry that speaks HTTP, in order. */
export async function repositoriesOf(address: string): Promise<string[]> {
  const answer = await fetch(`http://${address}/v2/_catalog?n=1000`);
  const { repositories } = (await answer.json()) as { repositories: string[] };
  return repositories;
}

/** The tags of one of them, in order; none where it is not there. */
export async function tagsOf(address: string, repository: string): Promise<string[]> {
  const answer = await fetch(`http://${address}/v2/${repository}/tags/list`);
  const { tags } = (await answer.json()) as { tags?: string[] | null };
  return [...(tags ?? [])].sort();
}

/** The digest that a tag names. */
export async function digestAt(
  address: string,
  repository: string,
  tag: string,
): Promise<string | undefined> {
  const accept = ['oci.image.index.v1', 'oci.image.manifest.v1']
    .map((type) => `application/vnd.${type}+json`)
    .join(', ');
  const answer = await fetch(`http://${address}/v2/${repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: { accept },
  });
  return answer.headers.get('docker-content-digest') ?? undefined;
}

/** `GET /v2/team/app/tags/list`, of each line of an access log; the test's own requests are left out. */
export function requestsOf(log: readonly string[]): string[] {
  return log
    .filter((line) => line.includes('landfall/'))
    .map((line) => /"([A-Z]+ [^ "?]+)/.exec(line)?.[1] ?? line);
}
